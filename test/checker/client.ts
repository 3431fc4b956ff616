/** Holds one conversation on one connection, on a bare socket, and notes what is begun and what is completely received. */
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Conversation, Leaving, PlannedRequest } from './conversation.js';
import type { BegunRequest, Journal } from './journal.js';
import { ResponseReader } from './response-reader.js';

/** A process that was stopped is let go on within this time. */
const SILENCE_MS = 60_000;
const CONTINUE_MS = 4000;
const PIECE_PAUSE_MS = 8;

export interface ClientOptions {
  readonly port: number;
  readonly journal: Journal;
  readonly keys: Readonly<Record<PlannedRequest['caller'], string>>;
  /** Awaited before each request; false: there are to be no more. */
  readonly turn: () => Promise<boolean>;
}

/** Resolves when the connection is over, however. */
export async function converse(options: ClientOptions, conversation: Conversation): Promise<void> {
  const connection = new Connection(options);
  try {
    if (!await connection.opened) return;
    if (conversation.pipelined) await connection.pipeline(conversation);
    else await connection.oneByOne(conversation);
  } finally {
    connection.close(false);
  }
}

class Connection {
  readonly opened: Promise<boolean>;
  readonly #options: ClientOptions;
  readonly #socket: net.Socket;
  readonly #reader: ResponseReader;
  readonly #waiting: BegunRequest[] = [];
  #over = false;
  #continued = false;
  /** Called at each change: bytes, a response, the end. */
  #changed: () => void = () => {};

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#socket = net.connect({ port: options.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    this.#reader = new ResponseReader((response) => {
      const request = this.#waiting.shift();
      // an answer to nothing: what follows on this connection cannot be understood
      if (request === undefined) throw new Error('a response that nobody asked for');
      options.journal.end(request, { status: response.status, bytes: response.bytes, id: response.id, atMs: Date.now() });
      if (response.closes) this.#over = true;
    }, () => { this.#continued = true; });
    this.opened = new Promise((resolve) => {
      this.#socket.once('connect', () => { resolve(true); });
      this.#socket.once('close', () => { resolve(false); });
    });
    this.#socket.setTimeout(SILENCE_MS, () => { this.close(true); });
    this.#socket.on('data', (piece) => {
      try {
        this.#reader.push(piece);
      } catch {
        this.close(true);
      }
      this.#changed();
    });
    for (const name of ['end', 'close', 'error'] as const) this.#socket.on(name, () => {
      this.#over = true;
      this.#changed();
    });
  }

  async oneByOne({ requests, leaves, halfCloses }: Conversation): Promise<void> {
    for (const [i, planned] of requests.entries()) {
      if (!await this.#options.turn() || this.#over) return;
      const last = i === requests.length - 1;
      await this.#send(planned, last ? leaves : null);
      if (last && halfCloses) this.#socket.end();
      if (last && leaves !== null) {
        await this.#leave(leaves);
        return;
      }
      await this.#until(() => this.#waiting.length === 0);
    }
  }

  async pipeline({ requests, leaves, halfCloses }: Conversation): Promise<void> {
    for (const _ of requests) if (!await this.#options.turn()) return;
    if (this.#over) return;
    this.#socket.cork();
    for (const planned of requests) this.#socket.write(headOf(planned, this.#begin(planned), this.#options.keys));
    this.#socket.uncork();
    if (halfCloses) this.#socket.end();
    if (leaves !== null) await this.#leave(leaves);
    else await this.#until(() => this.#waiting.length === 0);
  }

  close(reset: boolean): void {
    this.#over = true;
    if (reset) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
    this.#changed();
  }

  async #send(planned: PlannedRequest, leaves: Leaving | null): Promise<void> {
    const head = headOf(planned, this.#begin(planned), this.#options.keys);
    if (leaves?.at === 'half of the head') {
      this.#socket.write(head.slice(0, Math.ceil(head.length / 2)));
      return;
    }
    this.#continued = false;
    this.#socket.write(head);
    if (planned.body === null) return;
    const { bytes, framing, pieces, expect } = planned.body;
    if (expect) {
      await this.#until(() => this.#continued || this.#waiting.length === 0, CONTINUE_MS);
      // a final response instead of 100: the body is not wanted, and the connection is of no more use
      if (this.#waiting.length === 0) {
        this.#over = true;
        return;
      }
    }
    const each = Math.max(1, Math.ceil(bytes / pieces));
    for (let sent = 0; sent < bytes && !this.#over; sent += each) {
      if (sent > 0) await pause(PIECE_PAUSE_MS);
      if (leaves?.at === 'half of the body' && sent * 2 >= bytes) return;
      const piece = Buffer.alloc(Math.min(each, bytes - sent), 'r');
      this.#socket.write(framing === 'length' ? piece : Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]));
    }
    if (framing === 'chunked') this.#socket.write('0\r\n\r\n');
  }

  async #leave({ at, afterMs, reset }: Leaving): Promise<void> {
    if (at === 'first bytes') await this.#until(() => this.#reader.begun || this.#waiting.length === 0);
    await this.#until(() => this.#waiting.length === 0, afterMs);
    this.close(reset);
  }

  #begin({ method, tail }: PlannedRequest): BegunRequest {
    const request = this.#options.journal.begin(method, tail, tail?.startsWith('stream/') === true);
    this.#waiting.push(request);
    this.#reader.methods.push(method);
    return request;
  }

  /** Until it is so, the connection is over, or the time. */
  async #until(so: () => boolean, withinMs = Number.POSITIVE_INFINITY): Promise<void> {
    if (so() || this.#over) return;
    await new Promise<void>((resolve) => {
      const timer = withinMs === Number.POSITIVE_INFINITY ? undefined : setTimeout(resolve, withinMs);
      this.#changed = () => {
        if (!so() && !this.#over) return;
        clearTimeout(timer);
        resolve();
      };
    });
    this.#changed = () => {};
  }
}

function headOf({ method, version, caller, body, connection }: PlannedRequest, { n, path }: BegunRequest, keys: ClientOptions['keys']): string {
  const key = keys[caller];
  return [
    // a row keeps the path without its query
    `${method} ${path ?? `/nowhere/${n.toString(36)}`}?n=${n} HTTP/${version}`, 'Host: checker.test', `X-Api-Key: ${key}`,
    ...(connection === null ? [] : [`Connection: ${connection}`]),
    ...(body === null ? [] : [body.framing === 'length' ? `Content-Length: ${body.bytes}` : 'Transfer-Encoding: chunked', ...(body.expect ? ['Expect: 100-continue'] : [])]),
    '', '',
  ].join('\r\n');
}
