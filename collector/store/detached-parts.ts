/**
 * Parts that the engine has set aside: `detached/` of a table. Those that it found damaged when it started are there (`broken-on-start_…`), but so are what a kill left half written, and what an
 * administrator detached. What is in them is in no report; whether anything is missing by it only stored_days tells (collector/completeness/stored-days.ts).
 */
import type { Store } from './store.js';

export interface DetachedParts {
  readonly table: string;
  readonly parts: number;
  /** Some of them, as their folders are called. */
  readonly names: readonly string[];
}

const MAX_NAMES = 10;

/** By table; of the server that answers. @throws store_access: the user may not read system.detached_parts; what else the store throws */
export async function detachedParts(store: Pick<Store, 'query'>): Promise<readonly DetachedParts[]> {
  const rows = await store.query<{ table: string; parts: number; names: string[] }>(
    `SELECT d.table AS table, count() AS parts, arraySlice(arraySort(groupArray(d.name)), 1, ${MAX_NAMES}) AS names FROM system.detached_parts AS d WHERE d.database = 'tidegate' GROUP BY d.table ORDER BY d.table`);
  return rows.map(({ table, parts, names }) => ({ table, parts: Number(parts), names }));
}
