/** What listeners share that bound their connections: by whom they are counted, and how it is logged that there were too many. */
import { clientNetwork } from './http/client-network.js';

const LOG_EVERY_MS = 10_000;

/** Whom connections are counted for: an IPv4 address, or an IPv6 /64. */
export function clientOf(peer: string): string {
  return peer.includes(':') ? clientNetwork(peer, 4) : peer;
}

/** One line in ten seconds at most, with the number there were until then. */
export class PressureLog {
  readonly #text: string;
  #count = 0;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(text: string) {
    this.#text = text;
  }

  /** @param open connections */
  count(log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void }, peer: string, open: number): void {
    this.#count++;
    const nowMs = performance.now();
    if (nowMs - this.#loggedAtMs < LOG_EVERY_MS) return;
    this.#loggedAtMs = nowMs;
    log.warn({ peer, refused: this.#count, open }, this.#text);
  }
}
