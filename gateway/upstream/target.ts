/**
 * A target: an address of a service, with its own pool of connections and its own memory of refusals. Targets outlive reloads: the
 * registry hands the same one to the next snapshot as long as the address and its settings stand there.
 */
import { encodeLabels, type Label } from '../events/labels.js';
import { monotonicMs, type Deadlined, type Deadlines } from '../deadlines.js';
import { parseTargetUrl, type TargetAddress } from './target-address.js';
import { UpstreamConnection, type AttemptFailure, type ConnectionOwner, type UpstreamSink } from './upstream-connection.js';

export interface TargetSettings {
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly maxConnections: number;
  /** How long a target that refused a connection is passed over. */
  readonly skipRefusedMs: number;
}

/** A request that waits for a connection. */
interface Waiting {
  readonly sink: UpstreamSink;
  /** Monotonic ms. */
  readonly untilMs: number;
}

/** Is told when a target takes no connections any more, and when it does again: not of each request that meets it. */
export interface TargetLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export class Target implements ConnectionOwner, Deadlined {
  deadlineMs = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;
  readonly url: string;
  readonly address: TargetAddress;
  readonly label: Label;
  /** Where the metrics count it; given by the compiler. */
  metricsSlot = 0;
  #settings: TargetSettings;
  readonly #deadlines: Deadlines;
  /** Last in, first out: the warmest connection is taken first, and the surplus ages. */
  readonly #idle: UpstreamConnection[] = [];
  readonly #open = new Set<UpstreamConnection>();
  #connecting = 0;
  readonly #waiting: Waiting[] = [];
  #refusedUntilMs = 0;
  #tried = false;
  #lastRefused = false;
  #saidRefused = false;
  #retired = false;
  readonly #service: string;
  readonly #log: TargetLog;

  constructor(service: string, url: string, settings: TargetSettings, deadlines: Deadlines, log: TargetLog) {
    this.#service = service;
    this.#log = log;
    this.url = url;
    this.address = parseTargetUrl(url);
    this.label = encodeLabels(url);
    this.#settings = settings;
    this.#deadlines = deadlines;
  }

  get headersTimeoutMs(): number { return this.#settings.headersTimeoutMs; }
  get idleTimeoutMs(): number { return this.#settings.idleTimeoutMs; }
  get openConnections(): number { return this.#open.size; }
  get idleConnections(): number { return this.#idle.length; }

  /** A reload may change the numbers; connections stay. */
  applySettings(settings: TargetSettings): void {
    this.#settings = settings;
  }

  /** A connection was made, or refused, before. */
  get wasTried(): boolean { return this.#tried; }

  /** The last connection that was tried could not be made, and none has served a request since. */
  get lastRefused(): boolean { return this.#lastRefused; }

  /** True while a refused connection is remembered. `nowMs` is monotonic. */
  isSkipped(nowMs: number): boolean {
    return nowMs < this.#refusedUntilMs;
  }

  get skippedUntilMs(): number {
    return this.#refusedUntilMs;
  }

  /** Gives `sink` a connection: now, when one is made, or when one is free; else tells it that the attempt failed. */
  acquire(sink: UpstreamSink): void {
    const idle = this.#idle.pop();
    if (idle !== undefined) {
      idle.start(sink);
      return;
    }
    const waiting = { sink, untilMs: monotonicMs() + this.#settings.connectTimeoutMs };
    this.#waiting.push(waiting);
    if (this.#open.size < this.#settings.maxConnections) this.#connect();
    else this.#watchQueue();
  }

  /** A request gave up waiting. */
  cancel(sink: UpstreamSink): void {
    const at = this.#waiting.findIndex((waiting) => waiting.sink === sink);
    if (at >= 0) this.#waiting.splice(at, 1);
  }

  onConnected(connection: UpstreamConnection): void {
    this.#connecting--;
    this.#tried = true;
    this.#lastRefused = false;
    this.#refusedUntilMs = 0;
    if (this.#saidRefused) {
      this.#saidRefused = false;
      this.#log.info({ service: this.#service, target: this.url }, 'the target takes connections again');
    }
    this.#serveOrPool(connection);
  }

  onIdle(connection: UpstreamConnection): void {
    this.#lastRefused = false;
    this.#serveOrPool(connection);
  }

  /**
   * A connection could not be made: one request that has none on the way for it fails with it, the others try on. So each failure ends
   * a wait, and a target that refuses is never called in a circle.
   */
  onConnectFailed(failure: AttemptFailure, detail: string): void {
    this.#connecting--;
    this.#tried = true;
    this.#lastRefused = true;
    this.#refusedUntilMs = monotonicMs() + this.#settings.skipRefusedMs;
    if (!this.#saidRefused) {
      this.#saidRefused = true;
      this.#log.warn({ service: this.#service, target: this.url, failure, detail }, 'the target takes no connection');
    }
    if (this.#waiting.length > this.#connecting) this.#waiting.shift()?.sink.onAttemptFailed(failure, detail);
    this.#connectForWaiting();
  }

  onGone(connection: UpstreamConnection, wasConnected: boolean): void {
    this.#open.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    // One that never connected is told by onConnectFailed, which decides who fails with it.
    if (wasConnected) this.#connectForWaiting();
  }

  /** No snapshot names it any more: idle connections go now, the others when their request is done. */
  retire(): void {
    this.#retired = true;
    for (const connection of [...this.#idle]) connection.abandon();
  }

  revive(): void {
    this.#retired = false;
  }

  onDeadline(nowMs: number): void {
    while (this.#waiting.length > 0 && (this.#waiting[0] as Waiting).untilMs <= nowMs) {
      this.#waiting.shift()?.sink.onAttemptFailed('connect_timeout', 'every connection to the target was busy');
    }
    this.#watchQueue();
  }

  #connectForWaiting(): void {
    if (this.#waiting.length > this.#connecting && this.#open.size < this.#settings.maxConnections) this.#connect();
  }

  #connect(): void {
    this.#connecting++;
    this.#open.add(new UpstreamConnection(this, this.#deadlines, this.#settings.connectTimeoutMs));
  }

  #serveOrPool(connection: UpstreamConnection): void {
    const next = this.#waiting.shift();
    if (next !== undefined) connection.start(next.sink);
    else if (this.#retired) connection.abandon();
    else this.#idle.push(connection);
  }

  #watchQueue(): void {
    const first = this.#waiting[0];
    this.deadlineMs = first === undefined ? Number.POSITIVE_INFINITY : first.untilMs;
    if (first !== undefined && this.deadlineSlot < 0) this.#deadlines.add(this);
    if (first === undefined && this.deadlineSlot >= 0) this.#deadlines.remove(this);
  }
}

/** All targets in use, by service, address and nothing else. */
export class TargetRegistry {
  readonly #targets = new Map<string, Target>();
  readonly #deadlines: Deadlines;
  readonly #log: TargetLog;
  #used = new Set<string>();

  constructor(deadlines: Deadlines, log: TargetLog) {
    this.#deadlines = deadlines;
    this.#log = log;
  }

  /** The target of `url` for `service`: the one there is, with these settings, or a new one. */
  obtain(service: string, url: string, settings: TargetSettings): Target {
    const key = `${service} ${url}`;
    this.#used.add(key);
    const known = this.#targets.get(key);
    if (known !== undefined) {
      known.applySettings(settings);
      known.revive();
      return known;
    }
    const target = new Target(service, url, settings, this.#deadlines, this.#log);
    this.#targets.set(key, target);
    return target;
  }

  /** Retires what has not been obtained since the last call: after a new snapshot is in force. */
  retireUnused(): void {
    for (const [key, target] of this.#targets) {
      if (this.#used.has(key)) continue;
      target.retire();
      this.#targets.delete(key);
    }
    this.#used = new Set();
  }

  /** Of all targets in use; those that are being made are among them. */
  get openConnections(): number {
    let open = 0;
    for (const target of this.#targets.values()) open += target.openConnections;
    return open;
  }

  find(service: string, url: string): Target | null {
    return this.#targets.get(`${service} ${url}`) ?? null;
  }
}
