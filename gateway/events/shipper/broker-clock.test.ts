/** What the answers of Kafka say of this machine's clock, and what follows from it. test/e2e/kafka-clocks.long.test.ts has the real ones. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { KeptLog } from '../event-samples.fixture.js';
import { BrokerClock } from './broker-clock.js';

const NOW = 1_795_260_000_000;

function connected(brokerTime = true): { clock: BrokerClock; log: KeptLog; set: (ms: number) => void } {
  const log = new KeptLog();
  let monotonicMs = 0;
  const clock = new BrokerClock(log, () => monotonicMs);
  clock.connected({ brokerTime, aheadTakenMs: 1_800_000 });
  return { clock, log, set: (ms) => { monotonicMs = ms; } };
}
/** Sent at NOW, answered 400 ms later. */
const answer = (clock: BrokerClock, ...appended: readonly number[]): void => { clock.answered({ sentAtMs: NOW, answeredAtMs: NOW + 400, appendedAtMs: appended.map((ms) => NOW + ms) }); };

test('what the way there and back can explain is no difference; of several brokers the one that agrees best counts', () => {
  const { clock } = connected();
  assert.equal(clock.aheadSeconds, null);
  const cases: [readonly number[], number][] = [[[0], 0], [[400], 0], [[200], 0], [[-500], 0.5], [[1400], -1], [[-7_200_000, 500], -0.1], [[-7_200_000, -3_600_000], 3600]];
  for (const [appended, ahead] of cases) {
    answer(clock, ...appended);
    assert.equal(Math.abs(clock.aheadSeconds ?? Number.NaN) === 0 ? 0 : clock.aheadSeconds, ahead, appended.join());
  }
});

test('a difference of a minute is told once, by which and in which direction, and its end is', () => {
  const { clock, log } = connected();
  answer(clock, -59_999);
  assert.deepEqual([clock.warnings, log.lines], [[], []]);
  answer(clock, -60_000);
  answer(clock, -61_000);
  assert.deepEqual(clock.warnings, [{ code: 'kafka_clock_off', detail: 'the clock of this machine is 61 s ahead of that of Kafka' }]);
  answer(clock, 7_200_400);
  assert.equal(clock.warnings[0]?.detail, 'the clock of this machine is 7200 s behind that of Kafka');
  answer(clock, 100);
  assert.deepEqual(clock.warnings, []);
  assert.deepEqual(log.lines.map(({ level, fields }) => [level, 'code' in fields ? fields.code : null]), [['warn', 'kafka_clock_off'], ['info', null]]);
});

test('refused as too far ahead: without a time for ten minutes, the least difference is told, and then it is tried again', () => {
  const { clock, set } = connected(false);
  answer(clock);
  assert.deepEqual([clock.withoutTime, clock.aheadSeconds, clock.warnings.map(({ code }) => code)], [false, null, ['kafka_topic_clock']]);
  assert.equal(clock.refused(), true);
  answer(clock);
  assert.deepEqual([clock.withoutTime, clock.aheadSeconds, clock.brokerTime], [true, 1800, false]);
  assert.equal(clock.warnings[0]?.detail, 'the clock of this machine is more than 1800 s ahead of that of Kafka, which does not take its time');
  assert.equal(clock.refused(), false, 'refused without a time: that is no clock');
  set(600_000);
  assert.equal(clock.withoutTime, false);
  assert.equal(clock.refused(), true, 'still fast');
  set(1_200_000);
  answer(clock);
  assert.deepEqual([clock.aheadSeconds, clock.warnings.map(({ code }) => code)], [null, ['kafka_topic_clock']]);
});

test('a topic that somebody else has altered meanwhile: the answers have the time', () => {
  const { clock } = connected(false);
  clock.refused();
  answer(clock, -7_200_000);
  assert.deepEqual([clock.brokerTime, clock.withoutTime, clock.aheadSeconds, clock.warnings.map(({ code }) => code)], [true, false, 7200, ['kafka_clock_off']]);
});
