/**
 * Days of which something was stored before `stored_days` was kept. What of them was stored is known of whole lives of streams only, by their coverage; so such a life is compared with all
 * that `events` holds of the stream. Of a life that reaches into a day whose raw events were dropped nothing can be said.
 */
import type { Store } from '../store/store.js';

/** A stream that lacks rows. */
export interface Life {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  /** ms since the epoch; its rows are of no other time. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** Rows that were stored and are not held, less those of which stored_days knows the day. */
  readonly missing: number;
  /** A day that it reaches into was dropped. */
  readonly dropped: boolean;
}

/** A request may have been admitted this long before it ended, and coverage says when it ended. */
const LONGEST_REQUEST_MS = 3_600_000;

const LIVES = `SELECT c.stream AS stream, -sum(c.delta * toInt64(c.edge)) AS stored, toUnixTimestamp64Milli(min(c.at)) - ${LONGEST_REQUEST_MS} AS first, toUnixTimestamp64Milli(max(c.at)) AS last
  FROM tidegate.coverage AS c GROUP BY c.stream HAVING stored > 0 AND first < {to:Int64} AND last >= {from:Int64}`;
/** Those of which `events` holds fewer rows than were stored. Grouped by the stream alone, rows are counted in the order in which they lie; days beside it cost 25 times as much, so only these are counted by day. */
const SHORT = `
  SELECT l.stream FROM (${LIVES}) AS l
  LEFT JOIN (SELECT e.stream AS stream, count() AS held FROM tidegate.events AS e WHERE e.stream IN (SELECT stream FROM (${LIVES})) GROUP BY e.stream) AS h ON h.stream = l.stream
  WHERE l.stored > toInt64(h.held)`;
const IN_SHORT = `IN (${SHORT})`;
const MAX_MEMORY_BYTES = 2_000_000_000;

/**
 * Those that live in [fromMs, toMs) and lack rows. An insert puts its rows into `events` before it puts them into the coverage, so none that is under way is taken for a loss.
 * @param recordedFrom day, as partitions are named, from which on stored_days knows all @param seconds what the engine may take for a statement. @throws store_failed, also past these bounds
 */
export async function livesNotWhole(store: Pick<Store, 'query'>, fromMs: number, toMs: number, recordedFrom: string, seconds: number): Promise<readonly Life[]> {
  const settings = `SETTINGS max_execution_time = ${seconds}, max_memory_usage = ${MAX_MEMORY_BYTES}, optimize_aggregation_in_order = 1`;
  const bounds = { from: fromMs, to: toMs };
  const [short] = await store.query(`SELECT 1 FROM (${SHORT}) LIMIT 1 ${settings}`, bounds);
  if (short === undefined) return [];
  const rows = await store.query<{ stream: string; first: number; last: number; missing: number; dropped: number }>(
    `SELECT leftPad(lower(hex(life.stream)), 16, '0') AS stream, life.first AS first, life.last AS last, life.stored - toInt64(own.held) - own.known AS missing,
       arrayExists(day -> day >= intDiv(life.first, 86400000) AND day <= intDiv(life.last, 86400000), (SELECT groupUniqArray(toInt64(toRelativeDayNum(day))) FROM tidegate.dropped_days)) AS dropped
     FROM (${LIVES}) AS life
     LEFT JOIN (
       SELECT d.stream AS stream, sum(d.held) AS held, sum(if(d.day >= {recorded:String} AND d.stored > d.held, toInt64(d.stored - d.held), 0)) AS known FROM (
         SELECT u.stream AS stream, u.day AS day, sum(u.held) AS held, sum(u.stored) AS stored FROM (
           SELECT e.stream AS stream, toString(e._partition_id) AS day, count() AS held, toUInt64(0) AS stored FROM tidegate.events AS e WHERE e.stream ${IN_SHORT} GROUP BY stream, day
           UNION ALL
           SELECT s.stream AS stream, toString(s._partition_id) AS day, toUInt64(0) AS held, sum(s.rows) AS stored FROM tidegate.stored_days AS s WHERE s.stream ${IN_SHORT} GROUP BY stream, day
         ) AS u GROUP BY u.stream, u.day
       ) AS d GROUP BY d.stream
     ) AS own ON own.stream = life.stream
     WHERE life.stream ${IN_SHORT} AND life.stored - toInt64(own.held) - own.known > 0
     ORDER BY life.stream
     ${settings}`, { ...bounds, recorded: recordedFrom });
  return rows.map(({ stream, first, last, missing, dropped }) => ({ stream, firstMs: Number(first), lastMs: Number(last), missing: Number(missing), dropped: Number(dropped) !== 0 }));
}
