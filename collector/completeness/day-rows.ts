/**
 * What was stored of each day (UTC), as `stored_days` notes it, beside what `events` holds of it: in all, and by stream. What was stored is read first: an insert puts its part into `events`
 * before its views put theirs anywhere, so one that is under way makes `events` hold more for a moment, and never less. Where the two differ they are looked at again.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Store } from '../store/store.js';

type Reader = Pick<Store, 'query'>;

/** Name -> rows that were stored and are not held; below 0: held, and not noted as stored. What does not differ is not in it. */
export type Differences = ReadonlyMap<string, number>;

const LOOKS = 5;
const PAUSE_MS = 300;

/** Difference of a day that is as it should be. @param day as partitions are named */
export type Expected = (day: string, difference: number) => boolean;

/**
 * By day, as partitions are named: 20261121. Both ends included.
 * @param known what an earlier look found. @throws what the store throws
 */
export function dayDifferences(store: Reader, firstDay: string, lastDay: string, expected: Expected, known: Differences): Promise<Differences> {
  const bounds = { first: firstDay, last: lastDay };
  const stored = (): Promise<Counts> => counted(store,
    'SELECT t._partition_id AS name, sum(t.rows) AS n FROM tidegate.stored_days AS t WHERE t._partition_id >= {first:String} AND t._partition_id <= {last:String} GROUP BY name', bounds);
  const held = (): Promise<Counts> => counted(store,
    `SELECT partition_id AS name, sum(rows) AS n FROM system.parts
     WHERE database = 'tidegate' AND table = 'events' AND active AND partition_id >= {first:String} AND partition_id <= {last:String} GROUP BY name`, bounds);
  return standing(stored, held, expected, known);
}

/**
 * By day and stream: `20261121 00000000000000bb`. A statement a day, grouped by the stream alone, in the order in which rows lie: with the day as a second key the engine hashes each row,
 * which is 25 times the work (ADR 0044).
 * @param days as partitions are named @param seconds what the engine may take for a statement. @throws what the store throws
 */
export function streamDifferences(store: Reader, days: readonly string[], expected: Expected, seconds: number): Promise<Differences> {
  const from = async (table: string, rows: string): Promise<Counts> => {
    const found = new Map<string, number>();
    for (const day of days) {
      const streams = await counted(store,
        `SELECT leftPad(lower(hex(u.stream)), 16, '0') AS name, u.n AS n
         FROM (SELECT t.stream AS stream, ${rows} AS n FROM tidegate.${table} AS t WHERE t._partition_id = {day:String} GROUP BY t.stream) AS u
         SETTINGS max_execution_time = ${seconds}, optimize_aggregation_in_order = 1`, { day });
      for (const [stream, n] of streams) found.set(`${day} ${stream}`, n);
    }
    return found;
  };
  return standing(() => from('stored_days', 'sum(t.rows)'), () => from('events', 'count()'), expected, new Map());
}

type Counts = ReadonlyMap<string, number>;

/** What differs, and differs by the same in two looks that follow each other. */
async function standing(stored: () => Promise<Counts>, held: () => Promise<Counts>, expected: Expected, known: Differences): Promise<Differences> {
  let last: ReadonlyMap<string, number | null> = known;
  for (let looks = 1; ; looks++) {
    const found = await lookedAt(stored, held, expected);
    const same = [...found].filter((each): each is [string, number] => each[1] !== null && last.get(each[0]) === each[1]);
    if (same.length === found.size || looks === LOOKS) return new Map(same);
    last = found;
    await pause(PAUSE_MS);
  }
}

/** Null: it cannot be told while rows are added. */
async function lookedAt(stored: () => Promise<Counts>, held: () => Promise<Counts>, expected: Expected): Promise<ReadonlyMap<string, number | null>> {
  const before = await stored();
  const now = await held();
  const of = (counts: Counts, name: string): number => counts.get(name) ?? 0;
  const names = [...new Set([...before.keys(), ...now.keys()])].filter((name) => {
    const difference = of(before, name) - of(now, name);
    return difference !== 0 && !expected(name.slice(0, 8), difference);
  });
  if (names.length === 0) return new Map();
  const after = await stored();
  return new Map(names.filter((name) => of(now, name) !== of(after, name)).map((name) => [name, of(before, name) === of(after, name) ? of(before, name) - of(now, name) : null]));
}

async function counted(store: Reader, select: string, params: Readonly<Record<string, string>>): Promise<Counts> {
  return new Map((await store.query<{ name: string; n: number }>(select, params)).map(({ name, n }) => [name, Number(n)]));
}
