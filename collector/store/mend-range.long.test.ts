/**
 * A server that was killed between noting an insert's token and putting its part in place: the part's directory is taken away, and the server goes on believing that it
 * stored it. Without the mending the same insert made again gives `rows` 2000 and `minutes` 3000, and so on for each table.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TestClickHouse, type Fault } from '../../test/harness/clickhouse-server.js';
import { eventually } from '../../test/harness/deadline.js';
import { requires } from '../../test/harness/requires.js';
import { silentLog } from '../log/random-events.fixture.js';
import { disagreements } from '../log/stored-sums.fixture.js';
import { ClickHouseStore } from './clickhouse-store.js';
import { mendRange } from './mend-range.js';
import { migrate } from './migrate.js';
import { COLUMNS, rolledUp } from './rollup-statement.js';
import { connection, eachOnce, stageRange, storedRows, type StagedRange } from './stores.fixture.js';

const skip = requires('chdb');
const [STREAM, OTHER] = ['00000000000000bb', '00000000000000cc'];
const MIDNIGHT = Date.UTC(2026, 10, 30);
/** Of two days, and of two months: every other row is of the day after. */
const timeMs = (seq: number): number => MIDNIGHT + 86_400_000 - 30_000 + (seq % 2) * 60_000 + seq % 5000;
const ROWS = 1000;

/** Parts of an insert, lost together. At a kill it is one of a table. */
const LOSSES: readonly (readonly (readonly [table: string, partition: string])[])[] = [
  [['events', '20261201'], ['traffic_quarter_hour', '202612']], [['coverage', 'all'], ['traffic_minute', '20261130'], ['stored_days', '20261201']],
  [['events', '20261130'], ['events', '20261201'], ['coverage', 'all'], ['traffic_minute', '20261130'], ['traffic_minute', '20261201'], ['traffic_quarter_hour', '202611'], ['traffic_quarter_hour', '202612'],
    ['stored_days', '20261130'], ['stored_days', '20261201']],
];

let server: TestClickHouse;
let store: ClickHouseStore;
let folder: string;
let rows = 0;

before(async () => {
  if (skip !== false) return;
  folder = mkdtempSync(join(tmpdir(), 'tidegate-mend-'));
  server = await TestClickHouse.start();
  store = new ClickHouseStore(connection(server.url));
  await migrate(store);
});
after(async () => {
  if (skip !== false) return;
  await store.close();
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const insert = ({ plan, file }: StagedRange): Promise<void> => store.insertRows(plan, file);
/** As the collector makes one again of which it does not know. */
const again = ({ plan, file }: StagedRange): Promise<void> => store.insertRows(plan, file, undefined, Date.now());
const mended = ({ plan, file }: StagedRange, log: SpoolLog | null = null, looks = 3): Promise<void> => mendRange(store, plan, file, log, { looks, pauseMs: 20 });

function next(): StagedRange {
  const range = stageRange(folder, STREAM, rows, ROWS, timeMs);
  rows += ROWS;
  return range;
}

/** Its parts are merged with none. */
async function insertNext(): Promise<StagedRange> {
  for (const table of ['events', 'coverage', 'traffic_minute', 'traffic_quarter_hour', 'stored_days']) await store.command(`SYSTEM STOP MERGES tidegate.${table}`);
  const range = next();
  await insert(range);
  return range;
}

/** The newest part there, from under the server. */
async function lose(...parts: readonly (readonly [table: string, partition: string])[]): Promise<void> {
  const paths: string[] = [];
  for (const [table, partition] of parts) {
    const [part] = await store.query<{ path: string }>(
      `SELECT path FROM system.parts WHERE database = 'tidegate' AND table = {table:String} AND partition_id = {partition:String} AND active AND min_block_number = max_block_number
       ORDER BY max_block_number DESC LIMIT 1`, { table, partition });
    assert.ok(part !== undefined, `${table} ${partition}`);
    paths.push(part.path);
  }
  await server.kill();
  for (const path of paths) rmSync(path, { recursive: true });
  await server.restart();
}

/** In every table, and nothing beside one. */
async function eachStoredOnce(what: string): Promise<void> {
  assert.deepEqual(await storedRows(store), eachOnce(rows), what);
  assert.deepEqual(await disagreements(store), [], what);
  const ofDays = (select: string): Promise<unknown> => store.query(`SELECT day, n FROM (${select}) ORDER BY day`);
  assert.deepEqual(await ofDays('SELECT toString(toDate(x.time)) AS day, count() AS n FROM tidegate.events AS x GROUP BY day'), await ofDays('SELECT toString(x.day) AS day, sum(x.rows) AS n FROM tidegate.stored_days AS x GROUP BY day'), what);
  assert.deepEqual(await store.query('SELECT 1 FROM tidegate.events_mended UNION ALL SELECT 1 FROM tidegate.traffic_minute_mended'), [], what);
}

test('whichever parts of an insert a killed server lost, made again it brings them back, once', { skip }, async () => {
  await insert(next());
  for (const parts of LOSSES) {
    const range = await insertNext();
    await lose(...parts);
    await insert(range);
    assert.notDeepEqual(await storedRows(store), eachOnce(rows), `${parts.join(' ')}: the token alone heals nothing`);
    await (parts === LOSSES[0] ? again(range) : mended(range));
    await eachStoredOnce(parts.join(' '));
    await mended(range);
    await eachStoredOnce(`${parts.join(' ')}, and looked at once more`);
  }
});

test('killed within the mending, it is mended when it is asked again, once, and what somebody left beside the tables is not taken along', { skip }, async () => {
  const kills: readonly Fault[] = [
    { kind: 'kill', at: 'after', statement: 'INSERT INTO tidegate\\.events_mended' }, { kind: 'kill', at: 'after', statement: 'ALTER TABLE tidegate\\.events_mended MOVE' },
    { kind: 'kill', at: 'before', statement: 'ALTER TABLE tidegate\\.traffic_minute_mended MOVE' },
  ];
  const [stored, range] = [await insertNext(), await insertNext()];
  await lose(...LOSSES.at(-1) ?? []);
  // killed between the two halves of a move, a server can hold the part in both places
  await store.insertBeside(stored.plan, stored.file, '20261130', 'left');
  for (const kill of kills) {
    await server.faults({ ...kill, times: 1 });
    await assert.rejects(mended(range), (error: TidegateError) => error.code === 'store_unknown', JSON.stringify(kill));
    await server.restart();
  }
  await mended(range);
  await eachStoredOnce('after all kills');
});

test('while another\'s insert is under way nothing is put back, and then what is missing; where it stays so, it is said', { skip }, async () => {
  const said: object[] = [];
  const log: SpoolLog = { ...silentLog, error: (fields) => { said.push(fields); } };
  const lacking = async (): Promise<StagedRange> => {
    const range = await insertNext();
    await lose(['traffic_minute', '20261130']);
    return range;
  };
  const other = stageRange(folder, OTHER, 0, 500, timeMs);
  const range = await lacking();
  // raw events are there, and their minutes are not
  await store.insertBeside(other.plan, other.file, '20261130', 'under-way');
  await store.command("ALTER TABLE tidegate.events_mended MOVE PARTITION ID '20261130' TO TABLE tidegate.events");
  const before = await storedRows(store);
  await mended(range, log);
  assert.deepEqual(await storedRows(store), before, 'nothing was put anywhere');
  assert.deepEqual(said.map((fields) => ({ ...fields, remedy: '' })), [
    { code: 'store_unsettled', remedy: '', table: 'traffic_minute', partition: '20261130', range: range.plan.token },
    { code: 'store_unsettled', remedy: '', table: 'traffic_quarter_hour', partition: '202611', range: range.plan.token },
  ]);
  const waiting = mended(range, log, 10_000);
  await eventually('it has looked', async () => (await server.statements()).filter((statement) => statement.startsWith('SELECT countIf(c.is_own)')).length > 5 || null, 30_000);
  for (const rollup of ['traffic_minute', 'traffic_quarter_hour'] as const) {
    const into = rollup === 'traffic_minute' ? `${rollup}_mended` : rollup;
    await store.command(`INSERT INTO tidegate.${into} (${COLUMNS}) ${rolledUp(rollup, `stream = 0x${OTHER}`)}`);
  }
  await store.command("ALTER TABLE tidegate.traffic_minute_mended MOVE PARTITION ID '20261130' TO TABLE tidegate.traffic_minute");
  await waiting;
  assert.equal(said.length, 2);
  const { rows: raw, minutes, quarters } = await storedRows(store);
  assert.deepEqual([raw, minutes, quarters], [rows + 250, rows + 250, rows + 250]);
  assert.deepEqual(await disagreements(store), []);
});
