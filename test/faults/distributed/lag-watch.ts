/** The worst lag that the nodes' own metrics tell while it is watched. */
import { setTimeout as pause } from 'node:timers/promises';
import { OPERATOR_TOKEN } from '../../harness/tidegate.js';
import type { Topology } from './topology.js';

const EVERY_MS = 500;
/** A node that stands still is not waited for. */
const WITHIN_MS = 2000;

export class LagWatch {
  readonly #topology: Topology;
  readonly #watching: Promise<void>;
  #stopped = false;
  #worst: number | null = null;

  constructor(topology: Topology) {
    this.#topology = topology;
    this.#watching = this.#watch();
  }

  /** @returns s; null: no node has told any */
  async stop(): Promise<number | null> {
    this.#stopped = true;
    await this.#watching;
    return this.#worst;
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      await Promise.allSettled(this.#topology.nodes.map(async ({ controlUrl }) => {
        const answer = await fetch(`${controlUrl}/metrics`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` }, signal: AbortSignal.timeout(WITHIN_MS) });
        for (const [, value] of (await answer.text()).matchAll(/^tidegate_(?:event|shipping)_lag_seconds (\S+)$/gm)) this.#worst = Math.max(this.#worst ?? 0, Number(value));
      }));
      await pause(EVERY_MS);
    }
  }
}
