import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseGrant, WorkerMessage } from '../../supervisor/protocol.js';
import { LeaseBook } from './lease-book.js';

const KEY = 'qpd:app:a';
const DAY1 = 'qpd:app:a:2026-11-21';
const DAY2 = 'qpd:app:a:2026-11-22';
const MIDNIGHT = Date.parse('2026-11-22T00:00:00Z');
const NOON = MIDNIGHT - 43_200_000;

class Bench {
  nowMs = 1000;
  lastSeq = -1;
  readonly sent: WorkerMessage[] = [];
  #flush: (() => void) | null = null;
  readonly book = new LeaseBook({
    send: (message) => { this.sent.push(structuredClone(message)); },
    clock: { wallMs: () => NOON, monotonicMs: () => this.nowMs },
    lastWrittenSeq: () => this.lastSeq, defer: (flush) => { this.#flush = flush; }, idleMs: 3000,
    quotaHorizonMs: 200, shares: () => 2,
  });

  connect(): this {
    this.book.connected();
    this.turn();
    return this;
  }

  /** The turn of the event loop ends: answers what was sent. */
  turn(): WorkerMessage[] {
    this.#flush?.();
    this.#flush = null;
    return this.sent.splice(0);
  }

  tick(ms: number): WorkerMessage[] {
    this.nowMs += ms;
    this.book.tick();
    return this.turn();
  }

  grant(granted: number, over: Partial<LeaseGrant> = {}): void {
    this.book.onGranted({ type: 'granted', id: 1, grants: [{
      key: DAY1, granted, remaining: 10, limit: 100, burst: 20, retryAfterMs: granted > 0 ? 0 : 1000, dayStartMs: MIDNIGHT - 86_400_000, dayEndMs: MIDNIGHT, ...over,
    }] });
  }

  async granted(units: number): Promise<void> {
    const asked = this.book.ask(KEY);
    this.turn();
    this.grant(units);
    assert.equal(await asked, 'taken');
  }
}

const wants = (messages: readonly WorkerMessage[]): unknown[] => messages.flatMap((message) => message.type === 'lease' ? message.wants : []);

test('the first request asks, all who wait share the question, and what comes is taken in order', async () => {
  const bench = new Bench().connect();
  assert.equal(bench.book.tryTake(KEY, NOON), 'ask');
  const asked = [bench.book.ask(KEY), bench.book.ask(KEY), bench.book.ask(KEY)];
  assert.deepEqual(wants(bench.turn()), [{ key: KEY, want: 4, used: 0 }]);
  bench.grant(2);
  assert.deepEqual(await Promise.all(asked.slice(0, 2)), ['taken', 'taken']);
  // two of three served: the third asks on
  assert.equal(wants(bench.turn()).length, 1);
  bench.grant(0);
  assert.equal(await asked[2], 'empty');
  assert.deepEqual(bench.book.counts(), [['asked', 3], ['granted', 1], ['empty', 1], ['unavailable', 0]]);
});

test('known to be empty: refused without asking, until the time is over or units are there', async () => {
  const bench = new Bench().connect();
  const asked = bench.book.ask(KEY);
  bench.turn();
  bench.grant(0, { retryAfterMs: 500 });
  assert.equal(await asked, 'empty');
  assert.equal(bench.book.tryTake(KEY, NOON), 'empty');
  bench.book.onAvailable({ type: 'available', keys: [KEY] });
  assert.equal(bench.book.tryTake(KEY, NOON), 'ask');
  const again = bench.book.ask(KEY);
  bench.turn();
  bench.grant(0, { retryAfterMs: 500 });
  assert.equal(await again, 'empty');
  bench.nowMs += 499;
  assert.equal(bench.book.tryTake(KEY, NOON), 'empty');
  bench.nowMs += 1;
  assert.equal(bench.book.tryTake(KEY, NOON), 'ask');
});

test('more is asked for before it runs out, as much as demand takes in the horizon', async () => {
  const bench = new Bench().connect();
  await bench.granted(100);
  let at = 0;
  const sizes: number[] = [];
  for (let i = 0; i < 400; i++) {
    // one a millisecond
    bench.nowMs++;
    if (bench.book.tryTake(KEY, NOON) !== 'taken') at++;
    for (const { want } of wants(bench.turn()) as { want: number }[]) {
      sizes.push(want);
      bench.grant(want);
    }
  }
  assert.equal(at, 0);
  const last = sizes.at(-1) ?? 0;
  assert.ok(last >= 90 && last <= 210, `${sizes.join(' ')}`);
});

test('the ledger does not answer: unavailable after a second, and a late grant is not lost', async () => {
  const bench = new Bench().connect();
  const asked = bench.book.ask(KEY);
  bench.turn();
  bench.tick(999);
  bench.tick(1);
  assert.equal(await asked, 'unavailable');
  bench.grant(5);
  assert.equal(bench.book.tryTake(KEY, NOON), 'taken');
  assert.deepEqual(bench.book.holdings(), [{ key: DAY1, held: 5, used: 0 }]);
});

test('the link is down: what is held is gone on with, and who waits is asked for at the next hello', async () => {
  const bench = new Bench().connect();
  await bench.granted(2);
  bench.book.disconnected();
  assert.equal(bench.book.tryTake(KEY, NOON), 'taken');
  const asked = bench.book.ask(KEY);
  assert.deepEqual(bench.turn(), []);
  bench.lastSeq = 7;
  bench.book.recorded(DAY1);
  assert.deepEqual(bench.book.holdings(), [{ key: DAY1, held: 1, used: 1 }]);
  bench.book.connected();
  assert.deepEqual(bench.turn().map(({ type }) => type), ['used', 'lease']);
  bench.grant(1);
  assert.equal(await asked, 'taken');
});

test('an ask that was lost with the link is made again', async () => {
  const bench = new Bench().connect();
  await bench.granted(3);
  bench.book.tryTake(KEY, NOON);
  bench.book.tryTake(KEY, NOON);
  assert.equal(wants(bench.turn()).length, 1);
  bench.grant(2);
  bench.book.tryTake(KEY, NOON);
  assert.equal(wants(bench.turn()).length, 1);
  bench.book.disconnected();
  bench.connect();
  assert.equal(bench.book.tryTake(KEY, NOON), 'taken');
  assert.equal(wants(bench.turn()).length, 1);
});

test('used units are told each second, as of the last row written, all keys that changed together', async () => {
  const bench = new Bench().connect();
  bench.tick(1000);
  await bench.granted(5);
  assert.equal(bench.book.tryTake(KEY, NOON), 'taken');
  bench.book.recorded(DAY1);
  bench.book.recorded(DAY1);
  bench.lastSeq = 12;
  const used = bench.tick(1000).filter(({ type }) => type === 'used');
  assert.deepEqual(used, [{ type: 'used', lastSeq: 12, used: [[DAY1, 2]] }]);
  assert.deepEqual(bench.tick(1000).filter(({ type }) => type === 'used'), [{ type: 'used', lastSeq: 12, used: [] }]);
});

test('a recall takes what is held, not what is under way; what comes free later follows', async () => {
  const bench = new Bench().connect();
  await bench.granted(10);
  bench.book.tryTake(KEY, NOON);
  bench.turn();
  bench.book.onRecall({ type: 'recall', recall: 3, keys: [DAY1] });
  assert.deepEqual(bench.turn(), [{ type: 'used', lastSeq: -1, used: [] }, { type: 'give_back', recall: 3, returns: [[DAY1, 8]] }]);
  bench.book.giveBack(DAY1);
  assert.deepEqual(bench.turn(), [{ type: 'give_back', recall: null, returns: [[DAY1, 1]] }]);
  bench.book.onRecall({ type: 'recall', recall: 4, keys: [DAY1] });
  assert.deepEqual(bench.turn().at(-1), { type: 'give_back', recall: 4, returns: [] });
});

test('a unit given back serves who waits', async () => {
  const bench = new Bench().connect();
  await bench.granted(1);
  const asked = bench.book.ask(KEY);
  bench.book.giveBack(DAY1);
  assert.equal(await asked, 'taken');
});

test('the ledger turns the day: what is left of the old one goes back, requests under way still end in it', async () => {
  const bench = new Bench().connect();
  await bench.granted(5);
  assert.equal(bench.book.tryTake(KEY, MIDNIGHT - 1), 'taken');
  assert.equal(bench.book.tryTake(KEY, MIDNIGHT), 'ask');
  const asked = bench.book.ask(KEY);
  bench.turn();
  bench.grant(4, { key: DAY2, dayStartMs: MIDNIGHT, dayEndMs: MIDNIGHT + 86_400_000 });
  assert.equal(await asked, 'taken');
  assert.equal(bench.book.today(KEY)?.key, DAY2);
  assert.deepEqual(bench.turn().filter(({ type }) => type === 'give_back'), [{ type: 'give_back', recall: null, returns: [[DAY1, 3]] }]);
  bench.book.recorded(DAY1);
  bench.book.giveBack(DAY1);
  assert.deepEqual(bench.turn().filter(({ type }) => type === 'give_back'), [{ type: 'give_back', recall: null, returns: [[DAY1, 1]] }]);
  assert.equal(bench.book.size, 3);
  bench.tick(1000);
  bench.tick(1000);
  assert.equal(bench.book.size, 2);
});

test('what nobody used for a while is given back, and rates are forgotten', async () => {
  const bench = new Bench().connect();
  await bench.granted(5);
  for (let i = 0; i < 500; i++) {
    const asked = bench.book.ask(`qps:app:x${i}`);
    bench.turn();
    bench.grant(2, { key: `qps:app:x${i}`, dayStartMs: 0, dayEndMs: 0 });
    assert.equal(await asked, 'taken');
  }
  assert.equal(bench.book.size, 502);
  const sent = [];
  for (let i = 0; i < 5; i++) sent.push(...bench.tick(1000));
  const returned = sent.flatMap((message) => message.type === 'give_back' ? message.returns : []);
  assert.equal(returned.length, 501);
  assert.ok(returned.some(([key, units]) => key === DAY1 && units === 4));
  assert.equal(bench.book.size, 2);
});

test('a rate: used units travel with the next ask, and a unit already told as used is not spent twice', async () => {
  const bench = new Bench().connect();
  const key = 'qps:gateway';
  const asked = bench.book.ask(key);
  bench.turn();
  bench.grant(3, { key, dayStartMs: 0, dayEndMs: 0 });
  assert.equal(await asked, 'taken');
  assert.equal(bench.book.tryTake(key, NOON), 'taken');
  bench.book.giveBack(key);
  assert.equal(bench.book.tryTake(key, NOON), 'taken');
  assert.equal(bench.book.tryTake(key, NOON), 'taken');
  assert.deepEqual(wants(bench.turn()).map((want) => (want as { used: number }).used), [3]);
  bench.book.giveBack(key);
  assert.equal(bench.book.tryTake(key, NOON), 'ask');
});

test('surrender: all that is held goes back', async () => {
  const bench = new Bench().connect();
  await bench.granted(5);
  bench.book.surrender();
  assert.deepEqual(bench.turn(), [{ type: 'used', lastSeq: -1, used: [] }, { type: 'give_back', recall: null, returns: [[DAY1, 4]] }]);
});

test('the ledger is away: a rate goes on with this worker\'s share, is told with hello, and a quota is never made', async () => {
  const bench = new Bench().connect();
  const asked = bench.book.ask('qps:app:a');
  bench.turn();
  bench.grant(1, { key: 'qps:app:a', dayStartMs: 0, dayEndMs: 0 });
  assert.equal(await asked, 'taken');
  await bench.granted(1);
  bench.book.disconnected();
  assert.equal(bench.book.tryTake('qps:app:a', NOON), 'empty', 'nothing minted yet');
  bench.nowMs += 100;
  // 100 a second, two workers: 5 in a tenth of a second
  let taken = 0;
  while (bench.book.tryTake('qps:app:a', NOON) === 'taken') taken++;
  assert.equal(taken, 5);
  assert.equal(bench.book.tryTake(KEY, NOON), 'ask', 'a quota waits for the ledger');
  bench.nowMs += 10_000;
  assert.equal(bench.book.tryTake('qps:app:a', NOON), 'taken');
  const told = bench.book.holdings().find(({ key }) => key === 'qps:app:a');
  assert.deepEqual(told, { key: 'qps:app:a', held: 9, used: 15 }, 'this worker\'s part of the burst at most, however long it was');
});
