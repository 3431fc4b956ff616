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

test('the store that nodes share is away: refused as unavailable, and the ledger is not asked again for a while', async () => {
  const bench = new Bench().connect();
  const asked = bench.book.ask(KEY);
  bench.turn();
  bench.grant(0, { unavailable: true });
  assert.equal(await asked, 'unavailable');
  assert.equal(bench.book.tryTake(KEY, NOON), 'unavailable');
  bench.book.onAvailable({ type: 'available', keys: [KEY] });
  assert.equal(bench.book.tryTake(KEY, NOON), 'ask');
  assert.deepEqual(bench.book.counts(), [['asked', 1], ['granted', 0], ['empty', 0], ['unavailable', 1]]);
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

test('the link is up and the ledger silent: after 300 ms a rate goes on with this worker\'s share, told as it is made; a quota waits', async () => {
  const bench = new Bench().connect();
  const key = 'qps:app:a';
  const asked = bench.book.ask(key);
  bench.turn();
  bench.grant(1, { key, dayStartMs: 0, dayEndMs: 0 });
  assert.equal(await asked, 'taken');
  await bench.granted(1);
  const rate = bench.book.ask(key);
  const quota = bench.book.ask(KEY);
  bench.turn();
  bench.tick(299);
  assert.equal(bench.book.tryTake(key, NOON), 'ask', 'not yet');
  // 100 a second, two workers: 10 of the burst of 20 at once
  const told = wants(bench.tick(1));
  assert.equal(await rate, 'taken');
  assert.deepEqual(told, [{ key, want: 0, used: 1, made: 10 }]);
  let taken = 0;
  while (bench.book.tryTake(key, NOON) === 'taken') taken++;
  assert.equal(taken, 10, 'nine that were left, and the one that had begun to be made');
  assert.equal(bench.book.tryTake(KEY, NOON), 'ask', 'a quota waits for the ledger');
  bench.tick(700);
  assert.equal(await quota, 'unavailable');
});

test('of a rate that nodes share, this worker makes its share of the node\'s share', async () => {
  const bench = new Bench().connect();
  const key = 'qps:app:a';
  const asked = bench.book.ask(key);
  bench.turn();
  bench.grant(1, { key, dayStartMs: 0, dayEndMs: 0, share: 0.5 });
  assert.equal(await asked, 'taken');
  const rate = bench.book.ask(key);
  bench.turn();
  const told = wants(bench.tick(300));
  assert.equal(await rate, 'taken');
  // 100 a second and a burst of 20, two nodes of two workers
  assert.deepEqual(told, [{ key, want: 0, used: 1, made: 5 }]);
});

test('an answer that takes long, of a ledger that says it is there: nothing is made', async () => {
  const bench = new Bench().connect();
  const key = 'qps:app:a';
  const asked = bench.book.ask(key);
  bench.turn();
  bench.grant(1, { key, dayStartMs: 0, dayEndMs: 0 });
  assert.equal(await asked, 'taken');
  const rate = bench.book.ask(key);
  bench.turn();
  bench.tick(250);
  bench.book.onGranted({ type: 'granted', id: 2, grants: [] });
  assert.deepEqual(wants(bench.tick(299)), []);
  assert.deepEqual(wants(bench.tick(1)), [{ key, want: 0, used: 1, made: 10 }], 'then it is silent');
  assert.equal(await rate, 'taken');
});

test('units granted to a question from before the ledger was told are those that were made meanwhile', async () => {
  const bench = new Bench().connect();
  const key = 'qps:app:a';
  const asked = bench.book.ask(key);
  bench.turn();
  bench.grant(1, { key, dayStartMs: 0, dayEndMs: 0 });
  assert.equal(await asked, 'taken');
  const rate = bench.book.ask(key);
  const id = bench.turn().find(({ type }) => type === 'lease');
  bench.tick(300);
  assert.equal(await rate, 'taken');
  assert.ok(id?.type === 'lease');
  bench.book.onGranted({ type: 'granted', id: id.id, grants: [{ key, granted: 12, remaining: 0, limit: 100, burst: 20, retryAfterMs: 0, dayStartMs: 0, dayEndMs: 0 }] });
  // 10 made, 12 granted of which 10 are the same
  let taken = 0;
  while (bench.book.tryTake(key, NOON) === 'taken') taken++;
  assert.equal(taken, 11, '9 that were left of those made, and 2');
  bench.book.disconnected();
  assert.deepEqual(bench.book.holdings(), [], 'the ledger knows of all that was made');
});

/** What a quota's worker wants in hand after `taken` units in 100 ms, the ledger having `remaining` left. */
async function wanted(taken: number, remaining: number, quotaHorizonMs: number): Promise<number> {
  let nowMs = 1000;
  const sent: WorkerMessage[] = [];
  const queue: (() => void)[] = [];
  const book = new LeaseBook({
    send: (message) => { sent.push(structuredClone(message)); }, clock: { wallMs: () => NOON, monotonicMs: () => nowMs }, lastWrittenSeq: () => -1,
    defer: (flush) => { queue.push(flush); }, quotaHorizonMs,
  });
  const turn = (): unknown[] => {
    for (const flush of queue.splice(0)) flush();
    return wants(sent.splice(0));
  };
  book.connected();
  const asked = book.ask(KEY);
  turn();
  book.onGranted({ type: 'granted', id: 1, grants: [{ key: DAY1, granted: taken + 1, remaining, limit: 1_000_000, burst: 0, retryAfterMs: 0, dayStartMs: MIDNIGHT - 86_400_000, dayEndMs: MIDNIGHT }] });
  assert.equal(await asked, 'taken');
  nowMs += 100;
  for (let i = 0; i < taken; i++) assert.equal(book.tryTake(KEY, NOON), 'taken');
  return (turn()[0] as { want: number }).want;
}

test('a quota is taken ahead for the long horizon, as long as that is a sixteenth of what is left; near its end for the short one', async () => {
  // 101 units in 100 ms are 1.01 a ms: 202 for 200 ms, 5050 for 5000 ms
  assert.equal(await wanted(100, 1_000_000, 5000), 5050, 'all of the long horizon');
  assert.equal(await wanted(100, 16_000, 5000), 1000, 'a sixteenth of 16,000');
  assert.equal(await wanted(100, 160, 5000), 202, 'never less than the short horizon');
  assert.equal(await wanted(100, 1_000_000, 1000), 1010, 'as long as the horizon is');
});
