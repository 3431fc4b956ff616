/** The rows of a traffic report as the engine answers them, page by page, gaps filled, and beside those of the period before. */
import { TidegateError } from '../../errors/tidegate-error.js';
import { bucketBounds, type Interval } from './calendar.js';
import type { Position } from './cursor.js';
import { MAX_ROWS, type Asker, type ReportStore, type Row } from './report-store.js';
import { gapRow, groupsStatement, keyNames, statement, statementParams, type Source, type TopGroups } from './traffic-statement.js';
import type { TrafficQuery } from './traffic-query.js';

/** One question to the store, as rows are asked for. */
export interface Reading {
  readonly store: ReportStore;
  readonly asker: Asker;
  readonly query: TrafficQuery;
  readonly source: Source;
  /** Of the buckets that the range touches, ms. */
  readonly bounds: readonly number[];
  /** Null: all groups stand by themselves. */
  readonly top: TopGroups | null;
}

/** Rows in their order, `pageRows` in memory at a time. Each page waits for its turn among the reports of all. */
export async function* foundRows({ store, asker, query, source, bounds, top }: Reading, pageRows: number): AsyncGenerator<Row> {
  for (let after = query.after; ;) {
    const rows = await store.query(statement(query, source, { limit: pageRows, after }), statementParams(query, bounds, { after, top }), asker);
    yield* rows;
    const last = rows.at(-1);
    if (rows.length < pageRows || last === undefined) return;
    after = positionOf(last, query);
  }
}

export function positionOf(row: Row, query: TrafficQuery): Position {
  return { bucket: Number(row['bucket']), keys: keyNames(query).map((name) => row[name] as string | number) };
}

/** The largest groups of the range. */
export async function topGroups({ store, asker, query, source, bounds }: Omit<Reading, 'top'>): Promise<TopGroups | null> {
  if (query.top === null) return null;
  const found = await store.query(groupsStatement(query, source, query.top + 1), statementParams(query, bounds), asker);
  const largest = found.slice(0, query.top);
  return { values: query.groupBy.map((_, index) => largest.map((row) => String(row[`g${index}`]))), rest: found.length > largest.length };
}

/**
 * What the rows of a bucket may be told apart by: one entry a group, or a place among the largest.
 * @throws report_too_large
 */
export async function keysOf({ store, asker, query, source, bounds, top }: Reading): Promise<readonly Row[]> {
  if (query.groupBy.length === 0) return [{}];
  if (top !== null) return Array.from({ length: (top.values[0]?.length ?? 0) + Number(top.rest) }, (_, index) => ({ place: index + 1 }));
  const found = await store.query(groupsStatement(query, source, MAX_ROWS + 1), statementParams(query, bounds), asker);
  if (found.length > MAX_ROWS) throw new TidegateError('report_too_large', `The range has more than ${MAX_ROWS} groups.`);
  return found;
}

/**
 * Every key of every bucket, with its row or zeros. A bucket that begins at `asOfMs` or later is no gap: nothing is known of it yet; what is there already is given.
 * @param keys of the range; a row of a key that came up after they were read was recorded after as_of, and is left out
 */
export async function* filled(rows: AsyncIterable<Row>, { query, bounds }: Pick<Reading, 'query' | 'bounds'>, keys: readonly Row[], asOfMs: number): AsyncGenerator<Row> {
  const names = keyNames(query);
  const texts = keys.map((key) => keyText(key, names));
  const found = rows[Symbol.asyncIterator]();
  let next = await found.next();
  const { after } = query;
  const afterText = after === null ? null : JSON.stringify(after.keys);
  for (const boundMs of bounds.slice(0, -1)) {
    const bucket = Math.floor(boundMs / 1000);
    if (after !== null && bucket < after.bucket) continue;
    const here = new Map<string, Row>();
    for (; next.done !== true && Number(next.value['bucket']) === bucket; next = await found.next()) here.set(keyText(next.value, names), next.value);
    const from = afterText !== null && bucket === after?.bucket ? texts.indexOf(afterText) + 1 || keys.length : 0;
    for (let i = from; i < keys.length; i++) {
      const row = here.get(texts[i] as string);
      if (row !== undefined) yield row;
      else if (boundMs < asOfMs) yield gapRow(bucket, keys[i] as Row);
    }
  }
}

export const keyText = (row: Row, names: readonly string[]): string => JSON.stringify(names.map((name) => row[name]));

/** Longest length of a bucket. */
const LONGEST_MS: Readonly<Record<Exclude<Interval, 'total'>, number>> = { minute: 60_000, hour: 3_600_000, day: 25 * 3_600_000, month: 31 * 86_400_000 + 3_600_000 };

/**
 * The period before: as many buckets of the calendar, each bound as far into its bucket as the range's own is (and no further than its end, where that
 * bucket is shorter); of `total` the same length.
 */
export function periodBefore({ query, bounds }: Pick<Reading, 'query' | 'bounds'>): { readonly fromMs: number; readonly toMs: number; readonly bounds: readonly number[] } {
  const { fromMs, toMs, interval, timeZone } = query;
  if (interval === 'total') return { fromMs: fromMs - (toMs - fromMs), toMs: fromMs, bounds: [fromMs - (toMs - fromMs), fromMs] };
  const count = bounds.length - 1;
  const [firstMs, lastMs] = [bounds[0] as number, bounds[count - 1] as number];
  const before = bucketBounds(interval, timeZone, firstMs - count * LONGEST_MS[interval], firstMs).slice(-count - 1);
  const at = (index: number): number => before[index] as number;
  return {
    fromMs: Math.min(at(0) + fromMs - firstMs, at(1)), bounds: before,
    // a whole bucket and the one before it are compared, however long each is
    toMs: toMs === bounds[count] ? at(count) : Math.min(at(count - 1) + toMs - lastMs, at(count)),
  };
}
