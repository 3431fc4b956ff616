/**
 * The worker's end of its talk with the supervisor. The worker speaks first and goes on without an answer: while the supervisor is away
 * `send` answers false, and the link connects again by itself, with `hello` before anything else.
 */
import { createConnection, type Socket } from 'node:net';
import { LineReader } from './line-reader.js';
import type { SupervisorMessage, WorkerMessage } from './protocol.js';

export interface LinkLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface WorkerLinkOptions {
  /** The supervisor's Unix socket. */
  readonly path: string;
  /** Made anew for each connection: it tells what is held at that moment. */
  readonly hello: () => Extract<WorkerMessage, { type: 'hello' }>;
  readonly onMessage: (message: SupervisorMessage) => void;
  /** Connected, `hello` sent. */
  readonly onUp?: () => void;
  /** The connection is gone: what was asked on it will not be answered. */
  readonly onDown?: () => void;
  readonly log: LinkLog;
}

const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 1000;
/** A supervisor that reads nothing: its connection is given up rather than the worker's memory. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

export class WorkerLink {
  readonly #options: WorkerLinkOptions;
  #socket: Socket | null = null;
  #up = false;
  #closed = false;
  #waitMs = FIRST_WAIT_MS;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: WorkerLinkOptions) {
    this.#options = options;
  }

  get up(): boolean { return this.#up; }

  /** Bytes that the supervisor has not taken yet. */
  get unsentBytes(): number { return this.#socket?.writableLength ?? 0; }

  start(): void {
    this.#connect();
  }

  /** Answers whether the message went to a living connection; it may still be lost with it. */
  send(message: WorkerMessage): boolean {
    if (!this.#up || this.#socket === null) return false;
    this.#socket.write(`${JSON.stringify(message)}\n`);
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) this.#socket.destroy();
    return true;
  }

  /** Sends what was given to `send`, ends the connection, and makes no other. Resolves when it is closed, after a second at most. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const socket = this.#socket;
    if (socket === null || socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(() => socket.destroy(), 1000);
      socket.once('close', () => { clearTimeout(deadline); resolve(); });
      socket.end();
    });
  }

  #connect(): void {
    const socket = createConnection(this.#options.path);
    this.#socket = socket;
    const reader = new LineReader((line) => { this.#options.onMessage(JSON.parse(line) as SupervisorMessage); });
    socket.on('connect', () => {
      this.#up = true;
      this.#waitMs = FIRST_WAIT_MS;
      this.send(this.#options.hello());
      this.#options.log.info({}, 'connected to the supervisor');
      this.#options.onUp?.();
    });
    socket.on('data', (chunk: Buffer) => {
      if (!reader.push(chunk)) socket.destroy();
    });
    // 'close' follows and decides; an error without a listener would end the worker
    socket.on('error', () => {});
    socket.on('close', () => { this.#lost(); });
  }

  #lost(): void {
    const wasUp = this.#up;
    this.#up = false;
    this.#socket = null;
    if (wasUp && !this.#closed) this.#options.log.warn({}, 'the supervisor is away; going on with what is held');
    if (wasUp) this.#options.onDown?.();
    if (this.#closed) return;
    this.#timer = setTimeout(() => { this.#connect(); }, this.#waitMs);
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
  }
}
