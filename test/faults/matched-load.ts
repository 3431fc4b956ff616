/**
 * Load in which every request is told apart: each has an id in its path and asks for a body length of its own, and what came back is
 * kept: what was begun, what was completely received and with how many bytes. One request at a time on each connection.
 */
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** Pace of new connections of one client. ms. */
const RECONNECT_MS = 10;

export interface MatchedRequest {
  readonly app: string;
  readonly bytes: number;
  /** Completely received, with this status and body, so long after it was sent; `code`: of its problem, null where the body is none. */
  answered: { readonly status: number; readonly bytes: number; readonly code: string | null; readonly tookMs: number } | null;
}

export interface MatchedLoadOptions {
  readonly port: number;
  readonly connections: number;
  /** App to its API key. */
  readonly keys: ReadonlyMap<string, string>;
  /** Longest body asked for. */
  readonly maxBytes: number;
  /** The load ends by itself after so many requests; absent: when it is stopped. */
  readonly total?: number;
  /** Requests a second, over all connections; absent: as many as are answered. */
  readonly perSecond?: number;
}

export class MatchedLoad {
  /** By path, as the event keeps it. */
  readonly requests = new Map<string, MatchedRequest>();
  /** Requests whose connection ended before their answer's end, since the phase began. */
  cut = 0;
  /** Answers that were not 200, by status. */
  readonly other = new Map<number, number>();
  /** Answers that told the client to close (a worker that drains had them under way), since the phase began. */
  closing = 0;
  readonly #options: MatchedLoadOptions;
  readonly #apps: readonly (readonly [app: string, key: string])[];
  readonly #done: Promise<void>[] = [];
  #phase = '0';
  #next = 0;
  #running = false;
  #lastConnections = false;

  constructor(options: MatchedLoadOptions) {
    this.#options = options;
    this.#apps = [...options.keys];
  }

  start(): void {
    this.#running = true;
    for (let i = 0; i < this.#options.connections; i++) this.#done.push(this.#client());
  }

  /** Requests that begin from now on carry `phase` in their id. */
  phase(name: string): void {
    this.#phase = name;
    this.cut = 0;
    this.closing = 0;
  }

  /** Connections that end from now on are not made again: a node that is going down reads no request of a new one. */
  connectNoMore(): void {
    this.#lastConnections = true;
  }

  /** Resolves when `total` requests have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#done);
  }

  /** Answers completely received with this status. */
  count(status: number): number {
    let count = 0;
    for (const { answered } of this.requests.values()) if (answered?.status === status) count++;
    return count;
  }

  /** No more requests; resolves when the last one has ended. */
  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#done);
  }

  async #client(): Promise<void> {
    while (this.#running && !this.#lastConnections && this.#next < (this.#options.total ?? Number.POSITIVE_INFINITY)) {
      await new Promise<void>((resolve) => { new Connection(this, this.#options.port, resolve); });
      // A node with no worker refuses: not in a tight loop.
      if (this.#running) await pause(RECONNECT_MS);
    }
  }

  /** Pace of one connection's requests, ms; 0: none. */
  get paceMs(): number {
    return this.#options.perSecond === undefined ? 0 : 1000 * this.#options.connections / this.#options.perSecond;
  }

  /** The next request, or null when the load ends. */
  next(): { readonly head: string; readonly request: MatchedRequest } | null {
    if (!this.#running || this.#next >= (this.#options.total ?? Number.POSITIVE_INFINITY)) return null;
    const n = this.#next++;
    const bytes = (n * 7919) % this.#options.maxBytes;
    const [app, key] = this.#apps[n % this.#apps.length] as readonly [string, string];
    const path = `/bytes/${bytes}/${this.#phase}/${n}`;
    const request: MatchedRequest = { app, bytes, answered: null };
    this.requests.set(path, request);
    return { head: `GET ${path} HTTP/1.1\r\nHost: test\r\nX-Api-Key: ${key}\r\n\r\n`, request };
  }
}

class Connection {
  readonly #load: MatchedLoad;
  readonly #socket: net.Socket;
  #request: MatchedRequest | null = null;
  #pieces: Buffer[] = [];
  #received = 0;
  /** Of the whole answer, once its head is read; -1 before. */
  #expected = -1;
  #headBytes = 0;
  #status = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #waiting: NodeJS.Timeout | undefined;

  constructor(load: MatchedLoad, port: number, closed: () => void) {
    this.#load = load;
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    socket.on('connect', () => { this.#send(); });
    socket.on('data', (chunk: Buffer) => { this.#take(chunk); });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(this.#waiting);
      if (this.#request !== null) load.cut++;
      closed();
    });
  }

  #send(): void {
    const next = this.#load.next();
    if (next === null) {
      this.#socket.end();
      return;
    }
    this.#request = next.request;
    this.#sentMs = performance.now();
    this.#socket.write(next.head, 'latin1');
  }

  #take(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#received += chunk.length;
    if (this.#expected < 0) {
      const all = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces);
      this.#pieces = [all];
      const end = all.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = all.toString('latin1', 0, end + 2);
      this.#status = Number(head.slice(9, 12));
      this.#headBytes = end + 4;
      this.#expected = this.#headBytes + Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
    }
    if (this.#received < this.#expected || this.#request === null) return;
    this.#request.answered = { status: this.#status, bytes: this.#expected - this.#headBytes, code: this.#status === 200 ? null : this.#problemCode(), tookMs: performance.now() - this.#sentMs };
    if (this.#status !== 200) this.#load.other.set(this.#status, (this.#load.other.get(this.#status) ?? 0) + 1);
    const closing = this.#pieces[0]?.toString('latin1', 0, Math.min(this.#headBytes, 2000)).includes('Connection: close') === true;
    this.#request = null;
    this.#pieces = [];
    this.#received = 0;
    this.#expected = -1;
    if (closing) {
      this.#load.closing++;
      this.#socket.end();
    } else {
      this.#sendInTime();
    }
  }

  /** At its pace; who is behind it does not catch up. */
  #sendInTime(): void {
    const waitMs = this.#sentMs + this.#load.paceMs - performance.now();
    if (waitMs < 1) this.#send();
    else this.#waiting = setTimeout(() => { this.#send(); }, waitMs);
  }

  #problemCode(): string | null {
    const body = Buffer.concat(this.#pieces).toString('utf8', this.#headBytes, this.#expected);
    return /"code":"(\w+)"/.exec(body)?.[1] ?? null;
  }
}
