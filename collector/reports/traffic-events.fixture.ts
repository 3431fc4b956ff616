/** Events of four days in a store, and the same reports by the plainest counting. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Method } from '../../gateway/events/event.js';
import { OUTCOMES, wasLetThrough, type Outcome } from '../../gateway/events/outcomes.js';
import { ChdbStore } from '../store/chdb-store.js';
import { insertEvents } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { bucketBounds, formatInstant } from './calendar.js';
import type { Principal } from './principal.js';
import { ReportStore } from './report-store.js';
import type { TrafficDeps, TrafficRow } from './traffic.js';
import { parseTrafficQuery, type Group, type TrafficParameters, type TrafficQuery } from './traffic-query.js';

export interface Event {
  readonly timeMs: number;
  readonly app: string;
  readonly service: string;
  readonly route: string;
  readonly target: string;
  /** As a service with record_path full keeps it; '': one that keeps none. */
  readonly path: string;
  readonly method: Method;
  readonly outcome: Outcome;
  readonly status: number;
  readonly requests: 0 | 1;
  readonly durationUs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly attempts: number;
  readonly version: string;
}

export const NOW = Date.parse('2026-11-21T10:07:31.250Z');
export const OPERATOR: Principal = { kind: 'operator' };
export const RANGE = { from: '2026-11-18T00:00:00Z', to: '2026-11-21T10:15:00Z' };
export const RAGGED = { from: '2026-11-18T03:04:05.678Z', to: '2026-11-21T09:59:59.999Z' };
/** mulberry32: the same events every time. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const PATHS = ['/items', '/items/1', '/items/1/2', '/itemsandmore', '/search', ''] as const;

function randomEvents(count: number): Event[] {
  const next = random(7);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)] as T;
  return Array.from({ length: count }, (): Omit<Event, 'path'> => {
    const outcome = next() < 0.8 ? 'answered' : pick(Object.keys(OUTCOMES).filter((name) => name !== 'unframed') as Outcome[]);
    return {
      // four days that end in the minute under way, on and off every kind of bound
      timeMs: NOW - Math.floor(next() * 4 * 86_400_000),
      app: pick(['acme', 'globex', "o'hara", '']), service: pick(['catalogue', 'search']), route: pick(['items', 'item']),
      target: pick(['http://127.0.0.1:9001', 'http://127.0.0.1:9002']), method: pick(['GET', 'POST', 'other']), outcome,
      status: outcome === 'client_aborted' ? 0 : pick([200, 204, 301, 404, 500, 503]),
      requests: next() < 0.95 ? 1 : 0,
      durationUs: Math.floor(Math.exp(7 + 3 * next())), bytesIn: Math.floor(next() * 1000), bytesOut: Math.floor(next() * 100_000),
      attempts: outcome === 'client_aborted' && next() < 0.5 ? 0 : 1, version: pick(['aaaaaaaaaaaa', 'bbbbbbbbbbbb']),
    };
  }).map((event) => ({ ...event, path: PATHS[event.bytesIn % PATHS.length] ?? '' }));
}

export const events = randomEvents(6000);

export interface TestReports extends AsyncDisposable {
  readonly store: ChdbStore;
  readonly deps: TrafficDeps;
}

export async function openReports(): Promise<TestReports> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-reports-'));
  const store = await ChdbStore.open(join(folder, 'store'));
  await migrate(store);
  await insertEvents(store, events.map(({ version, ...event }, index) => ({ ...event, configVersion: version, ordinal: index, seq: index, client: '10.0.0.0/24' })));
  return {
    store,
    deps: {
      store: new ReportStore(store), asOfMs: () => NOW - 1000, nowMs: () => NOW,
      completeness: () => Promise.resolve({ complete: true, reasons: [] }),
      kept: () => ({ eventsMs: 30 * 86_400_000, minutesMs: 90 * 86_400_000, quarterHoursMs: 1100 * 86_400_000 }),
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const parse = (parameters: TrafficParameters, principal: Principal = OPERATOR): TrafficQuery =>
  parseTrafficQuery(parameters, { nowMs: NOW, principal, defaultTimeZone: 'UTC', accept: '' });

const isError = (event: Event): boolean => OUTCOMES[event.outcome].error || (event.outcome === 'answered' && event.status >= 500);

const groupOf = (event: Event): Record<Group, string | number> => ({
  app: event.app, service: event.service, route: event.route, status: event.status, method: event.method, outcome: event.outcome, path: event.path, target: event.target,
  config_version: event.version, status_class: event.status === 0 ? 'none' : `${Math.floor(event.status / 100)}xx`,
});

/** The same report by the plainest counting; percentiles exact, to compare within 5 %. */
export function plainCount(parameters: TrafficParameters, keep: (event: Event) => boolean): Map<string, { sums: number[]; durations: number[] }> {
  const query = parse(parameters);
  const bounds = bucketBounds(query.interval, query.timeZone, query.fromMs, query.toMs);
  const counted = new Map<string, { sums: number[]; durations: number[] }>();
  for (const event of events) {
    if (event.timeMs < query.fromMs || event.timeMs >= query.toMs || !keep(event)) continue;
    const start = bounds[bounds.findIndex((bound) => bound > event.timeMs) - 1] as number;
    const key = JSON.stringify([formatInstant(start, query.timeZone), ...query.groupBy.map((group) => groupOf(event)[group])]);
    const row = counted.get(key) ?? { sums: [0, 0, 0, 0, 0], durations: [] };
    counted.set(key, row);
    const letThrough = wasLetThrough(event.outcome, event.attempts);
    [event.requests, isError(event) ? event.requests : 0, letThrough ? 0 : event.requests, event.bytesIn, event.bytesOut]
      .forEach((value, index) => { row.sums[index] = (row.sums[index] as number) + value; });
    if (letThrough && event.requests === 1) row.durations.push(event.durationUs);
  }
  return counted;
}

export function assertSame(rows: readonly TrafficRow[], expected: ReturnType<typeof plainCount>, groupBy: readonly Group[]): void {
  const keys = rows.map((row) => JSON.stringify([row.time, ...groupBy.map((group) => row.groups[group])]));
  assert.deepEqual([...keys].sort(), [...expected.keys()].sort());
  rows.forEach((row, index) => {
    const { sums, durations } = expected.get(keys[index] as string) as { sums: number[]; durations: number[] };
    assert.deepEqual([row.requests, row.errors, row.refused, row.bytes_in, row.bytes_out], sums, keys[index]);
    durations.sort((a, b) => a - b);
    if (durations.length === 0) return assert.equal(row.duration_ms.p50, null);
    const average = durations.reduce((sum, value) => sum + value, 0) / durations.length / 1000;
    assert.ok(Math.abs((row.duration_ms.avg as number) - average) < 0.001);
    for (const [name, percent] of [['p50', 50], ['p90', 90], ['p95', 95], ['p99', 99]] as const) {
      const exact = (durations[Math.ceil((percent * durations.length) / 100) - 1] as number) / 1000;
      assert.ok(Math.abs((row.duration_ms[name] as number) - exact) / exact <= 0.05, `${name} ${row.duration_ms[name]} for ${exact}`);
    }
  });
}
