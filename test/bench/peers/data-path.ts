/**
 * Tidegate's data path alone in this process, from the worker's own classes: no supervisor, no collector, an open route.
 * Arguments: port, upstream, folder, what is left out: `nothing`, `metrics` or `recording`, which takes the metrics with it.
 */
import { join } from 'node:path';
import type { ActiveExchange } from '../../../gateway/active-exchange.js';
import { compile, type CompileContext } from '../../../gateway/config/compile.js';
import { loadConfigText } from '../../../gateway/config/load.js';
import { workerConfig } from '../../../gateway/config/worker-config.js';
import { Deadlines } from '../../../gateway/deadlines.js';
import { Recorder } from '../../../gateway/events/recorder.js';
import { HttpListener, httpSettings } from '../../../gateway/listeners/http/http-listener.js';
import { WorkerMetrics, type MetricsSources } from '../../../gateway/metrics/worker-metrics.js';
import { Pipeline } from '../../../gateway/pipeline.js';
import { ClientIpTable } from '../../../gateway/policies/client-ip-limit.js';
import { systemClock } from '../../../gateway/policies/limits/clock.js';
import { LeaseBook } from '../../../gateway/policies/limits/lease-book.js';
import { RemoteKeySets } from '../../../gateway/policies/remote-key-sets.js';
import { TargetRegistry } from '../../../gateway/upstream/target.js';
import { QUIET } from '../quiet-log.js';
import type { LeftOut } from './recording.js';

/** Lets a turn's answers go together at its end, in their order, as the recorder does; that is all. */
class TurnEnd {
  readonly #release = (): void => {
    const held = this.#held;
    this.#held = this.#spare;
    this.#scheduled = false;
    for (const exchange of held) exchange.release();
    held.length = 0;
    this.#spare = held;
  };
  #held: ActiveExchange[] = [];
  #spare: ActiveExchange[] = [];
  #scheduled = false;

  hold(exchange: ActiveExchange): void {
    this.#held.push(exchange);
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#release);
  }
}

/** Counts nothing of requests, and watches nothing of its process. */
class NoMetrics extends WorkerMetrics {
  constructor(sources: MetricsSources) {
    super(sources);
    this.close();
  }

  override observe(): void {}
  override observeUpstream(): void {}
}

const [port, upstream, folder, leftOut] = process.argv.slice(2) as [string, string, string, LeftOut];
const { loaded, errors } = loadConfigText(JSON.stringify({
  version: 1, listeners: { http: { address: `127.0.0.1:${port}` } },
  services: [{ name: 'catalogue', upstream: { targets: [{ url: upstream }] }, routes: [{ name: 'products', match: { path: '/v1/products/*' }, authentication: [] }] }],
}), join(folder, 'tidegate.yaml'), {});
if (loaded === null) throw new Error(JSON.stringify(errors));
const { version } = loaded;
const { config, secrets } = workerConfig(loaded, null);
const deadlines = new Deadlines();
const recorder = Recorder.open({ spoolDir: join(folder, 'spool'), node: 'bench', worker: 1, segmentBytes: 64 * 1024 * 1024, log: QUIET });
const metrics = new (leftOut === 'metrics' ? NoMetrics : WorkerMetrics)({ recorded: () => 0, dropped: () => [], leases: () => [], connections: () => [], targets: () => [], inFlight: () => [], sockets: () => ({ client: 0, upstream: 0 }) });
const leases = new LeaseBook({ send: () => {}, clock: systemClock, lastWrittenSeq: () => recorder.lastWrittenSeq });
const context: CompileContext = {
  targets: new TargetRegistry(deadlines, QUIET), leases, clientIpTable: new ClientIpTable(), remoteKeySets: new RemoteKeySets(QUIET),
  attachMetrics: (names) => metrics.attach(names), log: QUIET,
};
const pipeline = new Pipeline({ snapshot: compile(config, version, secrets, context), recorder, metrics, log: QUIET, quotas: leases, spans: [] });
if (leftOut === 'recording') {
  const turnEnd = new TurnEnd();
  pipeline.onEnded = (exchange) => { turnEnd.hold(exchange); };
}
const listener = new HttpListener(pipeline, deadlines, httpSettings(config.listeners.http));
await listener.listen();
process.on('SIGTERM', () => { process.exit(0); });
