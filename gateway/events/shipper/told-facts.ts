/** When Kafka was told what of each stream: at once when it is new, each second while its mark moves, every ten seconds otherwise, and at its end. */
import type { StreamState } from '../stream-state.js';

const MOVING_EVERY_MS = 1000;
const STILL_EVERY_MS = 10_000;

interface Told { readonly lastSeq: number; readonly shippedSeq: number; readonly atMs: number }

export class ToldFacts {
  readonly #told = new Map<string, Told>();
  /** As before the round that is on. */
  readonly #before = new Map<string, Told | undefined>();

  /**
   * Whether the stream's facts go in this round, and then counts them as told; `first`: nothing was told of it since the start.
   * @param finished all its frames are acknowledged, and it is sealed
   */
  due(stream: string, { lastSeq }: StreamState, shippedSeq: number, finished: boolean, nowMs: number): 'first' | 'again' | null {
    const told = this.#told.get(stream);
    const everyMs = told !== undefined && (told.lastSeq !== lastSeq || told.shippedSeq !== shippedSeq) ? MOVING_EVERY_MS : STILL_EVERY_MS;
    if (told !== undefined && !finished && nowMs - told.atMs < everyMs) return null;
    if (!this.#before.has(stream)) this.#before.set(stream, told);
    this.#told.set(stream, { lastSeq, shippedSeq, atMs: nowMs });
    return told === undefined ? 'first' : 'again';
  }

  /** The round has arrived. */
  settle(): void {
    this.#before.clear();
  }

  /** The round has not arrived, or nobody knows. */
  takeBack(): void {
    for (const [stream, told] of this.#before) {
      if (told === undefined) this.#told.delete(stream);
      else this.#told.set(stream, told);
    }
    this.#before.clear();
  }

  forget(stream: string): void {
    this.#told.delete(stream);
    this.#before.delete(stream);
  }
}
