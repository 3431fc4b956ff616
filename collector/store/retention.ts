/**
 * How long the store keeps what, and how much: whole partitions go (days of events and minutes, months of quarter hours), at once and exactly when they are
 * due. A TTL of the engine would do the same within its merges, some hours late, and a changed one would rewrite its tables.
 *
 * Partitions with rows of an imported log stay for as long after these were stored as they would after their end, or a log of 2015 would go at once.
 *
 * What is noted of streams goes when no number of their time is left that it could speak for; what went to quarantine, with the raw events of its time.
 */
import { readdirSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import type { QueryParams, Store } from './store.js';

export interface Retention {
  readonly eventsMs: number;
  readonly minutesMs: number;
  readonly quarterHoursMs: number;
  /** Bytes on disk of all tables together; past them the oldest days of events go. */
  readonly maxBytes: number;
}

interface Partition { readonly table: string; readonly id: string; readonly bytes: number; readonly startMs: number; readonly endMs: number }

/** Of imported logs. */
interface ImportedDay { readonly startMs: number; readonly storedMs: number }

const KEPT: readonly (readonly [table: string, keep: (retention: Retention) => number])[] = [
  ['events', (retention) => retention.eventsMs],
  // as a rule it has gone with them
  ['stored_days', (retention) => retention.eventsMs],
  ['traffic_minute', (retention) => retention.minutesMs],
  ['traffic_quarter_hour', (retention) => retention.quarterHoursMs],
];

/** What is kept of raw events, by day. */
const DAYS_OF_EVENTS: readonly string[] = ['events', 'stored_days'];

/** Drops what is due. @returns the partitions dropped, as table/partition. @throws store_failed */
export async function applyRetention(store: Store, retention: Retention, nowMs: number, log: SpoolLog): Promise<readonly string[]> {
  await noteGoneDays(store, retention, nowMs);
  const dropped: string[] = [];
  for (const [table, keep] of KEPT) {
    for (const partition of await partitionsOf(store, table)) {
      if (partition.endMs > nowMs - keep(retention)) continue;
      // read for each of the few that are due: another collector may be importing into it
      if (lastUse(partition, await importedDays(store)) > nowMs - keep(retention)) continue;
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
    log.warn({ table: 'events', partition: partition.id, bytes: partition.bytes, max_bytes: retention.maxBytes }, 'the store is past store.max_bytes: the oldest day of events was dropped');
    dropped.push(`events/${partition.id}`);
  }
  return dropped;
}

/**
 * Forgets the days of imported logs of which nothing is left in any table. Until then what is noted of their streams stays (pruneStreams): the same log, imported again, must
 * find that its rows are there.
 * @throws store_failed
 */
export async function pruneImports(store: Store, { eventsMs, minutesMs, quarterHoursMs }: Retention, nowMs: number): Promise<void> {
  const before = nowMs - Math.max(eventsMs, minutesMs, quarterHoursMs);
  const past = (await importedDays(store)).filter(({ storedMs }) => storedMs < before);
  if (past.length === 0) return;
  const partitions = (await Promise.all(KEPT.map(([table]) => partitionsOf(store, table)))).flat();
  const gone = past.filter(({ startMs }) => !partitions.some((partition) => startMs >= partition.startMs && startMs < partition.endMs));
  if (gone.length > 0) await remove(store, 'imports', `toRelativeDayNum(day) IN (${[...new Set(gone.map(({ startMs }) => startMs / DAY_MS))].join(', ')}) AND stored_at < fromUnixTimestamp64Milli({before:Int64})`, { before });
}

/**
 * A day of which the rollups have requests and `events` has no part left is past its time like any other: it is noted as dropped, for there is no partition to drop. Else what was lost
 * of it would be told until its streams are forgotten.
 */
async function noteGoneDays(store: Store, { eventsMs }: Retention, nowMs: number): Promise<void> {
  const before = nowMs - eventsMs;
  // read before the partitions: an insert reaches events first
  const counted = await store.query<{ id: string }>(
    `SELECT DISTINCT formatDateTime(toDate(time), '%Y%m%d') AS id FROM tidegate.traffic_quarter_hour
     WHERE time < fromUnixTimestamp64Milli({before:Int64}) AND toDate(time) NOT IN (SELECT day FROM tidegate.dropped_days)`, { before });
  const past = counted.filter(({ id }) => boundsOf(id).endMs <= before);
  if (past.length === 0) return;
  const held = new Set((await partitionsOf(store, 'events')).map(({ id }) => id));
  const imported = await importedDays(store);
  for (const { id } of past) {
    if (!held.has(id) && lastUse(boundsOf(id), imported) <= before) await noteDropped(store, id);
  }
}

/** When the newest of its rows was made, or, of an imported log, stored. */
function lastUse({ startMs, endMs }: Pick<Partition, 'startMs' | 'endMs'>, imported: readonly ImportedDay[]): number {
  return imported.reduce((last, day) => (day.startMs >= startMs && day.startMs < endMs ? Math.max(last, day.storedMs) : last), endMs);
}

async function importedDays(store: Store): Promise<readonly ImportedDay[]> {
  const rows = await store.query<{ day: number; stored: number }>('SELECT toRelativeDayNum(day) AS day, toUnixTimestamp64Milli(max(stored_at)) AS stored FROM tidegate.imports AS imports GROUP BY imports.day');
  return rows.map(({ day, stored }) => ({ startMs: day * DAY_MS, storedMs: stored }));
}

/** `streams` last: a kill between them leaves the stream there, to be taken up again. */
const NOTED_BY_STREAM = ['coverage', 'drops', 'repeats', 'streams'] as const;
/** So many in one statement, and so many each time. */
const STREAMS_AT_ONCE = 1000;
const DAY_MS = 86_400_000;

/** What of the notes is needed, however old the events are that they speak of. */
export interface NeededNotes {
  /** Streams that the spool or the manifest names: the collector holds their places against their coverage when it starts. */
  readonly inUse: ReadonlySet<string>;
  /** For so long after a stream's end was noted its events may come again, or be asked for (partition-start.ts), ms. */
  readonly comesAgainMs: number;
}

/**
 * Removes what is noted of streams that were sealed, and whose newest event ended, before everything that is kept. Streams that are not sealed stay: nobody
 * knows what they held.
 * @returns those removed. @throws store_failed
 */
export async function pruneStreams(store: Store, { eventsMs, minutesMs, quarterHoursMs }: Retention, { inUse, comesAgainMs }: NeededNotes, nowMs: number, log: SpoolLog): Promise<readonly string[]> {
  const before = nowMs - Math.max(eventsMs, minutesMs, quarterHoursMs);
  const past = await store.query<{ stream: string }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream FROM tidegate.streams AS streams FINAL
     WHERE sealed_at < fromUnixTimestamp64Milli({before:Int64}) AND noted_at < fromUnixTimestamp64Milli({noted_before:Int64})
       AND streams.stream NOT IN (SELECT stream FROM tidegate.coverage WHERE at >= fromUnixTimestamp64Milli({before:Int64}))
       AND streams.stream NOT IN (SELECT stream FROM tidegate.imports)
     ORDER BY sealed_at LIMIT ${STREAMS_AT_ONCE + inUse.size}`, { before, noted_before: nowMs - comesAgainMs });
  const gone = past.map(({ stream }) => stream).filter((stream) => !inUse.has(stream)).slice(0, STREAMS_AT_ONCE);
  if (gone.length === 0) return gone;
  const where = `stream IN (${gone.map((stream) => `0x${stream}`).join(', ')})`;
  for (const table of NOTED_BY_STREAM) await remove(store, table, where, {});
  log.info({ streams: gone.length }, 'streams past the time that anything is kept: what was noted of them was removed');
  return gone;
}

/** Removes bytes that could not be read, and their rows, as long after they were put aside as raw events are kept. @returns the files removed. @throws store_failed */
export async function pruneQuarantine(store: Store, directory: string, { eventsMs }: Retention, nowMs: number, log: SpoolLog): Promise<readonly string[]> {
  const before = nowMs - eventsMs;
  const past = filesOf(directory).filter((file) => statSync(join(directory, file)).mtimeMs < before);
  for (const file of past) {
    unlinkSync(join(directory, file));
    log.info({ file }, 'in quarantine for as long as raw events are kept: removed');
  }
  const [old] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.quarantine WHERE noted_at < fromUnixTimestamp64Milli({before:Int64})', { before });
  if ((old?.n ?? 0) > 0) await remove(store, 'quarantine', 'noted_at < fromUnixTimestamp64Milli({before:Int64})', { before });
  return past;
}

/** Of all that is set aside. A file that goes meanwhile has none. */
export function quarantineBytes(directory: string): number {
  return filesOf(directory).reduce((sum, file) => sum + (statSync(join(directory, file), { throwIfNoEntry: false })?.size ?? 0), 0);
}

function filesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Waits until the rows are gone. @param where fixed text and the names of streams, never what a request says */
async function remove(store: Store, table: string, where: string, params: QueryParams): Promise<void> {
  await store.command(`ALTER TABLE tidegate.${table} DELETE WHERE ${where} SETTINGS mutations_sync = 1`, params);
}

/** Oldest first. */
async function partitionsOf(store: Store, table: string): Promise<Partition[]> {
  const rows = await store.query<{ id: string; bytes: number }>(
    "SELECT partition_id AS id, sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'tidegate' AND table = {table:String} AND active GROUP BY id ORDER BY id", { table });
  return rows.map(({ id, bytes }) => ({ table, id, bytes, ...boundsOf(id) }));
}

/** `20261121`: of the day; `202611`: of the month. */
function boundsOf(id: string): { readonly startMs: number; readonly endMs: number } {
  const [year, month, day] = [Number(id.slice(0, 4)), Number(id.slice(4, 6)), id.slice(6)];
  return day === '' ? { startMs: Date.UTC(year, month - 1, 1), endMs: Date.UTC(year, month, 1) }
    : { startMs: Date.UTC(year, month - 1, Number(day)), endMs: Date.UTC(year, month - 1, Number(day) + 1) };
}

async function noteDropped(store: Store, id: string): Promise<void> {
  await store.command('INSERT INTO tidegate.dropped_days (day) SELECT toDate(parseDateTimeBestEffort({id:String}))', { id });
}

async function drop(store: Store, { table, id }: Partition): Promise<void> {
  // what comes of this day later is not all of it (collector/rebuild)
  if (DAYS_OF_EVENTS.includes(table)) await noteDropped(store, id);
  // what was stored of a day is forgotten after the day: killed between, it is noted as dropped, and goes with the next look
  for (const each of table === 'events' ? DAYS_OF_EVENTS : [table]) await store.command(`ALTER TABLE tidegate.${each} DROP PARTITION ID {id:String}`, { id });
}
