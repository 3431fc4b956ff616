/** One kill: waits for full load, meets its moment, waits until the node is whole and its day complete again, and says whether it counts. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../harness/deadline.js';
import type { TestNode } from '../harness/tidegate.js';
import { FOUND_DIR, lastInsert, LOOK_ORDER, type FoundAtStart } from './found-at-start.js';
import { LONG_RUN, nameOf, whatCounts, type KillKind } from './kill-kinds.js';
import type { MatchedLoad } from './matched-load.js';

/** Requests a second at which kills are to be made, and how long they are waited for: a slow machine says so in the table, and in the long run by what lacks. */
export const FULL_LOAD = 3000;
const FULL_LOAD_WITHIN_MS = 10_000;
const SAMPLE_MS = 200;
/** A supervisor that wrote its journal this lately was lending as it was killed. */
const LENDING_MS = 1000;
const BACK_WITHIN_MS = 40_000;
const COMPLETE_WITHIN_MS = 60_000;

export interface Ground {
  readonly node: TestNode;
  readonly load: MatchedLoad;
  /** Orders for placed-kill.ts. */
  readonly orders: string;
}

export interface Attempt {
  readonly kind: KillKind;
  /** Null: it does not count. */
  readonly counts: string | null;
  readonly requestsASecond: number;
  readonly cut: number;
  readonly lastedMs: number;
}

/** @param phase carried by the requests that begin from here on */
export async function attempt(ground: Ground, kind: KillKind, phase: number): Promise<Attempt> {
  const { node, load, orders } = ground;
  const what = `kill ${phase} (${nameOf(kind)})`;
  const begunMs = performance.now();
  load.phase(String(phase));
  const requestsASecond = await fullLoad(load);
  await pause(Math.random() * 200);
  rmSync(join(orders, FOUND_DIR), { recursive: true, force: true });
  mkdirSync(join(orders, FOUND_DIR));
  const [cutBefore, closingBefore] = [load.cut, load.closing];
  const underWay = kind.place === null ? await killAtRandom(ground, kind) : await killInPlace(ground, kind, kind.place);
  const killedAtMs = Date.now();
  await eventually(`both workers, supervisor and collector after ${what}`, () => isWhole(node), BACK_WITHIN_MS, 50);
  const found = kind.role === 'collector' ? firstFound(orders) : null;
  if (kind.role === 'collector' && kind.signal === 'SIGTERM') assert.equal(found?.unfinished, false, `${what}: a collector that ends in order finishes its insert`);
  await eventually('every dead stream sealed and stored, the day complete', () => mustBeComplete(node, killedAtMs), COMPLETE_WITHIN_MS, 100)
    .catch((error: unknown) => { throw new Error(`after ${what}: ${String((error as Error).cause)}`, { cause: error }); });
  const cut = load.cut - cutBefore;
  const slow = LONG_RUN && requestsASecond < FULL_LOAD;
  const counts = slow ? null : whatCounts(kind, { cut, closing: load.closing - closingBefore, underWay, found });
  return { kind, counts, requestsASecond, cut, lastedMs: performance.now() - begunMs };
}

/** Resolves at FULL_LOAD, or after a while; with the rate then. */
async function fullLoad(load: MatchedLoad): Promise<number> {
  const fromMs = performance.now();
  for (let atMs = fromMs, begun = load.requests.size; ;) {
    await pause(SAMPLE_MS);
    const nowMs = performance.now();
    const rate = (load.requests.size - begun) / (nowMs - atMs) * 1000;
    if (rate >= FULL_LOAD || nowMs - fromMs >= FULL_LOAD_WITHIN_MS) return Math.round(rate);
    [atMs, begun] = [nowMs, load.requests.size];
  }
}

/** Answers with what was under way, where the disk tells; null: nothing, or the load tells. */
async function killAtRandom({ node }: Ground, { role, signal }: KillKind): Promise<string | null> {
  if (role === 'worker') {
    await node.kill(await connectedWorker(node), signal);
    return null;
  }
  const victim = node.pids(role)[0];
  assert.ok(victim !== undefined, `no ${role} runs`);
  if (role === 'collector') await untilWithinInsert(node.dataDir);
  const underWay = role === 'collector' ? insertUnderWay(node.dataDir) : lending(node.dataDir);
  await node.kill(victim, signal);
  return underWay;
}

/** The kernel deals connections out unevenly, and one worker may have none. */
async function connectedWorker(node: TestNode): Promise<number> {
  return eventually('a worker with connections', async () => {
    const { workers } = await node.control<NodeStatus>('/v1/status');
    const connected = workers.filter(({ connections }) => (connections ?? 0) > 0);
    return connected[Math.floor(Math.random() * connected.length)]?.pid ?? null;
  });
}

/** Takes the length of one insert, and resolves a random part of that after the next has begun. */
async function untilWithinInsert(dataDir: string): Promise<void> {
  await nextManifest(dataDir);
  const begunMs = performance.now();
  await eventually('the end of an insert', () => (lastInsert(dataDir).unfinished ? null : true), 60_000, 1);
  const insertMs = performance.now() - begunMs;
  await nextManifest(dataDir);
  await pause(Math.random() * insertMs);
}

async function nextManifest(dataDir: string): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  await new Promise<void>((resolve, reject) => {
    const watcher = watch(join(dataDir, 'collector'), (_, name) => {
      if (name !== 'manifest.json') return;
      watcher.close();
      resolve();
    });
    deadline.addEventListener('abort', () => {
      watcher.close();
      reject(new Error('the collector began no insert'));
    }, { once: true });
  });
}

function insertUnderWay(dataDir: string): string | null {
  const { range, unfinished } = lastInsert(dataDir);
  return unfinished ? `insert ${range} under way` : null;
}

function lending(dataDir: string): string | null {
  const agoMs = Math.max(0, Math.round(Date.now() - statSync(join(dataDir, 'ledger', 'journal.jsonl')).mtimeMs));
  return agoMs <= LENDING_MS ? `lending ${agoMs} ms before` : null;
}

async function killInPlace({ node, orders }: Ground, { role }: KillKind, place: string): Promise<null> {
  const victims = new Set(node.pids(role));
  const order = join(orders, `${role}.${place}${place === 'mid-insert' ? `.${Math.floor(Math.random() * 60)}` : ''}`);
  if (place === 'between-raw-and-rollup') writeFileSync(join(orders, LOOK_ORDER), '');
  writeFileSync(order, '');
  // A seal is only made when a worker has died.
  if (place === 'mid-seal') await node.kill(await connectedWorker(node));
  await eventually(`the ${role} to come by ${place}`, () => (existsSync(order) ? null : true), 60_000, 5);
  await eventually(`the end of the ${role}`, () => (node.pids(role).filter((pid) => victims.has(pid)).length < victims.size ? true : null), 60_000, 5);
  return null;
}

function firstFound(orders: string): FoundAtStart {
  const [name] = readdirSync(join(orders, FOUND_DIR)).sort();
  assert.ok(name !== undefined, 'the next collector has noted what it found');
  return JSON.parse(readFileSync(join(orders, FOUND_DIR, name), 'utf8')) as FoundAtStart;
}

interface NodeStatus {
  readonly workers: readonly { readonly pid: number; readonly stream: string; readonly state: string; readonly connections: number | null }[];
  readonly collector: { readonly lag_seconds: number } | null;
}

interface Day {
  readonly complete: boolean;
  readonly reasons: readonly string[];
  readonly streams: readonly { readonly stream: string; readonly sealed: string | null; readonly missing: number; readonly twice: number }[];
}

async function isWhole(node: TestNode): Promise<true | null> {
  if (node.pids('worker').length !== 2 || node.pids('collector').length !== 1 || node.pids('supervisor').length !== 1) return null;
  const { workers, collector } = await node.control<NodeStatus>('/v1/status');
  return workers.length === 2 && workers.every(({ state }) => state === 'serving') && collector !== null ? true : null;
}

/**
 * Of the dead every stream is sealed, stored to its end and gone from the spool; the living are stored past the kill; nothing is missing, nothing
 * there twice. Throws what is not so.
 */
async function mustBeComplete(node: TestNode, killedAtMs: number): Promise<true> {
  const { workers, collector } = await node.control<NodeStatus>('/v1/status');
  const living = new Set(workers.map(({ stream }) => stream));
  const spooled = readdirSync(join(node.dataDir, 'spool')).filter((name) => /^[0-9a-f]{16}$/.test(name) && !living.has(name));
  assert.deepEqual(spooled, [], 'streams of dead workers are still in the spool');
  // the lag leaves out the collector's own interval, 250 ms
  assert.ok(collector !== null && Date.now() - killedAtMs > collector.lag_seconds * 1000 + 250, `not stored past the kill: ${JSON.stringify(collector)}`);
  const day = await node.control<Day>(`/v1/completeness?day=${new Date().toISOString().slice(0, 10)}`);
  assert.deepEqual(day.streams.filter(({ stream, sealed }) => (sealed === null) !== living.has(stream)), [], 'sealed are the dead, and only they');
  assert.deepEqual(day.streams.filter(({ missing, twice }) => missing !== 0 || twice !== 0), []);
  assert.ok(day.complete, day.reasons.join('; '));
  return true;
}
