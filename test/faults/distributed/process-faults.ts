/** What can be done to the processes of a topology: killed at random and in place, stopped and continued. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../../harness/deadline.js';
import { childrenOf, isGone, type Role, type TestNode } from '../../harness/tidegate.js';
import { STANDS } from './placed-process.js';
import { SIZES } from './sizes.js';
import type { Part, Topology } from './topology.js';

/** A kind of process: of which nodes, and what it is there. Launchers and supervisors are in both parts. */
export interface ProcessKind {
  readonly part: Part;
  readonly role: Role | 'launcher';
}

const MEETS_WITHIN_MS = 60_000;

interface Victim {
  readonly name: string;
  readonly node: TestNode;
  readonly pid: number;
}

export class ProcessFaults {
  readonly #topology: Topology;
  readonly #orders: string | null;

  /** @param orders the folder of placed-process.ts and placed-kill.ts; null: nothing is killed in place */
  constructor(topology: Topology, orders: string | null) {
    this.#topology = topology;
    this.#orders = orders;
  }

  /** SIGKILL to one of that kind, on a node by chance, at a moment by chance. A launcher takes its node with it, which is started again. */
  async kill(kind: ProcessKind): Promise<void> {
    await pause(Math.random() * 500);
    const { name, node, pid } = this.#oneOf(kind);
    const children = childrenOf(pid);
    await node.kill(pid);
    if (kind.role === 'launcher') {
      for (const child of children) await eventually(`the end of ${child} after its launcher's`, () => (isGone(child) ? true : null), MEETS_WITHIN_MS);
      await this.#topology.startNode(name);
    }
    await pause(SIZES.afterMs);
  }

  /** SIGSTOP, and SIGCONT. */
  async stall(kind: ProcessKind, ms = SIZES.stallMs): Promise<void> {
    const { pid } = this.#oneOf(kind);
    process.kill(pid, 'SIGSTOP');
    try {
      await pause(ms);
    } finally {
      signalIfThere(pid, 'SIGCONT');
    }
  }

  /** SIGKILL where the order says. @param text of the order */
  async killInPlace(role: Role, place: string, text = ''): Promise<void> {
    const before = this.#pidsOf(role);
    const order = this.#order(`${role}.${place}`);
    writeFileSync(order, text);
    try {
      await eventually(`a ${role} comes by ${place}`, () => (existsSync(order) ? null : true), MEETS_WITHIN_MS, 5);
      await eventually(`the end of a ${role} at ${place}`, () => (before.every((pid) => this.#pidsOf(role).includes(pid)) ? null : true), MEETS_WITHIN_MS, 5);
    } finally {
      rmSync(order, { force: true });
    }
    await pause(SIZES.afterMs);
  }

  /** The worker has died, and its supervisor dies where it seals the stream. */
  async killAtSeal(): Promise<void> {
    const ends = this.killInPlace('supervisor', 'mid-seal');
    const { node, pid } = this.#oneOf({ part: 'gateway', role: 'worker' });
    await node.kill(pid);
    await ends;
  }

  /**
   * The store's server is killed with raw rows in and no rollup, and the collector that inserted them, too. The other collector stands still until
   * the server is back: it would store without a rollup what nobody would make again.
   * @returns requests that raw had and the rollup had not
   */
  async killBetweenRawAndRollup(): Promise<number> {
    const { clickhouse, store, collectors } = this.#topology;
    const order = this.#order('collector.raw-without-rollup');
    const stands = this.#order(STANDS);
    const pids = collectors.flatMap((node) => node.pids('collector'));
    const [one = 0, ...others] = pids;
    for (const pid of others) process.kill(pid, 'SIGSTOP');
    try {
      writeFileSync(order, '');
      await eventually('a collector stands between raw and rollup', () => (existsSync(stands) ? true : null), MEETS_WITHIN_MS, 5);
      await clickhouse.restart();
      const [sums] = await store.query<{ less: number }>('SELECT toFloat64((SELECT sum(e.requests) FROM tidegate.events AS e) - (SELECT sum(t.requests) FROM tidegate.traffic_minute AS t)) AS less');
      signalIfThere(one, 'SIGKILL');
      return sums?.less ?? 0;
    } finally {
      rmSync(order, { force: true });
      if (existsSync(stands)) signalIfThere(Number(readFileSync(stands, 'utf8')), 'SIGKILL');
      rmSync(stands, { force: true });
      for (const pid of others) signalIfThere(pid, 'SIGCONT');
    }
  }

  /** One of the two collectors goes, and comes back, in turn, for so long. */
  async joinAndLeave(forMs: number, everyMs = 5000): Promise<void> {
    const untilMs = performance.now() + forMs;
    for (let i = 0; performance.now() < untilMs; i++) {
      const name = `collector-${i % 2 + 1}`;
      await this.#topology.stopNode(name);
      await pause(everyMs / 2);
      await this.#topology.startNode(name);
      await pause(everyMs / 2);
    }
  }

  /** Null: none runs just now. */
  anyOf({ part, role }: ProcessKind): Victim | null {
    const all = this.#topology.named(part).flatMap(([name, node]): Victim[] => (role === 'launcher' ? [node.launcher.pid ?? 0] : node.pids(role)).map((pid) => ({ name, node, pid })));
    return all[Math.floor(Math.random() * all.length)] ?? null;
  }

  #oneOf(kind: ProcessKind): Victim {
    const one = this.anyOf(kind);
    if (one === null) throw new Error(`no ${kind.role} of a ${kind.part} runs`);
    return one;
  }

  #order(name: string): string {
    if (this.#orders === null) throw new Error('nothing is killed in place here');
    return join(this.#orders, name);
  }

  #pidsOf(role: Role): number[] {
    return this.#topology.nodes.flatMap((node) => node.pids(role));
  }
}

/** Nothing happens to what is gone already. */
export function signalIfThere(pid: number | null, signal: NodeJS.Signals): void {
  if (pid === null || pid === 0) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
