/**
 * A node for tests, in real time: a ledger that shares its limits through a real Redis, and workers with the real lease book and policies beside it.
 * Messages take a turn of the event loop. What a worker answered is counted as its rows, which outlive it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../config/schema.js';
import type { RedisSettings } from '../../config/redis-settings.js';
import type { Policy, PolicyExchange } from '../../exchange.js';
import { dailyQuotaPolicy } from '../../policies/limits/daily-quota.js';
import { systemClock } from '../../policies/limits/clock.js';
import { LeaseBook } from '../../policies/limits/lease-book.js';
import { rateLimitPolicy, type RateLimitScope } from '../../policies/limits/rate-limit.js';
import { Ledger } from '../ledger/ledger.js';
import type { RecordedRow } from '../ledger/recorded-use.js';
import type { SupervisorMessage, WorkerMessage } from '../protocol.js';
import { RedisLimits } from './redis-limits.js';

export interface LiveApp { readonly qps?: number; readonly burst?: number; readonly qpd?: number; readonly timeZone?: string }
export type Apps = Readonly<Record<string, LiveApp>>;
export type Verdict = 'admitted' | 'rate_limited' | 'quota_exhausted' | 'ledger_unavailable';

export interface LiveNodeOptions {
  readonly name: string;
  readonly url: string;
  readonly apps: Apps;
  readonly workers?: number;
  readonly allow?: boolean;
  readonly settings?: Partial<RedisSettings>;
  readonly listed?: readonly string[];
  /** For a test that must not depend on how fast workers and other nodes answer, ms. */
  readonly recallWaitMs?: number;
  /** How long the ledger may be silent before a worker makes units of a rate itself, ms. */
  readonly silentMs?: number;
  /** How far this node's clock is ahead, ms. */
  readonly aheadMs?: number;
}

const QUIET = { info: () => {}, warn: () => {}, error: () => {} };
let streams = 0;

export class LiveWorker {
  readonly stream = (++streams).toString(16).padStart(16, '0');
  readonly rows: RecordedRow[] = [];
  /** Monotonic ms of each admission. */
  readonly admittedMs: number[] = [];
  readonly book: LeaseBook;
  policies: readonly Policy[] = [];
  alive = true;
  connected = false;
  config: Config;
  readonly #node: LiveNode;

  constructor(node: LiveNode, config: Config, silentMs: number) {
    this.#node = node;
    this.config = config;
    this.book = new LeaseBook({ send: (message) => { node.deliver(this, message); }, clock: node.clock, lastWrittenSeq: () => this.rows.length - 1, shares: () => node.living.length, silentMs });
    this.apply(config);
  }

  apply(config: Config): void {
    this.config = config;
    const service = config.services[0] as Config['services'][number];
    const scope: RateLimitScope = { gateway: config.limits, service, route: service.routes[0] as RateLimitScope['route'], apps: config.apps };
    this.policies = [rateLimitPolicy(scope, this.book), dailyQuotaPolicy(config.apps, this.book)].filter((policy) => policy !== null);
  }

  /** One request; an admitted one is answered and recorded at once. `asked`: it had to wait for the ledger. */
  async request(app: string): Promise<{ readonly verdict: Verdict; readonly asked: boolean; readonly ms: number }> {
    const begun = performance.now();
    const { config } = this;
    const service = config.services[0];
    const exchange = {
      timeMs: this.#node.clock.wallMs(), app: { name: app, config: config.apps.find(({ name }) => name === app) }, limitAnswer: null, quotaKey: null,
      snapshot: { config }, route: { name: 'r', config: service?.routes[0], service: { name: 's', config: service } },
    } as unknown as PolicyExchange;
    let asked = false;
    for (const policy of this.policies) {
      let refusal = policy(exchange);
      if (refusal instanceof Promise) {
        asked = true;
        refusal = await refusal;
      }
      if (refusal !== null) return { verdict: refusal.code as Verdict, asked, ms: performance.now() - begun };
    }
    // killed while it waited: nobody was answered
    if (!this.alive) return { verdict: 'ledger_unavailable', asked, ms: performance.now() - begun };
    this.admittedMs.push(performance.now());
    this.rows.push({ seq: this.rows.length, timeMs: exchange.timeMs, app, counted: 1, requests: 1 });
    if (exchange.quotaKey !== null) this.book.recorded(exchange.quotaKey);
    return { verdict: 'admitted', asked, ms: performance.now() - begun };
  }
}

export class LiveNode {
  readonly clock = { wallMs: () => Date.now() + this.aheadMs, monotonicMs: () => systemClock.monotonicMs() };
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-shared-'));
  readonly workers: LiveWorker[] = [];
  readonly #options: LiveNodeOptions;
  readonly #instance: string;
  aheadMs: number;
  ledger!: Ledger;
  limits!: RedisLimits;
  #config: Config;
  #timer: NodeJS.Timeout | null = null;
  /** Lives of the supervisor. */
  #life = 0;
  /** What has come to a supervisor that stands still; null: it does not. */
  #backlog: (() => void)[] | null = null;

  constructor(options: LiveNodeOptions) {
    this.#options = options;
    this.#instance = `instance-of-${options.name}`;
    this.aheadMs = options.aheadMs ?? 0;
    this.#config = configOf(options.apps);
    this.startSupervisor();
    for (let i = 0; i < (options.workers ?? 2); i++) this.startWorker();
  }

  get living(): LiveWorker[] { return this.workers.filter(({ alive }) => alive); }
  get recorded(): number { return this.workers.reduce((sum, { rows }) => sum + rows.length, 0); }

  startSupervisor(): void {
    const { name, url, settings, listed = [], recallWaitMs = 250 } = this.#options;
    this.#life++;
    this.ledger = new Ledger({
      folder: join(this.folder, 'ledger'), bootId: 'boot', clock: this.clock, log: QUIET, recallWaitMs, recordedToday: () => Promise.resolve({ open: [], counts: [] }),
      shared: (ledger) => {
        this.limits = new RedisLimits(ledger, {
          settings: { urls: url.split(','), cluster: url.includes(','), prefix: 'test', timeoutMs: 250, ...settings },
          instance: this.#instance, name, listed: () => listed, allowsLoss: () => this.#options.allow === true, clock: this.clock, log: QUIET, recallWaitMs,
        });
        return this.limits;
      },
    });
    this.ledger.configure(this.#config);
    this.limits.start();
    for (const worker of this.workers) {
      if (worker.alive) this.#connect(worker);
      else if (this.ledger.streams.includes(worker.stream)) this.#settle(worker);
    }
    this.#timer = setInterval(() => {
      if (this.#backlog === null) this.ledger.tick();
      for (const worker of this.living) worker.book.tick();
    }, 50);
  }

  startWorker(): LiveWorker {
    const worker = new LiveWorker(this, this.#config, this.#options.silentMs ?? 300);
    this.workers.push(worker);
    this.#connect(worker);
    return worker;
  }

  killWorker(worker: LiveWorker): void {
    worker.alive = false;
    worker.connected = false;
    this.ledger.gone(worker.stream);
    this.#settle(worker);
  }

  /** kill -9 of the whole node: workers and supervisor; what was written stays. */
  async kill(): Promise<void> {
    for (const worker of this.living) {
      worker.alive = false;
      worker.connected = false;
    }
    await this.killSupervisor(true);
  }

  /** `hard`: without a word to Redis. */
  async killSupervisor(hard = true): Promise<void> {
    this.#life++;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const worker of this.living) {
      if (worker.connected) worker.book.disconnected();
      worker.connected = false;
    }
    if (hard) this.limits.abandon();
    else await this.limits.close();
    this.ledger.close();
  }

  /** As a power cut may, of a node whose store is elsewhere: nothing here says any more what was used. */
  loseJournal(): void {
    rmSync(join(this.folder, 'ledger'), { recursive: true });
  }

  /** Its links stay up, and what it and its workers say waits until `goOn`. */
  stallSupervisor(): void {
    this.#backlog = [];
  }

  goOn(): void {
    const backlog = this.#backlog ?? [];
    this.#backlog = null;
    for (const arrive of backlog) arrive();
  }

  reload(apps: Apps): void {
    this.#config = configOf(apps);
    this.ledger.configure(this.#config);
    for (const worker of this.living) worker.apply(this.#config);
  }

  async close(): Promise<void> {
    if (this.#timer !== null) await this.killSupervisor(false);
    rmSync(this.folder, { recursive: true, force: true });
  }

  deliver(worker: LiveWorker, message: WorkerMessage): void {
    const life = this.#life;
    const copy = structuredClone(message);
    const arrive = (): void => {
      if (life !== this.#life || !worker.alive) return;
      if (copy.type === 'used' || copy.type === 'lease' || copy.type === 'give_back') this.ledger.message(worker.stream, copy);
    };
    this.#whenAwake(arrive);
  }

  #whenAwake(arrive: () => void): void {
    setImmediate(() => {
      if (this.#backlog === null) arrive();
      else this.#backlog.push(arrive);
    });
  }

  #connect(worker: LiveWorker): void {
    const life = this.#life;
    worker.connected = true;
    this.ledger.hello({ type: 'hello', worker: 1, pid: 1, stream: worker.stream, held: worker.book.holdings() }, (message: SupervisorMessage) => {
      const copy = structuredClone(message);
      this.#whenAwake(() => {
        if (!worker.alive || life !== this.#life) return;
        if (copy.type === 'granted') worker.book.onGranted(copy);
        else if (copy.type === 'recall') worker.book.onRecall(copy);
        else if (copy.type === 'available') worker.book.onAvailable(copy);
      });
    });
    worker.book.connected();
  }

  #settle(worker: LiveWorker): void {
    this.ledger.settle(worker.stream, (fromSeq) => worker.rows.filter(({ seq }) => seq >= fromSeq), worker.rows.length - 1);
  }
}

function configOf(apps: Apps): Config {
  return {
    limits: {}, services: [{ name: 's', limits: {}, routes: [{ name: 'r', limits: {} }] }],
    apps: Object.entries(apps).map(([name, { timeZone, ...limits }]) => ({ name, limits, time_zone: timeZone ?? 'UTC' })),
  } as unknown as Config;
}

/** `connections` clients, each with one request at a time, at random living workers of the nodes, until `total` were sent or `until` says so. */
export async function load(nodes: readonly LiveNode[], app: string, options: { readonly connections: number; readonly total?: number; readonly until?: () => boolean; readonly random?: () => number }): Promise<Record<Verdict, number> & { asked: number; slowestMs: number }> {
  const tally = { admitted: 0, rate_limited: 0, quota_exhausted: 0, ledger_unavailable: 0, asked: 0, slowestMs: 0 };
  let sent = 0;
  const random = options.random ?? Math.random;
  const client = async (): Promise<void> => {
    while (options.until?.() !== true && (options.total === undefined || sent < options.total)) {
      sent++;
      const workers = nodes.flatMap(({ living }) => living);
      const worker = workers[Math.floor(random() * workers.length)];
      if (worker === undefined) return;
      const { verdict, asked, ms } = await worker.request(app);
      tally[verdict]++;
      if (asked) tally.asked++;
      tally.slowestMs = Math.max(tally.slowestMs, ms);
      // as an answer would: others have their turn
      await new Promise(setImmediate);
    }
  };
  await Promise.all(Array.from({ length: options.connections }, client));
  return tally;
}
