/**
 * An hour of known traffic, of eight apps at several rates and in several shapes: what Replay says that limits would have refused of it, beside what the real ledger, lease books
 * and policies refuse when the hour is really made again, by two workers, in virtual time.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { seeded, SimulatedNode, type SimulatedLimits, type Verdict } from '../supervisor/ledger/simulated-node.fixture.js';
import { Replay } from './replay.js';
import type { LimitRules } from './rules.js';

const WALL = '2026-11-21T10:00:00Z';
const HOUR_MS = 3_600_000;
const OUTCOMES = ['rate_limited', 'quota_exhausted'] as const satisfies readonly Verdict[];

const apps: SimulatedLimits['apps'] = {
  // bursts with 20 s between: the bucket is full again each time
  bursts: { qps: 1, burst: 10 }, wide_bursts: { qps: 20, burst: 200 }, small_bursts: { qps: 5 },
  // in Chatham the day turns at 10:15Z
  daily: { qpd: 700 }, kolkata: { qpd: 700, timeZone: 'Asia/Kolkata' }, chatham: { qpd: 200, timeZone: 'Pacific/Chatham' },
  // the rate is refused first, and what it refuses does not count
  both: { qps: 2, burst: 5, qpd: 900 },
  // as it comes, above and near its rate
  random: { qps: 4, burst: 8 },
};
const limits: SimulatedLimits = { apps };

/** When each request comes, ms from the hour's begin, and whose. */
function hour(): (readonly [atMs: number, app: string])[] {
  const random = seeded(6);
  const all: (readonly [number, string])[] = [];
  const bursts = (app: string, count: number, everyMs: number, offsetMs: number): void => {
    for (let atMs = offsetMs; atMs < HOUR_MS; atMs += everyMs) for (let i = 0; i < count; i++) all.push([atMs, app]);
  };
  bursts('bursts', 14, 20_000, 1000);
  bursts('wide_bursts', 230, 60_000, 1500);
  bursts('small_bursts', 8, 5000, 1700);
  bursts('both', 7, 15_000, 1900);
  for (const app of ['daily', 'kolkata', 'chatham']) for (let i = 0; i < 1000; i++) all.push([Math.floor(random() * HOUR_MS), app]);
  // exponential gaps, 5 a second
  for (let atMs = 1000; atMs < HOUR_MS; atMs += -Math.log(1 - random()) * 200) all.push([Math.floor(atMs), 'random']);
  return all.sort(([a], [b]) => a - b);
}

const traffic = hour();
const predicted = new Map<string, number>();
const replayed = new Map<string, number>();
const count = (counts: Map<string, number>, app: string, verdict: string): void => { counts.set(`${app} ${verdict}`, (counts.get(`${app} ${verdict}`) ?? 0) + 1); };
let replay: Replay;
let node: SimulatedNode;

before(async () => {
  node = new SimulatedNode({ seed: 4, wall: WALL, limits, workers: 2 });
  await node.run(200);
  const fromMs = node.clock.wallMs();
  const rules: LimitRules = {
    version: 'v', services: [{ name: 's', client_ip: false, counted: ['answered'], routes: [{ name: 'r', open: false }] }],
    rates: Object.entries(apps).flatMap(([name, { qps, burst }]) => (qps === undefined ? [] : [{ key: `qps:app:${name}`, qps, burst: burst ?? qps }])),
    apps: Object.entries(apps).map(([name, { qpd, timeZone }]) => ({ name, services: ['s'], time_zone: timeZone ?? 'UTC', ...(typeof qpd === 'number' ? { qpd } : {}) })),
  };
  replay = new Replay(rules, fromMs, () => 0);
  for (const [atMs, app] of traffic) {
    count(predicted, app, replay.take({ timeMs: fromMs + atMs, durationUs: 5000, app, service: 's', route: 'r', outcome: 'answered' }) ?? 'as_recorded');
    node.after(atMs, () => { node.request(node.pick(node.living), app, 5, 'counted'); });
  }
  await node.run(HOUR_MS + 5000);
  for (const { app, verdict } of node.requests) count(replayed, app, verdict ?? 'none');
});
after(() => { node.close(); });

const refusals = (counts: Map<string, number>, app: string): number[] => OUTCOMES.map((outcome) => counts.get(`${app} ${outcome}`) ?? 0);

for (const [app, expected] of Object.entries({
  bursts: [180 * 4, 0], wide_bursts: [60 * 30, 0], small_bursts: [720 * 3, 0],
  daily: [0, 300], kolkata: [0, 300], chatham: [0, 1000 - 2 * 200], both: [180 * 2, 60 * 7],
})) {
  test(`${app}: as many are refused as when the hour is really made again`, () => {
    assert.equal(node.requests.length, traffic.length);
    assert.deepEqual(refusals(predicted, app), expected);
    assert.deepEqual(refusals(predicted, app), refusals(replayed, app));
  });
}

test('a rate that is exceeded by chance refuses as many, and what lay with workers at most', () => {
  const [said = 0] = refusals(predicted, 'random');
  const [made = 0] = refusals(replayed, 'random');
  const bound = replay.limits().find(({ key }) => key === 'qps:app:random');
  assert.ok(bound !== undefined && said === bound.refused && said > 3000, `${said}`);
  assert.ok(made >= said && made <= bound.at_most, `${said} said, ${made} made, ${bound.at_most} at most`);
});
