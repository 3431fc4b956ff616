/**
 * Puts back what a crash of the server took of an insert, though the server says that it is stored (ADR 0043). A table notes the token of a block before the block's part is in
 * its place; killed between the two, it takes the same insert made again for a repetition, and that part is missing for good. Its other parts, and the other tables, are healed.
 *
 *   for each table and partition that the range has rows of:   is it there? ── lacks ──► put it there ──► look again
 *
 * A part is all that the insert brought to one partition, so it is there as a whole or not at all: of raw events and coverage one row tells, exactly. Rollups and the record of days do not know whose sums
 * they hold, so what they hold is compared with what raw events make: the same, or less by just what the range brings. Whatever else it is, is another's insert under way, and looked at again.
 *
 * What views would take up again (events, traffic_minute) is put beside the table and moved there as a part; the rest is inserted. Each has a token of its own, so that of two who do
 * the same one does.
 */
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { decodeRow, RowCursor } from '../../gateway/events/read-rows.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { ERROR_CODES } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ClickHouseStore } from './clickhouse-store.js';
import { INSERT_SETTINGS, quoted, rowVersionOf, type InsertPlan } from './insert-statement.js';
import { clearMended, moveMended } from './mended-partitions.js';
import { COLUMNS, KEY, MEASURES, rolledUp, ROLLUPS, type Rollup } from './rollup-statement.js';

/** How long others' inserts are waited for. */
export interface MendPatience {
  /** For all tables and partitions together. */
  readonly looks: number;
  readonly pauseMs: number;
}

const PATIENCE: MendPatience = { looks: 60, pauseMs: 500 };
/** One look can meet an insert of another that brings just the same; so many do not, for between raw events and rollups it takes milliseconds. */
const LOOKS_THAT_AGREE = 4;
/** Each is lost only where the server is killed in the same place again. */
const MOST_TOKENS = 10;
/** Rows of a rollup are looked at in so many minutes, or quarters of an hour: one cell tells, but others may be changing. */
const LOOKED_AT = 3;
const ROWS_A_TURN = 5000;

type Verdict = 'there' | 'lacks' | 'unsure';
interface Row { readonly stream: string; readonly seq: number; readonly ordinal: number }

/** A table's part of the range. */
interface Place {
  readonly table: 'events' | 'coverage' | 'stored_days' | Rollup;
  /** As in system.parts. */
  readonly partition: string;
  look(pauseMs: number): Promise<Verdict>;
  /** Stores it once under a token, however often that is tried. */
  put(token: string): Promise<void>;
  /** Of what is put beside the table first: takes away what is left there by somebody who was cut off. If his part is missing, he puts it there under another token. */
  clear?(): Promise<void>;
}

/**
 * After an insert that was made again has returned. It may be asked again for the same range, also where it was cut off.
 * @param file staging file @throws what the store throws: ask again
 */
export async function mendRange(store: ClickHouseStore, plan: InsertPlan, file: string, log: SpoolLog | null, patience: MendPatience = PATIENCE): Promise<void> {
  const range = await StagedRows.read(file, plan);
  const waits = { left: patience.looks, pauseMs: patience.pauseMs };
  // in this order: what is below is made of what is above
  for (const place of placesOf(store, plan, file, range)) await mend(place, plan.token, log, waits);
}

async function mend(place: Place, token: string, log: SpoolLog | null, waits: { left: number; readonly pauseMs: number }): Promise<void> {
  const { table, partition } = place;
  let tokens = 0;
  for (;;) {
    const verdict = await place.look(waits.pauseMs);
    if (verdict === 'there') {
      await place.clear?.();
      if (tokens > 0) log?.warn({ table, partition, range: token }, 'the store had been killed within an insert, and lacked a part of it that it said was stored: it was put back');
      return;
    }
    if (verdict === 'lacks') {
      if (tokens === MOST_TOKENS) throw new TidegateError('store_failed', `${table} ${partition} lacks a part of ${token}, however often it is put there`);
      await place.clear?.();
      await place.put(`${token}/${table}/${partition}/${++tokens}`);
    } else if (--waits.left < 0) {
      break;
    } else {
      await pause(waits.pauseMs);
    }
  }
  log?.error({ code: 'store_unsettled', remedy: ERROR_CODES.store_unsettled.remedy, table, partition, range: token }, 'the store was killed within an insert, and it cannot be told whether this table holds all of it');
}

function placesOf(store: ClickHouseStore, plan: InsertPlan, file: string, range: StagedRows): Place[] {
  const settings = (token: string): string => [`insert_deduplication_token = ${quoted(token)}`, ...Object.entries(INSERT_SETTINGS).map(([name, value]) => `${name} = ${value}`), ...store.insertSettings].join(', ');
  const events = [...range.days].map(([partition, { row }]): Place => ({
    table: 'events', partition,
    look: () => has(store, `SELECT count() AS n FROM tidegate.events WHERE _partition_id = '${partition}' AND stream = 0x${row.stream} AND ordinal = ${row.ordinal} AND seq = ${row.seq}`),
    clear: () => clearMended(store, 'events', partition),
    put: async (token) => {
      await store.insertBeside(plan, file, partition, token);
      await moveMended(store, 'events', partition);
    },
  }));
  const [first] = range.runs;
  const coverage: Place[] = first === undefined ? [] : [{
    table: 'coverage', partition: 'all',
    look: () => has(store, `SELECT sum(delta) AS n FROM tidegate.coverage WHERE stream = 0x${first.stream} AND edge <= ${first.first}`),
    put: (token) => store.command(`INSERT INTO tidegate.coverage (stream, edge, delta, at, node, worker) SETTINGS ${settings(token)} ${edgesOf(range)}`),
  }];
  const rollups = ROLLUPS.flatMap((rollup) => [...range.partitionsOf(rollup)].map(([partition, times]): Place => {
    const own = `events._partition_id IN (${times.days.map((day) => `'${day}'`).join(', ')}) AND (${range.condition})`;
    const insert = (table: string, token: string): Promise<void> => store.command(`INSERT INTO tidegate.${table} (${COLUMNS}) SETTINGS ${settings(token)} ${rolledUp(rollup, own)}`);
    const place = { table: rollup, partition, look: (pauseMs: number) => judge(store, comparison(rollup, partition, own, times), pauseMs) };
    if (rollup === 'traffic_quarter_hour') return { ...place, put: (token) => insert(rollup, token) };
    return {
      ...place,
      clear: () => clearMended(store, rollup, partition),
      put: async (token) => {
        await insert(`${rollup}_mended`, token);
        await moveMended(store, rollup, partition);
      },
    };
  }));
  const noted = [...range.days.keys()].map((partition): Place => ({
    table: 'stored_days', partition,
    // nobody but those who store this range writes of its streams: one look tells
    look: () => vote(store, notedRows(partition, range)),
    put: (token) => store.command(`INSERT INTO tidegate.stored_days (day, stream, rows, requests) SETTINGS ${settings(token)}
      SELECT toDate(events.time) AS day, stream, count() AS rows, sum(events.requests) AS requests FROM tidegate.events AS events WHERE events._partition_id = '${partition}' AND (${range.condition}) GROUP BY day, stream`),
  }));
  return [...events, ...coverage, ...noted, ...rollups];
}

async function has(store: ClickHouseStore, select: string): Promise<Verdict> {
  const [row] = await store.query<{ n: number }>(select);
  return (row?.n ?? 0) > 0 ? 'there' : 'lacks';
}

/** What coverage_view makes of the range's rows: runs of seqs of a stream. */
const edgesOf = ({ condition, days }: StagedRows): string => `SELECT stream, side.1 AS edge, side.2 AS delta, side.3 AS at, node, worker FROM (
    SELECT r.stream AS stream, any(r.node) AS node, any(r.worker) AS worker,
      arrayJoin([(min(r.seq), toInt64(1), min(r.ended)), (max(r.seq) + 1, toInt64(-1), max(r.ended))]) AS side
    FROM (SELECT stream, seq, node, worker, time + toIntervalMicrosecond(duration_us) AS ended, toInt64(seq) - row_number() OVER (PARTITION BY stream ORDER BY seq) AS run
      FROM tidegate.events WHERE _partition_id IN (${[...days.keys()].map((day) => `'${day}'`).join(', ')}) AND (${condition})) AS r
    GROUP BY r.stream, r.run)`;

/** Each cell of the rollup in which the range has something says one thing; those in which something else is under way say nothing. */
async function judge(store: ClickHouseStore, select: string, pauseMs: number): Promise<Verdict> {
  let last: Verdict = 'unsure';
  for (let agreed = 0; agreed < LOOKS_THAT_AGREE; agreed++) {
    if (agreed > 0) await pause(pauseMs);
    last = await vote(store, select);
    if (last !== 'lacks') break;
  }
  return last;
}

async function vote(store: ClickHouseStore, select: string): Promise<Verdict> {
  const [votes] = await store.query<{ touched: number; same: number; less: number }>(select);
  const { touched = 0, same = 0, less = 0 } = votes ?? {};
  if (touched === 0 || (same > 0 && less === 0)) return 'there';
  return less > 0 && same === 0 ? 'lacks' : 'unsure';
}

/**
 * Of the range's streams in a day, what is noted as stored beside what raw events hold, as a rollup's cells. Of a stream that was begun before the record was, raw events hold what was never
 * noted: it says nothing, and its whole life is judged by the coverage (collector/completeness/old-days.ts).
 */
const notedRows = (partition: string, { condition, streams }: StagedRows): string => `SELECT countIf(c.own > 0) AS touched, countIf(c.own > 0 AND c.held = c.noted) AS same, countIf(c.own > 0 AND c.held = c.noted + c.own) AS less FROM (
    SELECT u.stream AS stream, sum(u.own) AS own, sum(u.held) AS held, sum(u.noted) AS noted, min(u.stored_at) AS begun FROM (
      SELECT e.stream AS stream, countIf(${condition}) AS own, count() AS held, toUInt64(0) AS noted, min(e.stored_at) AS stored_at FROM tidegate.events AS e WHERE e._partition_id = '${partition}' AND e.stream IN (${streams}) GROUP BY stream
      UNION ALL
      SELECT d.stream AS stream, toUInt64(0) AS own, toUInt64(0) AS held, sum(d.rows) AS noted, now64(3) AS stored_at FROM tidegate.stored_days AS d WHERE d._partition_id = '${partition}' AND d.stream IN (${streams}) GROUP BY stream
    ) AS u GROUP BY u.stream HAVING begun >= (SELECT max(r.since) FROM tidegate.record_starts AS r WHERE r.record = 'stored_days')
  ) AS c`;

/** Minutes with raw events, quarters of an hour with the minutes, which are right by then, and far fewer. */
function comparison(rollup: Rollup, partition: string, own: string, { begins, lengthMs, days }: Times): string {
  const some = begins.filter((_, index) => index % Math.ceil(begins.length / LOOKED_AT) === 0);
  const within = (table: string): string => `(${some.map((ms) => `(${table}.time >= fromUnixTimestamp64Milli(toInt64(${ms})) AND ${table}.time < fromUnixTimestamp64Milli(toInt64(${ms + lengthMs})))`).join(' OR ')})`;
  const inDays = `_partition_id IN (${days.map((day) => `'${day}'`).join(', ')})`;
  const sides = [
    `SELECT 0 AS side, ${COLUMNS} FROM (${rolledUp(rollup, `${own} AND ${within('events')}`)})`,
    rollup === 'traffic_minute' ? `SELECT 1 AS side, ${COLUMNS} FROM (${rolledUp(rollup, `events.${inDays} AND ${within('events')}`)})`
      : `SELECT 1 AS side, toStartOfFifteenMinutes(m.time) AS time, app, service, route, status_class, ${MEASURES.join(', ')}, latency FROM tidegate.traffic_minute AS m WHERE m.${inDays} AND ${within('m')}`,
    `SELECT 2 AS side, ${COLUMNS} FROM tidegate.${rollup} AS t WHERE t._partition_id = '${partition}' AND toUnixTimestamp(t.time) IN (${some.map((ms) => ms / 1000).join(', ')})`,
  ];
  const all = (condition: (column: string) => string, by: string): string => `(${MEASURES.map(condition).join(by)})`;
  return `SELECT countIf(c.is_own) AS touched, countIf(c.is_own AND c.is_same) AS same, countIf(c.is_own AND c.is_less) AS less FROM (
      SELECT ${all((column) => `own_${column} != 0`, ' OR ')} AS is_own, ${all((column) => `full_${column} = held_${column}`, ' AND ')} AS is_same, ${all((column) => `full_${column} = held_${column} + own_${column}`, ' AND ')} AS is_less
      FROM (SELECT ${MEASURES.map((column) => ['own', 'full', 'held'].map((side, number) => `sumIf(u.${column}, side = ${number}) AS ${side}_${column}`).join(', ')).join(', ')}
        FROM (${sides.join(' UNION ALL ')}) AS u GROUP BY ${KEY})) AS c`;
}

/** Of a rollup's partition, in which the range has rows. */
interface Times {
  /** Minutes or quarters of an hour, ms since the epoch, in order. */
  readonly begins: readonly number[];
  readonly lengthMs: number;
  /** Partitions of raw events. */
  readonly days: readonly string[];
}

const MINUTE_MS = 60_000;

/** What of a range is to be stored, as its staging file says. */
class StagedRows {
  /** Of each stream, in order. */
  readonly runs: { readonly stream: string; readonly first: number; last: number }[] = [];
  /** Partition -> one row of it, and its minutes. */
  readonly days = new Map<string, { readonly row: Row; readonly minutes: Set<number> }>();

  static async read(file: string, plan: InsertPlan): Promise<StagedRows> {
    const { leaveOut } = plan;
    const version = rowVersionOf(plan);
    const staged = new StagedRows();
    const cursor = new RowCursor(await readFile(file));
    for (let rows = 1; !cursor.done; rows++) {
      const { stream, seq, ordinal, timeMs } = decodeRow(cursor, version);
      if (!leaveOut.some((out) => out.stream === stream && out.first <= seq && seq <= out.last)) staged.#add({ stream, seq, ordinal }, timeMs);
      if (rows % ROWS_A_TURN === 0) await nextTurn();
    }
    return staged;
  }

  #add(row: Row, timeMs: number): void {
    const run = this.runs.at(-1);
    if (run?.stream === row.stream && run.last + 1 === row.seq) run.last++;
    else this.runs.push({ stream: row.stream, first: row.seq, last: row.seq });
    const name = partitionAt(timeMs, 8);
    let day = this.days.get(name);
    if (day === undefined) this.days.set(name, day = { row, minutes: new Set() });
    day.minutes.add(Math.floor(timeMs / MINUTE_MS) * MINUTE_MS);
  }

  /** In SQL: which rows of raw events are the range's. */
  get condition(): string {
    return this.runs.map(({ stream, first, last }) => `(stream = 0x${stream} AND seq BETWEEN ${first} AND ${last})`).join(' OR ');
  }

  /** In SQL: the streams' names. */
  get streams(): string {
    return [...new Set(this.runs.map(({ stream }) => `0x${stream}`))].join(', ');
  }

  partitionsOf(rollup: Rollup): ReadonlyMap<string, Times> {
    const [digits, lengthMs] = rollup === 'traffic_minute' ? [8, MINUTE_MS] : [6, 15 * MINUTE_MS];
    const partitions = new Map<string, { begins: Set<number>; days: string[] }>();
    for (const [day, { minutes }] of this.days) {
      const name = day.slice(0, digits);
      let partition = partitions.get(name);
      if (partition === undefined) partitions.set(name, partition = { begins: new Set(), days: [] });
      partition.days.push(day);
      for (const minute of minutes) partition.begins.add(Math.floor(minute / lengthMs) * lengthMs);
    }
    return new Map([...partitions].map(([name, { begins, days }]) => [name, { begins: [...begins].sort((a, b) => a - b), lengthMs, days }]));
  }
}

/** UTC. @param digits 8: 20261121; 6: 202611 */
const partitionAt = (ms: number, digits: number): string => new Date(ms).toISOString().replaceAll('-', '').slice(0, digits);
