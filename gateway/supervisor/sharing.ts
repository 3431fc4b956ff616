/** The supervisor's end of limits that nodes share: none where the configuration names no Redis. */
import type { SharingStatus } from '../control/control-deps.js';
import type { Config } from '../config/schema.js';
import { instanceOf } from '../events/shipper/stream-facts.js';
import { systemClock } from '../policies/limits/clock.js';
import type { SharedLimits, SharingLedger } from './ledger/shared-limits.js';
import type { SharedUse } from './quota-use/shared-use.js';
import type { ConfigInForce } from './run-files.js';
import type { RedisLimits } from './shared-limits/redis-limits.js';
import type { SharedLog } from './shared-limits/redis-link.js';

/** Loaded where Redis is configured: other nodes do not pay for its client. */
const load = async () => ({ ...await import('../config/redis-settings.js'), ...await import('./shared-limits/redis-limits.js'), ...await import('./quota-use/shared-use.js') });

type Parts = Awaited<ReturnType<typeof load>>;

export class Sharing {
  /** For the ledger; undefined: this node's limits are its own. */
  readonly share: ((ledger: SharingLedger) => SharedLimits) | undefined;
  /** What nodes tell each other of the use of quotas; null: no Redis is configured. */
  readonly use: SharedUse | null = null;
  #limits: RedisLimits | null = null;
  #config: Config;

  private constructor({ config, secrets, dataDir }: ConfigInForce, log: SharedLog, serves: boolean, parts: Parts | null) {
    this.#config = config;
    const settings = parts?.redisSettings(config, secrets) ?? null;
    if (parts === null || settings === null) return;
    this.use = new parts.SharedUse({ settings, instance: instanceOf(dataDir, log) });
    if (!serves) return;
    this.share = (ledger) => {
      this.#limits = new parts.RedisLimits(ledger, {
        settings, instance: instanceOf(dataDir, log), name: config.node ?? '', clock: systemClock, log,
        listed: () => this.#config.nodes,
        allowsLoss: () => this.#config.shared_state.on_ledger_loss === 'allow',
      });
      return this.#limits;
    };
  }

  /** @param serves false: nothing here uses a limit, so this node has no share of them */
  static async open(inForce: ConfigInForce, log: SharedLog, serves: boolean): Promise<Sharing> {
    return new Sharing(inForce, log, serves, inForce.config.shared_state.redis.url === '' ? null : await load());
  }

  start(): void {
    this.#limits?.start();
  }

  /** A reload changes what nodes are expected, and what is done without Redis; another Redis is refused before it. */
  apply({ config }: ConfigInForce): void {
    this.#config = config;
  }

  /** `ready`: whether they keep requests away: until Redis has been found fit for once. Afterwards nodes go on without it, as the configuration says. */
  standing(): { readonly ready: boolean; readonly reasons: readonly string[] } {
    const standing = this.#limits?.standing ?? null;
    if (standing === null || standing.fault === null) return { ready: true, reasons: [] };
    return { ready: standing.everUp, reasons: [`limits are not shared: ${standing.fault.detail} (${standing.fault.code})`] };
  }

  status(): SharingStatus | null {
    if (this.#limits === null) return null;
    const { fault, nodes } = this.#limits.standing;
    return { nodes, failing: fault };
  }

  async stop(): Promise<void> {
    this.use?.close();
    await this.#limits?.close();
  }
}
