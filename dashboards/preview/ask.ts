/** Asks the stores what a panel asks, as Grafana and its plugins would. */
import jsonata from 'jsonata';
import { expandPromql, expandSql, expandText, type Shown } from './expand.js';

/** Where the stores are; absent: not asked. URLs without the last slash. */
export interface Stores {
  readonly prometheus: string;
  readonly clickhouse?: string;
  /** The control origin of a node with a collector, and its token. */
  readonly reports?: { readonly url: string; readonly token: string };
}

/** A board as JSON, as far as it is read here. */
export interface BoardJson {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly PanelJson[];
  readonly templating: { readonly list: readonly VariableJson[] };
  readonly annotations: { readonly list?: readonly AnnotationJson[] };
}

export interface PanelJson {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly TargetJson[];
  readonly options?: { readonly reduceOptions?: { readonly calcs: readonly string[] } };
  readonly transformations?: readonly { readonly id: string; readonly options: Readonly<Record<string, unknown>> }[];
  readonly fieldConfig?: { readonly defaults: FieldJson; readonly overrides: readonly { readonly matcher: { readonly id: string; readonly options: string }; readonly properties: readonly { readonly id: string; readonly value: unknown }[] }[] };
}

export interface FieldJson {
  readonly unit?: string;
  readonly decimals?: number;
  readonly displayName?: string;
  readonly max?: number;
  readonly thresholds?: { readonly steps: readonly { readonly value: number | null; readonly color: string }[] };
  readonly mappings?: readonly { readonly options: Readonly<Record<string, { readonly text: string }>> }[];
  readonly custom?: Readonly<Record<string, unknown>>;
}

export interface TargetJson {
  readonly refId: string;
  readonly datasource: { readonly type: string };
  readonly expr?: string;
  readonly instant?: boolean;
  readonly exemplar?: boolean;
  readonly legendFormat?: string;
  readonly rawSql?: string;
  readonly format?: string | number;
  readonly url?: string;
  readonly url_options?: { readonly params: readonly { readonly key: string; readonly value: string }[] };
  readonly root_selector?: string;
  readonly columns?: readonly { readonly selector: string; readonly text: string; readonly type: string }[];
}

export interface AnnotationJson {
  readonly name: string;
  readonly iconColor: string;
  readonly expr?: string;
  /** Between two points, in seconds: `60s`. */
  readonly step?: string;
  /** The value is the time, in milliseconds. */
  readonly useValueForTime?: boolean;
  readonly target?: TargetJson;
}

export interface VariableJson {
  readonly name: string;
  readonly type: string;
  readonly query?: unknown;
  readonly includeAll?: boolean;
  readonly allValue?: string;
  readonly options?: readonly { readonly value: string | readonly string[] }[];
}

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Seconds since the epoch, rising. */
  readonly times: readonly number[];
  readonly values: readonly (number | null)[];
}

/** What one question brought: lines over time, or rows. */
export type Answer =
  | { readonly kind: 'series'; readonly series: readonly Series[] }
  | { readonly kind: 'rows'; readonly columns: readonly string[]; readonly rows: readonly (readonly unknown[])[] };

/** @throws Error with what the store said @throws Error where a variable or macro is unknown */
export async function ask(target: TargetJson, shown: Shown, stores: Stores): Promise<Answer> {
  if (target.expr !== undefined) return askPrometheus(target, target.expr, shown, stores);
  if (target.rawSql !== undefined) return shaped(await askClickHouse(expandSql(target.rawSql, shown), stores), target.format === 0);
  return shaped(await askReports(target, shown, stores), target.format === 'timeseries');
}

interface PromSeries { readonly metric: Readonly<Record<string, string>>; readonly value?: readonly [number, string]; readonly values?: readonly (readonly [number, string])[] }

async function askPrometheus({ legendFormat = '', instant = false, format }: TargetJson, expr: string, shown: Shown, stores: Stores): Promise<Answer> {
  const query = expandPromql(expr, shown);
  const { fromMs, toMs, stepS } = shown;
  const range = instant ? { time: String(toMs / 1000) } : { start: String(fromMs / 1000), end: String(toMs / 1000), step: String(stepS) };
  const answer = await fetch(`${stores.prometheus}/api/v1/query${instant ? '' : '_range'}`, { method: 'POST', body: new URLSearchParams({ query, ...range }) });
  const body = await answer.json() as { status: string; error?: string; data: { result: readonly PromSeries[] } };
  if (body.status !== 'success') throw new Error(`${body.error}: ${query}`);
  const series = body.data.result.map(({ metric, value, values }): Series => {
    const points = values ?? (value === undefined ? [] : [value]);
    const { __name__: _, ...labels } = metric;
    return { name: legendFormat.replaceAll(/\{\{(\w+)\}\}/g, (__, label: string) => labels[label] ?? ''), labels, times: points.map(([time]) => time), values: points.map(([, text]) => finite(text)) };
  });
  if (format !== 'table') return { kind: 'series', series };
  const names = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))];
  return { kind: 'rows', columns: [...names, 'Value'], rows: series.map(({ labels, values }) => [...names.map((name) => labels[name] ?? ''), values.at(-1) ?? null]) };
}

const finite = (text: string): number | null => (Number.isFinite(Number(text)) ? Number(text) : null);

type Table = Extract<Answer, { kind: 'rows' }>;

/** @throws Error with what the store said */
export async function askClickHouse(sql: string, { clickhouse }: Stores): Promise<Table> {
  if (clickhouse === undefined) throw new Error('no ClickHouse is given');
  const answer = await fetch(`${clickhouse}/?default_format=JSONCompact&output_format_json_quote_64bit_integers=0`, { method: 'POST', body: sql });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${text}\n${sql}`);
  const { meta, data } = JSON.parse(text) as { meta: readonly { name: string; type: string }[]; data: readonly (readonly unknown[])[] };
  const isTime = meta.map(({ type }) => type.startsWith('DateTime'));
  return { kind: 'rows', columns: meta.map(({ name }) => name), rows: data.map((row) => row.map((value, index) => (isTime[index] === true ? `${String(value).replace(' ', 'T')}Z` : value))) };
}

/** @throws Error with what the API said */
export async function askReports(target: TargetJson, shown: Shown, { reports }: Stores): Promise<Table> {
  const { url = '', url_options: options } = target;
  if (reports === undefined) throw new Error('no report API is given');
  const query = new URLSearchParams((options?.params ?? []).map(({ key, value }): [string, string] => [key, expandText(value, shown)]));
  const asked = `${reports.url}${url}${query.size === 0 ? '' : `?${query.toString()}`}`;
  const answer = await fetch(asked, { headers: { authorization: `Bearer ${reports.token}` } });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${asked}: ${answer.status} ${text}`);
  return tableOf(target, JSON.parse(text));
}

/** What the plugin makes of an answer. @param body as JSON */
export async function tableOf({ root_selector: selector = '$', columns = [] }: TargetJson, body: unknown): Promise<Table> {
  const selected: unknown = await jsonata(selector).evaluate(body);
  const rows = (selected === undefined ? [] : [selected].flat()) as readonly object[];
  return { kind: 'rows', columns: columns.map(({ text: name }) => name), rows: rows.map((row) => columns.map(({ selector: path, type }) => typed(at(row, path), type))) };
}

/** A dot leads into what the name before it holds, as in the plugin. */
function at(row: object, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Readonly<Record<string, unknown>> | null | undefined)?.[name], row) ?? null;
}

const typed = (value: unknown, type: string): unknown => (type === 'string' && (typeof value === 'number' || typeof value === 'boolean') ? String(value) : value);

/** Rows as they are; or, where the question is of time, a series for each column of numbers and each combination of the others. */
function shaped(table: Table, overTime: boolean): Answer {
  if (!overTime) return table;
  const { columns, rows } = table;
  const time = columns.indexOf('time');
  const isLabel = columns.map((_, index) => index !== time && rows.some((row) => typeof row[index] === 'string'));
  const series = new Map<string, { labels: Record<string, string>; name: string; times: number[]; values: (number | null)[] }>();
  for (const row of rows) {
    const labels = Object.fromEntries(columns.flatMap((name, index) => (isLabel[index] === true ? [[name, String(row[index])]] : [])));
    columns.forEach((name, index) => {
      if (index === time || isLabel[index] === true) return;
      const key = JSON.stringify([name, labels]);
      const one = series.get(key) ?? { name, labels, times: [], values: [] };
      series.set(key, one);
      one.times.push(Date.parse(String(row[time])) / 1000);
      one.values.push(row[index] === null ? null : Number(row[index]));
    });
  }
  return { kind: 'series', series: [...series.values()] };
}
