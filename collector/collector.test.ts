import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync, copyFileSync, cpSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { TidegateError } from '../errors/tidegate-error.js';
import { segmentPath } from '../gateway/events/segment.js';
import { eventually } from '../test/harness/deadline.js';
import { requires } from '../test/harness/requires.js';
import { Collector, type CollectorOptions } from './collector.js';
import { addSums, noSums, RandomStream, silentLog } from './log/random-events.fixture.js';
import { disagreements, storedSums } from './log/stored-sums.fixture.js';
import { ChdbStore } from './store/chdb-store.js';

const RETENTION = { eventsMs: 30 * 86_400_000, minutesMs: 90 * 86_400_000, quarterHoursMs: 1100 * 86_400_000, maxBytes: 50 * 1024 ** 3 };
const DAY_MS = 86_400_000;

let dataDir: string;
let spoolDir: string;
let collector: Collector | null = null;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tidegate-collector-'));
  spoolDir = join(dataDir, 'spool');
});

afterEach(async () => {
  await collector?.stop();
  collector = null;
  rmSync(dataDir, { recursive: true, force: true });
});

async function collecting(options: Partial<CollectorOptions> = {}): Promise<Collector> {
  collector = await Collector.start({ dataDir, retention: RETENTION, log: silentLog, limits: { rows: 3000, bytes: 64 * 1024 * 1024 }, ...options });
  return collector;
}

const skip = requires('chdb');

/** Stores what there is, and closes. */
async function collectAll(options: Partial<CollectorOptions> = {}): Promise<void> {
  await (await collecting(options)).stop();
  collector = null;
}

/** So that events lie on both sides of a midnight (UTC), and are not past what is kept. */
const beforeMidnight = (): number => Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS - 1_200_000;

test('raw events and every rollup hold exactly what was recorded, over many ranges, streams and a midnight', { skip }, async () => {
  const streams = [1, 2].map((worker) => new RandomStream(spoolDir, worker, beforeMidnight()).write(10_000).seal());
  await collectAll();
  const expected = streams.map(({ sums }) => sums).reduce(addSums, noSums());
  const { rows, ...rolled } = expected;
  const { store } = await collecting();
  const stored = await storedSums(store);
  assert.deepEqual(stored, { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  assert.deepEqual(await disagreements(store), []);
  assert.deepEqual(readdirSync(spoolDir), [], 'sealed and stored streams leave the spool');
  const [columns] = await store.query<{ n: number }>("SELECT count() AS n FROM tidegate.events WHERE service LIKE 'service-%' AND route LIKE 'route-%' AND client = '10.1.0.0/16' AND target = 'http://10.0.0.1:8080' AND upstream_us < 5000 AND node = 'node-a'");
  assert.equal(columns?.n, rows);
  for (const { recorder } of streams) await recorder.close();
});

test('a living stream is stored as it grows, its marked segments go, and the day so far is complete', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000, 100_000).write(4000).mark();
  const running = await collecting();
  await eventually('4,000 rows stored', () => running.status().stored === 4000 || null);
  stream.write(1000).mark();
  await eventually('5,000 rows stored', () => running.status().stored === 5000 || null);
  await eventually('old segments deleted', () => readdirSync(stream.dir).filter((name) => name.endsWith('.seg')).length === 1 || null);
  const today = await running.completeness(Date.now() - DAY_MS, Date.now() + DAY_MS);
  assert.deepEqual([today.complete, today.reasons, today.over], [true, [], false]);
  assert.deepEqual(today.streams.map(({ stored, missing, twice, first_seq, last_seq, sealed }) => ({ stored, missing, twice, first_seq, last_seq, sealed })),
    [{ stored: 5000, missing: 0, twice: 0, first_seq: 0, last_seq: 4999, sealed: null }]);
  stream.seal();
  await eventually('the stream leaves the spool', () => !existsSync(stream.dir) || null);
  const sealed = await running.completeness(Date.now() - DAY_MS, Date.now());
  assert.deepEqual([sealed.complete, sealed.streams[0]?.stored, typeof sealed.streams[0]?.sealed], [true, 5000, 'string']);
  await stream.recorder.close();
});

test('while storing fails no time is complete of which events wait, whatever the marks say, and as of stands still; afterwards it is', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(100).mark();
  const running = await collecting();
  await eventually('100 rows stored', () => running.status().stored === 100 || null);
  const staging = join(dataDir, 'collector/staging');
  rmSync(staging, { recursive: true });
  writeFileSync(staging, '');
  const beforeMs = Date.now();
  stream.write(100);
  const toMs = Date.now();
  stream.mark();
  await eventually('storing fails', () => running.status().failing !== null || null);
  const failing = await running.completeness(toMs - DAY_MS, toMs);
  assert.deepEqual([failing.complete, failing.over, failing.streams[0]?.stored, running.asOfMs() > beforeMs], [false, true, 100, false]);
  assert.deepEqual([running.status().failing?.code, running.status().stored], ['data_dir_unusable', 100]);
  rmSync(staging);
  mkdirSync(staging);
  await eventually('storing works again', () => running.status().failing === null || null);
  await eventually('as of goes on', () => running.asOfMs() >= toMs || null);
  const mended = await running.completeness(toMs - DAY_MS, toMs);
  assert.deepEqual([mended.complete, mended.reasons, mended.streams[0]?.stored], [true, [], 200]);
  await stream.recorder.close();
});

test('a start that the disk ends, because what was begun cannot be staged again, says so with a code; once it can be, all is there once', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(100).mark();
  await collectAll();
  // as a kill leaves it: nobody has noted that the insert was made
  const file = join(dataDir, 'collector/manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { readonly range: number };
  writeFileSync(file, JSON.stringify({ ...manifest, rows: 100 }));
  const staged = join(dataDir, 'collector/staging', `${manifest.range}.rows`);
  mkdirSync(staged);
  await assert.rejects(collecting(), (error: TidegateError) => error.code === 'data_dir_unusable' && error.message.startsWith(`${dataDir}: EISDIR`));
  rmSync(staged, { recursive: true });
  const running = await collecting();
  const today = await running.completeness(Date.now() - DAY_MS, Date.now() + DAY_MS);
  assert.deepEqual([today.complete, today.streams.map(({ stored, twice }) => [stored, twice])], [true, [[100, 0]]]);
  await stream.recorder.close();
});

test('a collector that starts on a spool of more than one range says no more than is stored, from its first answer on', { skip }, async () => {
  const streams = [1, 2].map((worker) => new RandomStream(spoolDir, worker, Date.now() - 2_500_000).write(10_000));
  const toMs = Date.now();
  for (const stream of streams) stream.mark();
  const running = await collecting();
  const { lagSeconds, stored } = running.status();
  const asOfMs = running.asOfMs();
  const first = await running.completeness(toMs - DAY_MS, toMs);
  assert.deepEqual([stored, first.complete, first.reasons.length, asOfMs < toMs, lagSeconds > 0], [0, false, 2, true, true]);
  await eventually('all is stored', () => running.asOfMs() >= toMs || null);
  assert.equal(running.status().stored, 20_000);
  const last = await running.completeness(toMs - DAY_MS, toMs);
  assert.deepEqual([last.complete, last.streams.reduce((sum, of) => sum + of.stored, 0)], [true, 20_000]);
  for (const { recorder } of streams) await recorder.close();
});

test('segments beyond the mark stay: the ledger may have to count them', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000, 100_000).write(2000);
  await collectAll();
  const segments = readdirSync(stream.dir).filter((name) => name.endsWith('.seg'));
  assert.ok(segments.includes('00000001.seg') && segments.length > 2);
  await stream.recorder.close();
});

test('flipped bits go to quarantine, the rest is stored, and the day says what is missing', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(3100);
  const path = segmentPath(stream.dir, 1);
  const bytes = readFileSync(path);
  bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] as number) ^ 1;
  writeFileSync(path, bytes);
  stream.seal();
  await collectAll();
  const { store } = await collecting();
  const rows = await store.query<{ reason: string; file: string; bytes: number }>('SELECT reason, file, to_offset - from_offset AS bytes FROM tidegate.quarantine FINAL');
  assert.equal(rows.length, 1);
  assert.equal(readFileSync(join(dataDir, 'collector/quarantine', rows[0]?.file as string)).length, rows[0]?.bytes);
  assert.equal((await storedSums(store)).raw.rows, 3100 - 31);
  const day = await (collector as Collector).completeness(Date.now() - DAY_MS, Date.now() + 1);
  assert.equal(day.complete, false);
  assert.deepEqual([day.streams[0]?.missing, day.streams[0]?.stored], [31, 3069]);
  assert.match(day.reasons[0] as string, /31 events of stream [0-9a-f]{16} \(node node-a, worker 1\) are missing/);
  await eventually('the gap shows in the status', () => (collector as Collector).status().gaps === 31 || null);
  // this collector put nothing there
  await eventually('what lies in quarantine shows in the status', () => (collector as Collector).status().inQuarantine === 1 || null);
  assert.equal((collector as Collector).status().quarantined, 0);
  // as a replay notes it
  await store.command(`INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file, noted_at, replayed_at)
    SELECT stream, segment, from_offset, to_offset, reason, file, noted_at + INTERVAL 1 MILLISECOND, now64(3) FROM tidegate.quarantine FINAL`);
  assert.equal(await (collector as Collector).quarantine.waiting(), 0);
  const long = await (collector as Collector).completeness(Date.now() - 20 * DAY_MS, Date.now() - 10 * DAY_MS);
  assert.deepEqual([long.complete, long.streams], [true, []]);
  await stream.recorder.close();
});

test('rows that the log holds a second time are left out, and said', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(930);
  const path = segmentPath(stream.dir, 1);
  const first = readFileSync(path);
  // the same frames again behind themselves, as a spool restored over a newer one can have them
  stream.write(310);
  const second = readFileSync(path).subarray(first.length);
  appendFileSync(path, Buffer.concat([first.subarray(32), second]));
  stream.seal();
  await collectAll();
  const { store } = await collecting();
  assert.equal((await storedSums(store)).raw.rows, 1240);
  assert.deepEqual(await disagreements(store), []);
  const [repeats] = await store.query<{ n: number }>('SELECT sum(last_seq - first_seq + 1) AS n FROM tidegate.repeats FINAL');
  assert.equal(repeats?.n, 1240);
  const day = await (collector as Collector).completeness(Date.now() - DAY_MS, Date.now() + 1);
  assert.deepEqual([day.complete, day.streams[0]?.twice, day.streams[0]?.stored], [true, 0, 1240]);
  await stream.recorder.close();
});

test('dropped events are no gap, but the day is incomplete and says by app how many', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(310);
  stream.recorder.setRoom(10, 1);
  stream.write(62);
  stream.recorder.setRoom(0, Number.MAX_SAFE_INTEGER);
  stream.write(31);
  await stream.recorder.close();
  stream.seal();
  await collectAll();
  await collecting();
  const day = await (collector as Collector).completeness(Date.now() - DAY_MS, Date.now() + 1);
  assert.deepEqual([day.complete, day.streams[0]?.missing, day.streams[0]?.dropped, day.streams[0]?.stored], [false, 0, 62, 341]);
  assert.equal(day.dropped.reduce((sum, { count }) => sum + count, 0), 62);
  assert.match(day.reasons.join(), /62 events of stream .* were dropped/);
});

test('a record that cannot be judged is said to be so; storing goes on', { skip }, async () => {
  await collectAll();
  const store = await ChdbStore.open(join(dataDir, 'store'));
  await store.command('DROP TABLE tidegate.drops');
  await store.command('CREATE TABLE tidegate.drops (stream UInt64) ENGINE = ReplacingMergeTree ORDER BY stream SETTINGS fsync_after_insert = 1');
  await store.close();
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(100).mark();
  const said: string[] = [];
  const running = await collecting({ log: { ...silentLog, error: (_fields: object, text: string) => { said.push(text); } } });
  await eventually('a judgement that fails', () => said.length > 0 || null);
  stream.write(100).mark();
  await eventually('200 rows stored', () => running.status().stored === 200 || null);
  assert.deepEqual([running.status().failing, [...new Set(said)]], [null, ['the record could not be judged; storing goes on']]);
  await stream.recorder.close();
});

test('a store without its manifest, or behind it, is refused; so is a second collector', { skip }, async () => {
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(310).mark();
  await collectAll();
  const manifest = join(dataDir, 'collector/manifest.json');
  copyFileSync(manifest, join(dataDir, 'kept.json'));
  rmSync(manifest);
  await assert.rejects(collecting(), (error: TidegateError) => error.code === 'store_without_manifest');
  copyFileSync(join(dataDir, 'kept.json'), manifest);
  stream.write(310).mark();
  // the store as of the first range, the manifest as of the second
  cpSync(join(dataDir, 'store'), join(dataDir, 'older'), { recursive: true });
  await collectAll();
  stream.write(310).mark();
  await collectAll();
  rmSync(join(dataDir, 'store'), { recursive: true });
  cpSync(join(dataDir, 'older'), join(dataDir, 'store'), { recursive: true });
  await assert.rejects(collecting(), (error: TidegateError) => error.code === 'store_behind_manifest');
  rmSync(join(dataDir, 'store'), { recursive: true });
  writeFileSync(join(dataDir, 'collector.lock'), JSON.stringify({ pid: process.ppid, pidStart: null, bootId: null }));
  await assert.rejects(collecting(), (error: TidegateError) => error.code === 'data_dir_in_use');
  await stream.recorder.close();
});

test('days past their time go, and the oldest past the bound on disk; the day in progress stays', { skip }, async () => {
  const midnight = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const old = new RandomStream(spoolDir, 1, midnight - 40 * DAY_MS + 3_600_000).write(310).seal();
  const lately = new RandomStream(spoolDir, 2, midnight - 2 * DAY_MS + 3_600_000).write(310).seal();
  const today = new RandomStream(spoolDir, 3, midnight).write(310).seal();
  await collectAll();
  const days = async (): Promise<readonly string[]> => (await (collector as Collector).store.query<{ day: string }>('SELECT DISTINCT toString(toDate(time)) AS day FROM tidegate.events ORDER BY day')).map(({ day }) => day);
  const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  await collecting();
  await eventually('the old day is gone', async () => (await days()).length === 2 || null);
  assert.deepEqual(await days(), [dayOf(midnight - 2 * DAY_MS), dayOf(midnight)]);
  (collector as Collector).setRetention({ ...RETENTION, maxBytes: 1 });
  await eventually('one day is left', async () => (await days()).length === 1 || null);
  assert.deepEqual(await days(), [dayOf(midnight)]);
  for (const { recorder } of [old, lately, today]) await recorder.close();
});

test('a stream of long ago is forgotten once the manifest names it no more, and the collector starts again at every point', { skip }, async () => {
  const now = Date.now();
  const old = new RandomStream(spoolDir, 1, now - 1200 * DAY_MS).write(310).seal();
  const name = basename(old.dir);
  await collectAll();
  /** As if it had been sealed then: nothing else says when it was. */
  await (await collecting()).store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven, noted_at)
    SELECT stream, node, worker, opened_at, toDateTime64('2020-01-01 00:00:00', 3, 'UTC'), last_seq, proven, noted_at + INTERVAL 1 SECOND FROM tidegate.streams FINAL`);
  const covered = async (): Promise<boolean> => (await (collector as Collector).store.query(`SELECT 1 FROM tidegate.coverage WHERE stream = 0x${name}`)).length > 0;
  const retained = async (): Promise<void> => {
    const file = join(dataDir, 'collector/quarantine/old.bin');
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, 'x');
    utimesSync(file, 0, 0);
    (collector as Collector).setRetention(RETENTION);
    await eventually('retention has been looked at', () => !existsSync(file) || null);
  };
  await retained();
  assert.equal(await covered(), true, 'the manifest names it');
  await (collector as Collector).stop();
  await collecting();
  const today = new RandomStream(spoolDir, 2, Math.floor(now / DAY_MS) * DAY_MS).write(310).seal();
  await eventually('a later range is stored', () => (collector as Collector).status().stored === 310 || null);
  await retained();
  assert.equal(await covered(), false);
  await (collector as Collector).stop();
  const { store } = await collecting();
  assert.deepEqual((await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.streams')).map(({ n }) => n), [1]);
  for (const { recorder } of [old, today]) await recorder.close();
});
