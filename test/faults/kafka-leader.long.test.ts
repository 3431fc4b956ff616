/** Three brokers, and the leader of partitions under load killed and paused, again and again: what was acknowledged is there, each stream whole. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeptLog } from '../../gateway/events/event-samples.fixture.js';
import { LOG_SETTINGS, readTopic, seqsOf } from '../../gateway/events/shipper/kafka-log.fixture.js';
import { Shipper } from '../../gateway/events/shipper/shipper.js';
import { SpooledEvents } from '../../gateway/events/shipper/spooled-events.fixture.js';
import { eventually } from '../harness/deadline.js';
import { TestKafka } from '../harness/kafka.js';
import { requires } from '../harness/requires.js';

const ROUNDS = Number(process.env['TEST_KILLS'] ?? 2);

test('leaders killed and stalled under load: nothing is lost, and each stream is whole', { skip: requires('kafka') }, async (t) => {
  await using kafka = await TestKafka.start({ brokers: 3 });
  const spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-leader-'));
  const settings = { ...LOG_SETTINGS, brokers: kafka.brokers.split(','), partitions: 6 };
  const log = new KeptLog();
  const streams = [1, 2, 3, 4].map((worker) => new SpooledEvents(spoolDir, 65_536, worker));
  const shipper = new Shipper({ spoolDir, instance: 'i'.repeat(32), settings, log });
  const load = setInterval(() => { for (const events of streams) events.record(4, 5).mark(); }, 10);
  try {
    shipper.start();
    await eventually('events are shipped', () => (shipper.status().shipped > 1000 ? true : null), 60_000);
    for (let round = 0; round < ROUNDS; round++) {
      const leader = await kafka.withAdmin(async (admin) => (await admin.fetchTopicMetadata({ topics: [settings.topic] })).topics[0]?.partitions[round % 6]?.leader ?? 1);
      const shipped = shipper.status().shipped;
      if (round % 2 === 1) kafka.pause(leader);
      else await kafka.kill(leader);
      await eventually('shipping goes on without this broker', () => (shipper.status().shipped > shipped + 5000 && shipper.status().failing === null ? true : null), 120_000);
      if (round % 2 === 1) kafka.resume(leader);
      else await kafka.restart(leader);
    }
    clearInterval(load);
    for (const events of streams) await events.seal();
    await eventually('the spool is empty', () => (streams.every(({ dir }) => !existsSync(dir)) ? true : null), 120_000);
  } finally {
    clearInterval(load);
    await shipper.stop(0);
    for (const events of streams) await events.recorder.close();
    rmSync(spoolDir, { recursive: true, force: true });
  }
  // a request to a leader that stands still is not sent to it again
  const unanswered = log.lines.filter(({ message }) => message.startsWith('kafka: Request Produce') && message.includes('timed out')).length;
  assert.ok(unanswered <= Math.floor(ROUNDS / 2), `${unanswered} requests without an answer`);
  const chunks = await readTopic(settings);
  const seqs = seqsOf(chunks);
  let repeats = 0;
  for (const { stream, lastSeq } of streams) {
    const own = seqs.get(stream) ?? [];
    repeats += own.length - (lastSeq + 1);
    assert.deepEqual([...new Set(own)].sort((a, b) => a - b), Array.from({ length: lastSeq + 1 }, (_, i) => i));
    assert.equal(new Set(chunks.filter(({ chunk }) => chunk.stream === stream).map(({ partition }) => partition)).size, 1);
  }
  t.diagnostic(`${ROUNDS} leaders lost, ${streams.reduce((sum, { lastSeq }) => sum + lastSeq + 1, 0)} events, ${repeats} of them sent again`);
});
