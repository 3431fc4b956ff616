/** What is sent, when, and what goes afterwards; Kafka is a fake here. shipper-kafka.long.test.ts has the real one. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { eventually } from '../../../test/harness/deadline.js';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { KeptLog } from '../event-samples.fixture.js';
import { listSegments, segmentPath } from '../segment.js';
import { readState } from '../stream-state.js';
import { FakeKafka, FAKE_SETTINGS } from './fake-sender.fixture.js';
import { readAcked, writeAcked } from './ship-note.js';
import { readPlace } from './ship-place.js';
import { Shipper } from './shipper.js';
import { SpooledEvents } from './spooled-events.fixture.js';

let spoolDir = '';
let kafka = new FakeKafka();
let log = new KeptLog();
const open: (() => Promise<void>)[] = [];

beforeEach(() => {
  spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-shipper-'));
  kafka = new FakeKafka();
  log = new KeptLog();
});
afterEach(async () => {
  for (const close of open.splice(0)) await close();
  rmSync(spoolDir, { recursive: true });
});

function spool(segmentBytes?: number, worker?: number): SpooledEvents {
  const events = new SpooledEvents(spoolDir, segmentBytes, worker);
  open.push(() => events.recorder.close());
  return events;
}

function ship(changes: Partial<typeof FAKE_SETTINGS> = {}): Shipper {
  const shipper = new Shipper({ spoolDir, instance: 'i'.repeat(32), settings: { ...FAKE_SETTINGS, ...changes }, log, connect: kafka.connect });
  open.unshift(() => shipper.stop(0));
  shipper.start();
  return shipper;
}

const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, i) => i);
const arrived = (events: SpooledEvents, last = events.lastSeq): Promise<true> =>
  eventually(`seq ${last} arrives`, () => (new Set(kafka.seqs(events.stream)).size === last + 1 ? true : null));

test('events arrive once, in order, in chunks of whole frames, behind the word of their stream', async () => {
  const events = spool().record(50, 7);
  ship({ chunkEvents: 100 });
  await arrived(events);
  events.record(3, 1);
  await arrived(events);
  assert.deepEqual(kafka.seqs(events.stream), upTo(352));
  const [first, ...others] = kafka.chunks;
  assert.ok(first?.kind === 'state' && first.facts.instance === 'i'.repeat(32) && first.facts.seal === null);
  const sizes = others.flatMap((chunk) => (chunk.kind === 'frames' ? [chunk.frames.reduce((sum, { count }) => sum + count, 0)] : []));
  assert.deepEqual(sizes.slice(0, 4), [98, 98, 98, 56], 'as many whole frames as fit');
  assert.deepEqual(new Set(kafka.sent.map(({ partition }) => partition)), new Set([Number.parseInt(events.stream.slice(8), 16) % 12]));
});

test('a frame that is larger than a chunk goes alone', async () => {
  const events = spool().record(1, 3).record(1, 250).record(1, 3);
  ship({ chunkEvents: 100 });
  await arrived(events);
  assert.deepEqual(kafka.chunks.flatMap((chunk) => (chunk.kind === 'frames' ? [chunk.frames.map(({ count }) => count)] : [])), [[3], [250], [3]]);
});

test('segments go when they are acknowledged and marked, the last one stays; the directory goes after the seal', async () => {
  const events = spool(4096).record(60, 5);
  const before = listSegments(events.dir).length;
  assert.ok(before > 5);
  ship();
  await arrived(events);
  await eventually('a look after the acknowledgement', () => (kafka.rounds.length >= 1 && Object.keys(readAcked(events.dir)).length > 0 ? true : null));
  assert.equal(listSegments(events.dir).length, before, 'beyond the mark nothing goes: the ledger may need it');
  events.mark();
  await eventually('only the last segment is left', () => (listSegments(events.dir).length === 1 ? true : null));
  assert.equal(readState(events.dir)?.seal, null);
  await events.seal();
  await eventually('the directory is gone', () => (existsSync(events.dir) ? null : true));
  const last = kafka.chunks.at(-1);
  assert.ok(last?.kind === 'state');
  assert.deepEqual([last.facts.seal?.lastSeq, last.facts.seal?.proven, last.facts.lastSeq], [299, true, 299]);
  assert.deepEqual(kafka.seqs(events.stream), upTo(299));
});

test('what is not acknowledged stays, and is sent again by another connection', async () => {
  const events = spool(4096).record(60, 5).mark();
  kafka.sendFails = new TidegateError('kafka_unreachable', 'gone');
  const shipper = ship();
  await eventually('it fails', () => shipper.status().failing);
  const files = listSegments(events.dir).length;
  assert.deepEqual([kafka.sent.length, readPlace(events.dir)?.topic, readAcked(events.dir)], [0, 't', {}], 'the place is noted, and nothing as acknowledged');
  assert.ok(shipper.status().behindBytes > 0);
  kafka.sendFails = null;
  await arrived(events);
  await eventually('it works', () => (shipper.status().failing === null ? true : null));
  assert.ok(kafka.connections >= 2, 'a sender that failed is never used again');
  assert.deepEqual(kafka.seqs(events.stream), upTo(299));
  await eventually('segments go', () => (listSegments(events.dir).length < files ? true : null));
  const lines = log.lines.filter(({ level }) => level === 'error');
  assert.equal(lines.length, 1, 'told once, however often it is tried');
});

test('an acknowledgement that was lost costs repeats in the same order, and nothing else', async () => {
  const events = spool().record(10, 10);
  kafka.sendFails = new TidegateError('kafka_unreachable', 'the answer was lost');
  kafka.keepsWhatFails = true;
  const shipper = ship({ chunkEvents: 10 });
  await eventually('it fails', () => shipper.status().failing);
  kafka.sendFails = null;
  const times = (): number => kafka.seqs(events.stream).length / 100;
  await eventually('it works', () => (shipper.status().failing === null && times() >= 2 ? true : null));
  assert.deepEqual(kafka.seqs(events.stream), Array.from({ length: times() }, () => upTo(99)).flat());
});

test('a shipper that starts again goes on from its note; without it, all is sent again to the same partition', async () => {
  const events = spool().record(20, 10);
  const first = ship();
  await arrived(events);
  await first.stop(0);
  const { partition } = kafka.sent[0] ?? { partition: -1 };
  kafka.partitions = 13 * 7;
  events.record(5, 10);
  const second = ship();
  await arrived(events);
  await second.stop(1000);
  assert.deepEqual(kafka.seqs(events.stream), upTo(249), 'nothing twice');
  assert.deepEqual([...new Set(kafka.sent.map((chunk) => chunk.partition))], [partition], 'partitions that were added move nothing');
  writeAcked(events.dir, {});
  kafka.rounds.length = 0;
  ship();
  await arrived(events);
  assert.deepEqual([...new Set(kafka.sent.map((chunk) => chunk.partition))], [partition]);
});

test('after an outage the newest events are not behind the oldest, and the two ends meet', async () => {
  const rows = 500;
  const events = spool(1 << 20).record(400, rows);
  const segments = listSegments(events.dir).length;
  assert.ok(segments >= 12, `${segments} segments`);
  ship();
  await eventually('the first round', () => (kafka.rounds.length > 0 ? true : null));
  const firstRound = kafka.rounds[0] ?? [];
  const bytes = firstRound.reduce((sum, { value }) => sum + value.length, 0);
  assert.ok(bytes < 8 * 1024 * 1024, `a round is bounded: ${bytes} bytes`);
  const early = new FakeKafka();
  early.rounds.push(firstRound);
  const seqs = early.seqs(events.stream);
  assert.ok(seqs.includes(0) && seqs.includes(events.lastSeq), 'both ends in the first round');
  await arrived(events);
  assert.deepEqual(kafka.seqs(events.stream).sort((a, b) => a - b), upTo(events.lastSeq), 'each once');
  await eventually('the note says all', () => {
    const acked = readAcked(events.dir);
    return listSegments(events.dir).every(({ index, bytes: size }) => acked[index] === size) ? true : null;
  });
});

test('the last rows of a backlog, too few for a chunk, are not passed over while they wait for more', async () => {
  const events = spool(1 << 20).record(400, 500).record(1, 7);
  ship();
  await arrived(events);
  assert.deepEqual(kafka.seqs(events.stream).sort((x, y) => x - y), upTo(events.lastSeq), 'each once');
});

test('a stream with a long backlog does not starve another', async () => {
  const old = spool(1 << 20).record(300, 500);
  const fresh = spool(1 << 20, 2).record(10, 3);
  ship({ chunkEvents: 3 });
  await eventually('the first round', () => (kafka.rounds.length > 0 ? true : null));
  const first = new FakeKafka();
  first.rounds.push(kafka.rounds[0] ?? []);
  assert.deepEqual(first.seqs(fresh.stream), upTo(29));
  await arrived(old);
  assert.deepEqual(kafka.seqs(old.stream).sort((a, b) => a - b), upTo(old.lastSeq));
});

test('a damaged frame goes as it is, once, to be found unreadable there; the frames around it arrive', async () => {
  const events = spool().record(3, 2);
  const path = segmentPath(events.dir, 1);
  const bytes = readFileSync(path);
  const at = bytes.indexOf(Buffer.from([0xf7, 0x54, 0x46, 0xfe]), 100);
  bytes[at + 60] = (bytes[at + 60] ?? 0) ^ 1;
  writeFileSync(path, bytes);
  ship();
  await eventually('the last frame', () => (kafka.seqs(events.stream).includes(5) ? true : null));
  assert.deepEqual(kafka.seqs(events.stream), [0, 1, 4, 5]);
  assert.deepEqual(kafka.chunks.flatMap((chunk) => (chunk.kind === 'unreadable' ? [[chunk.stream, chunk.reason, chunk.frames.length]] : [])), [[events.stream, 'checksum', 0]]);
  await events.seal();
  await eventually('the directory is gone', () => (existsSync(events.dir) ? null : true));
});

test('a segment of a newer version stays, and is told', async () => {
  const events = spool(4096).record(30, 5).mark();
  const path = segmentPath(events.dir, 1);
  const bytes = readFileSync(path);
  bytes.writeUInt16LE(2, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  writeFileSync(path, bytes);
  const shipper = ship();
  await eventually('the rest arrives and goes', () => (listSegments(events.dir).length === 2 && kafka.seqs(events.stream).includes(events.lastSeq) ? true : null));
  assert.ok(listSegments(events.dir).some(({ index }) => index === 1));
  assert.equal(log.lines.filter(({ fields }) => (fields as { code?: string }).code === 'spool_version').length, 1);
  assert.ok(shipper.status().behindBytes > 0);
});

test('half a frame, which is what a write looks like from outside, waits for its other half', async () => {
  const events = spool().record(2, 2);
  const path = segmentPath(events.dir, 1);
  const whole = readFileSync(path);
  writeFileSync(path, whole.subarray(0, whole.length - 7));
  ship();
  await eventually('the first frame', () => (kafka.seqs(events.stream).length > 0 ? true : null));
  writeFileSync(path, whole);
  await arrived(events);
  assert.deepEqual(kafka.seqs(events.stream), upTo(3));
  assert.equal(kafka.chunks.some(({ kind }) => kind === 'unreadable'), false);
});

test('what must be mended is told apart from what passes, and only until the first connection', async () => {
  const events = spool().record(5, 1, { timeMs: Date.now() - 60_000 });
  kafka.refuses = new TidegateError('kafka_unreachable', 'nobody there');
  const shipper = ship();
  await eventually('it fails', () => shipper.status().failing);
  assert.equal(shipper.startFault, null, 'an outage');
  assert.ok(shipper.status().behindSeconds >= 60);
  kafka.refuses = new TidegateError('kafka_unauthenticated', 'wrong password');
  await eventually('it must be mended', () => (shipper.startFault?.code === 'kafka_unauthenticated' ? true : null));
  kafka.refuses = null;
  await arrived(events);
  const status = await eventually('all is well', () => (shipper.status().failing === null ? shipper.status() : null));
  assert.deepEqual([status.behindBytes, status.behindSeconds, status.shipped, shipper.startFault], [0, 0, 5, null]);
});

test('up to where all is acknowledged is told with the mark, and never further', async () => {
  const events = spool().record(10, 10).mark();
  ship();
  const told = (): (number | undefined)[] => kafka.chunks.flatMap((chunk) => (chunk.kind === 'state' ? [chunk.facts.shippedSeq] : []));
  assert.equal(await eventually('the first word', () => told()[0] ?? null), -1, 'nothing is acknowledged yet');
  await arrived(events);
  await eventually('all of it', () => (told().at(-1) === 99 ? true : null));
  kafka.sendFails = new TidegateError('kafka_unreachable', 'gone');
  events.record(10, 10).mark();
  kafka.keepsWhatFails = true;
  const words = told().length;
  await eventually('the mark goes, and fails', () => (told().length > words ? true : null));
  assert.equal(told().at(-1), 99);
  kafka.sendFails = null;
  await eventually('the rest of it', () => (told().at(-1) === 199 ? true : null));
});

test('at the end it ships what could have waited for more, of living and of sealed streams', async () => {
  const shipper = ship({ chunkAgeMs: 60_000 });
  const living = spool().record(5, 1);
  const dead = spool(undefined, 2).record(5, 1);
  await eventually('the streams are known', () => (new Set(kafka.sent.map(({ key }) => key)).size === 2 ? true : null));
  assert.deepEqual([kafka.seqs(living.stream), kafka.seqs(dead.stream)], [[], []]);
  await dead.seal();
  await shipper.stop(10_000);
  assert.deepEqual([kafka.seqs(living.stream), kafka.seqs(dead.stream)], [upTo(4), upTo(4)]);
  assert.deepEqual([existsSync(living.dir), existsSync(dead.dir)], [true, false]);
});

test('a Kafka that refuses this machine\'s time takes the same without one, at once: nothing fails, and it is counted', async () => {
  const events = spool().record(10, 3).mark();
  kafka.clockMs = null;
  kafka.takesTime = false;
  const shipper = ship();
  await arrived(events);
  assert.ok(kafka.timed.length > 0 && kafka.timed.every((timed) => !timed));
  assert.deepEqual(shipper.failures, [['kafka_clock_off', 1]]);
  const { failing, clockAheadSeconds, warnings } = shipper.status();
  assert.deepEqual([failing, clockAheadSeconds, warnings.map(({ code }) => code)], [null, 3600, ['kafka_clock_off', 'kafka_topic_clock']]);
  assert.deepEqual(log.lines.filter(({ level }) => level === 'error'), []);
});
