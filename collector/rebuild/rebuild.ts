/**
 * The rollups made again from raw events, beside the old ones, compared with them, and, if wanted, put in their place: month by month, because the quarters of an hour are
 * partitioned so.
 *
 *   each day of the month: minutes, piece by piece -> compared with both rollups, piece by piece;  then, if one of them differs: days written to since, again -> swap
 *
 * Each piece runs between two ranges of the collector (BetweenRanges), when nothing is begun and not done: a row of raw events is then in the rollups too, and only then.
 * Raw events are only ever added while this collector is alone, so a day that has as many rows as when it was read is the day that was read; one that has more is made again,
 * whole, in the very piece that compares or swaps it, and one that has less was dropped by another collector: nothing is made of it. Today is no other day in this.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { StoredDays } from '../completeness/stored-days.js';
import type { Retention } from '../store/retention.js';
import type { Rollup } from '../store/rollup-statement.js';
import type { Store } from '../store/store.js';
import { comparison, difference, rebuiltMinutes, rebuiltQuarters, type Difference } from './rebuild-statements.js';
import type { SwapNote } from './swap-note.js';

/** Runs `piece` when nothing that was begun can be inserted any more, and nothing is inserted until it is done. */
export type BetweenRanges = <T>(piece: () => Promise<T>) => Promise<T>;

/** A line of the answer. */
export type RebuildLine =
  | { readonly type: 'progress'; readonly done: number; readonly all: number; readonly what: string }
  | { readonly type: 'compared'; readonly day: string; readonly rollup: Rollup } & Difference
  /** `partition`: of the day, or of the month, as the engine names it. */
  | { readonly type: 'swapped'; readonly rollup: Rollup; readonly partition: string }
  /** Of these days raw events are not whole any more: their rollups stay as they are. */
  | { readonly type: 'left'; readonly days: readonly string[] }
  | { readonly type: 'end'; readonly days: number; readonly differing: number; readonly swapped: number };

export interface RebuildOptions {
  readonly store: Store;
  readonly retention: Retention;
  readonly between: BetweenRanges;
  /** Null: compare only. */
  readonly swaps: SwapNote | null;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  readonly tell: (line: RebuildLine) => void;
  /** What the store holds of days, beside what was stored of them: see collector/completeness. */
  readonly days: Pick<StoredDays, 'compare'>;
  /** Rows of raw events in one piece. */
  readonly rowsAPiece?: number;
}

interface Day {
  /** As the engine names its partition: 20261121. */
  readonly id: string;
  readonly startMs: number;
  readonly rows: number;
}

interface Compared {
  readonly day: Day;
  /** Of raw events, when its minutes were made. */
  readonly rows: number;
  /** Of rollups that keep this day. */
  readonly differences: ReadonlyMap<Rollup, Difference>;
}

const DAY_MS = 86_400_000;
const QUARTERS = 96;
/** Storing stands still for about a second. */
const ROWS_A_PIECE = 250_000;

/** @throws what the store and the signal throw; what is swapped by then stays, and the same again goes on */
export async function rebuild(options: RebuildOptions): Promise<void> {
  const { store, between, swaps, signal, tell } = options;
  // at once, so that whoever asked hears of what keeps it waiting as a line, and not as a collector that does not answer
  tell({ type: 'progress', done: 0, all: 0, what: 'waiting for what is being stored' });
  await between(() => clearRebuilt(store));
  const { whole, left } = await rawDays(options);
  if (left.length > 0) tell({ type: 'left', days: left.map(dashed) });
  const all = whole.reduce((sum, { rows }) => sum + rows, 0);
  let done = 0;
  let differing = 0;
  let swapped = 0;
  for (const month of new Set(whole.map(({ id }) => id.slice(0, 6)))) {
    const compared: Compared[] = [];
    for (const day of whole.filter(({ id }) => id.startsWith(month))) {
      const end = await makeAndCompare(options, day, (rows) => { tell({ type: 'progress', done: done + rows, all, what: dashed(day.id) }); });
      done += day.rows;
      compared.push(end);
      for (const [rollup, found] of end.differences) {
        if (found.differing > 0) differing++;
        tell({ type: 'compared', day: dashed(day.id), rollup, ...found });
      }
    }
    if (swaps !== null && compared.some(isOff)) {
      tell({ type: 'progress', done, all, what: `swapping ${month}` });
      signal.throwIfAborted();
      const places = await between(() => swapMonth(options, swaps, month, compared));
      for (const { rollup, partition } of places) tell({ type: 'swapped', rollup, partition });
      swapped += places.length;
    }
    await between(() => clearRebuilt(store));
  }
  tell({ type: 'end', days: whole.length, differing, swapped });
}

/** Takes away what was made beside the rollups. @throws what the store throws */
export async function clearRebuilt(store: Store): Promise<void> {
  const parts = await store.query<{ table: string; id: string }>(
    "SELECT DISTINCT table, partition_id AS id FROM system.parts WHERE database = 'tidegate' AND table IN ('traffic_minute_rebuilt', 'traffic_quarter_hour_rebuilt') AND active");
  for (const { table, id } of parts) await store.command(`ALTER TABLE tidegate.${table} DROP PARTITION ID {id:String}`, { id });
}

/**
 * Days that raw events are kept of, oldest first. `left`: a part of their raw events was dropped, or was lost: a rollup that knows of it must not be made of what is left. Where it cannot be
 * told, as of a day that is older than the record of what was stored, the rollups are believed if they have more.
 */
async function rawDays({ store, days: stored, between }: RebuildOptions): Promise<{ readonly whole: readonly Day[]; readonly left: readonly string[] }> {
  const rows = await store.query<{ id: string; rows: number; dropped: number }>(
    `SELECT _partition_id AS id, count() AS rows, id IN (SELECT formatDateTime(day, '%Y%m%d') FROM tidegate.dropped_days) AS dropped FROM tidegate.events GROUP BY id ORDER BY id`);
  const whole: Day[] = [];
  const left: string[] = [];
  for (const { id, rows: count, dropped } of rows.filter((row) => /^\d{8}$/.test(row.id))) {
    const startMs = Date.parse(dashed(id));
    if (dropped === 0 && await between(() => isWhole(store, stored, id, startMs))) whole.push({ id, rows: count, startMs });
    else left.push(id);
  }
  return { whole, left };
}

async function isWhole(store: Store, stored: Pick<StoredDays, 'compare'>, id: string, startMs: number): Promise<boolean> {
  const { reasons, notCompared } = await stored.compare(startMs, startMs + DAY_MS, true);
  if (reasons.length > 0) return false;
  if (notCompared.length === 0) return true;
  const [sums] = await store.query<{ raw: number; held: number }>(`SELECT (${RAW_REQUESTS(id)}) AS raw, (SELECT sum(requests) FROM tidegate.traffic_minute WHERE _partition_id = '${id}') AS held`);
  return Number(sums?.raw ?? 0) >= Number(sums?.held ?? 0);
}

async function makeAndCompare(options: RebuildOptions, day: Day, progress: (rows: number) => void): Promise<Compared> {
  const { store, between, signal } = options;
  const pieces = piecesOf(options, day, day.rows);
  let rows = -1;
  for (const [number, piece] of pieces.entries()) {
    progress(Math.floor(day.rows * number / pieces.length / 2));
    signal.throwIfAborted();
    await between(async () => {
      if (number === 0) {
        rows = await rowsOf(store, day);
        mustNotShrink(day, day.rows, rows);
      }
      await store.command(rebuiltMinutes(day.id, ...piece));
    });
  }
  const found: ComparedPiece[] = [];
  for (const [number, piece] of pieces.entries()) {
    progress(Math.floor(day.rows * (1 + number / pieces.length) / 2));
    signal.throwIfAborted();
    found.push(await between(() => comparePiece(store, day, piece)));
  }
  return between(async () => {
    const now = await rowsOf(store, day);
    return now === rows ? { day, rows, differences: differencesOf(options, day, found) } : makeAndCompareAtOnce(options, day, rows);
  });
}

/** In one go: somebody has written to the day since, or writes to it all the time. @param before how many rows it had. @throws rebuild_not_alone */
async function makeAndCompareAtOnce(options: RebuildOptions, day: Day, before: number): Promise<Compared> {
  const { store } = options;
  await store.command('ALTER TABLE tidegate.traffic_minute_rebuilt DROP PARTITION ID {id:String}', { id: day.id });
  const rows = await rowsOf(store, day);
  mustNotShrink(day, before, rows);
  const pieces = piecesOf(options, day, rows);
  for (const piece of pieces) await store.command(rebuiltMinutes(day.id, ...piece));
  const found: ComparedPiece[] = [];
  for (const piece of pieces) found.push(await comparePiece(store, day, piece));
  // those who store into the same server beside this collector
  if (await rowsOf(store, day) !== rows) throw new TidegateError('rebuild_not_alone', `${dashed(day.id)} was written to while it was read`);
  return { day, rows, differences: differencesOf(options, day, found) };
}

/** @throws rebuild_not_alone */
function mustNotShrink(day: Day, before: number, rows: number): void {
  if (rows < before) throw new TidegateError('rebuild_not_alone', `raw events of ${dashed(day.id)} went meanwhile: another collector dropped them, or a damaged part was set aside`);
}

type Piece = readonly [fromMs: number, toMs: number];
type ComparedPiece = Readonly<Record<Rollup, Readonly<Record<string, number>>>>;

/** Whole quarters of an hour, so that both rollups can be compared by them. */
function piecesOf({ rowsAPiece = ROWS_A_PIECE }: RebuildOptions, { startMs }: Day, rows: number): readonly Piece[] {
  const count = Math.max(1, Math.min(QUARTERS, Math.ceil(rows / rowsAPiece)));
  const at = (border: number): number => startMs + Math.floor(QUARTERS * border / count) * (DAY_MS / QUARTERS);
  return Array.from({ length: count }, (_, i) => [at(i), at(i + 1)] as const);
}

async function comparePiece(store: Store, { id }: Day, piece: Piece): Promise<ComparedPiece> {
  const of = async (rollup: Rollup): Promise<Record<string, number>> => (await store.query<Record<string, number>>(comparison(rollup, id, ...piece)))[0] ?? {};
  return { traffic_minute: await of('traffic_minute'), traffic_quarter_hour: await of('traffic_quarter_hour') };
}

function differencesOf({ retention, nowMs }: RebuildOptions, day: Day, found: readonly ComparedPiece[]): ReadonlyMap<Rollup, Difference> {
  const differences = new Map<Rollup, Difference>();
  const monthEndMs = Date.UTC(Number(day.id.slice(0, 4)), Number(day.id.slice(4, 6)), 1);
  const goes: readonly (readonly [Rollup, number])[] = [['traffic_minute', day.startMs + DAY_MS + retention.minutesMs], ['traffic_quarter_hour', monthEndMs + retention.quarterHoursMs]];
  for (const [rollup, goesMs] of goes) {
    const all = difference(found.map((piece) => piece[rollup]));
    // a rollup that is kept for less than raw events lacks the day by right
    if (all.held.requests + all.held.bytes_in + all.held.bytes_out === 0 && goesMs <= nowMs()) continue;
    differences.set(rollup, all);
  }
  return differences;
}

/** What differs of the month gets its new partition; nothing is inserted meanwhile. */
async function swapMonth(options: RebuildOptions, swaps: SwapNote, month: string, before: readonly Compared[]): Promise<readonly { readonly rollup: Rollup; readonly partition: string }[]> {
  const { store } = options;
  const days: Compared[] = [];
  for (const each of before) days.push(await rowsOf(store, each.day) === each.rows ? each : await makeAndCompareAtOnce(options, each.day, each.rows));
  const off = (rollup: Rollup): readonly Compared[] => days.filter(({ differences }) => (differences.get(rollup)?.differing ?? 0) > 0);
  const places: { rollup: Rollup; partition: string }[] = off('traffic_minute').map(({ day }) => ({ rollup: 'traffic_minute', partition: day.id }));
  if (off('traffic_quarter_hour').length > 0) {
    for (const statement of rebuiltQuarters(month, days.map(({ day }) => day.id))) await store.command(statement);
    places.push({ rollup: 'traffic_quarter_hour', partition: month });
  }
  const ids = days.map(({ day }) => day.id);
  for (const { rollup, partition } of places) {
    await mustHold(store, rollup, partition, rollup === 'traffic_minute' ? RAW_REQUESTS(partition) : QUARTER_REQUESTS(partition, ids));
    await swaps.swap(rollup, partition);
  }
  // by a collector that joined in this moment
  for (const { day, rows } of days) if (await rowsOf(store, day) !== rows) throw new TidegateError('rebuild_not_alone', `${dashed(day.id)} was written to while it was swapped: rebuild it again`);
  return places;
}

const RAW_REQUESTS = (day: string): string => `SELECT sum(requests) FROM tidegate.events WHERE _partition_id = '${day}'`;
/** Of days that were made again their raw events, of the others what is there. */
const QUARTER_REQUESTS = (month: string, days: readonly string[]): string => {
  const list = days.map((day) => `'${day}'`).join(', ');
  return `SELECT (SELECT sum(requests) FROM tidegate.events WHERE _partition_id IN (${list}))
    + (SELECT sum(t.requests) FROM tidegate.traffic_quarter_hour AS t WHERE t._partition_id = '${month}' AND formatDateTime(t.time, '%Y%m%d') NOT IN (${list}))`;
};

/**
 * Before it is swapped: what was made is all there. Another collector, which cannot know of this one's work, may have taken it away.
 * @param wanted a SELECT of how many requests it must hold. @throws rebuild_not_alone
 */
export async function mustHold(store: Store, rollup: Rollup, partition: string, wanted: string): Promise<void> {
  const [row] = await store.query<{ made: number; wanted: number }>(`SELECT (SELECT sum(t.requests) FROM tidegate.${rollup}_rebuilt AS t WHERE t._partition_id = '${partition}') AS made, (${wanted}) AS wanted`);
  if (row === undefined || Number(row.made) !== Number(row.wanted)) throw new TidegateError('rebuild_not_alone', `what was made of ${rollup} ${partition} is not all there: another collector took it away`);
}

async function rowsOf(store: Store, { id }: Day): Promise<number> {
  const [row] = await store.query<{ rows: number }>(`SELECT count() AS rows FROM tidegate.events WHERE _partition_id = '${id}'`);
  return row?.rows ?? 0;
}

const isOff = ({ differences }: Compared): boolean => [...differences.values()].some(({ differing }) => differing > 0);
const dashed = (id: string): string => `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6)}`;
