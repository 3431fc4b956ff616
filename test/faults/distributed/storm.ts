/**
 * Everything at once, each of it over and over: every kind of process is killed and stopped, collectors join and leave, every engine dies, stands still and
 * answers wrongly behind a network that is bad, chunks come twice and in another order. Clocks are not set: a process that starts just then may stand still for
 * ever in libfaketime, by which they are.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { ANSWERS, INSERT } from './engine-faults.js';
import type { Engines, Network } from './engines.js';
import type { Fault } from './fault-run.js';
import { isFrames, LogTap } from './log-tap.js';
import { NETWORK_FAULTS } from './network-faults.js';
import { ProcessFaults, signalIfThere, type ProcessKind } from './process-faults.js';
import { SIZES } from './sizes.js';

const KINDS: readonly ProcessKind[] = [
  { part: 'gateway', role: 'worker' }, { part: 'gateway', role: 'supervisor' }, { part: 'collector', role: 'supervisor' }, { part: 'collector', role: 'collector' },
];
const LAUNCHER: ProcessKind = { part: 'gateway', role: 'launcher' };
/** Between two blows of one hand, at most. */
const REST_MS = 6000;
/** The same of a hand that takes a whole node: one that takes seconds to start must serve meanwhile. */
const NODE_REST_MS = 120_000;
const START_EVERY_MS = 1000;
/** For which one lasts, at most. */
const BLOW_MS = 4000;

export function storm(engines: Engines): Fault {
  return { name: 'everything at once', mayCut: true, during: () => new Storm(engines).rage(SIZES.stormMs) };
}

class Storm {
  readonly #engines: Engines;
  readonly #processes: ProcessFaults;
  #untilMs = 0;

  constructor(engines: Engines) {
    this.#engines = engines;
    this.#processes = new ProcessFaults(engines.topology, null);
  }

  async rage(forMs: number): Promise<void> {
    const { topology } = this.#engines;
    this.#untilMs = performance.now() + forMs;
    const hands = await Promise.allSettled([
      ...KINDS.map((kind) => this.#over(async () => { this.#kill(kind); })), this.#over(async () => { this.#kill(LAUNCHER); }, NODE_REST_MS),
      ...KINDS.map((kind) => this.#over(() => this.#stall(kind))),
      this.#processes.joinAndLeave(forMs), this.#startGateways(),
      this.#over(() => this.#harmKafka()), this.#over(() => this.#harmClickHouse()), this.#over(() => this.#harmRedis()),
      ...(['kafka', 'clickhouse', 'redis'] as const).map((engine) => this.#over(() => this.#harmNetwork(engine))),
      this.#over(() => this.#sendAgain()),
    ]);
    await topology.startEnded();
    const errors = hands.flatMap((hand) => (hand.status === 'rejected' ? [hand.reason as unknown] : []));
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '));
  }

  /** As whoever runs a node does: one that has ended, with its launcher or because its first start was cut short, is started again. */
  async #startGateways(): Promise<void> {
    while (performance.now() < this.#untilMs) {
      await pause(START_EVERY_MS);
      await this.#engines.topology.startEnded('gateway');
    }
  }

  async #over(strike: () => Promise<void>, restMs = REST_MS): Promise<void> {
    for (;;) {
      await pause(Math.random() * restMs);
      if (performance.now() >= this.#untilMs) return;
      await strike();
    }
  }

  #kill(kind: ProcessKind): void {
    signalIfThere(this.#processes.anyOf(kind)?.pid ?? null, 'SIGKILL');
  }

  async #stall(kind: ProcessKind): Promise<void> {
    const pid = this.#processes.anyOf(kind)?.pid ?? null;
    signalIfThere(pid, 'SIGSTOP');
    await blow();
    signalIfThere(pid, 'SIGCONT');
  }

  async #harmKafka(): Promise<void> {
    const { kafka } = this.#engines.topology;
    if (Math.random() < 0.5) {
      kafka.pause();
      await blow();
      kafka.resume();
    } else {
      await kafka.kill();
      await blow();
      await kafka.restart();
    }
  }

  async #harmClickHouse(): Promise<void> {
    const { clickhouse } = this.#engines.topology;
    const kind = Math.random();
    if (kind < 0.3) {
      clickhouse.pause();
      await blow();
      clickhouse.resume();
    } else if (kind < 0.6) {
      await clickhouse.kill();
      await blow();
      await clickhouse.restart();
    } else {
      await clickhouse.faults({ ...oneOf(ANSWERS)[1], statement: INSERT });
      await blow();
      await clickhouse.faults();
    }
  }

  async #harmRedis(): Promise<void> {
    const { redisMaster } = this.#engines;
    const kind = Math.random();
    if (kind < 0.25) {
      redisMaster.pause();
      await blow();
      redisMaster.resume();
    } else if (kind < 0.5) {
      await redisMaster.kill();
      await blow();
      await redisMaster.restart();
      // one that was the replica once is started as that
      await redisMaster.with((client) => client.replicaof('NO', 'ONE'));
    } else if (kind < 0.75) {
      await redisMaster.wipe();
    } else {
      await this.#engines.failOverRedis();
    }
  }

  async #harmNetwork(engine: keyof Network): Promise<void> {
    const network = this.#engines.network[engine];
    await network.set(oneOf(NETWORK_FAULTS)[1]);
    await blow();
    await network.set(null);
  }

  /** What the log has had since this tap was opened, as far as Kafka can be asked now. */
  async #sendAgain(): Promise<void> {
    try {
      await using tap = await LogTap.open(this.#engines.topology.kafka.brokers);
      await blow();
      const chunks = tap.take().filter(isFrames);
      await tap.send(chunks.toReversed());
    } catch {
      // another hand has Kafka down: there is another time
    }
  }
}

const blow = (): Promise<void> => pause(500 + Math.random() * (BLOW_MS - 500));

function oneOf<T>(all: readonly T[]): T {
  return all[Math.floor(Math.random() * all.length)] as T;
}
