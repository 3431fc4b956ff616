/** What Grafana and its plugins put in for variables and macros of a question. Only what the boards use: anything else is an error, so that no board is drawn by another reading than Grafana's. */

/** What a picture shows. */
export interface Shown {
  readonly fromMs: number;
  readonly toMs: number;
  /** Between two points. */
  readonly stepS: number;
  /** `$__rate_interval`: four times the scrape interval, or the step and one more. */
  readonly rateWindowS: number;
  /** By name; several values are one of them each. */
  readonly variables: ReadonlyMap<string, readonly string[]>;
}

/** `$name`, `${name}`, `${name:format}`, `${__from:date:iso}`. */
const VARIABLE = /\$(?:\{(\w+)(?::([^}]+))?\}|(\w+))/g;

/** @throws Error naming a variable, macro or format that nobody here knows */
export function expandPromql(expr: string, shown: Shown): string {
  return replaceVariables(expr, shown, (values) => (values.length === 1 ? values[0] as string : `(${values.map((value) => value.replaceAll(/[\\^$*+?.()|[\]{}]/g, '\\$&')).join('|')})`));
}

/** @throws as expandPromql */
export function expandSql(sql: string, shown: Shown): string {
  const seconds = (ms: number): string => `toDateTime(${Math.floor(ms / 1000)})`;
  const macros = sql
    .replaceAll(/\$__timeFilter\(([\w.]+)\)/g, (_, column: string) => `${column} >= ${seconds(shown.fromMs)} AND ${column} <= ${seconds(shown.toMs)}`)
    .replaceAll('$__toTime', seconds(shown.toMs));
  return replaceVariables(macros, shown, (values, format) => {
    if (format === 'sqlstring') return values.map((value) => `'${value.replaceAll("'", "''")}'`).join(',');
    return values.join(',');
  });
}

/** @throws as expandPromql */
export function expandText(text: string, shown: Shown): string {
  return replaceVariables(text, shown, (values) => (values.length === 1 ? values[0] as string : `{${values.join(',')}}`));
}

function replaceVariables(text: string, shown: Shown, write: (values: readonly string[], format: string | null) => string): string {
  return text.replaceAll(VARIABLE, (whole, braced: string | undefined, format: string | undefined, bare: string | undefined) => {
    const name = braced ?? bare ?? '';
    switch (name) {
      case '__rate_interval': return `${shown.rateWindowS}s`;
      case '__range': return `${Math.round((shown.toMs - shown.fromMs) / 1000)}s`;
      case '__from': return date(shown.fromMs, format);
      case '__to': return date(shown.toMs, format);
      default: {
        // the text of a label_replace: its group, no variable
        if (/^\d+$/.test(name)) return whole;
        const values = shown.variables.get(name);
        if (values === undefined) throw new Error(`no variable ${name}: ${text}`);
        if (format !== undefined && format !== 'sqlstring') throw new Error(`no format ${format}: ${text}`);
        return write(values, format ?? null);
      }
    }
  });
}

function date(ms: number, format: string | undefined): string {
  const iso = new Date(ms).toISOString();
  switch (format) {
    case 'date:iso': return iso;
    case 'date:YYYY-MM': return iso.slice(0, 7);
    case undefined: default: throw new Error(`no date format ${format}`);
  }
}
