/**
 * A gateway worker: the request path and what feeds it. It opens its stream, connects to the supervisor, takes the configuration, and
 * listens; afterwards it goes on with what it holds whether the supervisor is there or not.
 */
import { availableParallelism } from 'node:os';
import { TidegateError } from '../errors/tidegate-error.js';
import { AccessLog, type AccessFields } from './access-log.js';
import { compile, type CompileContext } from './config/compile.js';
import type { Snapshot } from './config/snapshot.js';
import type { WorkerConfig } from './config/worker-config.js';
import { Deadlines } from './deadlines.js';
import { Recorder } from './events/recorder.js';
import { HttpListener, httpSettings } from './listeners/http/http-listener.js';
import { CountsKeeper, progressOf } from './metrics/kept-counts.js';
import { WorkerMetrics } from './metrics/worker-metrics.js';
import { Pipeline } from './pipeline.js';
import { ClientIpTable } from './policies/client-ip-limit.js';
import { systemClock } from './policies/limits/clock.js';
import { LeaseBook } from './policies/limits/lease-book.js';
import { RemoteKeySets } from './policies/remote-key-sets.js';
import { limitsOf } from './supervisor/ledger/limits.js';
import type { SupervisorMessage } from './supervisor/protocol.js';
import { WorkerLink } from './supervisor/worker-link.js';
import { SpanOutbox } from './tracing/span-outbox.js';
import { TargetRegistry } from './upstream/target.js';

export interface WorkerLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface GatewayWorkerOptions {
  /** The supervisor's Unix socket. */
  readonly socketPath: string;
  /** Where it keeps what it counts. */
  readonly runDir: string;
  readonly spoolDir: string;
  readonly node: string;
  /** Of the launcher's run; null: the data directory is not locked. */
  readonly run: string | null;
  /** Slot, 1 to N. */
  readonly worker: number;
  readonly segmentBytes: number;
  readonly log: WorkerLog;
  /** Writes the access log; called only where the configuration wants one. */
  readonly access: (rows: readonly AccessFields[]) => void;
}

/** How often waits for the ledger are looked at. ms. */
const LEASE_TICK_MS = 50;
/** Each time takes 0.4 ms of the processor with 100 routes, 2.3 with 1,000. */
const KEEP_COUNTS_EVERY_MS = 1000;

type ConfigMessage = Extract<SupervisorMessage, { type: 'config' }>;

export class GatewayWorker {
  readonly #log: WorkerLog;
  readonly #deadlines = new Deadlines();
  readonly #targets: TargetRegistry;
  readonly #recorder: Recorder;
  readonly #accessLog: AccessLog;
  readonly #leases: LeaseBook;
  readonly #metrics: WorkerMetrics;
  readonly #counts: CountsKeeper;
  readonly #link: WorkerLink;
  readonly #spans: SpanOutbox;
  readonly #context: CompileContext;
  #pipeline: Pipeline | null = null;
  #listener: HttpListener | null = null;
  /** Configurations are applied one after another. */
  #applying: Promise<void> = Promise.resolve();
  #started: (() => void) | null = null;
  #startFailed: ((error: Error) => void) | null = null;
  #draining: Promise<void> | null = null;

  constructor(options: GatewayWorkerOptions) {
    const { log } = options;
    this.#log = log;
    this.#targets = new TargetRegistry(this.#deadlines, log);
    const recorder = Recorder.open(options);
    this.#recorder = recorder;
    this.#accessLog = new AccessLog(options.access);
    this.#leases = new LeaseBook({
      send: (message) => {
        if (message.type === 'used') recorder.noteTold();
        this.#link.send(message);
      },
      clock: systemClock,
      lastWrittenSeq: () => recorder.lastWrittenSeq,
      shares: () => this.#wantedWorkers(),
    });
    this.#metrics = new WorkerMetrics({
      recorded: () => recorder.recorded,
      dropped: () => Object.entries(recorder.dropped),
      leases: () => this.#leases.counts(),
      connections: () => [['http', this.#listener?.connectionCount ?? 0]],
      targets: () => this.#targetHealth(),
      inFlight: () => this.#listener?.inFlight() ?? [],
      sockets: () => ({ client: this.#listener?.connectionCount ?? 0, upstream: this.#targets.openConnections }),
    });
    this.#counts = new CountsKeeper(options.runDir, recorder.stream, () => this.#metrics.counts(), () => progressOf({ recorded: recorder.recorded, dropped: Object.entries(recorder.dropped) }));
    this.#context = {
      targets: this.#targets, leases: this.#leases, clientIpTable: new ClientIpTable(), remoteKeySets: new RemoteKeySets(log),
      attachMetrics: (names) => this.#metrics.attach(names), log,
    };
    this.#link = new WorkerLink({
      path: options.socketPath,
      hello: () => ({ type: 'hello', worker: options.worker, pid: process.pid, stream: recorder.stream, held: this.#leases.holdings() }),
      onMessage: (message) => { this.#onMessage(message); },
      onUp: () => {
        this.#metrics.resend();
        this.#leases.connected();
      },
      onDown: () => { this.#leases.disconnected(); },
      log,
    });
    this.#spans = new SpanOutbox(this.#link);
    setInterval(() => { this.#leases.tick(); }, LEASE_TICK_MS).unref();
    setInterval(() => { this.#counts.keep(); }, KEEP_COUNTS_EVERY_MS).unref();
  }

  /** Resolves when the first configuration is in force and the listener is bound. */
  async start(): Promise<void> {
    const started = new Promise<void>((resolve, reject) => {
      this.#started = resolve;
      this.#startFailed = reject;
    });
    this.#link.start();
    await started;
  }

  /** Answers what has begun, records it, and lets go of everything. Safe to call twice. */
  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    await this.#listener?.drain();
    this.#accessLog.flush();
    this.#leases.surrender();
    await this.#recorder.close();
    this.#spans.flush();
    this.#counts.keep();
    this.#answerMetrics(0);
    await this.#link.close();
    this.#metrics.close();
  }

  #onMessage(message: SupervisorMessage): void {
    switch (message.type) {
      case 'config':
        this.#applying = this.#applying.then(() => this.#apply(message));
        return;
      case 'granted': this.#leases.onGranted(message); return;
      case 'recall': this.#leases.onRecall(message); return;
      case 'available': this.#leases.onAvailable(message); return;
      case 'spool':
        this.#recorder.setRoom(message.bytes, message.maxBytes);
        return;
      case 'collect_metrics':
        this.#answerMetrics(message.id);
        return;
    }
  }

  /** A configuration that cannot be applied changes nothing; the supervisor hears why. */
  async #apply(message: ConfigMessage): Promise<void> {
    const { version, config } = message;
    if (this.#draining !== null) return;
    if (this.#pipeline?.snapshot.version === version) {
      // a supervisor that was started again wants to know who serves
      this.#link.send({ type: 'applied', version, error: null });
      return;
    }
    try {
      // An address that cannot be bound is found before anything has changed.
      await this.#listener?.apply(httpSettings(config.listeners.http));
      const snapshot = compile(config, version, message.secrets, this.#context);
      this.#leases.configure(limitsOf(config).rates);
      if (this.#pipeline === null) await this.#listen(config, snapshot);
      else this.#pipeline.snapshot = snapshot;
      if (this.#pipeline !== null) this.#pipeline.accessLog = config.log.access ? this.#accessLog : null;
      this.#targets.retireUnused();
      this.#log.info({ config_version: version }, 'configuration in force');
      this.#link.send({ type: 'applied', version, error: null });
    } catch (error) {
      this.#log.error({ config_version: version, err: error }, 'a configuration could not be applied');
      this.#link.send({ type: 'applied', version, error: (error as Error).message });
      this.#startFailed?.(error instanceof TidegateError ? error : new TidegateError('internal_error', (error as Error).message, { cause: error }));
    }
  }

  async #listen(config: WorkerConfig, snapshot: Snapshot): Promise<void> {
    const pipeline = new Pipeline({ snapshot, recorder: this.#recorder, metrics: this.#metrics, log: this.#log, quotas: this.#leases, spans: this.#spans });
    const listener = new HttpListener(pipeline, this.#deadlines, httpSettings(config.listeners.http));
    const address = await listener.listen();
    this.#pipeline = pipeline;
    this.#listener = listener;
    this.#link.send({ type: 'listening', address });
    this.#started?.();
    this.#startFailed = null;
  }

  #answerMetrics(id: number): void {
    this.#link.send({ type: 'metrics', id, snapshot: this.#metrics.changes() });
  }

  #wantedWorkers(): number {
    const workers = this.#pipeline?.snapshot.config.workers ?? 1;
    return workers === 'auto' ? availableParallelism() : workers;
  }

  /** Of those that this worker has tried. */
  #targetHealth(): [service: string, target: string, healthy: boolean][] {
    const services = this.#pipeline?.snapshot.config.services ?? [];
    return services.flatMap(({ name, upstream }) => upstream.targets.flatMap(({ url }): [string, string, boolean][] => {
      const target = this.#targets.find(name, url);
      return target?.wasTried === true ? [[name, url, !target.lastRefused]] : [];
    }));
  }
}
