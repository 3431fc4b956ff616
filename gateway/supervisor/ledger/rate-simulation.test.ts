import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimulatedNode, type SimulatedLimits } from './simulated-node.fixture.js';

const WALL = '2026-11-21T10:00:00Z';

interface Demand {
  readonly seed: number;
  readonly workers: number;
  readonly limits: SimulatedLimits;
  /** Requests a second, and for how long. */
  readonly perSecond: number;
  readonly ms: number;
  /** Share of the requests that the first worker gets; the others share the rest. */
  readonly skew?: number;
  readonly kills?: boolean;
  readonly stalls?: boolean;
}

async function demand(run: Demand): Promise<SimulatedNode> {
  const node = new SimulatedNode({ seed: run.seed, wall: WALL, limits: run.limits, workers: run.workers });
  // workers connect
  await node.run(200);
  node.every(1000 / run.perSecond, () => {
    const { living } = node;
    if (living.length > 0) node.request(node.random() < (run.skew ?? 0) ? living[0] as typeof living[number] : node.pick(living), 'a', 5, 'counted');
  });
  if (run.kills === true) {
    node.every(700, () => {
      if (node.random() < 0.5) {
        node.killWorker(node.pick(node.living), 300);
        node.startWorker();
      } else node.killSupervisor(150 + node.random() * 500);
    });
  }
  if (run.stalls === true) node.every(2300, () => { node.stallSupervisor(400 + node.random() * 1200); });
  await node.run(run.ms);
  return node;
}

/** In every window T at most burst + qps * T: the bucket that these admissions fill never runs over. */
function assertWithin(node: SimulatedNode, qps: number, burst: number): number {
  const times = node.requests.filter(({ verdict }) => verdict === 'admitted').map(({ atMs }) => atMs).sort((a, b) => a - b);
  let level = 0;
  let last = 0;
  for (const atMs of times) {
    level = Math.max(0, level - qps * (atMs - last) / 1000) + 1;
    last = atMs;
    assert.ok(level <= burst + 1e-6, `${level} at ${atMs}`);
  }
  return times.length;
}

test('QPS 100 burst 100 for 10 s at ten times that: 1,000 to 1,100 are answered, for 1 to 4 workers', async () => {
  for (const workers of [1, 2, 3, 4]) {
    for (const skew of [0, 0.9]) {
      const node = await demand({ seed: workers, workers, skew, limits: { apps: { a: { qps: 100, burst: 100 } } }, perSecond: 1000, ms: 10_000 });
      const admitted = assertWithin(node, 100, 100);
      assert.ok(admitted >= 1000 && admitted <= 1100, `${workers} workers: ${admitted}`);
      assert.ok(node.requests.every(({ verdict }) => verdict !== 'ledger_unavailable'));
      node.close();
    }
  }
});

test('all four rates at once: the tightest rules, and units of the others come back', async () => {
  const limits: SimulatedLimits = { gateway: { qps: 5000 }, service: { qps: 200, burst: 50 }, apps: { a: { qps: 1000 } } };
  const node = await demand({ seed: 5, workers: 3, limits, perSecond: 1500, ms: 5000 });
  // a unit of the service may be in hand while the app's is asked for, so admissions can bunch by as much; the sum cannot
  const admitted = node.requests.filter(({ verdict }) => verdict === 'admitted').length;
  assert.ok(admitted >= 1000 && admitted <= 1050, `${admitted}`);
  assert.ok(node.requests.every(({ verdict, exchange }) => verdict !== 'rate_limited' || exchange.limitAnswer?.policy === 'service-qps'));
  node.close();
});

test('small bursts, slow rates, high rates: at most burst + qps x T, and at least nine tenths of qps x T', async () => {
  for (const [qps, burst] of [[1, 1], [5, 2], [100, 10], [1000, 50], [500, 2000]] as const) {
    const node = await demand({ seed: qps, workers: 2, limits: { apps: { a: { qps, burst } } }, perSecond: 1500, ms: 8000 });
    const admitted = assertWithin(node, qps, burst);
    assert.ok(admitted >= qps * 8 * 0.9, `${qps}/${burst}: ${admitted}`);
    node.close();
  }
});

test('demand below the limit is never refused', async () => {
  const node = await demand({ seed: 11, workers: 4, limits: { gateway: { qps: 2000 }, apps: { a: { qps: 600, burst: 600 } } }, perSecond: 500, ms: 5000 });
  assert.deepEqual(node.requests.filter(({ verdict }) => verdict !== 'admitted'), []);
  node.close();
});

test('workers and supervisor killed at random: never more than burst + qps x T', async () => {
  for (let seed = 20; seed < 28; seed++) {
    const node = await demand({ seed, workers: 3, limits: { apps: { a: { qps: 300, burst: 100 } } }, perSecond: 700, ms: 8000, kills: true });
    const admitted = assertWithin(node, 300, 100);
    assert.ok(admitted > 1000, `${admitted}`);
    node.close();
  }
});

test('the supervisor stalls for 1.5 s, its links up: requests below the limit go on, and nobody is told that the ledger is away', async () => {
  for (const workers of [1, 2]) {
    const node = await demand({ seed: 40 + workers, workers, limits: { apps: { a: { qps: 100, burst: 100 } } }, perSecond: 32, ms: 2000 });
    node.stallSupervisor(1500);
    await node.run(4000);
    const refused = node.requests.filter(({ verdict }) => verdict !== 'admitted').map(({ verdict }) => verdict);
    assert.deepEqual(refused, [], `${workers} workers: of ${node.requests.length}`);
    node.close();
  }
});

test('stalls at random, under demand and with kills: never more than burst + qps x T, and not much less', async () => {
  for (let seed = 50; seed < 58; seed++) {
    const kills = seed % 2 === 1;
    const node = await demand({ seed, workers: 1 + seed % 3, limits: { apps: { a: { qps: 300, burst: 100 } } }, perSecond: 700, ms: 8000, stalls: true, kills });
    const admitted = assertWithin(node, 300, 100);
    assert.ok(admitted > (kills ? 1000 : 1800), `${admitted}`);
    node.close();
  }
});

test('a stall makes no unit of a quota', async () => {
  const node = await demand({ seed: 70, workers: 2, limits: { apps: { a: { qpd: 300 } } }, perSecond: 200, ms: 6000, stalls: true });
  assert.equal(node.requests.filter(({ verdict }) => verdict === 'admitted').length, 300);
  node.close();
});

test('a reload lowers and raises a rate at once, and gives nobody a second burst', async () => {
  const node = new SimulatedNode({ seed: 3, wall: WALL, limits: { apps: { a: { qps: 400 } } }, workers: 2 });
  node.every(1, () => { node.request(node.pick(node.living), 'a', 1, 'counted'); });
  const admitted = (): number => node.requests.filter(({ verdict }) => verdict === 'admitted').length;
  await node.run(2000);
  const high = admitted();
  node.reload({ apps: { a: { qps: 50 } } });
  await node.run(2000);
  const low = admitted() - high;
  assert.ok(low >= 95 && low <= 155, `${low}`);
  node.reload({ apps: { a: { qps: 50 } } });
  await node.run(1000);
  const same = admitted() - high - low;
  assert.ok(same >= 45 && same <= 55, `${same}`);
  node.reload({ apps: { a: {} } });
  const before = node.requests.length;
  await node.run(1000);
  assert.ok(node.requests.slice(before + 20).every(({ verdict }) => verdict === 'admitted'));
  node.close();
});

test('at 10,000 requests a second more than 99 % of admissions come from held leases', async () => {
  const limits: SimulatedLimits = { gateway: { qps: 20_000 }, service: { qps: 15_000 }, apps: { a: { qps: 15_000, qpd: 1_000_000 } } };
  const node = await demand({ seed: 1, workers: 2, limits, perSecond: 10_000, ms: 3000 });
  const admitted = node.requests.filter(({ verdict }) => verdict === 'admitted');
  const held = admitted.filter((request) => request.held).length;
  assert.equal(admitted.length, node.requests.length);
  assert.ok(held / admitted.length > 0.99, `${held} of ${admitted.length}`);
  node.close();
});
