/** The rows of a traffic report as the engine answers them, page by page, gaps filled, and beside those of the period before. */
import { TidegateError } from '../../errors/tidegate-error.js';
import { bucketBounds, offsetMs, type Interval } from './calendar.js';
import type { Position } from './cursor.js';
import { MAX_ROWS, type Asker, type ReportStore, type Row } from './report-store.js';
import { gapRow, groupsStatement, keyNames, statement, statementParams, type Source, type TopGroups } from './traffic-statement.js';
import { endOfStep } from './time-text.js';
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

/** Buckets that are read at first, where not all are. */
const FIRST_BUCKETS = 16;

/**
 * Rows in their order, `pageRows` in memory at a time. Each page waits for its turn among the reports of all, and is made of as many buckets as have about so many rows: one that
 * was made of all the rest of the range would cost as much as the whole.
 */
export async function* foundRows({ store, asker, query, source, bounds, top }: Reading, pageRows: number): AsyncGenerator<Row> {
  const buckets = bounds.length - 1;
  const indexOf = (bucket: number): number => Math.max(0, bounds.findLastIndex((bound) => Math.floor(bound / 1000) <= bucket));
  let after = query.after;
  let width = pageRows > MAX_ROWS ? buckets : FIRST_BUCKETS;
  for (let at = after === null ? 0 : indexOf(after.bucket); at < buckets;) {
    const end = Math.min(at + width, buckets);
    const part: TrafficQuery = { ...query, fromMs: Math.max(query.fromMs, bounds[at] as number), toMs: Math.min(query.toMs, bounds[end] as number) };
    const rows = await store.query(statement(query, source, { limit: pageRows, after }), statementParams(part, bounds.slice(at, end + 1), { after, top }), asker);
    yield* rows;
    const last = rows.at(-1);
    if (last !== undefined && rows.length === pageRows) {
      after = positionOf(last, query);
      at = indexOf(after.bucket);
      width = Math.max(1, Math.floor(width / 2));
    } else {
      after = null;
      at = end;
      if (rows.length < pageRows / 2) width *= 2;
    }
  }
}

export function positionOf(row: Row, query: TrafficQuery): Position {
  return { bucket: Number(row['bucket']), keys: keyNames(query).map((name) => row[name] as string | number) };
}

/** The largest groups of the range, which may reach back over the period before. */
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
  const known = new Set(texts);
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
    if (boundMs >= asOfMs) {
      if (next.done === true && here.size === 0) return;
      for (const [text, row] of here) if (known.has(text)) yield row;
      continue;
    }
    for (let i = from; i < keys.length; i++) yield here.get(texts[i] as string) ?? gapRow(bucket, keys[i] as Row);
  }
}

export const keyText = (row: Row, names: readonly string[]): string => JSON.stringify(names.map((name) => row[name]));

/** Longest length of a bucket. */
const LONGEST_MS: Readonly<Record<Exclude<Interval, 'total'>, number>> = { minute: 60_000, hour: 3_600_000, day: 25 * 3_600_000, month: 31 * 86_400_000 + 3_600_000 };

export interface PeriodBefore {
  readonly fromMs: number;
  readonly toMs: number;
  /** One for each bound of the range. */
  readonly bounds: readonly number[];
}

/** Longer ones are told from whole days by nobody. */
const MAX_DAYS_MS = 400 * 86_400_000;

/** Of a period before one that goes on beyond the quarter of an hour under way: up to the same time, by the clock on the wall and to the end of its minute (of a long one, of its quarter of an hour: minutes are not kept as long). */
function soFar(before: Pick<PeriodBefore, 'fromMs' | 'toMs'>, { fromMs, toMs, timeZone }: TrafficQuery, asOfMs: number): PeriodBefore {
  const cutMs = endOfStep(toMs - fromMs > 2 * 86_400_000 ? '' : 'm', asOfMs);
  const isUnderWay = cutMs > fromMs && endOfStep('', asOfMs) < toMs;
  const onWallMs = before.fromMs + (cutMs - fromMs) + offsetMs(timeZone, cutMs) - offsetMs(timeZone, fromMs) + offsetMs(timeZone, before.fromMs);
  const endMs = isUnderWay ? Math.min(before.toMs, onWallMs - offsetMs(timeZone, onWallMs - offsetMs(timeZone, before.fromMs))) : before.toMs;
  return { fromMs: before.fromMs, toMs: endMs, bounds: [before.fromMs, endMs] };
}

/**
 * The period before: as many buckets of the calendar earlier, each bound as far into its bucket as the range's own is (and no further than its end, where that
 * bucket is shorter); of `total` as many days, or the same length, and no more of it than has gone by of a range under way. Empty where the part asked for is one that the bucket before does not have: the 30th of February.
 */
export function periodBefore({ query, bounds }: Pick<Reading, 'query' | 'bounds'>, asOfMs: number): PeriodBefore {
  const { fromMs, toMs, interval, timeZone } = query;
  if (interval === 'total') {
    const days = toMs - fromMs > MAX_DAYS_MS ? [] : bucketBounds('day', timeZone, fromMs, toMs);
    const whole = days[0] === fromMs && days.at(-1) === toMs ? periodBefore({ query: { ...query, interval: 'day' }, bounds: days }, asOfMs) : { fromMs: fromMs - (toMs - fromMs), toMs: fromMs };
    return soFar(whole, query, asOfMs);
  }
  const count = bounds.length - 1;
  const reach = bucketBounds(interval, timeZone, (bounds[0] as number) - count * LONGEST_MS[interval], bounds[count] as number);
  const first = reach.indexOf(bounds[0] as number);
  const earlierBy = (buckets: number): PeriodBefore => {
    const before = reach.slice(first - buckets, first - buckets + count + 1);
    /** As far into a bucket of the period before as the instant is into its own, by the clock on the wall. */
    const earlier = (instantMs: number, bucket: number): number => {
      const [own, then, end] = [bounds[bucket] as number, before[bucket] as number, before[bucket + 1] as number];
      const intoMs = instantMs - own + offsetMs(timeZone, instantMs) - offsetMs(timeZone, own);
      return Math.min(then + intoMs + offsetMs(timeZone, then) - offsetMs(timeZone, then + intoMs), end);
    };
    return {
      fromMs: earlier(fromMs, 0), bounds: before,
      // a whole bucket and the one before it are compared, however long each is
      toMs: toMs === bounds[count] ? before[count] as number : earlier(toMs, count - 1),
    };
  };
  // a range that is cut on both sides touches a bucket more than it is long: one bucket less, and it follows on the period before
  const near = count > 1 ? earlierBy(count - 1) : null;
  return near !== null && near.toMs <= fromMs ? near : earlierBy(count);
}
