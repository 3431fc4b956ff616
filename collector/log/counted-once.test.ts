/** A step that fails is done again, and finds again what it had found: the totals that become counters count it once, when it is done. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { ChunkMessage } from '../../gateway/events/chunk.js';
import { SEGMENT_HEADER_BYTES, segmentPath } from '../../gateway/events/segment.js';
import { eventually } from '../../test/harness/deadline.js';
import { TestKafka } from '../../test/harness/kafka.js';
import { requires } from '../../test/harness/requires.js';
import { Collector } from '../collector.js';
import { chunksOf, TestTopic } from './kafka/topic.fixture.js';
import { RandomStream, silentLog } from './random-events.fixture.js';

const DAY_MS = 86_400_000;

function dataDirOf(t: TestContext): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-counted-once-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  return dataDir;
}

/** What comes second is found by three steps that fail, having no place for its new rows, and by one that does not. */
async function totalsOf(dataDir: string, topic: TestTopic | null, first: () => void | Promise<void>, second: () => void | Promise<void>): Promise<{ readonly stored: number; readonly repeats: number; readonly quarantined: number }> {
  let failures = 0;
  const collector = await Collector.start({
    dataDir, retention: { eventsMs: DAY_MS, minutesMs: DAY_MS, quarterHoursMs: DAY_MS, maxBytes: 1e12 }, log: { ...silentLog, error: (_fields, text) => { if (text.startsWith('storing failed')) failures++; } },
    kafka: topic === null ? null : topic.options(),
  });
  try {
    await first();
    await eventually('the first are stored', () => collector.status().stored === 310 || null, 60_000);
    const staging = join(dataDir, 'collector', 'staging');
    rmSync(staging, { recursive: true });
    writeFileSync(staging, '');
    await second();
    await eventually('three steps fail', () => failures >= 3 || null, 60_000);
    rmSync(staging);
    mkdirSync(staging);
    await eventually('all is stored', () => collector.status().stored === 620 || null, 60_000);
    const { stored, repeats, quarantined } = collector.status();
    return { stored, repeats, quarantined };
  } finally {
    await collector.stop();
  }
}

test('of the spool', { skip: requires('chdb') }, async (t) => {
  const dataDir = dataDirOf(t);
  const made = (worker: number): RandomStream => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000).write(310);
  let path = '';
  const totals = await totalsOf(dataDir, null, () => { path = segmentPath(made(1).dir, 1); }, () => {
    // as a spool restored over a newer one can have them
    const frames = readFileSync(path).subarray(SEGMENT_HEADER_BYTES);
    const damaged = Buffer.from(frames);
    damaged[100] = (damaged[100] as number) ^ 4;
    appendFileSync(path, Buffer.concat([frames, damaged]));
    made(2);
  });
  assert.deepEqual(totals, { stored: 620, repeats: 310 + 310 - 31, quarantined: 1 });
});

test('of Kafka', { skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = dataDirOf(t);
  await using kafka = await TestKafka.start();
  const topic = await TestTopic.make(kafka, 1);
  t.after(() => topic.close());
  const [first, second] = [1, 2].map((worker) => chunksOf(new RandomStream(join(dataDir, 'elsewhere'), worker, Date.now() - 2_500_000).write(310).dir)) as [ChunkMessage[], ChunkMessage[]];
  const totals = await totalsOf(dataDir, topic, () => topic.send(first), () => topic.send([...first, { ...first[0], value: Buffer.from('no frames at all') }, ...second]));
  assert.deepEqual(totals, { stored: 620, repeats: 310, quarantined: 1 });
});
