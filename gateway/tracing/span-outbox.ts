/**
 * A worker's ended requests on their way to the supervisor, which exports them: gathered for a moment, and bounded. Whatever holds them up
 * costs spans, which are counted, and nothing else.
 */
import type { TracedRequest } from './traced-request.js';

/** A worker's message to the supervisor. */
export interface SpansMessage {
  readonly type: 'spans';
  readonly requests: readonly TracedRequest[];
  /** Spans given up since the message before. */
  readonly dropped: number;
}

/** Written as one message: JSON of so many takes about 0.3 ms. */
const BATCH = 64;
/** Waiting at the worker while the supervisor is away, or reads slowly. */
const MOST_WAITING = 1024;
const WAIT_MS = 200;
/** Behind this much that the supervisor has not read, leases would wait: spans wait here. Bytes. */
const MOST_UNSENT = 1024 * 1024;

export interface SpanLink {
  /** Bytes that the supervisor has not read yet. */
  readonly unsentBytes: number;
  /** False: it went nowhere. */
  send(message: SpansMessage): boolean;
}

export class SpanOutbox {
  readonly #link: SpanLink;
  #waiting: TracedRequest[] = [];
  #dropped = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(link: SpanLink) {
    this.#link = link;
  }

  push(request: TracedRequest): void {
    if (this.#waiting.length >= MOST_WAITING) {
      this.#dropped += 1 + request.attempts.length;
      return;
    }
    this.#waiting.push(request);
    if (this.#waiting.length % BATCH === 0) this.flush();
    else this.#timer ??= setTimeout(() => { this.flush(); }, WAIT_MS).unref();
  }

  /** Sends what there is, if the supervisor takes it; else it is tried again in a moment. */
  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#waiting.length === 0) return;
    if (this.#link.unsentBytes <= MOST_UNSENT && this.#link.send({ type: 'spans', requests: this.#waiting, dropped: this.#dropped })) {
      this.#waiting = [];
      this.#dropped = 0;
      return;
    }
    this.#timer = setTimeout(() => { this.flush(); }, WAIT_MS).unref();
  }
}
