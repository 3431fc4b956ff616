/** A panel's question to the report API, by the plugin yesoreyeram-infinity-datasource. Paths and parameters are those of gateway/control/endpoints.ts. */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';

export const INFINITY_TYPE = 'yesoreyeram-infinity-datasource';

export interface ReportColumn {
  /** Where in a row, with dots: `duration_ms.p99`. */
  readonly selector: string;
  /** Its name in the answer. */
  readonly text: string;
  readonly type: 'string' | 'number' | 'timestamp' | 'boolean';
}

export interface Report {
  /** Below the data source's own address. */
  readonly path: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Which part of the answer the rows are, in JSONata. */
  readonly rows: string;
  readonly columns: readonly ReportColumn[];
}

export class ReportQuery implements cog.Builder<cog.Dataquery> {
  readonly #report: Report;
  readonly #format: 'timeseries' | 'table';

  constructor(report: Report, format: 'timeseries' | 'table') {
    this.#report = report;
    this.#format = format;
  }

  build(): cog.Dataquery {
    const { path, parameters, rows, columns } = this.#report;
    const query = {
      datasource: { type: INFINITY_TYPE, uid: '${store}' },
      type: 'json', parser: 'backend', source: 'url', format: this.#format, url: path,
      url_options: { method: 'GET', data: '', params: Object.entries(parameters).map(([key, value]) => ({ key, value })) },
      root_selector: rows, columns, filters: [],
      _implementsDataqueryVariant: () => {},
    };
    return query;
  }
}
