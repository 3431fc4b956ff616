/**
 * kill -9 and SIGTERM of every process of a node under load, at random moments and at placed ones. Every request carries its own id and
 * asks for its own body length, and is matched one by one:
 *
 *   answers completely received  ⊆  events stored, each once, with those bytes  ⊆  requests begun
 *
 * After each kill every stream of a dead worker is sealed and stored to its end, and the day is complete up to the kill. Kills of the collector and of workers
 * bring no answer other than 200; those of the supervisor, few. A kill counts only by evidence (docs/decisions/0023):
 *
 *   worker SIGKILL        it cut answers: their connections broke
 *   worker SIGTERM        cuts nothing: answers were under way, and came with `Connection: close`
 *   collector SIGKILL     the next collector found the insert unfinished, before it did anything (found-at-start.ts). A random one is aimed: it strikes
 *                         within the length of an insert after one has begun. `between-raw-and-rollup`: and the raw rows in the store without
 *                         their rollups. `before-delete` comes after the insert, and counts by its place
 *   collector SIGTERM     cuts nothing: an insert was under way, and the next collector found none unfinished
 *   supervisor, random    cuts neither: requests flowed, and it had lent to workers (written its journal) within the second before
 *   supervisor, placed    counts by its place: a grant was in the journal and not with the worker; a seal was written and not in force
 *
 * One that does not count is made again. Where TEST_KILLS is 20 or more a kill counts at 3,000 requests a second or more only.
 */
import assert from 'node:assert/strict';
import { randomBytes, createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { FOUND_DIR } from './found-at-start.js';
import { attempt, type Attempt, type Ground } from './kill-attempt.js';
import { nameOf, type KillKind } from './kill-kinds.js';
import { judge } from './kill-table.js';
import { MatchedLoad } from './matched-load.js';

/** Of each kind, for one that counts. */
const MOST_TRIES = 6;
/** For a kill, on a slow machine; and for what comes before and after. */
const [WITHIN_MS, BESIDES_MS] = [40_000, 1_100_000];
const APPS = ['north', 'east', 'south', 'west'];

export interface Kills {
  readonly kinds: readonly KillKind[];
  /** Of each kind, that have to count. */
  readonly ofEach: number;
}

/** What the test may take. */
export const timeoutOf = ({ kinds, ofEach }: Kills): number => BESIDES_MS + ofEach * kinds.length * WITHIN_MS;

export async function throughKills(kills: Kills): Promise<void> {
  const orders = mkdtempSync(join(tmpdir(), 'tidegate-orders-'));
  mkdirSync(join(orders, FOUND_DIR));
  const keys = new Map(APPS.map((app) => [app, `key-${app}-${randomBytes(16).toString('hex')}`]));
  const upstream = await TestUpstream.start();
  const preload = new URL(import.meta.url.endsWith('.ts') ? 'placed-kill.ts' : 'placed-kill.js', import.meta.url);
  let node: TestNode | null = null;
  let load: MatchedLoad | null = null;
  try {
    node = await TestNode.start({
      workers: 2,
      services: [{
        name: 'bytes', record_path: 'full', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }],
      }],
      apps: APPS.map((name) => ({
        name, services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(keys.get(name) ?? '').digest('hex') }],
        limits: { qps: 100_000, qpd: 100_000_000 },
      })),
    }, { env: { TIDEGATE_TEST_ORDERS: orders, NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''} --import ${preload.href}` } });
    load = new MatchedLoad({ port: node.port, connections: 48, keys, maxBytes: 3000 });
    const startedMs = performance.now();
    load.start();
    const attempts = await makeKills({ node, load, orders }, kills);
    await load.stop();
    const seconds = (performance.now() - startedMs) / 1000;
    assert.equal(await node.stop(), 0);
    const store = await ChdbStore.open(join(node.dataDir, 'store'));
    try {
      await judge(store, load, attempts, seconds);
    } finally {
      await store.close();
    }
    assert.deepEqual(lacking(attempts, kills), [], `kinds of which fewer than ${kills.ofEach} kills counted`);
  } finally {
    await load?.stop();
    await node?.[Symbol.asyncDispose]();
    await upstream.stop();
    rmSync(orders, { recursive: true, force: true });
  }
}

/** Rounds over the kinds, until of each so many have counted or so many were tried. */
async function makeKills(ground: Ground, { kinds, ofEach }: Kills): Promise<Attempt[]> {
  const attempts: Attempt[] = [];
  const open = kinds.map((kind) => ({ kind, counted: 0, tried: 0 }));
  while (open.length > 0) {
    for (const state of [...open]) {
      const made = await attempt(ground, state.kind, attempts.length);
      attempts.push(made);
      state.tried++;
      if (made.counts !== null) state.counted++;
      if (ofEach > 1) console.error(`kill ${attempts.length}: ${nameOf(state.kind)}, ${made.counts === null ? 'does not count' : 'counts'} (${state.counted} of ${ofEach})`);
      if (state.counted === ofEach || state.tried === ofEach * MOST_TRIES) open.splice(open.indexOf(state), 1);
    }
  }
  return attempts;
}

function lacking(attempts: readonly Attempt[], { kinds, ofEach }: Kills): string[] {
  return kinds.map((kind) => {
    const own = attempts.filter((made) => nameOf(made.kind) === nameOf(kind));
    return { kind, tried: own.length, counted: own.filter(({ counts }) => counts !== null).length };
  }).filter(({ counted }) => counted < ofEach).map(({ kind, tried, counted }) => `${nameOf(kind)}: ${counted} of ${tried}`);
}
