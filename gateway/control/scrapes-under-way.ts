/**
 * Bounds the answers of /metrics that are made or written at once: each is up to some MB of text, which the supervisor holds until it is taken. Who reads nothing keeps
 * its place only while nobody else needs it.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TidegateError } from '../../errors/tidegate-error.js';

/** Each Prometheus server and agent scrapes one at a time; several may stand behind one address. */
const MOST_OF_ONE_ADDRESS = 8;
const MOST = 16;
/** An answer that takes longer ends where its place is needed: a scrape takes a twentieth of a second, and Prometheus waits for ten. */
const UNDISTURBED_MS = 2000;

interface UnderWay {
  readonly socket: Socket;
  readonly address: string;
  readonly sinceMs: number;
}

export class ScrapesUnderWay {
  /** Oldest first. */
  readonly #underWay = new Set<UnderWay>();

  /**
   * Takes a place for this answer until it is written or its connection is closed.
   * @throws TidegateError metrics_busy
   */
  enter(response: ServerResponse, socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    // an answer whose connection closes before it is made never finishes
    for (const each of this.#underWay) if (each.socket.destroyed) this.#underWay.delete(each);
    const all = [...this.#underWay];
    const sameAddress = all.filter((each) => each.address === address);
    if (sameAddress.length >= MOST_OF_ONE_ADDRESS) this.#makeRoom(sameAddress);
    else if (all.length >= MOST) this.#makeRoom(all);
    const entered = { socket, address, sinceMs: performance.now() };
    this.#underWay.add(entered);
    response.once('finish', () => { this.#underWay.delete(entered); });
  }

  #makeRoom(among: readonly UnderWay[]): void {
    const oldest = among[0] as UnderWay;
    if (performance.now() - oldest.sinceMs < UNDISTURBED_MS) throw new TidegateError('metrics_busy', `${among.length} answers are under way.`);
    oldest.socket.destroy();
    this.#underWay.delete(oldest);
  }
}
