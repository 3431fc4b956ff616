/**
 * The supervisor: everything of a node that is neither a request nor the store. It holds the configuration, lends limits to workers,
 * seals the streams of dead ones, and answers on the control origin. It may be killed at any moment: workers go on with what they hold, and
 * the next supervisor finds its truth in the data directory, in the run directory and in what the workers tell.
 */
import { mkdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import { secretOf } from '../config/secrets.js';
import { redactConfig } from '../config/redact.js';
import { byteCount, durationMs } from '../config/units.js';
import type { ControlDeps, NodeStatus, Readiness } from '../control/control-deps.js';
import { createControlServer } from '../control/server.js';
import { controlToken } from '../control/token.js';
import { readDrops, type StreamDrops } from '../events/drop-page.js';
import { bootId } from '../events/process-life.js';
import { ProcessLock } from '../events/process-lock.js';
import { readStreamEvents } from '../events/read-rows.js';
import { scanStreams, type SpooledStream } from '../events/spool.js';
import { NodeMetrics } from '../metrics/node-metrics.js';
import { systemClock } from '../policies/limits/clock.js';
import { CollectorStatusClient } from './collector-status.js';
import { Configuration } from './configuration.js';
import { Identities } from './identities.js';
import { Ledger } from './ledger/ledger.js';
import type { TailDrops } from './ledger/recorded-use.js';
import { recordedToday } from './recorded-today.js';
import { collectorSocket, metricsBaseFile, spoolDirOf, supervisorSocket, type ConfigInForce } from './run-files.js';
import { SpoolKeeper } from './spool-keeper.js';
import { trialCompile } from './trial-compile.js';
import { trialListen } from './trial-listen.js';
import { WorkerHub, type WorkerPeer } from './worker-hub.js';

export interface SupervisorLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SupervisorOptions {
  readonly configFile: string;
  readonly runDir: string;
  /** Of the program. */
  readonly version: string;
  /** A configuration has been put in force, not the first: for the launcher and the collector. */
  readonly onReload: () => void;
  readonly log: SupervisorLog;
}

const LEDGER_EVERY_MS = 50;
const METRICS_EVERY_MS = 1000;
const METRICS_WITHIN_MS = 250;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: SupervisorLog;
  readonly #startedAt = new Date();
  readonly #metrics: NodeMetrics;
  readonly #configuration: Configuration;
  readonly #lock: ProcessLock;
  readonly #identities: Identities;
  readonly #ledger: Ledger;
  readonly #hub: WorkerHub;
  readonly #keeper: SpoolKeeper;
  readonly #collector: CollectorStatusClient;
  #control: FastifyInstance | null = null;
  /** '' until the control origin listens. */
  #token: { readonly token: string; readonly path: string | null } = { token: '', path: null };
  #timers: NodeJS.Timeout[] = [];
  /** The lag as the collector told it last, and when (monotonic ms). */
  #caughtUp = { lagSeconds: 0, atMs: performance.now() };
  /** All wanted workers have served at once: from then on, one is enough to be ready. */
  #wasComplete = false;
  #stopping = false;

  private constructor(options: SupervisorOptions, configuration: Configuration, metrics: NodeMetrics, lock: ProcessLock) {
    const { runDir, log } = options;
    const { dataDir } = configuration.inForce;
    const spoolDir = spoolDirOf(dataDir);
    this.#options = options;
    this.#log = log;
    this.#configuration = configuration;
    this.#metrics = metrics;
    this.#lock = lock;
    this.#identities = new Identities(configuration.inForce, log);
    this.#collector = new CollectorStatusClient(collectorSocket(runDir));
    this.#ledger = new Ledger({
      folder: join(dataDir, 'ledger'), bootId: bootId() ?? '', clock: systemClock, log, recordedToday: recordedToday(dataDir, collectorSocket(runDir)),
    });
    this.#keeper = new SpoolKeeper({
      spoolDir, log,
      beforeSeal: (stream) => { this.#settle(stream); },
      // each worker may die more than once while the disk is full
      spares: () => 2 * this.wantedWorkers + 2,
      onSealed: (stream) => { this.#metrics.retire(stream); },
      onRoom: (bytes) => {
        this.#metrics.spoolBytes = bytes;
        this.#hub.broadcast(this.#room());
      },
    });
    this.#hub = new WorkerHub({
      path: supervisorSocket(runDir), log,
      onHello: (peer, hello) => {
        this.#ledger.hello(hello, (message) => { peer.send(message); });
        peer.send(this.#room());
        this.#countWorkers();
      },
      onMessage: (peer, message) => {
        this.#ledger.message(peer.stream, message);
        // after the ledger: what it has in its journal may be behind a mark
        if (message.type === 'used') this.#keeper.noteMark(peer.stream, message.lastSeq);
      },
      onMetrics: (peer, snapshot) => { this.#metrics.update(peer.stream, peer.worker, snapshot); },
      onGone: (peer) => {
        this.#ledger.gone(peer.stream);
        this.#countWorkers();
      },
      onProgress: (peer) => {
        if (peer.applyError !== null) this.#log.error({ worker: peer.worker, reason: peer.applyError }, 'a worker could not apply the configuration');
        this.#countWorkers();
      },
    });
  }

  /**
   * Takes the data directory and serves; resolves when the control origin listens.
   * @throws TidegateError config_rejected, data_dir_in_use, data_dir_unusable, address_in_use, address_unusable
   */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const { runDir, log } = options;
    const metrics = new NodeMetrics({ baseFile: metricsBaseFile(runDir) });
    let made: Supervisor | null = null;
    const configuration = await Configuration.load({
      file: options.configFile, runDir, log, trial: tryCandidate,
      apply: (inForce) => { if (made !== null) made.#apply(inForce); },
      onReload: (result) => { metrics.countReload(result); },
    });
    const { dataDir } = configuration.inForce;
    trialCompile(configuration.inForce);
    const lock = takeDataDir(dataDir);
    configuration.begin();
    made = new Supervisor(options, configuration, metrics, lock);
    await made.#start();
    return made;
  }

  /** Workers wanted by the configuration in force. */
  get wantedWorkers(): number {
    const { workers } = this.#configuration.inForce.config;
    return workers === 'auto' ? availableParallelism() : workers;
  }

  /** The longest that the configuration lets workers drain, ms. */
  get drainMs(): number {
    return durationMs(this.#configuration.inForce.config.listeners.http.timeouts.drain);
  }

  /** The node goes down: /readyz says so, so that a balancer sends nothing more. */
  stopping(): void {
    this.#stopping = true;
  }

  /** Seals the streams of workers that are gone, now. */
  seal(): void {
    this.#keeper.tick();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#timers) clearInterval(timer);
    this.#configuration.close();
    this.#keeper.stop();
    this.#keeper.tick();
    await this.#control?.close();
    await this.#hub.close();
    await this.#collector.close();
    this.#ledger.close();
    this.#lock.release();
  }

  async #start(): Promise<void> {
    const { inForce } = this.#configuration;
    this.#metrics.configVersion = inForce.version;
    this.#ledger.configure(inForce.config);
    this.#settleEnded();
    this.#hub.setConfig(messageOf(inForce));
    await this.#hub.listen();
    this.#keeper.start();
    this.#timers = [
      setInterval(() => { this.#ledger.tick(); }, LEDGER_EVERY_MS),
      setInterval(() => { void this.#hub.collectMetrics(METRICS_WITHIN_MS); }, METRICS_EVERY_MS),
    ];
    const { address } = inForce.config.control;
    this.#takeToken(inForce);
    this.#control = createControlServer(this.#deps(), this.#options.version);
    await listen(this.#control, address);
    this.#log.info({ version: inForce.version, control: address, node: inForce.config.node, dataDir: inForce.dataDir }, 'supervisor ready');
  }

  /** The control token of the configuration in force, from now on. @throws TidegateError data_dir_unusable */
  #takeToken(inForce: ConfigInForce): void {
    const { token, path, made } = controlToken(configuredToken(inForce), inForce.dataDir);
    if (path !== null && (made || path !== this.#token.path)) this.#log.info({ path }, `${made ? 'a control token was made; it' : 'the control token'} is in ${path}`);
    this.#token = { token, path };
  }

  #apply(inForce: ConfigInForce): void {
    try {
      this.#takeToken(inForce);
    } catch (error) {
      // the trial found it usable a moment ago
      this.#log.error({ err: error }, 'the control token of before stays');
    }
    this.#metrics.configVersion = inForce.version;
    this.#identities.replace(inForce);
    // before the workers: they may ask for a new limit at once
    this.#ledger.configure(inForce.config);
    this.#hub.setConfig(messageOf(inForce));
    this.#options.onReload();
  }

  /** Streams that ended while the ledger's last word on them was not written: sealed by an earlier supervisor, or stored and gone. */
  #settleEnded(): void {
    const streams = new Map(scanStreams(spoolDirOf(this.#configuration.inForce.dataDir)).map((stream) => [stream.stream, stream]));
    for (const stream of this.#ledger.streams) {
      const spooled = streams.get(stream);
      if (spooled === undefined) this.#ledger.settle(stream, () => [], null);
      else if (spooled.state !== null && spooled.state.seal !== null) this.#settle(spooled);
    }
  }

  #settle({ stream, dir, state }: SpooledStream): void {
    const drops = readDrops(dir);
    const lastSeq = Math.max(state?.lastSeq ?? -1, drops?.lastSeq ?? -1);
    this.#ledger.settle(stream, (fromSeq) => readStreamEvents(dir, fromSeq), lastSeq, tailDrops(drops));
  }

  #room(): { readonly type: 'spool'; readonly bytes: number; readonly maxBytes: number } {
    return { type: 'spool', bytes: this.#keeper.bytes, maxBytes: byteCount(this.#configuration.inForce.config.event_log.spool.max_bytes) };
  }

  #countWorkers(): void {
    this.#metrics.workers = this.#hub.peers.length;
    if (this.#hub.peers.filter(isServing).length >= this.wantedWorkers) this.#wasComplete = true;
  }

  #readiness(): Readiness {
    const serving = this.#hub.peers.filter(isServing).length;
    const reasons: string[] = [];
    if (this.#stopping) reasons.push('the node is shutting down');
    if (serving < this.wantedWorkers) reasons.push(`${serving} of ${this.wantedWorkers} workers serve`);
    return { ready: !this.#stopping && serving > 0 && (this.#wasComplete || serving >= this.wantedWorkers), reasons };
  }

  async #status(): Promise<NodeStatus> {
    const collector = await this.#collector.read();
    const { config } = this.#configuration.inForce;
    const { ready, reasons } = this.#readiness();
    return {
      node: config.node ?? '', version: this.#options.version, started_at: this.#startedAt.toISOString(), ready, reasons,
      config: this.#configuration.status,
      workers: this.#hub.peers.map((peer) => {
        const gauges = this.#metrics.gaugesOf(peer.stream);
        return {
          worker: peer.worker, pid: peer.pid, stream: peer.stream,
          state: this.#stopping ? 'draining' as const : isServing(peer) ? 'serving' as const : 'starting' as const,
          config_version: peer.applied === '' ? null : peer.applied, config_error: peer.applyError, rss_bytes: gauges?.rssBytes ?? null,
          connections: gauges === null ? null : gauges.connections.reduce((sum, [, open]) => sum + open, 0),
        };
      }),
      targets: config.services.flatMap(({ name, upstream }) => upstream.targets.map(({ url }) => ({
        service: name, target: url, healthy: this.#metrics.targets.find(({ service, target }) => service === name && target === url)?.healthy ?? null,
      }))),
      limits: this.#ledger.status(),
      spool: {
        bytes: this.#keeper.bytes, max_bytes: this.#room().maxBytes, streams: this.#keeper.streams,
        dropped: this.#metrics.sum.dropped.reduce((sum, [, count]) => sum + count, 0),
      },
      collector,
    };
  }

  async #metricsText(accept: string): Promise<{ readonly contentType: string; readonly body: string }> {
    const [counts] = await Promise.all([this.#collector.read(), this.#hub.collectMetrics(METRICS_WITHIN_MS)]);
    const nowMs = performance.now();
    if (counts !== null) {
      this.#metrics.collector = { ...counts, gaps: counts.gaps_total };
      this.#caughtUp = { lagSeconds: counts.lag_seconds ?? 0, atMs: nowMs };
    }
    // A collector that is dead or stuck says nothing; the lag grows all the same.
    this.#metrics.lagSeconds = this.#caughtUp.lagSeconds + (counts === null ? (nowMs - this.#caughtUp.atMs) / 1000 : 0);
    const { contentType, text } = await this.#metrics.render(accept);
    return { contentType, body: text };
  }

  #deps(): ControlDeps {
    const configuration = this.#configuration;
    return {
      token: () => this.#token.token, collectorSocket: collectorSocket(this.#options.runDir), log: this.#log,
      identify: (bearer) => this.#identities.find(bearer, configuration),
      timeZoneOf: (app) => configuration.inForce.config.apps.find(({ name }) => name === app)?.time_zone ?? null,
      address: () => configuration.inForce.config.control.address,
      metricsOpen: () => configuration.inForce.config.control.metrics_open,
      readiness: () => this.#readiness(),
      metrics: (accept) => this.#metricsText(accept),
      status: () => this.#status(),
      reload: () => configuration.reload(),
      services: () => configuration.inForce.config.services,
      apps: () => redactConfig(configuration.inForce.config).apps,
      createKey: (app, request) => configuration.createKey(app, request),
      revokeKey: (app, id, author) => configuration.revokeKey(app, id, author),
      history: (limit) => Promise.resolve(configuration.history(limit)),
      diff: (text) => configuration.diff(text),
    };
  }
}

/** Null: some of the tally is not known by app. */
function tailDrops(drops: StreamDrops | null): TailDrops | null {
  if (drops === null || drops.damaged > 0 || drops.apps.some(({ app }) => app === null)) return null;
  const counted = new Map(drops.apps.map(({ app, counted: all, toldCounted }) => [app ?? '', all - toldCounted]));
  return { afterSeq: drops.toldSeq, rows: drops.rows - drops.toldRows, counted };
}

function isServing(peer: WorkerPeer): boolean {
  return peer.applied !== '';
}

/** Finds what only a process that runs could: a snapshot that cannot be built, a token that cannot be kept, an address that cannot be bound. */
async function tryCandidate(candidate: ConfigInForce, inForce: ConfigInForce): Promise<void> {
  trialCompile(candidate);
  controlToken(configuredToken(candidate), candidate.dataDir);
  const { address } = candidate.config.listeners.http;
  if (address !== inForce.config.listeners.http.address) await trialListen(address);
}

function messageOf({ config, version, secrets }: ConfigInForce): { readonly type: 'config' } & Pick<ConfigInForce, 'config' | 'version' | 'secrets'> {
  return { type: 'config', config, version, secrets };
}

function configuredToken({ config, secrets }: ConfigInForce): string | undefined {
  return config.control.token === undefined ? undefined : secretOf(config.control.token, secrets);
}

function takeDataDir(dataDir: string): ProcessLock {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o750 });
    makeFolder(spoolDirOf(dataDir));
  } catch (cause) {
    throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
  }
  return ProcessLock.acquire(join(dataDir, 'supervisor.lock'));
}

/** Not `recursive`: that says ENOENT of a read-only file system. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o750 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}

/** @throws TidegateError address_in_use, address_unusable */
async function listen(server: FastifyInstance, address: string): Promise<void> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  try {
    await server.listen({ host, port: Number(address.slice(colon + 1)) });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TidegateError(code === 'EADDRINUSE' ? 'address_in_use' : 'address_unusable', `${address} (control): ${code ?? String(cause)}`, { cause });
  }
}
