/** The shipper against a real Kafka: what is in the log afterwards is read back and counted, seq by seq. */
import { after, afterEach, before, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { KeptLog } from '../event-samples.fixture.js';
import type { KafkaSettings } from '../kafka-client.js';
import { listSegments } from '../segment.js';
import { LOG_SETTINGS, readTopic, seqsOf } from './kafka-log.fixture.js';
import { Shipper } from './shipper.js';
import { SpooledEvents } from './spooled-events.fixture.js';

const skip = requires('kafka');
let kafka: TestKafka;
let spoolDir = '';
let topics = 0;
let settings: KafkaSettings;
const log = new KeptLog();
const open: (() => Promise<void>)[] = [];

before(async () => { if (skip === false) kafka = await TestKafka.start(); });
after(async () => { if (skip === false) await kafka.stop(); });
beforeEach(() => {
  if (skip !== false) return;
  spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-shipper-'));
  const topic = `events-${++topics}`;
  settings = { ...LOG_SETTINGS, brokers: kafka.brokers.split(','), topic, quarantineTopic: `${topic}.quarantine` };
});
afterEach(async () => {
  for (const close of open.splice(0)) await close();
  rmSync(spoolDir, { recursive: true, force: true });
});

function spool(segmentBytes?: number, worker?: number): SpooledEvents {
  const events = new SpooledEvents(spoolDir, segmentBytes, worker);
  open.push(() => events.recorder.close());
  return events;
}

function ship(changes: Partial<KafkaSettings> = {}): Shipper {
  const shipper = new Shipper({ spoolDir, instance: 'i'.repeat(32), settings: { ...settings, ...changes }, log });
  open.unshift(() => shipper.stop(0));
  shipper.start();
  return shipper;
}

const upTo = (last: number): number[] => Array.from({ length: last + 1 }, (_, i) => i);
const nothingWaits = (shipper: Shipper): Promise<true> => eventually('nothing waits', () => {
  const { behindBytes, failing } = shipper.status();
  return behindBytes === 0 && failing === null ? true : null;
}, 60_000);

test('everything is in the log once, each stream in order in its own partition, and goes from the spool', { skip }, async () => {
  const streams = [spool(8192), spool(8192, 2), spool(8192, 3), spool(8192, 4)];
  const shipper = ship();
  for (let round = 0; round < 20; round++) {
    for (const [i, events] of streams.entries()) events.record(10 + i, 3).mark();
    await eventually('a look', () => (shipper.status().behindBytes >= 0 ? true : null));
  }
  await nothingWaits(shipper);
  assert.equal(shipper.status().shipped, streams.reduce((sum, { lastSeq }) => sum + lastSeq + 1, 0));
  for (const { dir } of streams) await eventually('segments go', () => (listSegments(dir).length === 1 ? true : null));
  for (const events of streams) await events.seal();
  await eventually('the spool is empty', () => (readdirSync(spoolDir).length === 0 ? true : null));
  const chunks = await readTopic(settings);
  const seqs = seqsOf(chunks);
  for (const { stream, lastSeq } of streams) {
    assert.deepEqual(seqs.get(stream), upTo(lastSeq));
    const own = chunks.filter(({ chunk }) => chunk.stream === stream);
    assert.equal(new Set(own.map(({ partition }) => partition)).size, 1);
    const [first, last] = [own[0]?.chunk, own.at(-1)?.chunk];
    assert.ok(first?.kind === 'state' && first.facts.seal === null);
    assert.ok(last?.kind === 'state' && last.facts.seal?.lastSeq === lastSeq);
  }
});

test('Kafka stopped and started again: the spool keeps all, and shipping goes on by itself', { skip }, async () => {
  const events = spool(8192).record(100, 3).mark();
  const shipper = ship();
  await nothingWaits(shipper);
  await kafka.kill();
  const files = (): number => listSegments(events.dir).length;
  const before = files();
  events.record(200, 3).mark();
  const { code } = await eventually('it is told', () => shipper.status().failing);
  assert.equal(code, 'kafka_unreachable');
  assert.ok(files() > before + 3 && shipper.status().behindBytes > 0 && shipper.startFault === null);
  await kafka.restart();
  await nothingWaits(shipper);
  await events.seal();
  await eventually('the directory is gone', () => (existsSync(events.dir) ? null : true));
  assert.deepEqual([...new Set(seqsOf(await readTopic(settings)).get(events.stream))].sort((a, b) => a - b), upTo(899));
});

test('a Kafka that hangs is told within seconds, and nothing is lost or out of order when it goes on', { skip }, async () => {
  const events = spool(8192).record(10, 3).mark();
  const shipper = ship();
  await nothingWaits(shipper);
  kafka.pause();
  try {
    events.record(100, 3).mark();
    assert.equal((await eventually('it is told', () => shipper.status().failing)).code, 'kafka_unreachable');
  } finally {
    kafka.resume();
  }
  await nothingWaits(shipper);
  const seqs = seqsOf(await readTopic(settings)).get(events.stream) ?? [];
  assert.deepEqual([...new Set(seqs)], upTo(329), 'first comes of each in order; there may be repeats');
});

test('killed with a request under way, or between an acknowledgement and its note: nothing is lost, and repeats lie where the first come lies', { skip }, async () => {
  const streams = [spool(32_768), spool(32_768, 2)];
  let repeats = 0;
  for (const [at, round] of [['ack', 1], ['sent', 1], ['ack', 2], ['sent', 2], ['ack', 3], ['sent', 3]] as const) {
    for (const events of streams) events.record(400, 5).mark();
    assert.equal(await shipInProcess({ at, round }), 'SIGKILL');
  }
  for (const events of streams) await events.seal();
  assert.equal(await shipInProcess({ at: null, round: 0 }), null);
  assert.deepEqual(readdirSync(spoolDir), []);
  const chunks = await readTopic(settings);
  for (const { stream, lastSeq } of streams) {
    const seqs = seqsOf(chunks).get(stream) ?? [];
    repeats += seqs.length - (lastSeq + 1);
    assert.deepEqual([...new Set(seqs)].sort((a, b) => a - b), upTo(lastSeq));
    assert.equal(new Set(chunks.filter(({ chunk }) => chunk.stream === stream).map(({ partition }) => partition)).size, 1);
  }
  assert.ok(repeats > 0, 'a kill between acknowledgement and note repeats');
});

/** Resolves with the signal that ended it. */
async function shipInProcess(place: { readonly at: 'sent' | 'ack' | null; readonly round: number }): Promise<NodeJS.Signals | null> {
  const compiled = import.meta.url.endsWith('.js');
  const fixture = fileURLToPath(new URL(`./shipper-to-kill.fixture.${compiled ? 'js' : 'ts'}`, import.meta.url));
  const child = spawn(process.execPath, [...(compiled ? [] : ['--import', 'tsx']), fixture, JSON.stringify({ spoolDir, settings: { ...settings, chunkEvents: 100 }, ...place })], { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) => {
      if (exitCode === null || exitCode === 0) resolve(signal);
      else reject(new Error(`the shipper ended with ${exitCode}`));
    });
  });
}

for (const { words, apps, routes, medianUs, most } of [
  { words: '4 apps x 4 routes', apps: 4, routes: 4, medianUs: 1000, most: 25 },
  // easier than the bench's of these numbers: one network, bodies of fixed length, and so on; those take 28 (docs/benchmarks.md)
  { words: '200 apps x 20 routes, one network', apps: 200, routes: 20, medianUs: 9000, most: 25 },
] as const) {
  test(`bytes an event takes on the wire, 1,000 a chunk, and events a second: ${words}`, { skip }, async (t) => {
    const events = spool(16 << 20);
    let ordinal = 0;
    /** Turns of 25 rows. */
    const record = (rows: number): void => {
      for (const end = ordinal + rows; ordinal < end; ordinal += 25) {
        events.record(1, 25, () => {
          const upstreamUs = lognormal(medianUs, 1);
          return { timeMs: 1_795_260_000_000 + ordinal, upstreamUs, durationUs: upstreamUs + lognormal(250, 0.5), bytesOut: apps > 4 ? lognormal(6000, 1.2) : 400, recordedPath: '' };
        }, () => ({ app: `app-${random(apps)}`, route: `route-${random(routes)}` }));
      }
    };
    const kept = (): number => {
      const folder = join(kafka.folder, 'data-1', `${settings.topic}-0`);
      return readdirSync(folder).filter((name) => name.endsWith('.log')).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    };
    const first = ship({ partitions: 1 });
    for (let chunk = 0; chunk < 20; chunk++) {
      record(1000);
      await nothingWaits(first);
    }
    await first.stop(0);
    const single = kept() / 20_000;
    const rows = 200_000;
    record(rows);
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    const second = ship({ partitions: 1 });
    await nothingWaits(second);
    const seconds = (performance.now() - startedMs) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    await second.stop(0);
    t.diagnostic(`${single.toFixed(1)} bytes an event in Kafka, ${((kept() - single * 20_000) / rows).toFixed(1)} while catching up; `
      + `${Math.round(rows / seconds)} events/s with connecting, ${Math.round(rows / ((user + system) / 1e6))} a CPU second`);
    assert.ok(single <= most, `${single} bytes an event`);
  });
}

const random = (below: number): number => Math.floor(Math.random() * below);
const lognormal = (median: number, sigma: number): number => Math.round(median * Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random())));
