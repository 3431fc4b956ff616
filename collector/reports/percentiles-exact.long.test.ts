/** Percentiles out of merged buckets against exact ones, on data of unlike shapes: within 5 %, over 1,440 minutes and 20 routes. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ChdbStore } from '../store/chdb-store.js';
import { insertManyEvents, type MadeEvent } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { ReportStore } from './report-store.js';
import { trafficReport, type TrafficRow } from './traffic.js';
import { parseTrafficQuery, type TrafficParameters } from './traffic-query.js';

const DAY_MS = Date.parse('2026-11-20T00:00:00Z');
const MINUTES = 1440;
const ROUTES = 20;
const NOW = DAY_MS + 2 * 86_400_000;

/** The same on each run; in (0, 1). */
const uniform = (n: number): number => ((Math.imul(n + 1, 0x9e3779b1) >>> 0) + 0.5) / 2 ** 32;
/** Box and Muller. */
const normal = (n: number): number => Math.sqrt(-2 * Math.log(uniform(2 * n))) * Math.cos(2 * Math.PI * uniform(2 * n + 1));

/** Durations in us; each route has its own scale. */
const SHAPES: Readonly<Record<string, (n: number, route: number) => number>> = {
  lognormal: (n, route) => Math.max(1, Math.round((route + 1) * 3000 * Math.exp(1.5 * normal(n)))),
  bimodal: (n, route) => Math.round((uniform(7 * n) < 0.85 ? 2_000 : 900_000) * (1 + route / 10) * (0.9 + 0.2 * uniform(3 * n))),
  constant: () => 12_345,
};

const events: MadeEvent[] = Object.entries(SHAPES).flatMap(([service, durationOf], shape) => Array.from({ length: MINUTES * ROUTES }, (_, n) => {
  const route = n % ROUTES;
  const seq = shape * MINUTES * ROUTES + n;
  const durationUs = durationOf(n, route);
  return {
    ordinal: seq, seq, timeMs: DAY_MS + Math.floor(n / ROUTES) * 60_000 + route * 2999, durationUs, upstreamUs: durationUs, service, route: `route-${route}`, app: 'acme',
    // neither is in a percentile: a refused request, and a later row of a long connection
    ...(n % 97 === 0 ? { outcome: 'rate_limited', status: 429, durationUs: 3, upstreamUs: 0 } as const : n % 101 === 0 ? { requests: 0, kind: 'interim' } as const : {}),
  };
}));

const folder = mkdtempSync(join(tmpdir(), 'tidegate-percentiles-'));
let store: ChdbStore;

before(async () => {
  store = await ChdbStore.open(join(folder, 'store'));
  await migrate(store);
  await insertManyEvents(store, events, folder);
});
after(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function rowsOf(parameters: TrafficParameters): Promise<readonly TrafficRow[]> {
  const deps = {
    store: new ReportStore(store), asOfMs: () => NOW, nowMs: () => NOW, completeness: () => Promise.resolve({ complete: true, reasons: [] }),
    kept: () => ({ eventsMs: 1e12, minutesMs: 1e12, quarterHoursMs: 1e12 }),
  };
  return trafficReport(deps, parseTrafficQuery({ from: '2026-11-20T00:00:00Z', to: '2026-11-21T00:00:00Z', ...parameters }, { nowMs: NOW, principal: { kind: 'operator' }, defaultTimeZone: 'UTC', accept: '' })).then(({ rows }) => rows);
}

function assertWithin(row: TrafficRow | undefined, of: readonly MadeEvent[], what: string): void {
  const counted = of.filter((event) => event.outcome === undefined && event.requests === undefined).map((event) => event.durationUs as number).sort((a, b) => a - b);
  assert.ok(row !== undefined && counted.length > 0);
  for (const [name, percent] of [['p50', 50], ['p90', 90], ['p95', 95], ['p99', 99]] as const) {
    const exact = (counted[Math.ceil((percent * counted.length) / 100) - 1] as number) / 1000;
    const told = row.duration_ms[name] as number;
    assert.ok(Math.abs(told - exact) / exact <= 0.05, `${what}, ${name}: ${told} for ${exact}`);
  }
}

for (const service of Object.keys(SHAPES)) {
  test(`${service} durations: a day's percentiles, of all minutes and routes and of each route, are within 5 % of the exact ones`, async () => {
    const own = events.filter((event) => event.service === service);
    // by minutes (the range ends on none of the quarters), by quarter hours, and from raw events
    for (const [parameters, last] of [[{ interval: 'total' }, Infinity], [{ interval: 'total', to: '2026-11-20T23:59:00Z' }, DAY_MS + 86_340_000], [{ interval: 'total', method: ['GET'] }, Infinity]] as const) {
      const asked = { service: [service], ...parameters } as unknown as TrafficParameters;
      const kept = own.filter((event) => (event.timeMs as number) < last);
      assertWithin((await rowsOf(asked))[0], kept, JSON.stringify(parameters));
      const routes = await rowsOf({ ...asked, group_by: ['route'] });
      assert.equal(routes.length, ROUTES);
      for (const row of routes) assertWithin(row, kept.filter(({ route }) => route === row.groups.route), `${JSON.stringify(parameters)} ${row.groups.route}`);
    }
  });
}
