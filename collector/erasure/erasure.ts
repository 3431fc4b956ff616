/**
 * An app's rows lose the app: raw events and both rollups carry (erased) in place of its name, and no client, path or trace. The sums of all apps, of services and of routes stay
 * what they were, and so do identities (stream, seq), so completeness does.
 *
 *   note -> raw events -> rollups, partition by partition, made again beside and swapped (SwapNote)
 *
 * What is noted holds for good: each look that comes after it erases what of before that time was stored since, and what a kill left undone.
 */
import { ERASED } from '../../gateway/events/event.js';
import { mustHold, type BetweenRanges } from '../rebuild/rebuild.js';
import { renamed } from '../rebuild/rebuild-statements.js';
import { ROLLUPS, type Rollup } from '../store/rollup-statement.js';
import type { SwapNote } from '../rebuild/swap-note.js';
import type { Store } from '../store/store.js';

const QUARTER_MS = 900_000;

/** A line of the answer. `before`: RFC 3339 */
export type ErasureLine =
  | { readonly type: 'progress'; readonly done: number; readonly all: number; readonly what: string }
  | { readonly type: 'end'; readonly app: string; readonly before: string; readonly partitions: number };

export interface ErasureOptions {
  readonly store: Store;
  readonly between: BetweenRanges;
  readonly swaps: SwapNote;
  readonly signal: AbortSignal;
  readonly tell: (line: ErasureLine) => void;
}

export interface Erasure { readonly app: string; readonly beforeMs: number }

/**
 * Notes it: from then on it will be done, by whomever. Rollups know no less than a quarter of an hour, so all of the one under way goes.
 * @throws what the store throws
 */
export async function noteErasure(store: Store, app: string, nowMs: number): Promise<Erasure> {
  const beforeMs = (Math.floor(nowMs / QUARTER_MS) + 1) * QUARTER_MS;
  await store.command('INSERT INTO tidegate.erasures (app, before) SELECT {app:String}, fromUnixTimestamp64Milli({before:Int64})', { app, before: beforeMs });
  return { app, beforeMs };
}

/** Those of which something is stored, be it of later. @throws what the store throws */
export async function erasures(store: Store): Promise<readonly Erasure[]> {
  const stored = ['events', ...ROLLUPS].map((table) => `app IN (SELECT toString(t.app) FROM tidegate.${table} AS t WHERE t.app IN (SELECT app FROM tidegate.erasures))`).join(' OR ');
  return store.query<{ app: string; beforeMs: number }>(`SELECT app, toUnixTimestamp64Milli(max(before)) AS beforeMs FROM tidegate.erasures WHERE ${stored} GROUP BY app ORDER BY app`);
}

/** @returns partitions in which there was something. @throws what the store and the signal throw: the same again goes on */
export async function erase({ store, between, swaps, signal, tell }: ErasureOptions, { app, beforeMs }: Erasure): Promise<number> {
  const params = { app, before: beforeMs };
  const of = async (table: string, has: string): Promise<readonly string[]> => (await store.query<{ id: string }>(
    `SELECT DISTINCT t._partition_id AS id FROM tidegate.${table} AS t WHERE ${has} AND t.time < fromUnixTimestamp64Milli({before:Int64}) ORDER BY id`, params)).map(({ id }) => id);
  const raw = await of('events', OWN);
  const rollups = (await Promise.all(ROLLUPS.map(async (rollup) => (await of(rollup, 't.app = {app:String}')).map((partition) => ({ rollup, partition }))))).flat();
  const all = Math.min(raw.length, 1) + rollups.length;
  let done = 0;
  const next = (what: string): void => {
    signal.throwIfAborted();
    tell({ type: 'progress', done: done++, all, what });
  };
  if (raw.length > 0) {
    next('events');
    // at once: the engine takes a second or two until it begins with one
    await between(() => store.command(
      `ALTER TABLE tidegate.events UPDATE caller = '${ERASED}\\n', path = '', trace_id = ''
       WHERE ${OWN.replaceAll('t.', '')} AND time < fromUnixTimestamp64Milli({before:Int64}) SETTINGS mutations_sync = 1`, params));
  }
  for (const { rollup, partition } of rollups) {
    next(`${rollup} ${partition}`);
    await between(() => eraseFrom(store, swaps, rollup, partition, params));
  }
  return all;
}

/** Its rows by the column that is stored: app and client together. */
const OWN = "startsWith(t.caller, concat({app:String}, '\\n'))";

async function eraseFrom(store: Store, swaps: SwapNote, rollup: Rollup, partition: string, params: { readonly app: string; readonly before: number }): Promise<void> {
  const clear = (): Promise<void> => store.command(`ALTER TABLE tidegate.${rollup}_rebuilt DROP PARTITION ID {partition:String}`, { partition });
  await clear();
  await store.command(renamed(rollup, partition, ERASED), params);
  await mustHold(store, rollup, partition, `SELECT sum(t.requests) FROM tidegate.${rollup} AS t WHERE t._partition_id = '${partition}'`);
  await swaps.swap(rollup, partition);
  await clear();
}
