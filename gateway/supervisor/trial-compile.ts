import { compile } from '../config/compile.js';
import type { LoadedConfig } from '../config/load.js';
import { Deadlines } from '../deadlines.js';
import { WorkerMetrics } from '../metrics/worker-metrics.js';
import { ClientIpTable } from '../policies/client-ip-limit.js';
import { systemClock } from '../policies/limits/clock.js';
import { LeaseBook } from '../policies/limits/lease-book.js';
import { RemoteKeySets } from '../policies/remote-key-sets.js';
import { TargetRegistry } from '../upstream/target.js';

/**
 * Builds what a worker would run, and lets it go: so that what only a worker could find wrong is found before any worker is told.
 * @throws TidegateError as compile does
 */
export function trialCompile({ config, version, secrets }: Pick<LoadedConfig, 'config' | 'version' | 'secrets'>): void {
  const log = { info: () => {}, warn: () => {} };
  const metrics = new WorkerMetrics({ recorded: () => 0, dropped: () => [], leases: () => [], connections: () => [], targets: () => [], inFlight: () => [], sockets: () => ({ client: 0, upstream: 0 }) });
  try {
    compile(config, version, secrets, {
      targets: new TargetRegistry(new Deadlines(), log), clientIpTable: new ClientIpTable(), remoteKeySets: new RemoteKeySets(log), log,
      leases: new LeaseBook({ send: () => {}, clock: systemClock, lastWrittenSeq: () => -1 }),
      attachMetrics: (names) => metrics.attach(names),
    });
  } finally {
    metrics.close();
  }
}
