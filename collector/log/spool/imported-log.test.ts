/** Logs imported through the real spool, collector and store: each line once, however it is stopped and repeated; nothing else is touched by them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { TidegateError } from '../../../errors/tidegate-error.js';
import { sealStream } from '../../../gateway/events/seal.js';
import { eventually } from '../../../test/harness/deadline.js';
import { requires } from '../../../test/harness/requires.js';
import { applyRetention, pruneImports, pruneStreams } from '../../store/retention.js';
import { silentLog } from '../random-events.fixture.js';
import { disagreements } from '../stored-sums.fixture.js';
import { logOf } from './imported-log.fixture.js';
import { readManifest } from './manifest.js';
import { allTaken, dataDir, file, RETENTION, run, spooled, start, storedOnce } from './importing.fixture.js';

const DAY_MS = 86_400_000;
const OLD = Date.UTC(2015, 4, 17, 22);
const skip = requires('chdb');
const CHILD = fileURLToPath(new URL(`./import-to-kill.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
const refused = (code: string) => (error: TidegateError): boolean => error.code === code;

test('a log that grows, is renamed, compressed and imported again is stored once, its lines each; one that was changed is refused', { skip }, async () => {
  const running = await start();
  const path = file('access.log', logOf(3000, OLD, 10_000));
  const first = await run(path);
  assert.deepEqual([first.rows, first.from, first.to, first.known], [3000, '2015-05-17T22:00:00.000Z', '2015-05-18T06:19:50.000Z', 0]);
  await allTaken();
  await storedOnce(running, 3000);
  assert.deepEqual(await run(path).then(({ rows, known }) => [rows, known]), [0, 3000]);
  assert.deepEqual(spooled(), [], 'nothing was written again');

  // half a line more: it is left until it is whole, then taken as it is
  const more = logOf(1000, OLD, 10_000, 3000);
  appendFileSync(path, more.slice(0, 100));
  assert.deepEqual(await run(path).then(({ rows, cut, bad }) => [rows, cut, bad]), [0, true, 0]);
  appendFileSync(path, more.slice(100));
  assert.deepEqual(await run(file('rotated.gz', gzipSync(logOf(4000, OLD, 10_000)))).then(({ rows, known, stream }) => [rows, known, stream]), [1000, 3000, first.stream]);
  await allTaken();
  await storedOnce(running, 4000);

  const changed = `${logOf(2000, OLD, 10_000)}${logOf(1, OLD, 10_000, 9)}${logOf(2500, OLD, 10_000, 2001)}`;
  await assert.rejects(run(file('changed.log', changed)), refused('import_changed'));
  await assert.rejects(run(file('shorter.log', logOf(2000, OLD, 10_000))), refused('import_changed'));
  await allTaken();
  await storedOnce(running, 4000);
  const other = await run(path, { source: 'another server' });
  assert.equal(other.rows, 4000, 'unless it is said to be another');

  // nobody is told of anything missing, now or then, and the collector is not behind
  for (const [from, to] of [[Math.floor(Date.now() / DAY_MS) * DAY_MS, Date.now() + DAY_MS], [OLD - DAY_MS, OLD + 3 * DAY_MS]] as const) {
    assert.deepEqual(await running.completeness(from, to).then(({ complete, reasons, streams }) => [complete, reasons, streams]), [true, [], []]);
  }
  assert.deepEqual(readManifest(join(dataDir, 'collector', 'manifest.json'))?.spans.filter(({ stream }) => stream === first.stream), [], 'no place is kept in files that have gone');
  const { lagSeconds, repeats, gaps, quarantined } = running.status();
  assert.ok(lagSeconds < 30, `${lagSeconds} s`);
  assert.deepEqual([repeats, gaps, quarantined], [0, 0, 0]);
});

test('a last line without an end is taken once, if it is whole', { skip }, async () => {
  const running = await start();
  const path = file('access.log', logOf(50, OLD, 1000).trimEnd());
  assert.deepEqual(await run(path).then(({ rows, cut }) => [rows, cut]), [50, false]);
  await allTaken();
  assert.deepEqual(await run(path).then(({ rows }) => rows), 0);
  appendFileSync(path, `\n${logOf(10, OLD, 1000, 50)}`);
  await run(path);
  await allTaken();
  await storedOnce(running, 60);
});

test('killed midway, and imported again: what is missing is added, what is there is left out', { skip, timeout: 120_000 }, async () => {
  const lines = 40_000;
  const path = file('access.log', logOf(lines, OLD, 10_000));
  const running = await start();
  for (const pieces of [1, 3, 5]) {
    const child = spawnSync(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, dataDir, path, String(pieces)], { encoding: 'utf8', timeout: 60_000 });
    assert.equal(child.signal, 'SIGKILL', child.stderr);
    // as the supervisor does with a stream whose writer is dead
    for (const stream of spooled()) sealStream(join(dataDir, 'spool', stream), silentLog);
    await eventually('what it had written is stored', async () => spooled().length === 0 || null, 30_000);
  }
  await run(path);
  await allTaken();
  await storedOnce(running, lines);
  assert.deepEqual(await disagreements(running.store).then((some) => some.length), 0);
  assert.equal(running.status().repeats, 0, 'and nobody is alarmed');
});

test('what an earlier import left in the spool is waited for, and so is room; where nobody takes it that is said, and the next run goes on', { skip, timeout: 120_000 }, async () => {
  const path = file('access.log', logOf(30_000, OLD, 10_000));
  const waits: string[] = [];
  const onWaiting = (why: string | null): void => { if (why !== null) waits.push(why); };
  await assert.rejects(run(path, { maxBytes: 2_000_000, giveUpAfterMs: 500, onWaiting }), refused('import_stalled'));
  assert.deepEqual([...new Set(waits)], ['room']);
  waits.length = 0;
  await assert.rejects(run(path, { giveUpAfterMs: 500, onWaiting }), refused('import_stalled'));
  assert.deepEqual([...new Set(waits)], ['earlier']);
  const stopping = new AbortController();
  const { stopped, rows } = await run(path, { signal: stopping.signal, onWaiting: () => { stopping.abort(); } });
  assert.deepEqual([stopped, rows], [true, 0], 'Ctrl-C while it waits: nothing of it is imported');
  const running = await start();
  const both = await Promise.allSettled([run(path, { maxBytes: 2_000_000 }), run(path, { maxBytes: 2_000_000 })]);
  assert.deepEqual(both.map((one) => (one.status === 'fulfilled' ? 'done' : (one.reason as TidegateError).code)).sort(), ['done', 'import_running']);
  await allTaken();
  await storedOnce(running, 30_000);
});

test('imported days stay for as long as new ones would, counted from when they were stored; then they go, and their notes last', { skip }, async () => {
  const running = await start();
  const { stream } = await run(file('access.log', logOf(500, OLD, 100_000)));
  await allTaken();
  const { store } = running;
  const rows = async (table: string): Promise<number> => (await store.query<{ n: number }>(`SELECT count() AS n FROM tidegate.${table}`))[0]?.n ?? -1;
  const left = async (days: number): Promise<readonly boolean[]> => {
    const nowMs = Date.now() + days * DAY_MS;
    await applyRetention(store, RETENTION, nowMs, silentLog);
    await pruneImports(store, RETENTION, nowMs);
    await pruneStreams(store, RETENTION, { inUse: new Set(), comesAgainMs: 0 }, nowMs, silentLog);
    return Promise.all(['events', 'traffic_minute', 'traffic_quarter_hour', 'imports', 'coverage'].map(async (table) => await rows(table) > 0));
  };
  assert.deepEqual(await left(29), [true, true, true, true, true]);
  assert.deepEqual(await left(31), [false, true, true, true, true]);
  assert.deepEqual(await left(61), [false, false, true, true, true]);
  // another import of the same days keeps them, and with them the notes of the first
  await store.command(`INSERT INTO tidegate.imports (stream, day, stored_at) SELECT 7, toDate('2015-05-18'), now() + INTERVAL 50 DAY`);
  assert.deepEqual(await left(91), [false, false, true, true, true]);
  assert.deepEqual((await store.query(`SELECT count() AS n FROM tidegate.coverage WHERE stream = 0x${stream}`)), [{ n: 2 }]);
  assert.deepEqual(await left(141), [false, false, false, false, false]);
});

test('what is no log leaves nothing behind; a damaged one what was read of it', { skip: false }, async () => {
  for (const [name, content] of [['hello.txt', 'hello\nworld\n'], ['long.bin', Buffer.alloc(3_000_000, 'x')], ['one-line', 'hello'], ['noise', Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) % 251))]] as const) {
    await assert.rejects(run(file(name, content)), refused('import_not_a_log'), name);
  }
  await assert.rejects(run(file('bad.gz', gzipSync('x'.repeat(1000)).fill(7, 20))), refused('import_file'));
  await assert.rejects(run(join(dataDir, 'nowhere')), refused('import_file'));
  await assert.rejects(run(dataDir), refused('import_file'));
  assert.equal(existsSync(join(dataDir, 'spool')), false);
  assert.deepEqual(readdirSync(join(dataDir, 'imports')), []);
  assert.deepEqual(await run(file('empty', '\n\r\n')).then(({ lines, rows }) => [lines, rows]), [0, 0]);

  const whole = gzipSync(logOf(20_000, OLD, 10_000));
  const path = file('cut.gz', whole.subarray(0, whole.length / 2));
  await assert.rejects(run(path), refused('import_file'));
  const [stream = ''] = spooled();
  const sealed = sealStream(join(dataDir, 'spool', stream), silentLog);
  const rows = (sealed?.seal?.lastSeq ?? -1) + 1;
  assert.ok(rows > 1000 && sealed?.seal?.proven === true, `${rows}`);
  rmSync(join(dataDir, 'spool', stream), { recursive: true });
  assert.equal((await run(file('whole.gz', whole))).known, rows, 'the rest, once it is whole');
});

test('bad lines are counted and told by their numbers, blank ones passed over, and lines may end as on Windows', { skip: false }, async () => {
  const [a = '', b = '', c = ''] = logOf(3, OLD, 1000).trimEnd().split('\n');
  const bad = Array.from({ length: 30 }, () => 'nothing of a log\r\n').join('');
  const { lines, rows, bad: count, badLines } = await run(file('odd.log', `\r\n${a}\r\n${'y'.repeat(70_000)}\n\n${b}\r\n${bad}${'z'.repeat(2_000_000)}\r\n{"time":1431857103,"status":200}\n${c}\n`));
  assert.deepEqual([lines, rows, count, badLines.length], [38, 4, 32, 20]);
  assert.deepEqual(badLines.slice(0, 2), [{ line: 3, why: 'longer than 65536 bytes' }, { line: 6, why: 'no fields of an access log' }].map((one, i) => (i === 0 ? one : { ...one, why: badLines[1]?.why })));
});
