/**
 * kill -9 and SIGTERM of every process of a node under load, at random moments and at placed ones. Every request carries its own id and
 * asks for its own body length, and is matched one by one:
 *
 *   answers completely received  ⊆  events stored, each once, with those bytes  ⊆  requests begun
 *
 * TEST_KILLS is the number of kills of each kind (default 3; 20 for the long run: npm run faults).
 */
import assert from 'node:assert/strict';
import { randomBytes, createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Store } from '../../collector/store/store.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode, type Role } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { MatchedLoad } from './matched-load.js';

const KILLS = Number(process.env['TEST_KILLS'] ?? 3);
const APPS = ['north', 'east', 'south', 'west'];

interface Kill {
  readonly role: Role;
  readonly signal: 'SIGKILL' | 'SIGTERM';
  /** Null: a random moment. */
  readonly place: string | null;
}

/** All kinds, one after another, so that no role is killed twice in a row. */
function plan(): Kill[] {
  const kinds: Kill[] = [];
  for (const role of ['worker', 'collector', 'supervisor'] as const) {
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) kinds.push({ role, signal, place: null });
  }
  for (const place of ['after-write', 'mid-frame']) kinds.push({ role: 'worker', signal: 'SIGKILL', place });
  for (const place of ['after-manifest', 'mid-insert', 'after-insert', 'before-delete']) kinds.push({ role: 'collector', signal: 'SIGKILL', place });
  for (const place of ['after-grant', 'mid-seal']) kinds.push({ role: 'supervisor', signal: 'SIGKILL', place });
  const roles: readonly Role[] = ['worker', 'collector', 'supervisor'];
  const kills: Kill[] = [];
  for (let round = 0; round < KILLS; round++) {
    const left = [...kinds];
    for (let i = 0; left.length > 0; i++) {
      const at = left.findIndex((kill) => kill.role === roles[i % 3]);
      kills.push(...left.splice(at < 0 ? 0 : at, 1));
    }
  }
  return kills;
}

interface StoredRequest { readonly path: string; readonly app: string; readonly bytes: number; readonly status: number; readonly rows: number; readonly requests: number }

test('through kills of every process: answered ⊆ recorded, each once ⊆ begun', { skip: requires('chdb', 'linux'), timeout: 1_700_000 }, async () => {
  const orders = mkdtempSync(join(tmpdir(), 'tidegate-orders-'));
  const keys = new Map(APPS.map((app) => [app, `key-${app}-${randomBytes(16).toString('hex')}`]));
  const upstream = await TestUpstream.start();
  const preload = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? 'placed-kill.ts' : 'placed-kill.js', import.meta.url));
  const node = await TestNode.start({
    workers: 2,
    services: [{
      name: 'bytes', record_path: 'full', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }],
    }],
    apps: APPS.map((name) => ({
      name, services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(keys.get(name) ?? '').digest('hex') }],
      limits: { qps: 100_000, qpd: 100_000_000 },
    })),
  }, { env: { TIDEGATE_TEST_ORDERS: orders, NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${preload}` } });
  const load = new MatchedLoad({ port: node.port, connections: 48, keys, maxBytes: 3000 });
  const kills = plan();
  const windows: { readonly kill: Kill; cut: number; lastMs: number }[] = [];
  const startedMs = performance.now();
  try {
    load.start();
    for (const [i, kill] of kills.entries()) {
      load.phase(String(i));
      const begunMs = performance.now();
      await pause(200 + Math.random() * 300);
      await carryOut(node, orders, kill);
      await eventually(`both workers, supervisor and collector after kill ${i} (${kill.role} ${kill.place ?? 'random'})`, async () => {
        if (node.pids('worker').length !== 2 || node.pids('collector').length !== 1 || node.pids('supervisor').length !== 1) return null;
        const answer = await fetch(`${node.controlUrl}/readyz`);
        await answer.text();
        return answer.ok ? true : null;
      }, 40_000);
      windows.push({ kill, cut: load.cut, lastMs: performance.now() - begunMs });
    }
    await load.stop();
    const seconds = (performance.now() - startedMs) / 1000;
    await eventually('all that was recorded is stored, every dead stream sealed', async () => {
      const day = new Date().toISOString().slice(0, 10);
      const { streams } = await node.control<{ streams: readonly { sealed: string | null; missing: number; twice: number; silent_since?: string | null }[] }>(`/v1/completeness?day=${day}`);
      return streams.filter((stream) => stream.sealed === null).length === 2 && streams.every((stream) => stream.missing === 0) ? true : null;
    }, 60_000, 500);
    assert.equal(await node.stop(), 0);
    await judge(node, load, windows, seconds);
  } finally {
    await load.stop();
    await node[Symbol.asyncDispose]();
    await upstream.stop();
    rmSync(orders, { recursive: true, force: true });
  }
});

async function carryOut(node: TestNode, orders: string, kill: Kill): Promise<void> {
  const victims = node.pids(kill.role);
  if (kill.place === null) {
    const victim = victims[Math.floor(Math.random() * victims.length)];
    assert.ok(victim !== undefined, `no ${kill.role} runs`);
    await node.kill(victim, kill.signal);
    return;
  }
  const delay = kill.place === 'mid-insert' ? `.${Math.floor(Math.random() * 60)}` : '';
  writeFileSync(join(orders, `${kill.role}.${kill.place}${delay}`), '');
  // A seal is only made when a worker has died.
  if (kill.place === 'mid-seal') await node.kill(node.pids('worker')[0] ?? 0);
  await eventually(`${kill.role} to die ${kill.place}`, () => (readdirSync(orders).length === 0 ? true : null), 20_000, 5);
  const before = new Set(victims);
  await eventually(`the end of the ${kill.role}`, () => (node.pids(kill.role).filter((pid) => before.has(pid)).length < victims.length ? true : null), 20_000, 5);
}

async function judge(node: TestNode, load: MatchedLoad, windows: readonly { readonly kill: Kill; readonly cut: number; readonly lastMs: number }[], seconds: number): Promise<void> {
  const store = await Store.open(join(node.dataDir, 'store'));
  try {
    const rows = await store.query<StoredRequest>(
      'SELECT path, any(app) AS app, toUInt32(sum(bytes_out)) AS bytes, toUInt32(max(status)) AS status, toUInt32(count()) AS rows, toUInt32(sum(requests)) AS requests FROM tidegate.events GROUP BY path',
    );
    const stored = new Map(rows.map((row) => [row.path, row]));
    const perPhase = windows.map(() => ({ begun: 0, events: 0, answered: 0 }));
    const faults: string[] = [];
    for (const [path, request] of load.requests) {
      const phase = perPhase[Number(path.split('/')[3])];
      const event = stored.get(path);
      if (phase !== undefined) {
        phase.begun++;
        if (event !== undefined) phase.events++;
        if (request.answered !== null) phase.answered++;
      }
      if (event !== undefined && (event.rows !== 1 || event.requests !== 1)) faults.push(`${path}: ${event.rows} rows, ${event.requests} requests`);
      if (request.answered === null) continue;
      if (event === undefined) faults.push(`${path}: answered ${request.answered.status}, and not recorded`);
      else if (event.status !== request.answered.status || event.bytes !== request.answered.bytes || (event.status === 200 && (event.app !== request.app || event.bytes !== request.bytes))) {
        faults.push(`${path}: recorded ${event.app} ${event.status} ${event.bytes}, received ${request.app} ${request.answered.status} ${request.answered.bytes}`);
      }
    }
    for (const path of stored.keys()) if (!load.requests.has(path)) faults.push(`${path}: recorded, and never begun`);
    const begun = load.requests.size;
    const answered = [...load.requests.values()].filter((request) => request.answered !== null).length;
    console.log(`${windows.length} kills in ${seconds.toFixed(0)} s; ${Math.round(begun / seconds)} requests/s; answered ${answered} <= recorded ${stored.size} <= begun ${begun}; other statuses ${JSON.stringify([...load.other])}`);
    console.log('kill  process     signal   place           answered <= recorded <= begun   cut   s');
    windows.forEach(({ kill, cut, lastMs }, i) => {
      const phase = perPhase[i] ?? { begun: 0, events: 0, answered: 0 };
      console.log(`${String(i).padStart(4)}  ${kill.role.padEnd(10)}  ${kill.signal}  ${(kill.place ?? 'random').padEnd(14)}  ${String(phase.answered).padStart(8)}    ${String(phase.events).padStart(8)}    ${String(phase.begun).padStart(8)}  ${String(cut).padStart(4)}  ${(lastMs / 1000).toFixed(1)}`);
    });
    assert.deepEqual(faults.slice(0, 20), []);
    assert.ok(windows.filter(({ kill, cut }) => kill.role === 'worker' && kill.signal === 'SIGKILL' && cut > 0).length > 0, 'kills of workers cut answers');
    for (const table of ['traffic_minute', 'traffic_quarter_hour']) {
      const [sums] = await store.query<{ requests: number; bytes_out: number; raw: number; raw_bytes: number }>(
        `SELECT (SELECT toFloat64(sum(requests)) FROM tidegate.${table}) AS requests, (SELECT toFloat64(sum(bytes_out)) FROM tidegate.${table}) AS bytes_out,
          (SELECT toFloat64(sum(requests)) FROM tidegate.events) AS raw, (SELECT toFloat64(sum(bytes_out)) FROM tidegate.events) AS raw_bytes`,
      );
      assert.deepEqual([sums?.requests, sums?.bytes_out], [sums?.raw, sums?.raw_bytes], `${table} equals raw`);
    }
  } finally {
    await store.close();
  }
}
