/** A node that does well. */
import type { ServiceConfig } from '../config/schema.js';
import type { CollectorFacts, NodeFacts } from './node-facts.js';

/** As `services:` has it, defaults filled in; what metrics do not read is left out. */
export function serviceConfig(name: string, more: Partial<ServiceConfig> = {}): ServiceConfig {
  return {
    name, slo: {}, alerts: { error_ratio: 0.1, server_error_ratio: 0.05, latency_p95: '1s', latency_p99: '2s' },
    upstream: { targets: [{ url: 'http://127.0.0.1:9001', weight: 1 }, { url: 'http://127.0.0.1:9002', weight: 1 }] }, ...more,
  } as ServiceConfig;
}

export function nodeFacts(more: Partial<NodeFacts> = {}): NodeFacts {
  return {
    version: '0.1.0', config: { version: '0123456789ab', services: [serviceConfig('catalogue')], appliedAtMs: 1_763_942_400_000, rejected: false },
    workers: 2, workerRestarts: 0, suppressedLines: 7, spoolBytes: 4096, spoolLimitBytes: 8 * 1024 ** 3, lagSeconds: 0.5, shipping: null, collector: COLLECTOR, quotas: [], ledgerUp: true,
    spans: { exported: 5, dropped: 1 },
    nowMs: 1_763_942_460_000, ...more,
  };
}

export const COLLECTOR: CollectorFacts = {
  up: true, failing: false, told: {
    status: {
      lag_seconds: 0.5, stored: 11, gaps: 1, gaps_total: 2, repeats: 3, quarantined: 4, in_quarantine: 1, failing: null, publishing: null,
      billing: { closing: 2, closing_since: '2025-11-24T00:00:00.000Z', incomplete: 1, failing: null },
      store: { looked_at: '2026-11-24T10:00:00.500Z', rows_missing: [{ day: '2026-11-22', rows: 3000 }, { day: '2026-11-23', rows: 5 }], detached_parts: [{ table: 'events', parts: 2, names: ['broken-on-start_20261122_1_1_0', 'broken-on-start_20261123_1_1_0'] }, { table: 'streams', parts: 1, names: ['x'] }] },
    },
    counts: { quarantine_bytes: 512, inserts: { stored: 5, failed: 1, unknown: 0, rows: 11, buckets: [0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], seconds: 0.09 } },
  },
};
