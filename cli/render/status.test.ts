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
    lag_seconds: 90, stored: 7, gaps: 0, gaps_total: 0, repeats: 0, quarantined: 0,
    failing: { code: 'store_failed', detail: 'no room on the disk', since: '2026-11-21T10:00:00.000Z' }, publishing: null,
  },
  collector_fault: null,
};

test('a status says how many nodes share the limits, or since when and why they do not', () => {
  const text = (sharing: NodeStatus['sharing']): string => renderStatus({ columns: 80, colour: false, write: () => undefined }, { ...STATUS, sharing }, null);
  assert.doesNotMatch(text(null), /^redis/m);
  assert.match(text({ nodes: 3, failing: null }), /^redis +answers; limits are shared by 3 nodes$/m);
  const failing = { code: 'shared_state_unavailable', detail: 'connect ECONNREFUSED', since: '2026-11-21T10:00:00.000Z' };
  assert.match(text({ nodes: 3, failing }), /^redis +limits are not shared since 2026-11-21T10:00:00\.000Z: connect ECONNREFUSED \(shared_state_unavailable\)$/m);
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
