/** A panel's question to ClickHouse, by the plugin grafana-clickhouse-datasource (4.x), and the text of its SQL. Names of tables and columns are those of migrations/. */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';

export const CLICKHOUSE_TYPE = 'grafana-clickhouse-datasource';
/** The plugin's format of queries. */
const PLUGIN_VERSION = '4.0.0';

/** As the plugin numbers them. */
const FORMATS = { time_series: 0, table: 1 } as const;

export class ClickHouseQuery implements cog.Builder<cog.Dataquery> {
  readonly #sql: string;
  readonly #format: keyof typeof FORMATS;

  constructor(sql: string, format: keyof typeof FORMATS) {
    this.#sql = sql;
    this.#format = format;
  }

  build(): cog.Dataquery {
    const query = {
      datasource: { type: CLICKHOUSE_TYPE, uid: '${store}' },
      editorType: 'sql', rawSql: this.#sql, format: FORMATS[this.#format], queryType: this.#format === 'time_series' ? 'timeseries' : 'table', pluginVersion: PLUGIN_VERSION,
      _implementsDataqueryVariant: () => {},
    };
    return query;
  }
}

export interface Select {
  /** Name in the answer to its expression. Columns are written `t.name`: an alias of the same name would hide them. */
  readonly columns: Readonly<Record<string, string>>;
  /** A table of `tidegate`, or an expression in parentheses. */
  readonly from: string;
  readonly where: readonly string[];
  readonly groupBy?: readonly string[];
  readonly orderBy?: readonly string[];
  readonly limit?: number;
}

/** The statement, a clause a line. */
export function select({ columns, from, where, groupBy = [], orderBy = [], limit }: Select): string {
  return [
    `SELECT ${Object.entries(columns).map(([name, expression]) => `${expression} AS ${/^\w+$/.test(name) ? name : `\`${name}\``}`).join(', ')}`,
    `FROM ${from.startsWith('(') ? from : `tidegate.${from}`} AS t`,
    ...(where.length === 0 ? [] : [`WHERE ${where.join(' AND ')}`]),
    ...(groupBy.length === 0 ? [] : [`GROUP BY ${groupBy.join(', ')}`]),
    ...(orderBy.length === 0 ? [] : [`ORDER BY ${orderBy.join(', ')}`]),
    ...(limit === undefined ? [] : [`LIMIT ${limit}`]),
  ].join('\n');
}
