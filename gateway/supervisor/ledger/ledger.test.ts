import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Config } from '../../config/schema.js';
import type { LeaseGrant, LeaseHolding, SupervisorMessage } from '../protocol.js';
import { JOURNAL_FILE } from './journal.js';
import { Ledger } from './ledger.js';
import type { RecordedDay, RecordedRow } from './recorded-use.js';
import type { SharedLimits } from './shared-limits.js';

const QUIET = { info: () => {}, warn: () => {}, error: () => {} };
const TODAY = 'qpd:app:a:2026-11-21';
const NOON = Date.parse('2026-11-21T12:00:00Z');

interface Options {
  readonly limit?: number;
  readonly qps?: number;
  readonly boot?: string;
  /** Or what each question is answered with, counted from 1. */
  readonly recorded?: RecordedDay | Promise<RecordedDay> | ((question: number) => Promise<RecordedDay>);
  readonly shared?: SharedLimits;
}

class Bench {
  readonly clock = { wall: NOON, monotonic: 5_000, wallMs: () => this.clock.wall, monotonicMs: () => this.clock.monotonic };
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-ledger-'));
  readonly sent = new Map<string, SupervisorMessage[]>();
  /** The journal's size when each message was sent. */
  readonly journalBytes: number[] = [];
  /** How often recorded events were asked for. */
  questions = 0;
  ledger!: Ledger;

  constructor(t: TestContext) {
    t.after(() => {
      this.ledger.close();
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  async start(options: Options = {}): Promise<void> {
    this.ledger = new Ledger({
      folder: this.folder, bootId: options.boot ?? 'boot', clock: this.clock, log: QUIET,
      recordedToday: () => {
        this.questions++;
        const { recorded } = options;
        return Promise.resolve(typeof recorded === 'function' ? recorded(this.questions) : recorded ?? { open: [], counts: [] });
      },
      ...(options.shared === undefined ? {} : { shared: () => options.shared as SharedLimits }),
    });
    this.ledger.configure(config(options.limit ?? 100, options.qps));
    await new Promise(setImmediate);
  }

  hello(stream: string, held: readonly LeaseHolding[] = []): void {
    const inbox: SupervisorMessage[] = [];
    this.sent.set(stream, inbox);
    this.ledger.hello({ type: 'hello', worker: 1, pid: 1, stream, held }, (message) => {
      inbox.push(message);
      this.journalBytes.push(readFileSync(join(this.folder, JOURNAL_FILE)).length);
    });
  }

  lease(stream: string, want: number, key = 'qpd:app:a', used = 0): void {
    this.ledger.message(stream, { type: 'lease', id: 1, wants: [{ key, want, used }] });
  }

  used(stream: string, lastSeq: number, used: number): void {
    this.ledger.message(stream, { type: 'used', lastSeq, used: [[TODAY, used]] });
  }

  giveBack(stream: string, units: number, recall: number | null = null, key = TODAY): void {
    this.ledger.message(stream, { type: 'give_back', recall, returns: units > 0 ? [[key, units]] : [] });
  }

  take(stream: string): SupervisorMessage[] {
    return (this.sent.get(stream) ?? []).splice(0);
  }

  grants(stream: string): readonly LeaseGrant[] {
    return this.take(stream).flatMap((message) => message.type === 'granted' ? message.grants : []);
  }

  tick(ms: number): void {
    this.clock.monotonic += ms;
    this.clock.wall += ms;
    this.ledger.tick();
  }
}

function config(qpd: number | { limit: number; over: 'bill' }, qps?: number, timeZone = 'UTC'): Config {
  return { limits: {}, services: [], apps: [{ name: 'a', limits: { qpd, qps }, time_zone: timeZone }] } as unknown as Config;
}

const row = (seq: number, over: Partial<RecordedRow> = {}): RecordedRow => ({ seq, timeMs: NOON, app: 'a', counted: 1, requests: 1, ...over });

test('a grant says key, day, rest and limit, and is in the journal before it is sent', async (t) => {
  const bench = new Bench(t);
  await bench.start();
  bench.hello('s1');
  const before = readFileSync(join(bench.folder, JOURNAL_FILE)).length;
  bench.lease('s1', 10);
  assert.deepEqual(bench.take('s1'), [{ type: 'granted', id: 1, grants: [{
    key: TODAY, granted: 10, remaining: 90, limit: 100, burst: 0, retryAfterMs: 0, dayStartMs: Date.parse('2026-11-21T00:00:00Z'), dayEndMs: Date.parse('2026-11-22T00:00:00Z'),
  }] }]);
  assert.ok((bench.journalBytes[0] ?? 0) > before);
  assert.match(readFileSync(join(bench.folder, JOURNAL_FILE), 'utf8'), /"t":"grant","stream":"s1","units":\[\["qpd:app:a:2026-11-21",10\]\]/);
});

test('grants shrink towards the end, so that no worker takes the rest', async (t) => {
  const bench = new Bench(t);
  await bench.start();
  bench.hello('s1');
  bench.hello('s2');
  const sizes: number[] = [];
  for (let i = 0; i < 6; i++) {
    bench.lease('s1', 1000);
    sizes.push(bench.grants('s1')[0]?.granted ?? 0);
  }
  assert.deepEqual(sizes, [25, 18, 14, 10, 8, 6]);
});

test('empty: what others hold is recalled before anybody is refused', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 10 });
  bench.hello('s1');
  bench.lease('s1', 10);
  bench.take('s1');
  bench.hello('s2');
  bench.lease('s2', 4);
  assert.deepEqual(bench.take('s1'), [{ type: 'recall', recall: 1, keys: [TODAY] }]);
  assert.deepEqual(bench.take('s2'), []);
  bench.giveBack('s1', 7, 1);
  assert.equal(bench.grants('s2')[0]?.granted, 1);
});

test('a worker that comes to wait for another\'s recall is not refused what that other holds', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 4 });
  bench.hello('s1');
  bench.hello('s2');
  for (let i = 0; i < 3; i++) bench.lease('s1', 1);
  bench.lease('s2', 1);
  // s1 asks ahead, with three in hand; s2 has none left
  bench.lease('s1', 3);
  const [recall] = bench.take('s2').filter((message) => message.type === 'recall');
  bench.lease('s2', 1);
  bench.take('s1');
  bench.used('s2', 0, 1);
  bench.giveBack('s2', 0, recall?.recall ?? null);
  const [second] = bench.take('s1');
  assert.equal(second?.type, 'recall');
  bench.giveBack('s1', 3, second.recall);
  assert.deepEqual(bench.grants('s2').map(({ granted }) => granted), [1]);
});

test('empty, and nobody gives anything back in time: refused until the day\'s end, and called when units come', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 10 });
  bench.hello('s1');
  bench.lease('s1', 10);
  bench.hello('s2');
  bench.lease('s2', 4);
  bench.tick(200);
  assert.deepEqual(bench.grants('s2'), []);
  bench.tick(100);
  const [refused] = bench.grants('s2');
  assert.equal(refused?.granted, 0);
  assert.equal(refused?.retryAfterMs, Date.parse('2026-11-22T00:00:00Z') - bench.clock.wall);
  bench.take('s1');
  bench.giveBack('s1', 1);
  assert.deepEqual(bench.take('s2'), [{ type: 'available', keys: ['qpd:app:a'] }]);
});

test('all who were asked have nothing: refused without waiting longer', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 10 });
  bench.hello('s1');
  bench.lease('s1', 10);
  bench.hello('s2');
  bench.lease('s2', 1);
  bench.giveBack('s1', 0, 1);
  assert.equal(bench.grants('s2')[0]?.granted, 0);
});

test('a worker that was away when its units were looked for is asked when it comes back', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 10 });
  bench.hello('s1');
  bench.lease('s1', 10);
  bench.ledger.gone('s1');
  bench.hello('s2');
  bench.lease('s2', 1);
  assert.equal(bench.grants('s2')[0]?.granted, 0);
  bench.hello('s1', [{ key: TODAY, held: 10, used: 0 }]);
  assert.deepEqual(bench.take('s1'), [{ type: 'recall', recall: 1, keys: [TODAY] }]);
  bench.giveBack('s1', 10, 1);
  assert.deepEqual(bench.take('s2'), [{ type: 'available', keys: ['qpd:app:a'] }]);
});

test('a dead worker\'s unrecorded units come back; its counted rows after the last report do not', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 20 });
  bench.hello('s1');
  bench.lease('s1', 20);
  bench.used('s1', 4, 5);
  bench.hello('s2');
  bench.ledger.settle('s1', (fromSeq) => {
    assert.equal(fromSeq, 5);
    return [row(5), row(6, { counted: 0 }), row(7, { requests: 0 }), row(8, { app: 'b' }), row(9), row(10, { timeMs: NOON - 86_400_000 })];
  }, 10);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used: 7, leased: 0 }]);
  bench.ledger.settle('s1', () => assert.fail('settled twice'), null);
  // its last words may still be in the socket
  bench.giveBack('s1', 10);
  bench.hello('s1', [{ key: TODAY, held: 10, used: 5 }]);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used: 7, leased: 0 }]);
});

test('a dead worker whose rows cannot be read is settled when they can', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 20 });
  bench.hello('s1');
  bench.lease('s1', 20);
  assert.throws(() => { bench.ledger.settle('s1', () => { throw new Error('EIO'); }, 1); }, /EIO/);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used: 0, leased: 20 }]);
  bench.ledger.settle('s1', () => [row(0), row(1)], 1);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used: 2, leased: 0 }]);
});

test('rows that are missing from a dead worker\'s stream count as used', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 20 });
  bench.hello('s1');
  bench.lease('s1', 20);
  bench.used('s1', 4, 5);
  bench.ledger.settle('s1', () => [row(5), row(8)], 9);
  // 5 reported, 2 recorded, seq 6, 7 and 9 missing
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used: 10, leased: 0 }]);
});

test('rows that a dead worker dropped count as used by their app, and by no other', async (t) => {
  for (const [afterSeq, counted, used] of [[4, 3, 10], [3, 1, 8], [-1, 0, 7], [5, 3, 11]] as const) {
    const bench = new Bench(t);
    await bench.start({ limit: 20 });
    bench.hello('s1');
    bench.lease('s1', 20);
    bench.used('s1', 4, 5);
    // 5 reported, 2 recorded, 4 missing, all of them dropped; where the tally is of a moment that the ledger was not told of, all 4 count
    bench.ledger.settle('s1', () => [row(5), row(8)], 10, { afterSeq, rows: 4, counted: new Map([['a', counted], ['b', 4 - counted]]) });
    assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used, leased: 0 }], `after ${afterSeq}`);
  }
  const bench = new Bench(t);
  await bench.start({ limit: 20 });
  bench.hello('s1');
  bench.lease('s1', 20);
  bench.used('s1', 4, 5);
  bench.ledger.settle('s1', () => [row(5), row(8)], 10, { afterSeq: 4, rows: 3, counted: new Map([['b', 3]]) });
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 20, used: 8, leased: 0 }], 'one is missing that no tally explains');
});

test('a restart forgets nothing: grants, reports and settlements are in the journal', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 50 });
  bench.hello('s1');
  bench.hello('s2');
  bench.lease('s1', 10);
  bench.lease('s2', 10);
  bench.used('s1', 7, 6);
  bench.ledger.settle('s2', () => [row(0), row(1)], null);
  bench.ledger.close();
  await bench.start({ limit: 50, recorded: new Promise(() => {}) });
  assert.deepEqual(bench.ledger.streams, ['s1']);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 50, used: 8, leased: 4 }]);
  bench.ledger.settle('s1', (fromSeq) => {
    assert.equal(fromSeq, 8);
    return [row(8)];
  }, 8);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 50, used: 9, leased: 0 }]);
});

test('a grant that was lost with the supervisor comes back when its worker says what it holds', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 50 });
  bench.hello('s1');
  bench.lease('s1', 30);
  bench.ledger.close();
  await bench.start({ limit: 50 });
  bench.hello('s1');
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 50, used: 0, leased: 0 }]);
});

test('a journal of another start of the machine: today is what recorded events say', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 50 });
  bench.hello('s1');
  bench.lease('s1', 30);
  bench.ledger.close();
  await bench.start({ limit: 50, boot: 'another', recorded: { open: [], counts: [{ app: 'a', stream: 's1', count: 12 }, { app: 'a', stream: 's0', count: 3 }] } });
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 50, used: 15, leased: 0 }]);
});

test('until recorded events have answered, and every open stream has spoken, nothing is granted', async (t) => {
  const bench = new Bench(t);
  let answer: (day: RecordedDay) => void = () => {};
  await bench.start({ limit: 50, recorded: new Promise((resolve) => { answer = resolve; }) });
  bench.hello('s1');
  bench.lease('s1', 30);
  bench.tick(5000);
  assert.deepEqual(bench.take('s1'), []);
  answer({ open: [{ stream: 's2', lastSeq: 9 }], counts: [{ app: 'a', stream: 's2', count: 10 }] });
  await new Promise(setImmediate);
  assert.deepEqual(bench.take('s1'), []);
  bench.hello('s2', [{ key: TODAY, held: 3, used: 11 }]);
  assert.equal(bench.grants('s1')[0]?.remaining, 50 - 14 - 9);
  assert.deepEqual(bench.ledger.status().map(({ leased }) => leased), [50 - 10 - (50 - 14 - 9)]);
});

test('a worker that dies while recorded events are counted: they are counted again, with its last rows', async (t) => {
  const bench = new Bench(t);
  let first: (day: RecordedDay) => void = () => {};
  await bench.start({ limit: 50, recorded: (question) => question === 1 ? new Promise((resolve) => { first = resolve; })
    : Promise.resolve({ open: [{ stream: 's1', lastSeq: 11 }], counts: [{ app: 'a', stream: 's1', count: 12 }] }) });
  bench.hello('s1', [{ key: TODAY, held: 9, used: 8 }]);
  bench.ledger.settle('s1', () => assert.fail('its rows are counted with all others'), null);
  first({ open: [{ stream: 's1', lastSeq: 9 }], counts: [{ app: 'a', stream: 's1', count: 10 }] });
  await new Promise(setImmediate);
  assert.equal(bench.questions, 2);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 50, used: 12, leased: 0 }]);
});

test('recorded events cannot be counted: asked again a second later', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 50, recorded: (question) => question === 1 ? Promise.reject(new Error('the collector is away')) : Promise.resolve({ open: [], counts: [] }) });
  bench.hello('s1');
  bench.lease('s1', 5);
  bench.tick(999);
  await new Promise(setImmediate);
  assert.deepEqual([bench.questions, bench.take('s1').length], [1, 0]);
  bench.tick(1);
  await new Promise(setImmediate);
  assert.deepEqual([bench.questions, bench.grants('s1')[0]?.granted], [2, 5]);
});

test('a lowered quota recalls what is out; a raised one calls those who were refused', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 20 });
  bench.hello('s1');
  bench.hello('s2');
  bench.lease('s1', 5);
  bench.take('s1');
  bench.ledger.configure(config(3));
  assert.deepEqual(bench.take('s1'), [{ type: 'recall', recall: 1, keys: [TODAY] }]);
  bench.used('s1', 3, 4);
  bench.giveBack('s1', 1, 1);
  bench.lease('s2', 1);
  assert.equal(bench.grants('s2')[0]?.granted, 0);
  bench.ledger.configure(config(30));
  assert.deepEqual(bench.take('s2'), [{ type: 'available', keys: ['qpd:app:a'] }]);
  assert.deepEqual(bench.ledger.status(), [{ key: TODAY, limit: 30, used: 4, leased: 0 }]);
});

test('a changed time zone takes effect when the running day is over, and no moment belongs to two days', async (t) => {
  const bench = new Bench(t);
  await bench.start();
  bench.hello('s1');
  bench.lease('s1', 1);
  bench.ledger.configure(config(100, undefined, 'America/Los_Angeles'));
  bench.lease('s1', 1);
  bench.tick(13 * 3_600_000);
  bench.lease('s1', 1);
  bench.tick(8 * 3_600_000);
  bench.lease('s1', 1);
  const days = bench.grants('s1').map(({ key, dayStartMs, dayEndMs }) => [key, new Date(dayStartMs).toISOString(), new Date(dayEndMs).toISOString()]);
  assert.deepEqual(days, [
    [TODAY, '2026-11-21T00:00:00.000Z', '2026-11-22T00:00:00.000Z'],
    [TODAY, '2026-11-21T00:00:00.000Z', '2026-11-22T00:00:00.000Z'],
    // at 01:00 UTC it is still the 21st there
    [TODAY, '2026-11-21T00:00:00.000Z', '2026-11-22T08:00:00.000Z'],
    ['qpd:app:a:2026-11-22', '2026-11-22T08:00:00.000Z', '2026-11-23T08:00:00.000Z'],
  ]);
});

test('days that are over and settled are forgotten', async (t) => {
  const bench = new Bench(t);
  await bench.start();
  bench.hello('s1');
  bench.lease('s1', 2);
  bench.used('s1', 1, 2);
  bench.tick(24 * 3_600_000);
  bench.lease('s1', 1);
  assert.deepEqual(bench.ledger.status().map(({ key }) => key), ['qpd:app:a:2026-11-22']);
  bench.tick(60_001);
  bench.ledger.close();
  assert.match(readFileSync(join(bench.folder, JOURNAL_FILE), 'utf8'), /"t":"drop","keys":\["qpd:app:a:2026-11-21"\]/);
});

test('after a restart a rate has no second burst, and fills from where it may have stopped', async (t) => {
  const bench = new Bench(t);
  await bench.start({ qps: 100 });
  bench.hello('s1');
  bench.lease('s1', 100, 'qps:app:a');
  assert.equal(bench.grants('s1')[0]?.granted, 100);
  bench.ledger.close();
  bench.clock.monotonic += 300;
  await bench.start({ qps: 100 });
  bench.hello('s1', [{ key: 'qps:app:a', held: 50, used: 0 }]);
  bench.lease('s1', 100, 'qps:app:a');
  // promised 100 ms ahead; 200 ms since
  assert.equal(bench.grants('s1')[0]?.granted, 20);
});

test('after a restart what workers still hold of a rate counts, and who has not spoken is waited for', async (t) => {
  const bench = new Bench(t);
  await bench.start({ qps: 100 });
  bench.hello('s1');
  bench.hello('s2');
  bench.used('s1', 0, 0);
  bench.used('s2', 0, 0);
  bench.lease('s1', 1, 'qps:app:a');
  bench.ledger.close();
  bench.clock.monotonic += 60_000;
  await bench.start({ qps: 100 });
  bench.hello('s1', [{ key: 'qps:app:a', held: 30, used: 0 }]);
  bench.lease('s1', 100, 'qps:app:a');
  bench.tick(500);
  assert.deepEqual(bench.take('s1'), []);
  bench.hello('s2', [{ key: 'qps:app:a', held: 40, used: 0 }]);
  assert.deepEqual(bench.grants('s1').map(({ granted, remaining }) => [granted, remaining]), [[7, 23]]);
});

test('a worker that stays silent after a restart is waited for a second, not longer', async (t) => {
  const bench = new Bench(t);
  await bench.start({ qps: 100 });
  bench.hello('s2');
  bench.used('s2', 0, 0);
  bench.ledger.close();
  await bench.start({ qps: 100 });
  bench.hello('s1');
  bench.lease('s1', 5, 'qps:app:a');
  bench.tick(999);
  assert.deepEqual(bench.take('s1'), []);
  bench.tick(1);
  assert.equal(bench.grants('s1')[0]?.granted, 5);
});

test('who asks for a limit that the configuration no longer has is not held up', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 1, qps: 1 });
  bench.hello('s1');
  bench.ledger.configure({ limits: {}, services: [], apps: [] } as unknown as Config);
  bench.lease('s1', 50);
  bench.lease('s1', 50, 'qps:app:a');
  assert.deepEqual(bench.grants('s1').map(({ granted }) => granted), [50, 50]);
});

test('the store that nodes share is back: everybody who was told that nothing is known is called, though it has brought no units yet', async (t) => {
  const bench = new Bench(t);
  const store = { up: false };
  await bench.start({
    shared: {
      get up() { return store.up; }, allowsLoss: false, aheadMs: 0, ceiling: (_dated, committed) => committed, left: () => 0, alone: () => 1, share: () => 0, waitMs: () => 1,
      unknown: () => !store.up, ask: () => false, recall: () => false, lent: () => {}, changed: () => {},
    },
  });
  for (const stream of ['s1', 's2']) {
    bench.hello(stream);
    bench.lease(stream, 5);
    assert.deepEqual(bench.grants(stream).map(({ granted, unavailable }) => [granted, unavailable]), [[0, true]]);
  }
  bench.ledger.standing();
  for (const stream of ['s1', 's2']) assert.deepEqual(bench.take(stream), []);
  store.up = true;
  bench.ledger.standing();
  for (const stream of ['s1', 's2']) assert.deepEqual(bench.take(stream), [{ type: 'available', keys: ['qpd:app:a'] }]);
});

test('the status has every limit in force, used or not, and none that is not', async (t) => {
  const bench = new Bench(t);
  await bench.start({ limit: 50, qps: 5 });
  assert.deepEqual(bench.ledger.status(), [{ key: 'qps:app:a', limit: 5, used: null, leased: 0 }, { key: TODAY, limit: 50, used: 0, leased: 0 }]);
  bench.hello('s1');
  bench.lease('s1', 10);
  bench.lease('s1', 2, 'qps:app:a');
  const lent = [{ key: 'qps:app:a', limit: 5, used: null, leased: 2 }, { key: TODAY, limit: 50, used: 0, leased: 10 }];
  assert.deepEqual(bench.ledger.status(), lent);
  bench.ledger.configure(config({ limit: 50, over: 'bill' }, 5));
  assert.deepEqual(bench.ledger.status(), lent.slice(0, 1), 'what is billed refuses nothing and is not lent');
});
