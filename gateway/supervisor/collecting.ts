/** The supervisor's end of the collector: what it says of itself, and, where it does not run, what it said when it ended. None on a node that is a gateway alone. */
import type { ErrorCode } from '../../errors/codes.js';
import type { CollectorFault, CollectorStatus, Readiness } from '../control/control-deps.js';
import type { CollectorFacts } from '../metrics/node-facts.js';
import { CollectorLag } from './collector-lag.js';
import { CollectorStatusClient, type CollectorAnswer } from './collector-status.js';
import { collects, serves, type Part } from './part.js';

/** What the launcher knows of the collector: why its last start failed, and whether one has run since the node began. */
export interface CollectorNews {
  readonly fault: CollectorFault | null;
  readonly everRan: boolean;
}

/** What people must mend before the node can store; all else (a disk that is full, another machine that is away) may pass, and requests are recorded meanwhile. */
const MUST_MEND: ReadonlySet<string> = new Set<ErrorCode>([
  'store_version', 'store_copy_unfinished', 'store_schema_old', 'store_access', 'store_settings', 'store_old_server', 'store_cluster', 'store_without_manifest', 'store_behind_manifest',
  'kafka_tls', 'kafka_unauthenticated', 'kafka_forbidden', 'kafka_version', 'kafka_topic_settings', 'kafka_topic_refused',
]);

export class Collecting {
  readonly #part: Part;
  readonly #client: CollectorStatusClient;
  #news: CollectorNews = { fault: null, everRan: false };
  readonly #lag: CollectorLag;
  /** What it answered last. */
  #told: CollectorAnswer | null = null;

  /** @param lagFile where what the collector told last is kept for a restarted supervisor */
  constructor(part: Part, socketPath: string, lagFile: string) {
    this.#part = part;
    this.#client = new CollectorStatusClient(socketPath);
    this.#lag = new CollectorLag({ client: this.#client, file: lagFile });
  }

  start(): void {
    if (collects(this.#part)) this.#lag.start();
  }

  /** Why the collector does not run; null: it does, or nobody knows. */
  get fault(): CollectorFault | null { return this.#news.fault; }

  take(news: CollectorNews): void {
    this.#news = news;
  }

  /** Asked now. Null: there is none here, or it does not answer in time. */
  async read(): Promise<CollectorStatus | null> {
    if (!collects(this.#part)) return null;
    const answer = await this.#client.read();
    this.#lag.take(answer?.caughtUpMs ?? null);
    this.#told = answer ?? this.#told;
    return answer?.status ?? null;
  }

  /** For the metrics, asked now. Null: there is none here. */
  async facts(): Promise<CollectorFacts | null> {
    if (!collects(this.#part)) return null;
    const up = await this.read() !== null;
    const saysSo = (this.#told?.status.failing ?? null) !== null;
    return { up, failing: saysSo || (!up && this.#news.fault !== null), told: this.#told };
  }

  /**
   * A node that serves requests goes on without a collector, because it records them all the same: only what people must mend, met before a collector has
   * ever run, keeps requests away. A collector alone is ready while it stores, once live counters were published if they shall be.
   * @param status as `read` answers; by default as of the last second, which waits for nobody
   */
  readiness(status: CollectorStatus | null = this.#lag.status): Readiness {
    if (!collects(this.#part)) return { ready: true, reasons: [] };
    const failing = status === null ? this.#news.fault : status.failing;
    const reasons = failing !== null ? [`events are not stored: ${failing.detail} (${failing.code})`]
      : status === null && !serves(this.#part) ? ['the collector does not answer: it starts; its log says how far it is (collector_unavailable)'] : [];
    const stores = reasons.length === 0;
    const publishing = status?.publishing ?? null;
    if (publishing !== null && publishing.failing !== null) reasons.push(`live counters are not published: ${publishing.failing.detail} (${publishing.failing.code})`);
    if (!serves(this.#part)) return { ready: stores && publishing?.ever !== false, reasons };
    const mustMend = status === null && failing !== null && !this.#news.everRan && MUST_MEND.has(failing.code);
    return { ready: !mustMend, reasons };
  }

  /** Seconds since everything that was recorded was stored; null: this node has no collector, or none has answered yet. */
  get lagSeconds(): number | null {
    return collects(this.#part) ? this.#lag.seconds : null;
  }

  /** It is there, and has answered nothing for some seconds: whoever waits for it waits in vain. False: it answers, however long a report takes it, or is not there. */
  get standsStill(): boolean { return this.#lag.standsStill; }

  async close(): Promise<void> {
    this.#lag.stop();
    await this.#client.close();
  }
}
