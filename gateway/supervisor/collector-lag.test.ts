/** The lag, alone and as `/metrics` of a whole supervisor tells it, beside a collector that answers, is late, fails or is away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { eventually } from '../../test/harness/deadline.js';
import { freePorts, OPERATOR_TOKEN } from '../../test/harness/tidegate.js';
import type { NodeStatus } from '../control/control-deps.js';
import { CollectorLag } from './collector-lag.js';
import { CollectorStatusClient, type CollectorAnswer } from './collector-status.js';
import { collectorLagFile, collectorSocket } from './run-files.js';
import { Supervisor } from './supervisor.js';

const LOG = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const COUNTS = { lag_seconds: 90, stored: 7, gaps: 0, gaps_total: 1, repeats: 2, quarantined: 3, in_quarantine: 4 };
const FAILING = { code: 'store_failed', detail: 'no room', since: '2026-11-21T10:00:00.000Z' };

let folder = '';
let collector: Server | null = null;
/** Null: it hears, and does not answer. */
let told: object | null = null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-lag-'));
  told = { ...COUNTS, caught_up_at: new Date(Date.now() - 90_000).toISOString(), failing: null };
});
afterEach(async () => {
  await away();
  rmSync(folder, { recursive: true, force: true });
});

async function serve(): Promise<void> {
  collector = createServer((_request, response) => {
    if (told !== null) response.setHeader('content-type', 'application/json').end(JSON.stringify(told));
  }).listen(collectorSocket(folder));
  await once(collector, 'listening');
}

async function away(): Promise<void> {
  if (collector === null) return;
  collector.closeAllConnections();
  const closed = once(collector, 'close');
  collector.close();
  await closed;
  collector = null;
}

test('the lag is not known until the collector has told it; then it grows, through missed answers and a restart', async () => {
  let nowMs = 1_000_000;
  let answer: CollectorAnswer | null = null;
  const made = (): CollectorLag => new CollectorLag({ client: { read: () => Promise.resolve(answer) }, file: collectorLagFile(folder), nowMs: () => nowMs });
  const lag = made();
  await lag.ask();
  assert.equal(lag.seconds, null);
  answer = { status: { ...COUNTS, failing: null, publishing: null, billing: null, store: null }, counts: null, caughtUpMs: 999_500 };
  await lag.ask();
  assert.equal(lag.seconds, 0.5);
  answer = null;
  nowMs = 1_070_000;
  await lag.ask();
  assert.equal(lag.seconds, 70.5);
  const restarted = made();
  await restarted.ask();
  assert.equal(restarted.seconds, 70.5);
  restarted.take(1_069_000);
  assert.equal(restarted.seconds, 1);
  writeFileSync(collectorLagFile(folder), 'no number');
  assert.equal(made().seconds, null);
});

test('a collector that answers late does not stand still; one that has not answered for seconds does, until it answers or is gone', async () => {
  let answer: (given: CollectorAnswer | null) => void = () => undefined;
  const lag = new CollectorLag({ client: { read: () => new Promise((resolve) => { answer = resolve; }) }, file: collectorLagFile(folder) });
  /** A question, that many seconds later, and what comes of it. */
  const asked = async (seconds: number, given: CollectorAnswer | null): Promise<readonly [before: boolean, behind: boolean]> => {
    const question = lag.ask();
    for (let second = 0; second < seconds; second++) await lag.ask();
    const before = lag.standsStill;
    answer(given);
    await question;
    return [before, lag.standsStill];
  };
  const well: CollectorAnswer = { status: { ...COUNTS, failing: null, publishing: null, billing: null, store: null }, counts: null, caughtUpMs: null };
  assert.deepEqual(await asked(0, null), [false, false], 'nobody is there');
  assert.deepEqual(await asked(7, well), [false, false], 'late');
  assert.deepEqual(await asked(8, well), [true, false]);
  assert.deepEqual(await asked(9, null), [true, true], 'the question was given up');
  assert.deepEqual(await asked(0, null), [true, false], 'it has ended');
});

test('the collector says what it stores, up to when, and why storing fails; what is no such answer is none', async () => {
  await serve();
  const client = new CollectorStatusClient(collectorSocket(folder));
  const at = '2026-11-21T10:00:01.250Z';
  const publishing = { ever: false, failing: FAILING };
  const billing = { closing: 2, closing_since: at, incomplete: 1, failing: null };
  const store = { looked_at: at, rows_missing: [{ day: '2026-11-20', rows: 7 }], detached_parts: null };
  const counts = { quarantine_bytes: 512, inserts: { stored: 1, failed: 0, unknown: 0, rows: 7, buckets: [1], seconds: 0.01 } };
  told = { ...COUNTS, caught_up_at: at, failing: FAILING, publishing, billing, store, counts };
  assert.deepEqual(await client.read(), { status: { ...COUNTS, failing: FAILING, publishing, billing, store }, counts, caughtUpMs: Date.parse(at) });
  told = { ...COUNTS, caught_up_at: 'soon', failing: null };
  assert.deepEqual(await client.read(), { status: { ...COUNTS, failing: null, publishing: null, billing: null, store: null }, counts: null, caughtUpMs: null });
  told = { failing: null };
  assert.equal(await client.read(), null);
  told = null;
  assert.equal(await client.read(20), null);
  await client.close();
});

async function supervisor(control: number): Promise<Supervisor> {
  const configFile = join(folder, 'tidegate.yaml');
  writeFileSync(configFile, JSON.stringify({
    version: 1, listeners: { http: { address: '127.0.0.1:0' } }, control: { address: `127.0.0.1:${control}`, token: OPERATOR_TOKEN }, data_dir: './data', services: [],
  }));
  mkdirSync(join(folder, 'data'), { recursive: true });
  return Supervisor.start({ configFile, runDir: folder, part: 'whole', version: '0.0.0', takeRun: () => Promise.resolve(null), onReload: () => {}, onRestart: () => {}, onLog: () => {}, log: LOG });
}

test('/metrics says no lag before a collector has answered, and one that grows once it is away, through a restart of the supervisor', async () => {
  const [port] = await freePorts(1) as [number];
  // no connection is kept: the second supervisor listens where the first did
  const get = async (path: string): Promise<string> =>
    (await request(`http://127.0.0.1:${port}${path}`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` }, reset: true })).body.text();
  const lag = async (): Promise<number | null> => {
    const value = /^tidegate_event_lag_seconds (\S+)$/m.exec(await get('/metrics'))?.[1];
    return value === undefined ? null : Number(value);
  };
  const first = await supervisor(port);
  let before: number;
  try {
    assert.equal(await lag(), null);
    await serve();
    before = await eventually('a lag is told', lag);
    assert.ok(before >= 90, String(before));
    told = { ...COUNTS, caught_up_at: new Date().toISOString(), failing: FAILING };
    const { collector: said } = JSON.parse(await get('/v1/status')) as NodeStatus;
    assert.deepEqual(said, { ...COUNTS, failing: FAILING, publishing: null, billing: null, store: null });
    before = await lag() as number;
    assert.ok(before < 90, String(before));
    assert.match(await get('/metrics'), /^tidegate_collector_up 1$/m);
    await away();
    const left = await get('/metrics');
    for (const line of [/^tidegate_collector_up 0$/m, /^tidegate_store_failing 1$/m, /^tidegate_event_gaps_total 1$/m]) assert.match(left, line);
    before = await eventually('the lag grows', async () => { const now = await lag() as number; return now > before ? now : null; });
  } finally {
    await first.stop();
  }
  const second = await supervisor(port);
  try {
    assert.ok(await lag() as number > before);
  } finally {
    await second.stop();
  }
});
