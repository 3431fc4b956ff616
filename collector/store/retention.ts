/**
 * How long the store keeps what, and how much: whole partitions go (days of events and minutes, months of quarter hours), at once and exactly when they are
 * due. A TTL of the engine would do the same within its merges, some hours late, and a changed one would rewrite its tables.
 */
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import type { Store } from './store.js';

export interface Retention {
  readonly eventsMs: number;
  readonly minutesMs: number;
  readonly quarterHoursMs: number;
  /** Bytes on disk of all tables together; past them the oldest days of events go. */
  readonly maxBytes: number;
}

interface Partition { readonly table: string; readonly id: string; readonly bytes: number; readonly endMs: number }

const KEPT: readonly (readonly [table: string, keep: (retention: Retention) => number])[] = [
  ['events', (retention) => retention.eventsMs],
  ['traffic_minute', (retention) => retention.minutesMs],
  ['traffic_quarter_hour', (retention) => retention.quarterHoursMs],
];

/** Drops what is due. @returns the partitions dropped, as table/partition. @throws store_failed */
export async function applyRetention(store: Store, retention: Retention, nowMs: number, log: SpoolLog): Promise<readonly string[]> {
  const dropped: string[] = [];
  for (const [table, keep] of KEPT) {
    for (const partition of await partitionsOf(store, table)) {
      if (partition.endMs > nowMs - keep(retention)) continue;
      await drop(store, partition);
      log.info({ table, partition: partition.id, bytes: partition.bytes }, 'past the time it is kept: dropped');
      dropped.push(`${table}/${partition.id}`);
    }
  }
  const [total] = await store.query<{ bytes: number }>("SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'tidegate' AND active");
  let bytes = total?.bytes ?? 0;
  // the day in progress stays: what it holds is the newest there is
  for (const partition of (await partitionsOf(store, 'events')).filter(({ endMs }) => endMs <= nowMs)) {
    if (bytes <= retention.maxBytes) break;
    await drop(store, partition);
    bytes -= partition.bytes;
    log.warn({ table: 'events', partition: partition.id, bytes: partition.bytes, maxBytes: retention.maxBytes }, 'the store is past store.max_bytes: the oldest day of events was dropped');
    dropped.push(`events/${partition.id}`);
  }
  return dropped;
}

/** Oldest first. */
async function partitionsOf(store: Store, table: string): Promise<Partition[]> {
  const rows = await store.query<{ id: string; bytes: number }>(
    "SELECT partition_id AS id, sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'tidegate' AND table = {table:String} AND active GROUP BY id ORDER BY id", { table });
  return rows.map(({ id, bytes }) => ({ table, id, bytes, endMs: endOf(id) }));
}

/** `20261121`: the day's end; `202611`: the month's. */
function endOf(id: string): number {
  const [year, month, day] = [Number(id.slice(0, 4)), Number(id.slice(4, 6)), id.slice(6)];
  return day === '' ? Date.UTC(year, month, 1) : Date.UTC(year, month - 1, Number(day) + 1);
}

async function drop(store: Store, { table, id }: Partition): Promise<void> {
  await store.command(`ALTER TABLE tidegate.${table} DROP PARTITION ID {id:String}`, { id });
}
