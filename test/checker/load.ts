/** Clients at work, at a pace that they share. They can be told to pause: what is under way comes to its end first. */
import { setTimeout as pause } from 'node:timers/promises';
import { converse } from './client.js';
import { conversation, longConversation, type PlannedRequest } from './conversation.js';
import type { Journal } from './journal.js';
import type { SeededRandom } from './seeded-random.js';

/** Of those whose requests are short, and of those that only hold streams. */
const SHORT_CLIENTS = 28;
const LONG_CLIENTS = 10;
/** Where nobody listens: not in a tight loop. */
const BETWEEN_MS = 15;

export interface LoadOptions {
  /** Of the gateways, in turn. */
  readonly ports: readonly number[];
  readonly journal: Journal;
  readonly keys: Readonly<Record<PlannedRequest['caller'], string>>;
  readonly perSecond: number;
}

export class Load {
  readonly #options: LoadOptions;
  readonly #clients: Promise<void>[];
  #nextTurnMs = 0;
  #paused = false;
  #ended = false;
  #talking = 0;
  #wake: (() => void)[] = [];

  constructor(options: LoadOptions, random: SeededRandom) {
    this.#options = options;
    this.#clients = Array.from({ length: SHORT_CLIENTS + LONG_CLIENTS }, (_, i) => this.#client(i, random.fork(`client ${i}`)));
  }

  /** No request is begun from now on; resolves when none is under way. */
  async quiesce(): Promise<void> {
    this.#paused = true;
    while (this.#talking > 0) await pause(50);
  }

  resume(): void {
    this.#paused = false;
    for (const wake of this.#wake.splice(0)) wake();
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.resume();
    await Promise.all(this.#clients);
  }

  async #client(index: number, random: SeededRandom): Promise<void> {
    const { ports, journal, keys } = this.#options;
    const long = index >= SHORT_CLIENTS;
    for (let i = index; !this.#ended; i++) {
      if (this.#paused) {
        await new Promise<void>((resolve) => { this.#wake.push(resolve); });
        continue;
      }
      this.#talking++;
      try {
        await converse({ port: ports[i % ports.length] as number, journal, keys, turn: () => this.#turn() }, long ? longConversation(random) : conversation(random));
      } finally {
        this.#talking--;
      }
      await pause(BETWEEN_MS);
    }
  }

  /** One request's place in the pace. */
  async #turn(): Promise<boolean> {
    const nowMs = performance.now();
    this.#nextTurnMs = Math.max(nowMs, this.#nextTurnMs) + 1000 / this.#options.perSecond;
    const waitMs = this.#nextTurnMs - nowMs;
    if (waitMs > 1) await pause(waitMs);
    return !this.#paused && !this.#ended;
  }
}
