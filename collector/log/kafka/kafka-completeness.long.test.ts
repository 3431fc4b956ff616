/** What is missing in the record, or late, or not as it should be, where events come through Kafka: judged from the store alone, by any collector. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import type { StreamFacts } from '../../../gateway/events/chunk.js';
import { GAP_WORKER } from '../../../gateway/events/event.js';
import { putGap } from '../../../gateway/events/gap-stream.js';
import { Shipper } from '../../../gateway/events/shipper/shipper.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { completeness, type Completeness } from '../../completeness/completeness.js';
import { DUE_AFTER_MS } from '../../completeness/mark-watch.js';
import { openStore } from '../../store/open-store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const DAY_MS = 86_400_000;

test('every gap below the last logged seq is missing within a minute, of living streams and of dead ones, and nothing else is', { timeout: 120_000, skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-gaps-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start();
  t.after(() => kafka.stop());
  const topic = await TestTopic.make(kafka, 2);
  t.after(() => topic.close());
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  t.after(() => store.close());
  const open = (name: string): Promise<KafkaEventLog> => KafkaEventLog.open({ collectorDir: join(dataDir, name), store, log: silentLog, kafka: topic.options() });
  const log = await open('collector');
  t.after(() => log.stop());

  let worker = 0;
  let sent = 0;
  const names = new Map<string, string>();
  /** A stream of ten chunks of 93 rows, some of which never come. */
  const ship = async (what: string, lost: readonly number[], how: { sealed?: true; said?: Partial<StreamFacts>; then?: Partial<StreamFacts>; drop?: true } = {}): Promise<void> => {
    const stream = new RandomStream(join(dataDir, 'spool'), ++worker, Date.now() - 2_500_000).write(930);
    if (how.drop === true) {
      stream.recorder.setRoom(10, 1);
      stream.write(62);
      stream.recorder.setRoom(0, Number.MAX_SAFE_INTEGER);
      stream.write(93);
    }
    stream.mark();
    if (how.sealed === true) stream.seal();
    await stream.recorder.close();
    names.set(basename(stream.dir), what);
    const come = chunksOf(stream.dir, 3).filter((_, i) => !lost.includes(i));
    await topic.send([stateOf(stream.dir, { seal: null }), ...come, stateOf(stream.dir, { markedAt: new Date().toISOString(), ...how.said })]);
    if (how.then !== undefined) {
      // noted before the next comes
      await eventually('it is read', async () => {
        await log.step();
        return (await store.query(`SELECT 1 FROM tidegate.streams FINAL WHERE stream = 0x${basename(stream.dir)} AND shipped_seq IS NOT NULL`)).length > 0 ? true : null;
      }, 60_000, 0);
      await topic.send([stateOf(stream.dir, { markedAt: new Date().toISOString(), ...how.then })]);
    }
    sent += come.length * 93;
  };
  await ship('living, a part in the middle', [4]);
  await ship('living, the last part', [9]);
  await ship('living, nothing', []);
  await ship('living, on its way', [4, 9], { said: { shippedSeq: 92 } });
  await ship('living, shipped and not there', [4, 9], { said: { shippedSeq: 929 } });
  await ship('living, said less later', [4], { said: { shippedSeq: 929 }, then: { shippedSeq: -1 } });
  await ship('living, dropped', [], { drop: true });
  await ship('dead, a part in the middle', [4], { sealed: true });
  await ship('dead, the last part', [9], { sealed: true });
  await ship('dead, all of it', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], { sealed: true });
  await ship('dead, dropped', [], { sealed: true, drop: true });
  await ship('living, of another machine', [], { said: { instance: 'instance-b' } });
  await eventually('all is read', async () => {
    await log.step();
    const [noted] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.streams FINAL WHERE sealed_at IS NOT NULL');
    return log.totals.storedRows === sent && noted?.n === 4 ? true : null;
  }, 60_000, 0);

  const judge = async (by: KafkaEventLog, nowMs: number): Promise<Completeness> =>
    completeness(store, await by.facts(nowMs, nowMs), { fromMs: nowMs - DAY_MS, toMs: nowMs + DAY_MS, nowMs, nodes: ['node-a', 'node-z'] });
  const missing = (judged: Completeness): Record<string, number> => Object.fromEntries(judged.streams.filter((row) => row.missing > 0).map((row) => [names.get(row.stream) ?? '', row.missing] as const));
  const now = Date.now();
  const atOnce = { 'dead, a part in the middle': 93, 'dead, the last part': 93, 'dead, all of it': 930, 'living, shipped and not there': 186, 'living, said less later': 93 };
  const first = await judge(log, now);
  assert.deepEqual(missing(first), atOnce);
  const later = await judge(log, now + DUE_AFTER_MS);
  const all = { ...atOnce, 'living, a part in the middle': 93, 'living, the last part': 93 };
  assert.deepEqual(missing(later), all);
  assert.equal(later.dropped.reduce((sum, { count }) => sum + count, 0), 124);
  // any other collector judges the same
  const other = await open('another');
  await judge(other, now);
  assert.deepEqual(missing(await judge(other, now + DUE_AFTER_MS)), all);

  assert.ok(first.reasons.includes('nothing was ever heard of node node-z, which is expected'), first.reasons.join('\n'));
  assert.deepEqual(first.warnings, ['2 nodes call themselves node-a (instance-a, instance-b): give each its own name']);

  // a node whose data directory was put back: its gap goes as a stream does, and is gone from its spool
  const spoolDir = join(dataDir, 'put-back');
  mkdirSync(spoolDir);
  const [fromMs, toMs] = [now - 10 * DAY_MS, now - 9 * DAY_MS];
  putGap(spoolDir, { node: 'node-a', fromMs, toMs }, ['test']);
  const shipper = new Shipper({ spoolDir, instance: 'i'.repeat(32), settings: topic.settings, log: silentLog });
  shipper.start();
  t.after(() => shipper.stop(0));
  await eventually('the gap is read', async () => {
    await log.step();
    return (await store.query(`SELECT 1 FROM tidegate.streams FINAL WHERE worker = ${GAP_WORKER}`)).length > 0 ? true : null;
  }, 60_000, 0);
  await eventually('it is gone from the spool', () => (readdirSync(spoolDir).length === 0 ? true : null));
  for (const by of [log, other]) {
    const of = async (time: { readonly fromMs: number; readonly toMs: number }): Promise<readonly string[]> => (await completeness(store, await by.facts(now, now), { ...time, nowMs: now })).reasons;
    assert.deepEqual(await of({ fromMs: fromMs + 1000, toMs: fromMs + 2000 }), [`the data directory of node node-a went back to how it was at ${new Date(fromMs).toISOString()}: what the node answered from then until ${new Date(toMs).toISOString()} may be missing`]);
    assert.deepEqual(await of({ fromMs: toMs, toMs: toMs + DAY_MS }), []);
  }

  const silent = await judge(log, Date.now() + 70_000);
  assert.match(silent.reasons.join('\n'), /is silent since/);
});
