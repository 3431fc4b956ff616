import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CollectorStatus, NodeStatus } from '../../gateway/control/control-deps.js';
import { renderStatus } from './status.js';

const STATUS: NodeStatus = {
  node: 'edge-1', version: '0.1.0', started_at: '2026-11-21T09:00:00.000Z', ready: true, reasons: [],
  shape: { part: 'whole', event_log: 'spool', store: 'chdb', shared_state: 'node' },
  config: { version: '0123456789ab', source: 'file', loaded_at: '2026-11-21T09:30:00.000Z', last_reload: null },
  workers: [], targets: [], limits: [], spool: { bytes: 0, max_bytes: 1, streams: 0, dropped: 0 }, shipping: null, sharing: null,
  collector: {
    lag_seconds: 90, stored: 7, gaps: 0, gaps_total: 0, repeats: 0, quarantined: 0, in_quarantine: null,
    failing: { code: 'store_failed', detail: 'no room on the disk', since: '2026-11-21T10:00:00.000Z' }, publishing: null, billing: null, store: null,
  },
  collector_fault: null, restart: null,
};

test('a status says how many nodes share the limits, or since when and why they do not', () => {
  const text = (sharing: NodeStatus['sharing']): string => renderStatus({ columns: 80, colour: false, write: () => undefined }, { ...STATUS, sharing }, null);
  assert.doesNotMatch(text(null), /^redis/m);
  assert.match(text({ nodes: 3, failing: null }), /^redis +answers; limits are shared by 3 nodes$/m);
  const failing = { code: 'shared_state_unavailable', detail: 'connect ECONNREFUSED', since: '2026-11-21T10:00:00.000Z' };
  assert.match(text({ nodes: 3, failing }), /^redis +limits are not shared since 2026-11-21T10:00:00\.000Z: connect ECONNREFUSED \(shared_state_unavailable\)$/m);
});

test('a status says how a restart stands, and why one was given up; of one that is done nothing', () => {
  const text = (restart: NodeStatus['restart']): string => renderStatus({ columns: 80, colour: false, write: () => undefined }, { ...STATUS, restart }, null);
  const running = { number: 2, state: 'running', started_at: '2026-11-21T10:00:00.000Z', ended_at: null, replaced: ['collector'], step: 'the supervisor is replaced', fault: null } as const;
  assert.match(text(running), /^restart +the supervisor is replaced; since 2026-11-21T10:00:00Z, replaced: collector$/m);
  const failed = { ...running, state: 'failed', replaced: [], step: null, fault: { code: 'restart_failed', detail: 'a.yaml:3:1: Unknown key' } } as const;
  assert.match(text(failed), /^restart +given up: a\.yaml:3:1: Unknown key \(restart_failed\); since 2026-11-21T10:00:00Z, replaced: nothing yet$/m);
  for (const nothing of [null, { ...running, state: 'done', step: null } as const]) assert.doesNotMatch(text(nothing), /^restart/m);
});

test('a status says since when and why storing fails, and that nothing is lost by it', () => {
  const text = renderStatus({ columns: 80, colour: false, write: () => undefined }, STATUS, null);
  assert.match(text, /^collector +storing fails since 2026-11-21T10:00:00\.000Z: no room on the disk \(store_failed\); events wait in the spool$/m);
  assert.doesNotMatch(text, /events stored/);
});

test('a status says since when and why live counters are not published', () => {
  const failing = { code: 'shared_state_eviction', detail: 'port 6379: maxmemory-policy is allkeys-lru', since: '2026-11-21T10:00:00.000Z' };
  const text = (publishing: CollectorStatus['publishing']): string =>
    renderStatus({ columns: 80, colour: false, write: () => undefined }, { ...STATUS, collector: { ...(STATUS.collector as CollectorStatus), publishing } }, null);
  for (const well of [null, { ever: true, failing: null }]) assert.doesNotMatch(text(well), /^counters/m);
  assert.match(text({ ever: false, failing }), /^counters +live counters are not published since 2026-11-21T10:00:00\.000Z: port 6379: maxmemory-policy is allkeys-lru \(shared_state_eviction\); nothing is lost by it$/m);
});

test('a status names the days that lack rows, and parts that the store has set aside; nothing where all is well', () => {
  const text = (store: CollectorStatus['store']): string =>
    renderStatus({ columns: 80, colour: false, write: () => undefined }, { ...STATUS, collector: { ...(STATUS.collector as CollectorStatus), store } }, null);
  for (const well of [null, { looked_at: '2026-11-24T10:00:00.000Z', rows_missing: [], detached_parts: null }, { looked_at: '2026-11-24T10:00:00.000Z', rows_missing: [], detached_parts: [] }]) assert.doesNotMatch(text(well), /^store /m);
  const parts = { table: 'events', parts: 1200, names: ['broken-on-start_20261122_1_1_0', 'b', 'c', 'd'] };
  assert.match(text({ looked_at: '2026-11-24T10:00:00.000Z', rows_missing: [{ day: '2026-11-21', rows: 5 }, { day: '2026-11-22', rows: 3000 }], detached_parts: [parts] }),
    /^store +5 rows stored of 2026-11-21 \(UTC\) are not in the store any more\n +3,000 rows stored of 2026-11-22 \(UTC\) are not in the store any more\n +1,200 parts of events set aside: broken-on-start_20261122_1_1_0, b, c, …$/m);
  const many = text({ looked_at: '2026-11-24T10:00:00.000Z', rows_missing: Array.from({ length: 12 }, (_, i) => ({ day: `2026-11-${String(i + 1).padStart(2, '0')}`, rows: 1 })), detached_parts: null });
  assert.match(many, /2026-11-12 [^]*the same holds of 2 earlier days/);
  assert.doesNotMatch(many, /2026-11-02/);
});

test('a status says since when days wait to be closed, and which of them wait for an operator', () => {
  const text = (billing: CollectorStatus['billing']): string =>
    renderStatus({ columns: 80, colour: false, write: () => undefined }, { ...STATUS, collector: { ...(STATUS.collector as CollectorStatus), billing } }, null);
  const well = { closing: 0, closing_since: null, incomplete: 0, failing: null };
  assert.match(text(well), /^billing +all days that are over are closed$/m);
  assert.match(text({ ...well, closing: 1, closing_since: '2026-11-21T00:00:00.000Z' }), /^billing +1 day of apps waits to be closed, the oldest over since 2026-11-21T00:00Z$/m);
  assert.match(text({ ...well, closing: 3, closing_since: '2026-11-20T18:30:00.000Z', incomplete: 1 }), /^billing +3 days of apps wait to be closed, the oldest over since 2026-11-20T18:30Z; the record is not whole: tidegate billing days$/m);
  assert.match(text({ ...well, failing: 'no room' }), /^billing +days cannot be closed: no room$/m);
});
