/** The values of a board's variables, asked of the stores as Grafana asks: all of them where the board allows it, else the first. */
import { ask, askClickHouse, askReports, type BoardJson, type Stores, type TargetJson, type VariableJson } from './ask.js';
import { expandPromql, expandSql, type Shown } from './expand.js';

/** @param given values that were chosen, by name @throws Error where a variable has no value: nothing can be shown then */
export async function variablesOf(board: BoardJson, shown: Shown, stores: Stores, given: ReadonlyMap<string, string> = new Map()): Promise<ReadonlyMap<string, readonly string[]>> {
  const values = new Map<string, readonly string[]>();
  for (const variable of board.templating.list) {
    const chosen = given.get(variable.name);
    // one data source of each kind is known here, and questions name it by themselves
    if (variable.type === 'datasource') values.set(variable.name, ['']);
    else if (chosen !== undefined) values.set(variable.name, [chosen]);
    else if (variable.includeAll === true && variable.allValue !== undefined) values.set(variable.name, [variable.allValue]);
    else {
      const [first] = variable.type === 'custom' ? [String(variable.options?.[0]?.value)] : await optionsOf(variable, { ...shown, variables: values }, stores);
      if (first === undefined) throw new Error(`${board.title}: the variable ${variable.name} has no value`);
      values.set(variable.name, [first]);
    }
  }
  return values;
}

/** What a variable's own question answers. */
export async function optionsOf({ name, query }: VariableJson, shown: Shown, stores: Stores): Promise<readonly string[]> {
  if (typeof query === 'string') return (await askClickHouse(expandSql(query, shown), stores)).rows.map(([value]) => String(value));
  const { query: text, infinityQuery } = query as { query?: string; infinityQuery?: TargetJson };
  if (infinityQuery !== undefined) return (await askReports(infinityQuery, shown, stores)).rows.map(([value]) => String(value));
  const match = /^label_values\((.+), (\w+)\)$/.exec(text ?? '');
  if (match === null) throw new Error(`the variable ${name} asks ${text}`);
  const [, selector = '', label = ''] = match;
  const answer = await ask({ refId: 'A', datasource: { type: 'prometheus' }, expr: `group by (${label}) (${expandPromql(selector, shown)})`, legendFormat: `{{${label}}}`, instant: true }, shown, stores);
  return answer.kind === 'series' ? answer.series.map((one) => one.name).filter((value) => value !== '').sort() : [];
}
