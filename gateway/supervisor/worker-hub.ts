/**
 * The supervisor's end: accepts the workers on its Unix socket, knows each by its stream once it has said `hello`, gives it the
 * configuration in force, and hands its messages on. The socket lives in the run directory, which only the node's own user may enter.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { MetricsSnapshot } from '../metrics/metrics-snapshot.js';
import type { SpansMessage } from '../tracing/span-outbox.js';
import { LineReader } from './line-reader.js';
import type { SupervisorMessage, WorkerMessage } from './protocol.js';
import type { LinkLog } from './worker-link.js';

/** A worker that has said `hello` and is connected. */
export interface WorkerPeer {
  /** Slot, 1 to N. */
  readonly worker: number;
  readonly pid: number;
  /** 16 hexadecimal digits: this life of the worker. */
  readonly stream: string;
  /** Version it has applied; '' before the first. */
  readonly applied: string;
  /** Why it could not apply the newest; null: it could. */
  readonly applyError: string | null;
  /** Addresses it listens on. */
  readonly listening: readonly string[];
  send(message: SupervisorMessage): void;
}

export interface WorkerHubOptions {
  readonly path: string;
  /** A worker is there; the configuration has been sent to it. */
  readonly onHello: (peer: WorkerPeer, hello: Extract<WorkerMessage, { type: 'hello' }>) => void;
  /** `used`, `lease`, `give_back`: for the ledger and the spool's keeper. */
  readonly onMessage: (peer: WorkerPeer, message: LedgerMessage) => void;
  /** The connection is gone: the worker may be dead, or only away. */
  readonly onGone: (peer: WorkerPeer) => void;
  /** Its counts, whether they were asked for or are its last. */
  readonly onMetrics: (peer: WorkerPeer, snapshot: MetricsSnapshot) => void;
  /** Requests to be exported as spans. */
  readonly onSpans: (message: SpansMessage) => void;
  /** `applied` or `listening` has come: readiness may have changed. */
  readonly onProgress: (peer: WorkerPeer) => void;
  readonly log: LinkLog;
}

export type LedgerMessage = Extract<WorkerMessage, { type: 'used' | 'lease' | 'give_back' }>;

class Peer implements WorkerPeer {
  worker = 0;
  pid = 0;
  stream = '';
  applied = '';
  applyError: string | null = null;
  readonly listening: string[] = [];
  readonly socket: Socket;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  send(message: SupervisorMessage): void {
    this.sendLine(`${JSON.stringify(message)}\n`);
  }

  sendLine(line: string): void {
    if (!this.socket.destroyed) this.socket.write(line);
  }
}

export class WorkerHub {
  readonly #options: WorkerHubOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #peers = new Map<string, Peer>();
  readonly #rounds = new Map<number, MetricsRound>();
  #lastRound = 0;
  /** The `config` message, written once for all workers; null before the first configuration. */
  #configLine: string | null = null;

  constructor(options: WorkerHubOptions) {
    this.#options = options;
    this.#server = createServer((socket) => { this.#accept(socket); });
  }

  /** The workers connected now, by slot. */
  get peers(): readonly WorkerPeer[] {
    return [...this.#peers.values()].sort((a, b) => a.worker - b.worker);
  }

  async listen(): Promise<void> {
    // the socket of a supervisor that was killed; the data directory's lock says that no other lives
    rmSync(this.#options.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.path, resolve);
    });
    chmodSync(this.#options.path, 0o600);
  }

  /** Sends the configuration to every worker, and to each that comes later. */
  setConfig(message: Extract<SupervisorMessage, { type: 'config' }>): void {
    this.#configLine = `${JSON.stringify(message)}\n`;
    for (const peer of this.#peers.values()) peer.sendLine(this.#configLine);
  }

  broadcast(message: SupervisorMessage): void {
    const line = `${JSON.stringify(message)}\n`;
    for (const peer of this.#peers.values()) peer.sendLine(line);
  }

  /** Asks every worker for its counts; resolves when all have answered, or after `timeoutMs`. */
  async collectMetrics(timeoutMs: number): Promise<void> {
    if (this.#peers.size === 0) return;
    const id = ++this.#lastRound;
    const round: MetricsRound = { missing: new Set(this.#peers.values()), finish: () => {} };
    this.#rounds.set(id, round);
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(resolve, timeoutMs);
      round.finish = () => { clearTimeout(deadline); resolve(); };
      this.broadcast({ type: 'collect_metrics', id });
    });
    this.#rounds.delete(id);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => { this.#server.close(() => { resolve(); }); });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    const peer = new Peer(socket);
    this.#sockets.add(socket);
    const reader = new LineReader((line) => { if (!socket.destroyed) this.#take(peer, line); });
    socket.on('data', (chunk: Buffer) => {
      if (!reader.push(chunk)) this.#refuse(peer, 'a line is too long');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      for (const round of this.#rounds.values()) this.#answered(round, peer);
      if (this.#peers.get(peer.stream) !== peer) return;
      this.#peers.delete(peer.stream);
      this.#options.onGone(peer);
    });
  }

  #take(peer: Peer, line: string): void {
    const message = parse(line);
    if (message === null || (peer.stream === '') !== (message.type === 'hello')) {
      this.#refuse(peer, 'not a message of this protocol');
      return;
    }
    switch (message.type) {
      case 'hello': this.#hello(peer, message); return;
      case 'metrics': {
        this.#options.onMetrics(peer, message.snapshot);
        const round = this.#rounds.get(message.id);
        if (round !== undefined) this.#answered(round, peer);
        return;
      }
      case 'spans': this.#options.onSpans(message); return;
      case 'applied':
        if (message.error === null) peer.applied = message.version;
        peer.applyError = message.error;
        this.#options.onProgress(peer);
        return;
      case 'listening':
        if (!peer.listening.includes(message.address)) peer.listening.push(message.address);
        this.#options.onProgress(peer);
        return;
      case 'used': case 'lease': case 'give_back':
        this.#options.onMessage(peer, message);
    }
  }

  #hello(peer: Peer, hello: Extract<WorkerMessage, { type: 'hello' }>): void {
    peer.worker = hello.worker;
    peer.pid = hello.pid;
    peer.stream = hello.stream;
    // the same life on a second connection: the first is a leftover of its reconnecting
    this.#peers.get(hello.stream)?.socket.destroy();
    this.#peers.set(hello.stream, peer);
    this.#options.onHello(peer, hello);
    if (this.#configLine !== null) peer.sendLine(this.#configLine);
  }

  #answered(round: MetricsRound, peer: Peer): void {
    if (round.missing.delete(peer) && round.missing.size === 0) round.finish();
  }

  #refuse(peer: Peer, reason: string): void {
    this.#options.log.warn({ worker: peer.worker, reason }, 'a worker\'s connection is closed');
    peer.socket.destroy();
  }
}

interface MetricsRound {
  readonly missing: Set<Peer>;
  finish: () => void;
}

const TYPES: ReadonlySet<string> = new Set<WorkerMessage['type']>(['hello', 'used', 'lease', 'give_back', 'metrics', 'spans', 'applied', 'listening']);

/** A message of our own process on a socket of our own user: its type is looked at, its fields are trusted. */
function parse(line: string): WorkerMessage | null {
  try {
    const message = JSON.parse(line) as WorkerMessage | null;
    return message !== null && TYPES.has(message.type) ? message : null;
  } catch {
    return null;
  }
}
