/**
 * Puts rows that `events` lacks back into it, once, and into nothing else: the rollups, the coverage and the record of days took them in when they were stored.
 *
 *   which of them are lacking ── none ──► done
 *        └─ staging file ─► events_mended (no views) ─► as many there as were put? ─► moved to events, in one step ─► look again
 *
 * It runs between two ranges, so nobody else stores meanwhile. Killed anywhere, the rows are lacking or they are there; what lies beside the table then is thrown away by whoever comes next.
 */
import { rmSync } from 'node:fs';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ROW_VERSION } from '../../gateway/events/event.js';
import { writeStaging } from '../log/staging.js';
import { INSERT_SETTINGS, ROW_STRUCTURES } from '../store/insert-statement.js';
import { clearMended, moveMended } from '../store/mended-partitions.js';
import type { Store } from '../store/store.js';
import { heldOfDay } from './missing-seqs.js';

export interface LostRow {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly seq: number;
  /** RowBinary, of today's version. */
  readonly bytes: Buffer;
}

/** A token of an insert whose rows were thrown away is spent. */
const MAX_TOKENS = 10;

/** @param day partition, such as 20261121 @param rows of that day, each once. @throws store_failed; what the store and the file system throw: the same again goes on */
export async function putRows(store: Store, day: string, rows: readonly LostRow[], file: string): Promise<void> {
  for (let token = 1; ; token++) {
    const lacking = await lackingOf(store, day, rows);
    await clearMended(store, 'events', day);
    if (lacking.length === 0) return;
    if (token > MAX_TOKENS) throw new TidegateError('store_failed', `events ${day} lacks ${lacking.length} rows, however often they are put there`);
    try {
      const { crc } = await writeStaging(file, lacking.map(({ bytes }) => bytes), false);
      const plan = { token: '', structure: ROW_STRUCTURES[ROW_VERSION], settings: INSERT_SETTINGS, paces: [], leaveOut: [] };
      // named by its rows: made again by somebody whose answer was lost, it is the same insert
      await store.insertBeside(plan, file, day, `recover/${day}/${lacking.length}-${crc.toString(16)}/${token}`);
    } finally {
      rmSync(file, { force: true });
    }
    const [beside] = await store.query<{ n: number }>(`SELECT count() AS n FROM tidegate.events_mended WHERE _partition_id = '${day}'`);
    if (Number(beside?.n ?? 0) === lacking.length) await moveMended(store, 'events', day);
  }
}

async function lackingOf(store: Store, day: string, rows: readonly LostRow[]): Promise<readonly LostRow[]> {
  const held = new Map<string, ReadonlySet<number>>();
  for (const stream of new Set(rows.map((row) => row.stream))) {
    held.set(stream, await heldOfDay(store, day, stream, rows.filter((row) => row.stream === stream).map(({ seq }) => seq)));
  }
  return rows.filter(({ stream, seq }) => held.get(stream)?.has(seq) !== true);
}
