/**
 * A real Kafka for a test: its own folder, free ports, one broker or three (KRaft, each broker also a controller). Ready in about five seconds;
 * 300 MB a broker. `await using kafka = await TestKafka.start()` leaves none behind.
 *
 * The jars are looked for in $TIDEGATE_KAFKA_HOME; unset, in ~/.cache/tidegate/kafka-4.1.0/lib, where `.ci/run` puts them.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel, type Admin, type PartitionMetadata } from 'kafkajs';
import { eventually } from './deadline.js';
import { freePorts } from './tidegate.js';

export const KAFKA_VERSION = '4.1.0';

/** How clients of the secured listener must show who they are. `tidegate` with `password` is the user of all SASL mechanisms. */
export type KafkaSecurity = 'none' | 'tls' | 'sasl' | 'sasl_tls';
export const KAFKA_USER = { username: 'tidegate', password: 'correct-horse-battery' } as const;

export interface TestKafkaOptions {
  readonly brokers?: 1 | 3;
  /** Of the first broker's plain listener, of the next the two after; default: free ones. */
  readonly port?: number;
  /** A second listener, beside the plain one. PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 with `sasl`. */
  readonly security?: KafkaSecurity;
  /** Broker properties beside or in place of the harness's own. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Where the data of broker N lies instead of the harness's folder, for example on a small disk. */
  readonly dataDir?: (node: number) => string;
}

interface Ports { readonly plain: number; readonly secure: number; readonly controller: number }

/** Folder of Kafka's jars, or null. */
export function kafkaJars(): string | null {
  const folders = [process.env['TIDEGATE_KAFKA_HOME'] ?? join(homedir(), '.cache', 'tidegate', `kafka-${KAFKA_VERSION}`, 'lib')];
  return folders.flatMap((folder) => [folder, join(folder, 'lib')]).find((folder) => folder !== '' && existsSync(join(folder, `kafka_2.13-${KAFKA_VERSION}.jar`))) ?? null;
}

export class TestKafka implements AsyncDisposable {
  readonly folder: string;
  readonly #ports: readonly Ports[];
  readonly #security: KafkaSecurity;
  readonly #jars: string;
  readonly #processes: (ChildProcess | null)[];

  private constructor(options: TestKafkaOptions, ports: readonly Ports[], jars: string) {
    this.folder = mkdtempSync(join(tmpdir(), 'tidegate-kafka-'));
    this.#ports = ports;
    this.#security = options.security ?? 'none';
    this.#jars = jars;
    this.#processes = ports.map(() => null);
  }

  static async start(options: TestKafkaOptions = {}): Promise<TestKafka> {
    const jars = kafkaJars();
    if (jars === null) throw new Error('Kafka\'s jars are missing: see test/harness/kafka.ts');
    const count = options.brokers ?? 1;
    const free = await freePorts(3 * count);
    const ports = Array.from({ length: count }, (_, i): Ports => ({
      plain: options.port === undefined ? free[3 * i] ?? 0 : options.port + i, secure: free[3 * i + 1] ?? 0, controller: free[3 * i + 2] ?? 0,
    }));
    const kafka = new TestKafka(options, ports, jars);
    try {
      if (kafka.#security === 'tls' || kafka.#security === 'sasl_tls') makeCertificates(kafka.folder);
      const id = randomBytes(16);
      // begins with a letter: StorageTool takes one that begins with - for an option
      id[0] = (id[0] ?? 0) & 0x3f;
      const clusterId = id.toString('base64url');
      for (let node = 1; node <= count; node++) kafka.#format(node, clusterId, options);
      await kafka.restart();
    } catch (error) {
      await kafka.stop();
      throw error;
    }
    return kafka;
  }

  /** `host:port,…` of the plain listeners. */
  get brokers(): string { return this.#ports.map(({ plain }) => `127.0.0.1:${plain}`).join(','); }
  /** `host:port,…` of the secured listeners. */
  get secureBrokers(): string { return this.#ports.map(({ secure }) => `127.0.0.1:${secure}`).join(','); }
  /** With `tls`: the certificate of the authority that signed the brokers', PEM. */
  get caFile(): string { return join(this.folder, 'ca.pem'); }
  /** What the brokers have said. */
  get output(): string { return this.#ports.map((_, i) => readFileSync(join(this.folder, `broker-${i + 1}.log`), 'utf8')).join('\n'); }

  pid(node = 1): number | null { return this.#processes[node - 1]?.pid ?? null; }

  /** SIGKILL to one broker, or to all; resolves when they are gone. */
  async kill(node?: number): Promise<void> {
    await Promise.all(this.#which(node).map((one) => this.#end(one, 'SIGKILL')));
  }

  /** SIGTERM to one broker, or to all: a controlled shutdown. */
  async shutDown(node?: number): Promise<void> {
    await Promise.all(this.#which(node).map((one) => this.#end(one, 'SIGTERM')));
  }

  /** SIGSTOP: connections stay, nothing answers. */
  pause(node?: number): void {
    for (const one of this.#which(node)) this.#processes[one - 1]?.kill('SIGSTOP');
  }

  resume(node?: number): void {
    for (const one of this.#which(node)) this.#processes[one - 1]?.kill('SIGCONT');
  }

  /** Starts what was killed, on the same data and ports; resolves when every broker is in the cluster. */
  async restart(node?: number): Promise<void> {
    for (const one of this.#which(node)) if (this.#processes[one - 1] === null) this.#spawn(one);
    const running = this.#processes.filter((process) => process !== null).length;
    await this.withAdmin((admin) => eventually(`${running} Kafka brokers in the cluster`, async () => {
      for (const process of this.#processes) if (process !== null && process.exitCode !== null) throw new Error(`a broker has ended:\n${this.output.slice(-4000)}`);
      const { brokers, controller } = await admin.describeCluster();
      return brokers.length >= running && controller !== null ? true : null;
    }, 180_000, 100), 120_000);
  }

  /** A client of the plain listeners; it connects as soon as a broker listens. */
  async withAdmin<T>(use: (admin: Admin) => Promise<T>, withinMs = 30_000): Promise<T> {
    const client = new Kafka({ clientId: 'test-harness', brokers: this.brokers.split(','), logLevel: logLevel.NOTHING, retry: { retries: 0 }, connectionTimeout: 1000, requestTimeout: ANSWER_WITHIN_MS });
    const admin = client.admin();
    await eventually('a Kafka broker listens', async () => { await admin.connect(); return true; }, withinMs, 100);
    try {
      return await use(admin);
    } finally {
      await admin.disconnect();
    }
  }

  /** The broker that leads a partition, as those that answer know it. @throws Error: none does */
  async leaderOf(topic: string, partition: number): Promise<number> {
    const partitions = await this.#partitionsOf(topic);
    const leader = partitions.find(({ partitionId }) => partitionId === partition)?.leader ?? 0;
    if (leader < 1) throw new Error(`nobody leads ${topic}/${partition}`);
    return leader;
  }

  /** The broker that knows a consumer group: the leader of the partition where Kafka keeps what the group has committed. @throws Error: none does */
  async coordinatorOf(group: string): Promise<number> {
    // as Kafka finds it: Java's String.hashCode, without its sign
    let hash = 0;
    for (const letter of group) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0;
    return this.leaderOf(OFFSETS_TOPIC, (hash & 0x7fffffff) % (await this.#partitionsOf(OFFSETS_TOPIC)).length);
  }

  /** Ends all brokers and removes their data. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #partitionsOf(topic: string): Promise<readonly PartitionMetadata[]> {
    return this.withAdmin(async (admin) => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions ?? []);
  }

  #which(node?: number): number[] {
    return node === undefined ? this.#ports.map((_, i) => i + 1) : [node];
  }

  #format(node: number, clusterId: string, options: TestKafkaOptions): void {
    const file = this.#propertiesFile(node);
    writeFileSync(file, Object.entries(this.#properties(node, options)).map(([key, value]) => `${key}=${value}\n`).join(''));
    const scram = this.#security.startsWith('sasl')
      ? ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${KAFKA_USER.username},password=${KAFKA_USER.password}]`])
      : [];
    execFileSync('java', [...JVM, '-cp', `${this.#jars}/*`, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', file, ...scram], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  #propertiesFile(node: number): string {
    return join(this.folder, `broker-${node}.properties`);
  }

  #properties(node: number, options: TestKafkaOptions): Record<string, string> {
    const ports = this.#ports[node - 1] ?? { plain: 0, secure: 0, controller: 0 };
    const replicas = String(this.#ports.length);
    const protocol = SECURE_PROTOCOLS[this.#security];
    const secure = (prefix: string): string => (protocol === null ? '' : `${prefix}SECURE://127.0.0.1:${ports.secure}`);
    const dataDir = options.dataDir?.(node) ?? join(this.folder, `data-${node}`);
    mkdirSync(dataDir, { recursive: true });
    return {
      'process.roles': 'broker,controller',
      'node.id': String(node),
      'controller.quorum.voters': this.#ports.map(({ controller }, i) => `${i + 1}@127.0.0.1:${controller}`).join(','),
      'listeners': `PLAINTEXT://127.0.0.1:${ports.plain},CONTROLLER://127.0.0.1:${ports.controller}${secure(',')}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.plain}${secure(',')}`,
      'listener.security.protocol.map': `CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT${protocol === null ? '' : `,SECURE:${protocol}`}`,
      'controller.listener.names': 'CONTROLLER',
      'inter.broker.listener.name': 'PLAINTEXT',
      'log.dirs': dataDir,
      'default.replication.factor': replicas,
      'min.insync.replicas': this.#ports.length === 3 ? '2' : '1',
      'offsets.topic.replication.factor': replicas,
      'offsets.topic.num.partitions': '4',
      'transaction.state.log.replication.factor': replicas,
      'transaction.state.log.num.partitions': '4',
      'transaction.state.log.min.isr': this.#ports.length === 3 ? '2' : '1',
      'group.initial.rebalance.delay.ms': '0',
      'auto.create.topics.enable': 'false',
      'broker.session.timeout.ms': '6000',
      'broker.heartbeat.interval.ms': '1000',
      'num.network.threads': '2',
      'num.io.threads': '2',
      'log.cleaner.dedupe.buffer.size': '4194304',
      'socket.request.max.bytes': '33554432',
      ...this.#securityProperties(),
      ...options.properties,
    };
  }

  #securityProperties(): Record<string, string> {
    const tls = {
      'listener.name.secure.ssl.keystore.type': 'PEM',
      'listener.name.secure.ssl.keystore.location': join(this.folder, 'broker.pem'),
      'listener.name.secure.ssl.truststore.type': 'PEM',
      'listener.name.secure.ssl.truststore.location': this.caFile,
      'listener.name.secure.ssl.client.auth': 'none',
    };
    const { username, password } = KAFKA_USER;
    const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
    const sasl = {
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'listener.name.secure.sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      'listener.name.secure.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`,
      'listener.name.secure.scram-sha-256.sasl.jaas.config': scram,
      'listener.name.secure.scram-sha-512.sasl.jaas.config': scram,
    };
    return { ...(this.#security.endsWith('tls') ? tls : {}), ...(this.#security.startsWith('sasl') ? sasl : {}) };
  }

  #spawn(node: number): void {
    const log = openSync(join(this.folder, `broker-${node}.log`), 'a');
    const broker = spawn('java', [...JVM, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', `${this.#jars}/*`, 'kafka.Kafka', this.#propertiesFile(node)],
      { stdio: ['ignore', log, log], cwd: this.folder });
    closeSync(log);
    const end = (): void => { broker.kill('SIGKILL'); };
    process.once('exit', end);
    broker.once('close', () => { process.removeListener('exit', end); });
    this.#processes[node - 1] = broker;
  }

  async #end(node: number, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const broker = this.#processes[node - 1];
    if (broker === null || broker === undefined) return;
    this.#processes[node - 1] = null;
    if (broker.exitCode !== null || broker.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => { broker.once('close', () => { resolve(); }); });
    broker.kill(signal);
    await gone;
  }
}

const OFFSETS_TOPIC = '__consumer_offsets';
/** Of one request: the way to a broker may be bad just then, and another goes better. ms. */
const ANSWER_WITHIN_MS = 10_000;

/** Quick to start rather than quick for long. */
const JVM = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto'] as const;

const SECURE_PROTOCOLS = { none: null, tls: 'SSL', sasl: 'SASL_PLAINTEXT', sasl_tls: 'SASL_SSL' } as const;

/** An authority and a broker's certificate for 127.0.0.1 and localhost: ca.pem, broker.pem (key and chain), and `other-ca.pem`, which signed nothing. */
function makeCertificates(folder: string): void {
  const openssl = (...args: readonly string[]): void => { execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] }); };
  const key = ['-newkey', 'rsa:2048', '-nodes'];
  for (const [name, subject] of [['ca', '/CN=Test authority'], ['other-ca', '/CN=Another authority']] as const) {
    openssl('req', '-x509', ...key, '-keyout', `${name}.key`, '-out', `${name}.pem`, '-days', '2', '-subj', subject);
  }
  writeFileSync(join(folder, 'san.cnf'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  openssl('req', ...key, '-keyout', 'broker.key', '-out', 'broker.csr', '-subj', '/CN=localhost');
  openssl('x509', '-req', '-in', 'broker.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san.cnf', '-out', 'broker.crt');
  writeFileSync(join(folder, 'broker.pem'), ['broker.key', 'broker.crt', 'ca.pem'].map((file) => readFileSync(join(folder, file), 'utf8')).join(''));
}
