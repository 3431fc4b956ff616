import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../test/harness/deadline.js';
import type { CollectorStatus } from '../control/control-deps.js';
import { Collecting } from './collecting.js';
import { collectorLagFile, collectorSocket } from './run-files.js';

const FIXTURE = fileURLToPath(new URL(`answering-collector.fixture${extname(import.meta.url)}`, import.meta.url));

const WELL: CollectorStatus = { lag_seconds: 0, stored: 1, gaps: 0, gaps_total: 0, repeats: 0, quarantined: 0, in_quarantine: 0, failing: null, publishing: null, billing: null, store: null };
const fault = (code: string): { readonly code: string; readonly detail: string; readonly since: string } => ({ code, detail: 'why', since: '2026-11-21T10:00:00.000Z' });
const REASON = 'events are not stored: why';

test('a node that serves goes on without its collector, but for what people must mend before one has ever run', async () => {
  const node = new Collecting('whole', '/nowhere/collector.sock', '/nowhere/lag');
  assert.equal(await node.read(), null);
  assert.deepEqual(node.readiness(null), { ready: true, reasons: [] }, 'it is starting');
  node.take({ fault: fault('store_access'), everRan: false });
  assert.deepEqual(node.readiness(null), { ready: false, reasons: [`${REASON} (store_access)`] });
  node.take({ fault: fault('store_unavailable'), everRan: false });
  assert.deepEqual(node.readiness(null), { ready: true, reasons: [`${REASON} (store_unavailable)`] }, 'another machine is away');
  node.take({ fault: fault('store_failed'), everRan: false });
  assert.equal(node.readiness(null).ready, true, 'a full disk, say: requests are recorded meanwhile');
  node.take({ fault: fault('store_access'), everRan: true });
  assert.deepEqual(node.readiness(null), { ready: true, reasons: [`${REASON} (store_access)`] }, 'requests come already');
  assert.deepEqual(node.readiness(WELL), { ready: true, reasons: [] });
  assert.deepEqual(node.readiness({ ...WELL, failing: fault('store_failed') }), { ready: true, reasons: [`${REASON} (store_failed)`] });
  await node.close();
});

test('a collector alone is ready while it stores; a gateway alone neither asks nor waits for one', async () => {
  const collector = new Collecting('collector', '/nowhere/collector.sock', '/nowhere/lag');
  assert.deepEqual(collector.readiness(WELL), { ready: true, reasons: [] });
  const starting = collector.readiness(null);
  assert.equal(starting.ready, false);
  assert.match(starting.reasons.join(), /does not answer.*\(collector_unavailable\)$/);
  assert.deepEqual(collector.readiness({ ...WELL, failing: fault('kafka_unreachable') }), { ready: false, reasons: [`${REASON} (kafka_unreachable)`] });
  const unpublished = { ...WELL, publishing: { ever: false, failing: fault('shared_state_eviction') } };
  assert.deepEqual(collector.readiness(unpublished), { ready: false, reasons: ['live counters are not published: why (shared_state_eviction)'] });
  assert.deepEqual(collector.readiness({ ...unpublished, publishing: { ...unpublished.publishing, ever: true } }), { ready: true, reasons: ['live counters are not published: why (shared_state_eviction)'] }, 'it stores');
  assert.deepEqual(collector.readiness({ ...WELL, publishing: { ever: true, failing: null } }), { ready: true, reasons: [] });
  collector.take({ fault: fault('store_unavailable'), everRan: true });
  assert.deepEqual(collector.readiness(null), { ready: false, reasons: [`${REASON} (store_unavailable)`] });
  assert.equal(collector.lagSeconds, null, 'it has not answered yet');
  await collector.close();

  const gateway = new Collecting('gateway', '/nowhere/collector.sock', '/nowhere/lag');
  assert.deepEqual([await gateway.read(), gateway.readiness(null), gateway.lagSeconds], [null, { ready: true, reasons: [] }, null]);
  await gateway.close();
});

test('readiness waits for no collector: one that stands still is told within the second, and one that goes on is ready again', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-collecting-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const socketPath = collectorSocket(folder);
  const child = spawn(process.execPath, [...process.execArgv, FIXTURE, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => { child.kill('SIGKILL'); });
  const collecting = new Collecting('collector', socketPath, collectorLagFile(folder));
  t.after(() => collecting.close());
  assert.equal(collecting.readiness().ready, false, 'it has not answered yet');
  collecting.start();
  await once(child.stdout as NodeJS.EventEmitter, 'data');
  // what is answered at once is no promise
  await eventually('it answers', () => (collecting.readiness().ready ? true : null));
  child.kill('SIGSTOP');
  const { reasons } = await eventually('it is silent', () => { const said = collecting.readiness(); return said.ready ? null : said; });
  assert.match(reasons.join(), /does not answer.*\(collector_unavailable\)$/);
  await eventually('nobody is to wait for it', () => (collecting.standsStill ? true : null));
  child.kill('SIGCONT');
  await eventually('it answers again', () => (collecting.readiness().ready && !collecting.standsStill ? true : null));
});
