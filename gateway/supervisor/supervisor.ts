/**
 * The supervisor: everything of a node that is neither a request nor the store. It holds the configuration, lends limits to workers,
 * seals the streams of dead ones, and answers on the control origin. It may be killed at any moment: workers go on with what they hold, and
 * the next supervisor finds its truth in the data directory, in the run directory and in what the workers tell.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import { clientKey } from '../config/client-key.js';
import { secretOf } from '../config/secrets.js';
import { byteCount, durationMs } from '../config/units.js';
import { workerConfig } from '../config/worker-config.js';
import type { CollectorStatus, ControlDeps, NodeLive, NodeStatus, QuotaStatus, Readiness } from '../control/control-deps.js';
import { sumInFlight } from '../control/live.js';
import { ReportQuota } from '../control/report-quota.js';
import { restartProgress, type RestartStatus } from '../control/restart-status.js';
import { createControlServer, createReportsServer } from '../control/server.js';
import { controlToken } from '../control/token.js';
import { WrongTokens } from '../control/wrong-tokens.js';
import { noteSeen } from '../events/dir-identity.js';
import { readDrops, type StreamDrops } from '../events/drop-page.js';
import { IMPORT_WORKER } from '../events/event.js';
import { bootId } from '../events/process-life.js';
import { readStreamEvents } from '../events/read-rows.js';
import { scanStreams, type SpooledStream } from '../events/spool.js';
import { writersOf } from '../events/writer-life.js';
import { NodeMetrics } from '../metrics/node-metrics.js';
import { compileCidrs, type CompiledCidrs } from '../policies/ip-list.js';
import { systemClock } from '../policies/limits/clock.js';
import { Collecting, type CollectorNews } from './collecting.js';
import { Configuration } from './configuration.js';
import { takeDataDir, type HeldDataDir } from './data-dir.js';
import { declareGap } from './declared-gap.js';
import { DropWatch } from './drop-watch.js';
import { Identities } from './identities.js';
import { Ledger } from './ledger/ledger.js';
import { NodeLog, tryLogFile, type LogSettings } from './log-settings.js';
import type { TailDrops } from './ledger/recorded-use.js';
import { NodeScrape } from './node-scrape.js';
import { checkPart, collects, sayDoubts, serves, shapeOf, type Part } from './part.js';
import type { SupervisorMessage } from './protocol.js';
import { noticeCopy } from './put-back.js';
import { QuotaUses, type QuotaUse } from './quota-use/quota-use.js';
import { recordedToday, recordedUse } from './recorded-today.js';
import { listenAt, ReportsListener } from './reports-listener.js';
import { collectorLagFile, collectorSocket, metricsBaseFile, readConfigInForce, spoolDirOf, supervisorSocket, type ConfigInForce } from './run-files.js';
import { Sharing } from './sharing.js';
import { Shipping } from './shipping.js';
import { SpoolKeeper } from './spool-keeper.js';
import { Tracing } from './tracing/tracing.js';
import { trialCompile } from './trial-compile.js';
import { trialListen } from './trial-listen.js';
import { WebhookNotes } from './webhooks/webhook-notes.js';
import { WebhookSender } from './webhooks/webhook-sender.js';
import { Webhooks } from './webhooks/webhooks.js';
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
  readonly part: Part;
  /** Of the program. */
  readonly version: string;
  /** A configuration has been put in force, not the first: for the launcher and the collector. */
  readonly onReload: () => void;
  /** Every process of the node is to be replaced: for the launcher. */
  readonly onRestart: () => void;
  /** Takes the data directory for the launcher's run; resolves with the run's id, null where nothing can lock it. Rejects with data_dir_in_use and the like. */
  readonly takeRun: (dataDir: string) => Promise<string | null>;
  /** How all processes of the node write their log from now on. */
  readonly onLog: (settings: LogSettings) => void;
  readonly log: SupervisorLog;
}

const LEDGER_EVERY_MS = 50;
const METRICS_EVERY_MS = 1000;
const SEEN_EVERY_MS = 1000;
const METRICS_WITHIN_MS = 250;
const USES_KEPT_MS = 500;
const USE_EVERY_MS = 1000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #log: SupervisorLog;
  readonly #startedAt = new Date();
  readonly #metrics: NodeMetrics;
  readonly #configuration: Configuration;
  readonly #lock: HeldDataDir;
  readonly #identities: Identities;
  readonly #ledger: Ledger;
  readonly #uses: QuotaUses;
  #usesByApp: ReadonlyMap<string, QuotaUse> = new Map();
  #usesAtMs = Number.NEGATIVE_INFINITY;
  readonly #webhooks: Webhooks;
  readonly #hub: WorkerHub;
  readonly #keeper: SpoolKeeper;
  readonly #shipping: Shipping;
  readonly #sharing: Sharing;
  readonly #collecting: Collecting;
  readonly #scrape: NodeScrape;
  readonly #drops = new DropWatch();
  readonly #tracing: Tracing;
  readonly #quota: ReportQuota;
  readonly #wrongTokens: WrongTokens;
  #trustedProxies: CompiledCidrs | null;
  readonly #reports: ReportsListener;
  readonly #nodeLog: NodeLog;
  #control: FastifyInstance | null = null;
  /** '' until the control origin listens. */
  #token: { readonly token: string; readonly path: string | null } = { token: '', path: null };
  #timers: NodeJS.Timeout[] = [];
  /** All wanted workers have served at once: from then on, one is enough to be ready. */
  #wasComplete = false;
  #restart: RestartStatus | null = null;
  #stopping = false;
  #seenTold = false;

  private constructor(options: SupervisorOptions, configuration: Configuration, metrics: NodeMetrics, lock: HeldDataDir, shipping: Shipping, sharing: Sharing) {
    const { runDir, part, log } = options;
    const { dataDir } = configuration.inForce;
    const spoolDir = spoolDirOf(dataDir);
    this.#options = options;
    this.#log = log;
    this.#configuration = configuration;
    this.#metrics = metrics;
    this.#lock = lock;
    this.#identities = new Identities(configuration.inForce, log);
    this.#tracing = new Tracing(options.version, log);
    this.#collecting = new Collecting(part, collectorSocket(runDir), collectorLagFile(runDir));
    this.#quota = new ReportQuota(() => configuration.inForce.config.reports.queries_per_minute);
    this.#wrongTokens = new WrongTokens({ count: (origin, result) => { metrics.countWrongToken(origin, result); }, log });
    this.#trustedProxies = compileCidrs(configuration.inForce.config.trusted_proxies);
    this.#reports = new ReportsListener(() => createReportsServer(this.#deps()));
    this.#nodeLog = new NodeLog({ runDir, inForce: () => configuration.inForce, tell: options.onLog });
    this.#sharing = sharing;
    this.#ledger = new Ledger({
      folder: join(dataDir, 'ledger'), bootId: bootId() ?? '', clock: systemClock, log, recordedToday: recordedToday(dataDir, collects(part) ? collectorSocket(runDir) : null),
      ...(this.#sharing.share === undefined ? {} : { shared: this.#sharing.share }),
    });
    this.#uses = new QuotaUses({
      config: () => configuration.inForce.config, lent: () => (serves(part) ? this.#ledger.quotas() : []), shared: this.#sharing.use,
      recorded: collects(part) ? recordedUse(collectorSocket(runDir)) : null, nowMs: Date.now,
    });
    this.#webhooks = new Webhooks({
      uses: () => this.#uses.now, shared: this.#sharing.use, notes: new WebhookNotes(join(dataDir, 'ledger', 'webhooks.jsonl'), log), sender: new WebhookSender(),
      count: (result) => { metrics.countWebhook(result); }, log, nowMs: Date.now,
    });
    this.#keeper = new SpoolKeeper({
      spoolDir, log, lives: writersOf(dataDir, lock.run),
      beforeSeal: (stream) => { this.#settle(stream); },
      // each worker may die more than once while the disk is full
      spares: () => 2 * this.wantedWorkers + 2,
      onSealed: (stream) => { this.#metrics.retire(stream); },
      onRoom: () => { this.#hub.broadcast(this.#room()); },
    });
    this.#shipping = shipping;
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
      onSpans: (message) => { this.#tracing.take(message); },
      onGone: (peer) => { this.#ledger.gone(peer.stream); },
      onProgress: (peer) => {
        if (peer.applyError !== null) this.#log.error({ worker: peer.worker, reason: peer.applyError }, 'a worker could not apply the configuration');
        this.#countWorkers();
      },
    });
    this.#scrape = new NodeScrape({
      version: options.version, part, metrics, configuration, hub: this.#hub, keeper: this.#keeper, collecting: this.#collecting, shipping, sharing, uses: this.#uses, tracing: this.#tracing,
    });
  }

  /**
   * Takes the data directory and serves; resolves when the control origin listens.
   * @throws TidegateError config_rejected, log_file, data_dir_in_use, data_dir_copied, data_dir_unlockable, data_dir_unusable, address_in_use, address_unusable, half_without_kafka
   */
  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const { runDir, part, log } = options;
    const metrics = new NodeMetrics({ baseFile: metricsBaseFile(runDir), countsDir: runDir });
    const isFirst = readConfigInForce(runDir) === null;
    let made: Supervisor | null = null;
    const configuration = await Configuration.load({
      file: options.configFile, runDir, log, trial: (candidate, inForce) => tryCandidate(candidate, inForce, part),
      apply: (inForce) => { if (made !== null) made.#apply(inForce); },
      onReload: (result) => { metrics.countReload(result); },
    });
    const { dataDir, config } = configuration.inForce;
    checkPart(part, config);
    trialCompile(configuration.inForce);
    // one that is started again goes on without it
    if (isFirst) tryLogFile(configuration.inForce, null);
    const lock = await takeDataDir(dataDir, options.takeRun);
    noticeCopy({ dataDir, node: config.node ?? '', serves: serves(part), log }, Date.now());
    configuration.begin();
    const shipping = await Shipping.open(configuration.inForce, log);
    const sharing = await Sharing.open(configuration.inForce, log, serves(part));
    made = new Supervisor(options, configuration, metrics, lock, shipping, sharing);
    await made.#start();
    return made;
  }

  /** Workers wanted by the configuration in force. */
  get wantedWorkers(): number {
    if (!serves(this.#options.part)) return 0;
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

  /** What the launcher knows of the collector. */
  collectorStands(news: CollectorNews): void {
    this.#collecting.take(news);
  }

  /** What the launcher has counted since the node's start. */
  workersRestarted(total: number): void {
    this.#scrape.workerRestarts = total;
  }

  /** Lines of the log, of all processes, that were not written since the node's start. */
  linesSuppressed(total: number): void {
    this.#scrape.suppressedLines = total;
  }

  /** How the launcher gets on with replacing the node's processes. */
  restartStands(status: RestartStatus): void {
    this.#restart = status;
  }

  /** Seals the streams of workers that are gone, now. */
  seal(): void {
    this.#keeper.tick();
  }

  /** Without stopping() before it another supervisor follows: the node is ready all the while, and what waits for Kafka is for that one. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#configuration.close();
    this.#keeper.stop();
    this.#keeper.tick();
    this.#nodeLog.close();
    await this.#shipping.stop(this.#stopping);
    await Promise.all([this.#control?.close(), this.#reports.close()]);
    await this.#hub.close();
    await this.#tracing.close();
    await this.#webhooks.close();
    await this.#sharing.stop();
    await this.#collecting.close();
    this.#ledger.close();
    this.#metrics.close();
    this.#noteSeen();
    this.#lock.release();
  }

  async #start(): Promise<void> {
    const { inForce } = this.#configuration;
    this.#nodeLog.tell();
    this.#ledger.configure(inForce.config);
    this.#webhooks.configure(inForce);
    // before workers are told
    await this.#tracing.configure(inForce);
    this.#settleEnded();
    this.#noteSeen();
    this.#hub.setConfig(messageOf(inForce));
    await this.#hub.listen();
    this.#keeper.start();
    this.#shipping.start();
    this.#sharing.start();
    this.#collecting.start();
    this.#webhooks.start();
    this.#timers = [
      setInterval(() => { this.#ledger.tick(); }, LEDGER_EVERY_MS),
      setInterval(() => { this.#noteSeen(); }, SEEN_EVERY_MS),
      setInterval(() => { void this.#hub.collectMetrics(METRICS_WITHIN_MS).then(() => { this.#drops.look(this.#metrics.recording); }); }, METRICS_EVERY_MS),
      setInterval(() => { void this.#uses.refresh(false).then(() => { this.#webhooks.tick(); }); }, USE_EVERY_MS),
    ];
    const { address } = inForce.config.control;
    this.#takeToken(inForce);
    this.#control = createControlServer(this.#deps(), this.#options.version);
    await listenAt(this.#control, address, 'control');
    const reports = reportsAddress(inForce, this.#options.part);
    await this.#reports.move(reports);
    this.#log.info({ config_version: inForce.version, control: address, ...(reports === undefined ? {} : { reports }), node: inForce.config.node, part: this.#options.part, data_dir: inForce.dataDir }, 'the data directory is held; the control origin listens');
    sayDoubts(this.#options.part, inForce.config, this.#log);
  }

  /** A copy of the directory lacks what is answered from now on. While that cannot be noted, on a full disk say, a copy is taken for older than it is. */
  #noteSeen(): void {
    try {
      noteSeen(this.#configuration.inForce.dataDir, Date.now(), false);
      this.#seenTold = false;
    } catch (error) {
      if (!this.#seenTold) this.#log.error({ code: 'data_dir_unusable', err: error }, 'that the data directory is in use cannot be noted in it; trying again each second');
      this.#seenTold = true;
    }
  }

  /** The control token of the configuration in force, from now on. @throws TidegateError data_dir_unusable */
  #takeToken(inForce: ConfigInForce): void {
    const { token, path, made } = controlToken(configuredToken(inForce), inForce.dataDir);
    if (path !== null && (made || path !== this.#token.path)) this.#log.info({ file: path }, `${made ? 'a control token was made; it' : 'the control token'} is in ${path}`);
    this.#token = { token, path };
  }

  #apply(inForce: ConfigInForce): void {
    this.#nodeLog.tell();
    try {
      this.#takeToken(inForce);
    } catch (error) {
      // the trial found it usable a moment ago
      this.#log.error({ err: error }, 'the control token of before stays');
    }
    // the trial found it free a moment ago
    this.#reports.move(reportsAddress(inForce, this.#options.part)).catch((error: unknown) => { this.#log.error({ err: error }, 'the listener of reports stays where it was'); });
    this.#shipping.apply(inForce);
    this.#sharing.apply(inForce);
    this.#identities.replace(inForce);
    this.#trustedProxies = compileCidrs(inForce.config.trusted_proxies);
    // before the workers: they may ask for a new limit at once
    this.#ledger.configure(inForce.config);
    this.#webhooks.configure(inForce);
    this.#tracing.configure(inForce).catch((error: unknown) => { this.#log.error({ err: error }, 'spans go nowhere: their exporter could not be made'); });
    this.#hub.setConfig(messageOf(inForce));
    sayDoubts(this.#options.part, inForce.config, this.#log);
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
    // of an imported log nothing was ever lent, and it can be long
    if (state?.worker === IMPORT_WORKER) return;
    const drops = readDrops(dir);
    const lastSeq = Math.max(state?.lastSeq ?? -1, drops?.reachedSeq ?? -1);
    this.#ledger.settle(stream, (fromSeq) => readStreamEvents(dir, fromSeq), lastSeq, tailDrops(drops));
  }

  #room(): { readonly type: 'spool'; readonly bytes: number; readonly maxBytes: number } {
    return { type: 'spool', bytes: this.#keeper.bytes, maxBytes: byteCount(this.#configuration.inForce.config.event_log.spool.max_bytes) };
  }

  #countWorkers(): void {
    if (this.#wasComplete || this.#hub.peers.filter(isServing).length < this.wantedWorkers) return;
    this.#wasComplete = true;
    const { listeners, control } = this.#configuration.inForce.config;
    const requests = this.#hub.peers[0]?.listening[0] ?? listeners.http.address;
    this.#log.info({ requests, control: control.address }, `ready: requests on ${requests}, control on ${control.address}`);
  }

  #readiness(collector?: CollectorStatus | null): Readiness {
    const serving = this.#hub.peers.filter(isServing).length;
    const reasons: string[] = [];
    if (this.#stopping) reasons.push('the node is shutting down');
    if (serving < this.wantedWorkers) reasons.push(`${serving} of ${this.wantedWorkers} workers serve`);
    const unwritten = this.#keeper.fault;
    if (unwritten !== null) reasons.push(`requests are answered and not recorded, because the spool cannot be written: ${unwritten} (spool_write_failed)`);
    // requests go on, so a balancer should send them
    reasons.push(...this.#drops.reasons);
    const shipping = this.#shipping.readiness();
    const sharing = this.#sharing.standing();
    const collecting = this.#collecting.readiness(collector);
    const workersReady = !serves(this.#options.part) || (serving > 0 && (this.#wasComplete || serving >= this.wantedWorkers));
    reasons.push(...shipping.reasons, ...sharing.reasons, ...collecting.reasons);
    return { ready: !this.#stopping && unwritten === null && shipping.ready && sharing.ready && collecting.ready && workersReady, reasons };
  }

  async #status(): Promise<NodeStatus> {
    const collector = await this.#collecting.read();
    const { config } = this.#configuration.inForce;
    const { ready, reasons } = this.#readiness(collector);
    const { part } = this.#options;
    return {
      node: config.node ?? '', version: this.#options.version, started_at: this.#startedAt.toISOString(), ready, reasons,
      shape: shapeOf(part, config), config: this.#configuration.status,
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
      limits: serves(part) ? this.#ledger.status() : [],
      spool: {
        bytes: this.#keeper.bytes, max_bytes: this.#room().maxBytes, streams: this.#keeper.streams,
        dropped: this.#metrics.sum.dropped.reduce((sum, [, count]) => sum + count, 0),
      },
      shipping: this.#shipping.status(), sharing: this.#sharing.status(), collector, collector_fault: collector === null ? this.#collecting.fault : null,
      restart: this.#restart,
    };
  }

  /** By app. Kept for a while: each who looks on asks once a second, and with 10,000 apps it takes 4 ms. */
  #usesNow(): ReadonlyMap<string, QuotaUse> {
    const nowMs = performance.now();
    if (nowMs - this.#usesAtMs >= USES_KEPT_MS) {
      this.#usesByApp = new Map(this.#uses.now.map((use) => [use.app, use]));
      this.#usesAtMs = nowMs;
    }
    return this.#usesByApp;
  }

  async #live(app: string | null): Promise<NodeLive> {
    await this.#uses.refresh(true);
    const uses = app === null ? [...this.#usesNow().values()] : [this.#usesNow().get(app)].filter((use) => use !== undefined);
    return {
      in_flight: serves(this.#options.part) ? sumInFlight(this.#hub.peers.flatMap((peer) => this.#metrics.gaugesOf(peer.stream)?.inFlight ?? []), app) : null,
      quotas: Object.fromEntries(uses.map(({ app: name, day, timeZone, limit, used, over }): [string, QuotaStatus] =>
        [name, { day, time_zone: timeZone, limit, used, share: used === null ? null : Number((used / limit).toFixed(4)), over }])),
    };
  }

  #deps(): ControlDeps {
    const configuration = this.#configuration;
    return {
      token: () => this.#token.token, tokens: () => configuration.inForce.config.control.tokens, quota: this.#quota, collectorSocket: collects(this.#options.part) ? collectorSocket(this.#options.runDir) : null,
      collectorStandsStill: () => this.#collecting.standsStill, log: this.#log,
      identify: (bearer) => this.#identities.find(bearer), wrongTokens: this.#wrongTokens, trustedProxies: () => this.#trustedProxies,
      connectionsPerClient: () => configuration.inForce.config.reports.connections_per_client,
      timeZoneOf: (app) => configuration.inForce.config.apps.find(({ name }) => name === app)?.time_zone ?? null,
      address: () => configuration.inForce.config.control.address,
      metricsOpen: () => configuration.inForce.config.control.metrics_open,
      readiness: () => this.#readiness(),
      metrics: (scrape) => this.#scrape.text(scrape),
      status: () => this.#status(),
      live: (app) => this.#live(app),
      reload: () => configuration.reload(),
      restart: () => {
        if (this.#restart?.state === 'running') throw new TidegateError('restart_running', `a restart is running: ${restartProgress(this.#restart)}`);
        this.#options.onRestart();
        return (this.#restart?.number ?? 0) + 1;
      },
      declareGap: (fromMs, toMs) => declareGap(configuration.inForce, { fromMs, toMs: toMs ?? this.#startedAt.getTime() }, Date.now(), this.#log),
      logLevel: () => this.#nodeLog.status,
      setLogLevel: (level, forMs) => this.#nodeLog.set(level, forMs),
      resetLogLevel: () => this.#nodeLog.reset(),
      services: () => configuration.shown.services,
      apps: () => configuration.shown.apps,
      createKey: (app, request) => configuration.createKey(app, request),
      revokeKey: (app, id, author) => configuration.revokeKey(app, id, author),
      history: (limit) => Promise.resolve(configuration.history(limit)),
      diff: (text, signal) => configuration.diff(text, signal),
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
async function tryCandidate(candidate: ConfigInForce, inForce: ConfigInForce, part: Part): Promise<void> {
  trialCompile(candidate);
  tryLogFile(candidate, inForce);
  controlToken(configuredToken(candidate), candidate.dataDir);
  clientKey(candidate);
  const { address } = candidate.config.listeners.http;
  if (serves(part) && address !== inForce.config.listeners.http.address) await trialListen(address);
  const reports = reportsAddress(candidate, part);
  if (reports !== undefined && reports !== reportsAddress(inForce, part)) await trialListen(reports);
}

/** Where there is no collector, there are no reports either. */
function reportsAddress({ config }: ConfigInForce, part: Part): string | undefined {
  return collects(part) ? config.reports.address : undefined;
}

function messageOf(inForce: ConfigInForce): Extract<SupervisorMessage, { type: 'config' }> {
  return { type: 'config', version: inForce.version, ...workerConfig(inForce, clientKey(inForce)) };
}

function configuredToken({ config, secrets }: ConfigInForce): string | undefined {
  return config.control.token === undefined ? undefined : secretOf(config.control.token, secrets);
}
