/** The supervisor's end of the shipper: none where the configuration names no Kafka. */
import type { Readiness, ShippingStatus } from '../control/control-deps.js';
import type { SpoolLog } from '../events/spool-log.js';
import type { Shipper } from '../events/shipper/shipper.js';
import { instanceOf } from '../events/shipper/stream-facts.js';
import { checkSpoolFinished } from '../events/shipper/unfinished-spool.js';
import type { ShippingCounts } from '../metrics/node-facts.js';
import { spoolDirOf, type ConfigInForce } from './run-files.js';

/** What is left is shipped when the node goes down, for so long; the launcher waits twice that. */
const LAST_WITHIN_MS = 5000;

/** Loaded where Kafka is configured: with Redis's, its client took 5 of a supervisor's 110 MB. */
const load = async () => ({ ...await import('../events/kafka-client.js'), ...await import('../events/shipper/shipper.js') });

type Parts = Awaited<ReturnType<typeof load>>;

export class Shipping {
  readonly #parts: Parts | null;
  readonly #shipper: Shipper | null;

  private constructor(parts: Parts | null, shipper: Shipper | null) {
    this.#parts = parts;
    this.#shipper = shipper;
  }

  static async open({ config, secrets, dataDir }: ConfigInForce, log: SpoolLog): Promise<Shipping> {
    const parts = config.event_log.kafka.brokers === '' ? null : await load();
    const settings = parts?.kafkaSettings(config, secrets) ?? null;
    if (parts === null || settings === null) return new Shipping(null, null);
    return new Shipping(parts, new parts.Shipper({
      spoolDir: spoolDirOf(dataDir), instance: instanceOf(dataDir, log), settings, log, mayBegin: () => { checkSpoolFinished(dataDir); },
    }));
  }

  start(): void {
    this.#shipper?.start();
  }

  /** A reload changes nothing but secrets here: the rest of event_log.kafka is refused before it. */
  apply(inForce: ConfigInForce): void {
    const settings = this.#parts?.kafkaSettings(inForce.config, inForce.secrets) ?? null;
    if (settings !== null) this.#shipper?.useSettings(settings);
  }

  /** Why the node should get no requests: what people must mend, met at the start. A Kafka that is away is no reason, because events are recorded all the same. */
  readiness(): Readiness {
    const fault = this.#shipper?.startFault ?? null;
    if (fault !== null) return { ready: false, reasons: [`events cannot be shipped: ${fault.message} (${fault.code})`] };
    const failing = this.#shipper?.failing ?? null;
    const clockOff = (this.#shipper?.warnings ?? []).filter(({ code }) => code === 'kafka_clock_off').map(({ code, detail }) => `${detail} (${code})`);
    return { ready: true, reasons: [...(failing === null ? [] : [`events wait in the spool: ${failing.detail} (${failing.code})`]), ...clockOff] };
  }

  status(): ShippingStatus | null {
    if (this.#shipper === null) return null;
    const { topic, behindBytes, behindSeconds, shipped, failing, clockAheadSeconds, warnings } = this.#shipper.status();
    return { topic, behind_bytes: behindBytes, behind_seconds: behindSeconds, shipped, failing, clock_ahead_seconds: clockAheadSeconds, warnings };
  }

  counts(): ShippingCounts | null {
    if (this.#shipper === null) return null;
    const { behindBytes, behindSeconds, shipped, clockAheadSeconds, brokerTime } = this.#shipper.status();
    return { shipped, lagSeconds: behindSeconds, lagBytes: behindBytes, failures: this.#shipper.failures, clockAheadSeconds, brokerTime };
  }

  /** @param shipRest the node goes down: what is left is shipped first */
  async stop(shipRest: boolean): Promise<void> {
    await this.#shipper?.stop(shipRest ? LAST_WITHIN_MS : 0);
  }
}
