import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Span } from '../completeness/completeness.js';
import { CompletenessAnswers, type Judged } from './completeness-answers.js';
import { ReportStore, type Asker } from './report-store.js';

const OPERATOR: Asker = { principal: { kind: 'operator' } };
const appAsker = (app: string): Asker => ({ principal: { kind: 'app', app } });

/** A store whose statements stay until it is opened. */
class HeldStore {
  runs = 0;
  open: () => void = () => undefined;
  readonly #gate = new Promise<void>((resolve) => { this.open = resolve; });

  async query(): Promise<readonly unknown[]> {
    this.runs += 1;
    await this.#gate;
    return [];
  }
}

test('a report whose asker has left while it waited is not run, and the line is bounded', async () => {
  const store = new HeldStore();
  const line = new ReportStore(store);
  const left = new AbortController();
  const first = line.query('', {}, OPERATOR);
  const second = line.query('', {}, { ...OPERATOR, signal: left.signal });
  left.abort();
  const others = Array.from({ length: 31 }, () => line.query('', {}, OPERATOR));
  const results = Promise.allSettled([first, second, ...others]);
  store.open();
  const settled = await results;
  assert.equal(settled[1]?.status, 'rejected');
  await assert.rejects(others.at(-1) as Promise<unknown>, { code: 'report_busy' });
  assert.equal(store.runs, 31);
});

test('one app that asks a hundred times at once has four places in the line; the others have theirs', async () => {
  const store = new HeldStore();
  const line = new ReportStore(store);
  const greedy = Promise.allSettled(Array.from({ length: 100 }, () => line.query('', {}, appAsker('greedy'))));
  const others = [line.query('', {}, appAsker('acme')), line.query('', {}, OPERATOR)];
  store.open();
  const settled = await greedy;
  assert.equal(settled.filter(({ status }) => status === 'fulfilled').length, 4);
  for (const result of settled) if (result.status === 'rejected') assert.equal((result.reason as { code: string }).code, 'report_busy');
  await Promise.all(others);
  // its places are free again
  await line.query('', {}, appAsker('greedy'));
});

test('an app that waits for four reports is waited for once: askers have their turns by rounds', async () => {
  const store = new HeldStore();
  const line = new ReportStore(store);
  const order: string[] = [];
  const ask = (name: string, asker: Asker): Promise<unknown> => line.turn(asker, async (query) => { await query('', {}); order.push(name); });
  const reader: Asker = { principal: { kind: 'operator', reader: 'billing' } };
  const all = [
    ...[1, 2, 3, 4].map((n) => ask(`greedy ${n}`, appAsker('greedy'))), ...[1, 2].map((n) => ask(`acme ${n}`, appAsker('acme'))),
    ask('operator', OPERATOR), ...[1, 2].map((n) => ask(`reader ${n}`, reader)),
  ];
  store.open();
  await Promise.all(all);
  assert.deepEqual(order, ['greedy 1', 'acme 1', 'operator', 'reader 1', 'greedy 2', 'acme 2', 'reader 2', 'greedy 3', 'greedy 4']);
  // a name that an app and a token share is two askers
  const same = [ask('a', { principal: { kind: 'operator', reader: 'x' } }), ask('b', { principal: { kind: 'operator', reader: 'x' } }), ask('c', appAsker('x'))];
  await Promise.all(same);
  assert.deepEqual(order.slice(-3), ['a', 'c', 'b']);
});

test('a turn that fails, or whose asker has left, is followed by the next', async () => {
  const line = new ReportStore({ query: () => Promise.resolve([]) });
  const left = AbortSignal.abort(new Error('left'));
  const settled = await Promise.allSettled([
    line.turn(OPERATOR, () => Promise.reject(new Error('failed'))), line.query('', {}, { ...appAsker('acme'), signal: left }),
    line.turn(appAsker('globex'), () => { throw new Error('threw'); }), line.query('', {}, OPERATOR),
  ]);
  assert.deepEqual(settled.map((one) => (one.status === 'rejected' ? (one.reason as Error).message : 'done')), ['failed', 'left', 'threw', 'done']);
  assert.deepEqual(await line.query('', {}, OPERATOR), []);
});

test('completeness waits in the line, is judged once for all who ask within a second, and is bounded like a report', async () => {
  const store = new HeldStore();
  const line = new ReportStore(store);
  const judged: string[] = [];
  // the ranges asked for are over
  let nowMs = 100;
  const answer: Judged = { complete: true, reasons: [], streams: [] };
  const answers = new CompletenessAnswers({ line, nowMs: () => nowMs, asOfMs: () => nowMs, judge: (spans) => { judged.push(...spans.map(({ fromMs, toMs }) => `${fromMs}-${toMs}`)); return Promise.resolve([answer]); } });
  const report = line.query('', {}, OPERATOR);
  const asked = [answers.of(0, 1, appAsker('acme')), answers.of(0, 1, appAsker('globex')), answers.of(0, 2, OPERATOR)];
  const crowd = Promise.allSettled(Array.from({ length: 50 }, (_, index) => answers.of(0, 10 + index, appAsker('greedy'))));
  assert.deepEqual(judged, [], 'a report is running');
  store.open();
  await Promise.all([report, ...asked]);
  assert.equal((await crowd).filter(({ status }) => status === 'fulfilled').length, 4);
  // the operator's report has just run: its next is behind the greedy one's first
  assert.deepEqual(judged.slice(0, 3), ['0-1', '0-10', '0-2']);
  assert.equal(judged.length, 6);
  nowMs = 1099;
  await answers.of(0, 1, OPERATOR);
  assert.equal(judged.length, 6);
  nowMs = 1100;
  await answers.of(0, 1, OPERATOR);
  assert.equal(judged.length, 7);
});

test('what was said of a time under way is not said of it once it is over; a verdict speaks for what was stored when it was asked for', async () => {
  let nowMs = 59_900;
  const answers = new CompletenessAnswers({
    line: new ReportStore(new HeldStore()), nowMs: () => nowMs, asOfMs: () => nowMs - 500,
    judge: ([span]) => {
      const over = (span as Span).toMs <= nowMs;
      nowMs += 50;
      return Promise.resolve([{ complete: !over, reasons: over ? ['no mark yet'] : [], streams: [] }]);
    },
  });
  const of = async (): Promise<readonly unknown[]> => {
    const { complete, as_of: asOf } = await answers.of(0, 60_000, OPERATOR);
    return [complete, Date.parse(asOf)];
  };
  assert.deepEqual(await of(), [true, 59_400]);
  assert.deepEqual(await of(), [true, 59_400]);
  nowMs = 60_000;
  assert.deepEqual(await of(), [false, 59_500]);
});

test('a verdict that failed is not kept', async () => {
  let fails = true;
  const answers = new CompletenessAnswers({
    line: new ReportStore(new HeldStore()), nowMs: () => 0, asOfMs: () => 0,
    judge: () => (fails ? Promise.reject(new Error('the store')) : Promise.resolve([{ complete: true, reasons: [], streams: [] }])),
  });
  await assert.rejects(answers.of(0, 1, OPERATOR), /the store/);
  fails = false;
  assert.equal((await answers.of(0, 1, OPERATOR)).complete, true);
});
