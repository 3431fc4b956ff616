/** What is read of a store for `whatif`, and in which order. What is made of it: gateway/whatif/replay.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { IMPORT_WORKER } from '../../gateway/events/event.js';
import { requires } from '../../test/harness/requires.js';
import { createCollectorApi } from '../api/server.js';
import { ChdbStore } from '../store/chdb-store.js';
import { insertEvents, type MadeEvent } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { ReportStore, type QueryStore } from './report-store.js';
import type { TrafficDeps } from './traffic.js';
import { whatif, type WhatifAnswer } from './whatif.js';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const T0 = Date.parse('2026-11-21T10:00:00Z');
const DAY_MS = 86_400_000;
const RANGE = { from: '2026-11-21T10:00:00Z', to: '2026-11-21T11:00:00Z' };
const skip = requires('chdb');
const folder = mkdtempSync(join(tmpdir(), 'tidegate-whatif-'));
let store: ChdbStore;
let order = 0;
const event = (timeMs: number, more: MadeEvent = {}): MadeEvent => ({ timeMs, stream: '1', ordinal: order, seq: order++, app: 'acme', service: 's', route: 'r', durationUs: 1000, ...more });

before(async () => {
  if (skip !== false) return;
  store = await ChdbStore.open(join(folder, 'store'));
  await migrate(store);
  await insertEvents(store, [
    // 30 in the range, by streams in turns: 20 in one millisecond, two streams whose ordinals go against each other, 10 in the last
    ...Array.from({ length: 20 }, (_, i) => event(T0 + 1000, { stream: String(1 + i % 2), ordinal: i % 2 === 0 ? 100 - i : i })),
    ...Array.from({ length: 10 }, () => event(T0 + 3_599_999)),
    // neither before nor behind it
    event(T0 - 1), event(T0 + 3_600_000),
    // counted of the day before it: since UTC's midnight 4, with the one above; in Asia/Kolkata since 18:30Z of the day before, 6
    ...[1, 2, 3].map((hours) => event(T0 - hours * 3_600_000)), event(Date.parse('2026-11-20T18:30:00Z')), event(Date.parse('2026-11-20T23:59:59.999Z')), event(Date.parse('2026-11-20T18:29:59.999Z')),
    event(T0 - 5000, { counted: 0, outcome: 'rate_limited' }),
    // no requests of this time
    event(T0 + 2000, { kind: 'interim', requests: 0 }), event(T0 + 2000, { kind: 'import', worker: IMPORT_WORKER, app: 'acme' }),
  ]);
});
after(async () => {
  await store?.close();
  rmSync(folder, { recursive: true, force: true });
});

const deps = (queries: QueryStore = store): TrafficDeps => ({
  store: new ReportStore(queries), asOfMs: () => NOW - 1000, nowMs: () => NOW, completeness: () => Promise.resolve({ complete: false, reasons: ['3 events are missing'] }),
  kept: () => ({ eventsMs: 2 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS }),
});
const rules = (qpd: number | null, zone = 'UTC') => ({
  version: 'v', rates: [], apps: [{ name: 'acme', services: ['s'], time_zone: zone, ...(qpd === null ? {} : { qpd }) }], services: [{ name: 's', counted: ['answered'], client_ip: true, routes: [{ name: 'r', open: false }] }],
});
const OPERATOR = { principal: { kind: 'operator' } } as const;
const quotaRefused = ({ totals }: WhatifAnswer): number => totals.refused.quota_exhausted ?? 0;

test('every request of the range is taken once, in pieces of whatever size; interim and imported rows are left out', { skip }, async () => {
  for (const pageRows of [1, 2, 7, 10, 20, 30, 31, 50_000]) {
    const { totals, rows } = await whatif(deps(), { ...RANGE, rules: rules(null) }, OPERATOR, pageRows);
    assert.deepEqual([totals.requests, totals.admitted, rows.length], [30, 30, 1], `pages of ${pageRows}`);
  }
});

test('requests come in the order of admission', { skip }, async () => {
  const seen: string[] = [];
  const watched: QueryStore = {
    query: async (sql, params) => {
      const rows = await store.query<Record<string, unknown>>(sql, params);
      if (sql.includes('time_ms')) seen.push(...rows.map((row) => [row['time_ms'], row['stream_id'], row['ordinal_text']].join()));
      return rows;
    },
  };
  await whatif(deps(watched), { ...RANGE, rules: rules(null) }, OPERATOR, 3);
  const key = (text: string): number[] => text.split(',').map(Number);
  assert.deepEqual(seen, [...seen].sort((a, b) => key(a).reduce((found, value, i) => found || value - (key(b)[i] as number), 0)));
  assert.deepEqual([seen.length, new Set(seen).size], [30, 30]);
});

test('a quota begins with what was counted of the app\'s own day before the range', { skip }, async () => {
  assert.equal(quotaRefused(await whatif(deps(), { ...RANGE, rules: rules(10) }, OPERATOR)), 30 - (10 - 4));
  assert.equal(quotaRefused(await whatif(deps(), { ...RANGE, rules: rules(10, 'Asia/Kolkata') }, OPERATOR)), 30 - (10 - 6));
  assert.equal(quotaRefused(await whatif(deps(), { from: '2026-11-21T00:00:00Z', to: RANGE.to, rules: rules(10) }, OPERATOR)), 35 - 10, 'what was refused would count');
});

test('the answer says how far it goes, what is missing, and what is left out', { skip }, async () => {
  const answer = await whatif(deps(), { ...RANGE, rules: rules(0) }, OPERATOR);
  assert.deepEqual([answer.version, answer.from, answer.to, answer.as_of], ['v', '2026-11-21T10:00:00.000Z', '2026-11-21T11:00:00.000Z', '2026-11-21T11:59:59.000Z']);
  assert.deepEqual([answer.complete, answer.missing], [false, ['3 events are missing']]);
  assert.match(answer.not_simulated.join('\n'), /Limits of client addresses: the record keeps networks/);
});

test('a range of which raw events have gone is refused, also where only the begin of a quota\'s day has', { skip }, async () => {
  await assert.rejects(whatif(deps(), { from: '2026-11-19T11:59:59Z', to: RANGE.to, rules: rules(null) }, OPERATOR), { code: 'range_not_kept', message: 'Raw events are kept since 2026-11-19T12:00:00.000Z.' });
  const within = { from: '2026-11-19T12:00:00Z', to: RANGE.to };
  await whatif(deps(), { ...within, rules: rules(null) }, OPERATOR);
  await assert.rejects(whatif(deps(), { ...within, rules: rules(5) }, OPERATOR), { code: 'range_not_kept', message: /the day that holds `from` begins 2026-11-19T00:00:00\.000Z/ });
});

test('nothing more is read for one who has left', { skip }, async () => {
  const left = new AbortController();
  let pages = 0;
  const watched: QueryStore = {
    query: async (sql, params) => {
      if (sql.includes('time_ms') && ++pages === 3) left.abort(new Error('left'));
      return store.query(sql, params);
    },
  };
  const one = deps(watched);
  await assert.rejects(whatif(one, { ...RANGE, rules: rules(null) }, { ...OPERATOR, signal: left.signal }, 2), /left/);
  assert.equal(pages, 3);
});

test('an app may not ask, and a question that is none is told what is wrong with it', { skip }, async () => {
  const { store: _, ...rest } = deps();
  const nothing = { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) };
  const api = createCollectorApi({ ...rest, store, completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [], dropped: [] }]), quarantine: nothing, status: () => ({}), log: { debug: () => {}, warn: () => {}, error: () => {} } });
  const ask = async (body: unknown, principal = 'operator') => {
    const answer = await api.inject({ method: 'POST', url: '/v1/whatif', headers: { 'x-tidegate-principal': principal, 'content-type': 'application/json' }, payload: JSON.stringify(body) });
    const { code, parameter, totals } = answer.json<Record<string, unknown>>();
    return [answer.statusCode, code ?? totals, ...(parameter === undefined ? [] : [parameter])];
  };
  const good = { ...RANGE, rules: rules(null) };
  assert.deepEqual(await ask(good), [200, { requests: 30, admitted: 30, refused: {}, newly_refused: {}, newly_admitted: {}, as_recorded: {} }]);
  assert.deepEqual((await ask(good, 'operator:boards'))[0], 200);
  assert.deepEqual(await ask(good, 'app:acme'), [403, 'operator_only']);
  for (const [body, parameter] of [
    [{ ...good, from: 'yesteryear' }, 'from'], [{ ...good, from: good.to }, 'from'], [{ from: good.from, rules: good.rules }, 'to'], [[], 'body'], [{ ...good, more: 1 }, 'more'],
    [{ ...good, rules: rules(1, 'Europe/Nowhere') }, 'rules'], [{ ...good, rules: { ...good.rules, rates: [{ key: 'qps:app:acme', qps: 0, burst: 1 }] } }, 'rules'],
    [{ ...good, rules: { ...good.rules, rates: [{ key: 'qps:app:acme', qps: 1e30, burst: 1 }] } }, 'rules'],
  ] as const) assert.deepEqual(await ask(body), [400, 'invalid_parameter', parameter], JSON.stringify(body));
  await api.close();
});

test('more time zones than there are, be they spellings of one or names of none, are refused before any is looked up', { skip }, async () => {
  const apps = Array.from({ length: 800 }, (_, i) => ({ name: `a${i}`, services: [], time_zone: `Zone/None${i}`, qpd: 1 }));
  await assert.rejects(whatif(deps(), { ...RANGE, rules: { ...rules(null), apps } }, OPERATOR), /invalid_parameter|800 time zones/);
});
