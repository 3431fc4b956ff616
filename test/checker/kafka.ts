/** A real Kafka broker (KRaft), started by the checker, and its faults. The jars: $TIDEGATE_KAFKA_HOME, else ~/.cache/tidegate/kafka-4.1.0/lib. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { FaultKind } from './fault.js';
import { eventually, freePort, KeptChild } from './processes.js';
import { listens } from './upstream.js';

const VERSION = '4.1.0';
const JVM = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'];
const STARTS_WITHIN_MS = 120_000;

export function kafkaJars(): string | null {
  const home = process.env['TIDEGATE_KAFKA_HOME'] ?? join(homedir(), '.cache', 'tidegate', `kafka-${VERSION}`, 'lib');
  return [home, join(home, 'lib')].find((folder) => existsSync(join(folder, `kafka_2.13-${VERSION}.jar`))) ?? null;
}

export class Kafka {
  readonly brokers: string;
  readonly #port: number;
  readonly #broker: KeptChild;

  private constructor(port: number, broker: KeptChild) {
    this.#port = port;
    this.brokers = `127.0.0.1:${port}`;
    this.#broker = broker;
  }

  /** @throws Error where there are no jars, or its storage cannot be formatted */
  static async start(folder: string): Promise<Kafka> {
    const jars = kafkaJars();
    if (jars === null) throw new Error('Kafka\'s jars are missing: .ci/run fetches them, or TIDEGATE_KAFKA_HOME names their folder');
    const [port, controllerPort] = [await freePort(), await freePort()];
    const own = join(folder, 'kafka');
    mkdirSync(own);
    const file = join(own, 'server.properties');
    writeFileSync(file, Object.entries(properties(port, controllerPort, join(own, 'data'))).map(([name, value]) => `${name}=${value}\n`).join(''));
    const id = randomBytes(16);
    // begins with a letter: StorageTool takes one that begins with - for an option
    id[0] = (id[0] ?? 0) & 0x3f;
    const { status, stderr } = spawnSync('java', [...JVM, '-cp', `${jars}/*`, 'kafka.tools.StorageTool', 'format', '-t', id.toString('base64url'), '-c', file], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`Kafka's storage cannot be formatted: ${stderr}`);
    const kafka = new Kafka(port, new KeptChild({
      command: 'java', args: [...JVM, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', `${jars}/*`, 'kafka.Kafka', file], logFile: join(folder, 'kafka.log'), cwd: own,
    }));
    await kafka.whole();
    return kafka;
  }

  async whole(): Promise<void> {
    this.signal('SIGCONT');
    await eventually('Kafka listens', () => {
      this.#broker.start();
      return listens(this.#port);
    }, STARTS_WITHIN_MS);
  }

  signal(signal: NodeJS.Signals): void {
    this.#broker.signal(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.#broker.end(signal);
  }
}

export function kafkaFaults(kafka: Kafka): FaultKind[] {
  return [
    {
      name: 'kafka killed', missing: null,
      plan: (random) => {
        const [signal, ms] = [random.pick(['SIGKILL', 'SIGTERM'] as const), random.integer(0, 6000)];
        return {
          detail: `${signal} to the broker, away for ${ms} ms`,
          run: async () => {
            await kafka.end(signal);
            await pause(ms);
            await kafka.whole();
          },
        };
      },
    },
    {
      name: 'kafka stopped', missing: null,
      plan: (random) => {
        const ms = random.pick([1000, 5000, 15_000]);
        return {
          detail: `SIGSTOP of the broker for ${ms} ms`,
          run: async () => {
            kafka.signal('SIGSTOP');
            await pause(ms);
            kafka.signal('SIGCONT');
          },
        };
      },
    },
  ];
}

function properties(port: number, controllerPort: number, data: string): Readonly<Record<string, string>> {
  return {
    'process.roles': 'broker,controller', 'node.id': '1', 'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'listeners': `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`, 'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER', 'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT', 'log.dirs': data,
    'offsets.topic.replication.factor': '1', 'offsets.topic.num.partitions': '4', 'transaction.state.log.replication.factor': '1', 'transaction.state.log.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0', 'auto.create.topics.enable': 'false', 'num.network.threads': '2', 'num.io.threads': '2', 'log.cleaner.dedupe.buffer.size': '4194304',
  };
}
