/**
 * A node for tests: one ledger and some workers, each with the real lease book and the real policies, in virtual time. Messages go by links that keep their
 * order and take a random while; workers and the supervisor are killed between any two events. What a dead worker had written is
 * still in its stream; what it had sent may still arrive; what it held is gone.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../config/schema.js';
import type { Policy, PolicyExchange } from '../../exchange.js';
import { dailyQuotaPolicy } from '../../policies/limits/daily-quota.js';
import { quotaOfDay } from '../../policies/limits/keys.js';
import { LeaseBook } from '../../policies/limits/lease-book.js';
import { rateLimitPolicy, type RateLimitScope } from '../../policies/limits/rate-limit.js';
import type { LimitKey, SupervisorMessage, WorkerMessage } from '../protocol.js';
import { dayAt } from './day.js';
import { Ledger } from './ledger.js';
import type { RecordedDay, RecordedRow } from './recorded-use.js';

export interface SimulatedApp {
  readonly qps?: number;
  readonly burst?: number;
  readonly qpd?: number | { readonly limit: number; readonly over: 'refuse' | 'bill' };
  readonly timeZone?: string;
}

export interface SimulatedLimits {
  readonly gateway?: { readonly qps?: number; readonly burst?: number };
  readonly service?: { readonly qps?: number; readonly burst?: number };
  readonly apps: Readonly<Record<string, SimulatedApp>>;
}

export type Verdict = 'admitted' | 'rate_limited' | 'quota_exhausted' | 'ledger_unavailable';

/** One request's way through the policies. */
export interface SimulatedRequest {
  readonly exchange: PolicyExchange;
  readonly app: string;
  readonly worker: SimulatedWorker;
  verdict: Verdict | null;
  /** Made no promise on its way. */
  held: boolean;
  atMs: number;
}

interface Row extends RecordedRow { readonly key: LimitKey | null }

/** Folders of nodes that a failing test did not close. */
const folders = new Set<string>();
process.on('exit', () => { for (const folder of folders) rmSync(folder, { recursive: true, force: true }); });

const QUIET = { info: () => {}, warn: () => {}, error: () => {} };

/** mulberry32 */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export class SimulatedWorker {
  readonly stream: string;
  readonly book: LeaseBook;
  readonly rows: Row[] = [];
  /** Answered, but dropped by a full spool: tallied, with a seq and no row. */
  readonly dropped: { readonly key: LimitKey; readonly seq: number }[] = [];
  alive = true;
  seq = -1;
  inFlight = new Set<SimulatedRequest>();
  policies: readonly Policy[] = [];
  app: Config['apps'] = [];
  config: Config;
  link: Link | null = null;
  settled = false;

  constructor(node: SimulatedNode, stream: string, config: Config) {
    this.stream = stream;
    this.config = config;
    this.book = new LeaseBook({
      send: (message) => { this.link?.toSupervisor(message); },
      clock: node.clock, lastWrittenSeq: () => this.seq, shares: () => node.living.length,
      defer: (flush) => { node.after(0, () => { if (this.alive) flush(); }); },
    });
    this.apply(config);
  }

  apply(config: Config): void {
    this.config = config;
    const service = config.services[0] as Config['services'][number];
    const scope: RateLimitScope = { gateway: config.limits, service, route: service.routes[0] as RateLimitScope['route'], apps: config.apps };
    this.policies = [rateLimitPolicy(scope, this.book), dailyQuotaPolicy(config.apps, this.book)].filter((policy) => policy !== null);
  }
}

/** One connection: two queues, in order each. Closed at once for who died; the other side first gets what was on its way. */
class Link {
  readonly #node: SimulatedNode;
  readonly #life: number;
  readonly worker: SimulatedWorker;
  workerEnd = true;
  supervisorEnd = true;
  #upAtMs = 0;
  #downAtMs = 0;

  constructor(node: SimulatedNode, worker: SimulatedWorker) {
    this.#node = node;
    this.#life = node.life;
    this.worker = worker;
  }

  toSupervisor(message: WorkerMessage): void {
    this.#up(() => { this.#node.handle(this, this.#life, structuredClone(message)); });
  }

  toWorker(message: SupervisorMessage): void {
    this.#down(() => { if (this.workerEnd && this.worker.alive) deliver(this.worker.book, structuredClone(message)); });
  }

  workerGone(): void {
    this.workerEnd = false;
    this.#up(() => { this.#node.peerGone(this, this.#life); });
  }

  supervisorGone(): void {
    this.supervisorEnd = false;
    this.#down(() => { this.#node.supervisorLost(this); });
  }

  #up(arrive: () => void): void {
    this.#upAtMs = Math.max(this.#upAtMs, this.#node.clock.monotonicMs() + this.#node.latency());
    this.#node.at(this.#upAtMs, () => { this.#node.whenAwake(this, arrive); });
  }

  #down(arrive: () => void): void {
    this.#downAtMs = Math.max(this.#downAtMs, this.#node.clock.monotonicMs() + this.#node.latency());
    this.#node.at(this.#downAtMs, arrive);
  }
}

function deliver(book: LeaseBook, message: SupervisorMessage): void {
  if (message.type === 'granted') book.onGranted(message);
  else if (message.type === 'recall') book.onRecall(message);
  else if (message.type === 'available') book.onAvailable(message);
}

export class SimulatedNode {
  readonly random: () => number;
  readonly clock = { wallMs: () => this.#wallOffsetMs + this.#nowMs, monotonicMs: () => this.#nowMs };
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-ledger-'));
  readonly workers: SimulatedWorker[] = [];
  readonly requests: SimulatedRequest[] = [];
  ledger: Ledger | null = null;
  /** Lives of the supervisor. */
  life = 0;
  /** What a supervisor's start does to the journal first. */
  damage: ((folder: string) => void) | null = null;
  /** Longest time that counting recorded events takes, ms; null: they cannot be counted, so the journal has to do. */
  countMs: number | null = 30;
  /** Counted answers by quota key, of all workers that ever lived. */
  readonly #recorded = new Map<LimitKey, number>();
  readonly #dropped = new Map<LimitKey, number>();
  #nowMs = 1_000_000;
  #wallOffsetMs: number;
  #queue: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;
  #streams = 0;
  #config: Config;
  #stopped = false;
  #stalledUntilMs = 0;
  /** What has come to a stalled supervisor, by connection. */
  readonly #backlog = new Map<object, (() => void)[]>();

  constructor(options: { readonly seed: number; readonly wall: string; readonly limits: SimulatedLimits; readonly workers: number }) {
    folders.add(this.folder);
    this.random = seeded(options.seed);
    this.#wallOffsetMs = Date.parse(options.wall) - this.#nowMs;
    this.#config = configOf(options.limits);
    this.startSupervisor();
    for (let i = 0; i < options.workers; i++) this.startWorker();
    this.every(50, () => { if (this.#nowMs >= this.#stalledUntilMs) this.ledger?.tick(); });
  }

  get living(): SimulatedWorker[] { return this.workers.filter(({ alive }) => alive); }

  latency(): number { return 0.05 + this.random() * this.random() * 3; }
  below(bound: number): number { return Math.floor(this.random() * bound); }
  pick<T>(items: readonly T[]): T { return items[this.below(items.length)] as T; }
  setWall(instant: string): void { this.#wallOffsetMs = Date.parse(instant) - this.#nowMs; }

  at(atMs: number, run: () => void): void {
    const entry = { atMs, order: this.#order++, run };
    const queue = this.#queue;
    // binary heap by time, then by order of arrival
    let i = queue.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(entry, queue[parent] as typeof entry)) break;
      queue[i] = queue[parent] as typeof entry;
      i = parent;
    }
    queue[i] = entry;
  }

  after(ms: number, run: () => void): void { this.at(this.#nowMs + ms, run); }

  every(ms: number, run: () => void): void {
    const again = (): void => {
      run();
      if (!this.#stopped) this.after(ms, again);
    };
    this.after(ms, again);
  }

  /** Runs `ms` of virtual time; `check` after each event. Answers the number of events. */
  async run(ms: number, check: () => void = () => {}): Promise<number> {
    const untilMs = this.#nowMs + ms;
    let events = 0;
    for (;;) {
      const next = this.#queue[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#pop();
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      events++;
      // promises that the event resolved go on before the next event
      for (let i = 0; i < 6; i++) await Promise.resolve();
      check();
    }
    this.#nowMs = untilMs;
    return events;
  }

  close(): void {
    this.#stopped = true;
    this.ledger?.close();
    rmSync(this.folder, { recursive: true, force: true });
    folders.delete(this.folder);
  }

  // -- processes --------------------------------------------------------------------------------------------------

  startWorker(): SimulatedWorker {
    const worker = new SimulatedWorker(this, (++this.#streams).toString(16).padStart(16, '0'), this.#config);
    this.workers.push(worker);
    const tick = (): void => {
      if (!worker.alive || this.#stopped) return;
      worker.book.tick();
      this.after(50, tick);
    };
    this.after(this.random() * 50, tick);
    this.#connect(worker);
    return worker;
  }

  /** kill -9; the proof of its death, and its settlement, come `provenMs` later. */
  killWorker(worker: SimulatedWorker, provenMs: number): void {
    worker.alive = false;
    worker.inFlight.clear();
    worker.link?.workerGone();
    worker.link = null;
    this.after(provenMs, () => { this.#settle(worker); });
  }

  killSupervisor(awayMs: number): void {
    if (this.ledger === null) return;
    this.ledger.close();
    this.ledger = null;
    for (const worker of this.workers) worker.link?.supervisorGone();
    this.after(awayMs, () => { this.startSupervisor(); });
  }

  /** Its loop stands still: links stay up, what comes is read afterwards, one connection after another. */
  stallSupervisor(ms: number): void {
    this.#stalledUntilMs = this.#nowMs + ms;
    this.after(ms, () => {
      if (this.#nowMs < this.#stalledUntilMs) return;
      const backlog = [...this.#backlog.values()].sort(() => this.random() - 0.5);
      this.#backlog.clear();
      for (const arrivals of backlog) for (const arrive of arrivals) arrive();
    });
  }

  /** Hands in what came by `link`: at once, or when the supervisor's stall is over. */
  whenAwake(link: object, arrive: () => void): void {
    if (this.#nowMs >= this.#stalledUntilMs) {
      arrive();
      return;
    }
    const waiting = this.#backlog.get(link);
    if (waiting === undefined) this.#backlog.set(link, [arrive]);
    else waiting.push(arrive);
  }

  startSupervisor(): void {
    this.#stalledUntilMs = 0;
    this.#backlog.clear();
    this.life++;
    this.damage?.(this.folder);
    this.ledger = new Ledger({
      folder: this.folder, bootId: 'boot', clock: this.clock, log: QUIET, recordedToday: (days) => this.#recordedToday(days),
    });
    this.ledger.configure(this.#config);
    for (const worker of this.workers) {
      // a stream that was sealed before is not settled again, unless the journal still has it
      if (!worker.alive && this.ledger.streams.includes(worker.stream)) this.ledger.settle(worker.stream, tailOf(worker), worker.seq);
    }
  }

  reload(limits: SimulatedLimits): void {
    this.#config = configOf(limits);
    this.ledger?.configure(this.#config);
    for (const worker of this.living) this.after(this.latency(), () => { if (worker.alive) worker.apply(this.#config); });
  }

  #connect(worker: SimulatedWorker): void {
    if (!worker.alive || worker.link !== null) return;
    if (this.ledger === null) {
      this.after(20 + this.random() * 40, () => { this.#connect(worker); });
      return;
    }
    const link = new Link(this, worker);
    worker.link = link;
    link.toSupervisor({ type: 'hello', worker: 1, pid: 1, stream: worker.stream, held: worker.book.holdings() });
    worker.book.connected();
  }

  /** The supervisor's end of a link: as the hub hands messages in. */
  handle(link: Link, life: number, message: WorkerMessage): void {
    if (life !== this.life || this.ledger === null || !link.supervisorEnd) return;
    const { stream } = link.worker;
    if (message.type === 'hello') this.ledger.hello(message, (reply) => { link.toWorker(reply); });
    else if (message.type === 'used' || message.type === 'lease' || message.type === 'give_back') this.ledger.message(stream, message);
  }

  peerGone(link: Link, life: number): void {
    if (life === this.life && link.supervisorEnd) this.ledger?.gone(link.worker.stream);
  }

  supervisorLost(link: Link): void {
    const { worker } = link;
    if (worker.link !== link) return;
    worker.link = null;
    worker.book.disconnected();
    this.after(this.random() * 60, () => { this.#connect(worker); });
  }

  #settle(worker: SimulatedWorker): void {
    if (worker.settled) return;
    if (this.ledger === null) {
      this.after(200, () => { this.#settle(worker); });
      return;
    }
    worker.settled = true;
    this.ledger.settle(worker.stream, tailOf(worker), worker.seq);
  }

  #recordedToday(days: readonly { readonly startMs: number; readonly endMs: number; readonly apps: readonly string[] }[]): Promise<RecordedDay> {
    const { countMs } = this;
    return new Promise((resolve) => {
      if (countMs === null) return;
      // what is counted is of one moment; the answer comes later
      this.after(this.random() * countMs, () => {
        const counts: { app: string; stream: string; count: number }[] = [];
        for (const { startMs, endMs, apps } of days) {
          for (const app of apps) {
            for (const { stream, rows } of this.workers) {
              const count = rows.filter((row) => row.app === app && row.counted === 1 && row.timeMs >= startMs && row.timeMs < endMs).length;
              if (count > 0) counts.push({ app, stream, count });
            }
          }
        }
        const open = this.workers.filter((worker) => !worker.settled).map(({ stream, seq }) => ({ stream, lastSeq: seq }));
        this.after(this.random() * countMs, () => { resolve({ open, counts }); });
      });
    });
  }

  // -- requests ---------------------------------------------------------------------------------------------------

  /** A request of `app` at a worker. If admitted it ends `lastsMs` later: counted and recorded, dropped and tallied, or not counted. */
  request(worker: SimulatedWorker, app: string, lastsMs: number, end: 'counted' | 'dropped' | 'uncounted'): SimulatedRequest {
    const config = worker.config.apps.find(({ name }) => name === app);
    const service = worker.config.services[0];
    const exchange = {
      timeMs: this.clock.wallMs(), app: { name: app, config }, limitAnswer: null, quotaKey: null,
      snapshot: { config: worker.config }, route: { name: 'r', config: service?.routes[0], service: { name: 's', config: service } },
    } as unknown as PolicyExchange;
    const request: SimulatedRequest = { exchange, app, worker, verdict: null, held: true, atMs: 0 };
    this.requests.push(request);
    const { policies } = worker;
    const finish = (verdict: Verdict): void => {
      if (!worker.alive) return;
      request.verdict = verdict;
      request.atMs = this.#nowMs;
      if (verdict !== 'admitted') return;
      worker.inFlight.add(request);
      this.after(lastsMs, () => { this.#end(request, end); });
    };
    const runFrom = (from: number): void => {
      for (let i = from; i < policies.length; i++) {
        const verdict = (policies[i] as Policy)(exchange);
        if (verdict instanceof Promise) {
          request.held = false;
          void verdict.then((refusal) => {
            if (refusal === null) runFrom(i + 1);
            else finish(refusal.code as Verdict);
          });
          return;
        }
        if (verdict !== null) {
          finish(verdict.code as Verdict);
          return;
        }
      }
      finish('admitted');
    };
    runFrom(0);
    return request;
  }

  #end(request: SimulatedRequest, end: 'counted' | 'dropped' | 'uncounted'): void {
    const { worker, exchange } = request;
    if (!worker.alive || !worker.inFlight.delete(request)) return;
    worker.seq++;
    const key = exchange.quotaKey;
    if (end === 'dropped' && key !== null) worker.dropped.push({ key, seq: worker.seq });
    else worker.rows.push({ seq: worker.seq, timeMs: exchange.timeMs, app: request.app, counted: end === 'counted' ? 1 : 0, requests: 1, key });
    if (key === null) return;
    const tally = end === 'counted' ? this.#recorded : end === 'dropped' ? this.#dropped : null;
    tally?.set(key, (tally.get(key) ?? 0) + 1);
    if (end === 'uncounted') worker.book.giveBack(key);
    else worker.book.recorded(key);
  }

  /** Counted answers of a day's quota, and requests under way that hold a unit of it. */
  admitted(key: LimitKey): { readonly recorded: number; readonly dropped: number; readonly inFlight: number } {
    let inFlight = 0;
    for (const { inFlight: requests } of this.workers) for (const request of requests) if (request.exchange.quotaKey === key) inFlight++;
    return { recorded: this.#recorded.get(key) ?? 0, dropped: this.#dropped.get(key) ?? 0, inFlight };
  }

  quotaKey(app: string): LimitKey {
    const config = this.#config.apps.find(({ name }) => name === app);
    return quotaOfDay(app, dayAt(config?.time_zone ?? 'UTC', this.clock.wallMs()).name);
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop();
    if (last === undefined || queue.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= queue.length) break;
      if (child + 1 < queue.length && before(queue[child + 1] as typeof last, queue[child] as typeof last)) child++;
      if (!before(queue[child] as typeof last, last)) break;
      queue[i] = queue[child] as typeof last;
      i = child;
    }
    queue[i] = last;
  }
}

function before(a: { readonly atMs: number; readonly order: number }, b: { readonly atMs: number; readonly order: number }): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function tailOf(worker: SimulatedWorker): (fromSeq: number) => Iterable<RecordedRow> {
  return (fromSeq) => worker.rows.filter(({ seq }) => seq >= fromSeq);
}

function configOf(limits: SimulatedLimits): Config {
  return {
    limits: limits.gateway ?? {},
    services: [{ name: 's', limits: limits.service ?? {}, routes: [{ name: 'r', limits: {} }] }],
    apps: Object.entries(limits.apps).map(([name, { timeZone, ...rest }]) => ({ name, limits: rest, time_zone: timeZone ?? 'UTC' })),
  } as unknown as Config;
}
