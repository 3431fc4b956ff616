/** What can be done to the processes of a topology: killed at random and in place, stopped and continued, and all of it at once. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../../harness/deadline.js';
import type { Role, TestNode } from '../../harness/tidegate.js';
import { SIZES } from './sizes.js';
import type { Topology } from './topology.js';

const MEETS_WITHIN_MS = 60_000;

export class ProcessFaults {
  readonly #topology: Topology;
  /** Of placed-process.ts and placed-kill.ts. */
  readonly #orders: string;

  constructor(topology: Topology, orders: string) {
    this.#topology = topology;
    this.#orders = orders;
  }

  /** SIGKILL to one of that role, on a node by chance, at a moment by chance. */
  async kill(role: Role): Promise<void> {
    await pause(Math.random() * 500);
    const [node, pid] = this.#oneOf(role);
    await node.kill(pid);
    await pause(SIZES.afterMs);
  }

  /** SIGSTOP, and SIGCONT. */
  async stall(role: Role, ms = SIZES.stallMs): Promise<void> {
    const [, pid] = this.#oneOf(role);
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
    const order = join(this.#orders, `${role}.${place}`);
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
    const [node, pid] = this.#oneOf('worker');
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
    const order = join(this.#orders, 'collector.raw-without-rollup');
    const stands = join(this.#orders, 'stands');
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

  /** Everything at once, each of it over and over, for so long. */
  async storm(forMs: number): Promise<void> {
    const { kafka, clickhouse, redis } = this.#topology;
    const untilMs = performance.now() + forMs;
    const over = async (what: () => Promise<void>): Promise<void> => {
      while (performance.now() < untilMs) {
        await pause(500 + Math.random() * 4000);
        await what();
      }
    };
    const away = (): Promise<void> => pause(500 + Math.random() * 3500);
    /** Some other actor may have ended it first. */
    const anyOf = (role: Role): number | null => { const pids = this.#pidsOf(role); return pids[Math.floor(Math.random() * pids.length)] ?? null; };
    const killAny = (role: Role) => async (): Promise<void> => { signalIfThere(anyOf(role), 'SIGKILL'); };
    const stallAny = (role: Role) => async (): Promise<void> => {
      const pid = anyOf(role);
      signalIfThere(pid, 'SIGSTOP');
      await away();
      signalIfThere(pid, 'SIGCONT');
    };
    const roles = ['worker', 'supervisor', 'collector'] as const;
    await Promise.all([
      ...roles.map((role) => over(killAny(role))), ...roles.map((role) => over(stallAny(role))),
      over(async () => { await kafka.kill(); await away(); await kafka.restart(); }),
      over(async () => { await clickhouse.kill(); await away(); await clickhouse.restart(); }),
      over(async () => { await redis.kill(); await away(); await redis.restart(); }),
      over(() => redis.wipe().catch(() => undefined)),
      this.joinAndLeave(forMs),
    ]);
  }

  #oneOf(role: Role): readonly [TestNode, number] {
    const all = this.#topology.nodes.flatMap((node) => (role === 'supervisor' && this.#topology.collectors.includes(node) ? [] : node.pids(role).map((pid) => [node, pid] as const)));
    const one = all[Math.floor(Math.random() * all.length)];
    if (one === undefined) throw new Error(`no ${role} runs`);
    return one;
  }

  #pidsOf(role: Role): number[] {
    return this.#topology.nodes.flatMap((node) => node.pids(role));
  }
}

function signalIfThere(pid: number | null, signal: NodeJS.Signals): void {
  if (pid === null || pid === 0) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
