/** What a scrape of this node is told: asked of those who know it, when it is asked for. */
import { byteCount } from '../config/units.js';
import type { MetricsText } from '../control/control-deps.js';
import type { NodeFacts } from '../metrics/node-facts.js';
import type { NodeMetrics, Scrape } from '../metrics/node-metrics.js';
import type { Collecting } from './collecting.js';
import type { Configuration } from './configuration.js';
import { serves, type Part } from './part.js';
import type { QuotaUses } from './quota-use/quota-use.js';
import type { Sharing } from './sharing.js';
import type { Shipping } from './shipping.js';
import type { SpoolKeeper } from './spool-keeper.js';
import type { Tracing } from './tracing/tracing.js';
import type { WorkerHub } from './worker-hub.js';

export interface NodeScrapeParts {
  /** Of the program. */
  readonly version: string;
  readonly part: Part;
  readonly metrics: NodeMetrics;
  readonly configuration: Configuration;
  readonly hub: Pick<WorkerHub, 'peers' | 'collectMetrics'>;
  readonly keeper: Pick<SpoolKeeper, 'bytes'>;
  readonly collecting: Collecting;
  readonly shipping: Shipping;
  readonly sharing: Sharing;
  readonly uses: QuotaUses;
  readonly tracing: Pick<Tracing, 'counts'>;
}

/** A worker that is busy for longer is told of as of the second before. */
const WORKERS_WITHIN_MS = 250;

export class NodeScrape {
  readonly #parts: NodeScrapeParts;
  /** Null: the launcher has not told this supervisor yet. */
  #workerRestarts: number | null = null;
  #suppressedLines: number | null = null;

  constructor(parts: NodeScrapeParts) {
    this.#parts = parts;
  }

  /** As the launcher counts them, since the node's start. */
  set workerRestarts(total: number) { this.#workerRestarts = total; }
  /** Likewise. */
  set suppressedLines(total: number) { this.#suppressedLines = total; }

  async text(scrape: Scrape): Promise<MetricsText> {
    const { metrics, collecting, hub } = this.#parts;
    const [collector] = await Promise.all([collecting.facts(), hub.collectMetrics(WORKERS_WITHIN_MS)]);
    const { contentType, text } = await metrics.render(scrape, this.#facts(collector));
    return { contentType, body: text };
  }

  #facts(collector: NodeFacts['collector']): NodeFacts {
    const { version, part, configuration, hub, keeper, collecting, shipping, sharing, uses, tracing } = this.#parts;
    const { inForce: { config, version: configVersion }, status } = configuration;
    return {
      version,
      config: { version: configVersion, services: config.services, appliedAtMs: Date.parse(status.loaded_at), rejected: status.last_reload?.result === 'rejected' },
      workers: hub.peers.length, workerRestarts: this.#workerRestarts, suppressedLines: this.#suppressedLines,
      spoolBytes: keeper.bytes, spoolLimitBytes: byteCount(config.event_log.spool.max_bytes),
      lagSeconds: collecting.lagSeconds, shipping: shipping.counts(), collector, quotas: uses.now,
      ledgerUp: serves(part) ? (sharing.status()?.failing ?? null) === null : null, spans: { ...tracing.counts }, nowMs: Date.now(),
    };
  }
}
