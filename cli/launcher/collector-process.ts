import { createCollectorApi, listenCollectorApi } from '../../collector/api/server.js';
import { Collector } from '../../collector/collector.js';
import type { Config } from '../../gateway/config/schema.js';
import { byteCount, durationMs } from '../../gateway/config/units.js';
import { collectorSocket, readConfigInForce } from '../../gateway/supervisor/run-files.js';
import { ChildLife } from './child-life.js';

const life = new ChildLife('collector');
await life.run(async () => {
  const inForce = readConfigInForce(life.runDir);
  if (inForce === null) throw new Error('no configuration in force: the collector starts after the supervisor');
  let store = inForce.config.store;
  const collector = await Collector.start({ dataDir: inForce.dataDir, retention: retentionOf(store), log: life.log });
  const api = createCollectorApi({
    store: collector.store, log: life.log,
    asOfMs: () => collector.asOfMs(),
    completeness: (fromMs, toMs) => collector.completeness(fromMs, toMs),
    kept: () => retentionOf(store),
    status: () => {
      const { stored, gaps, gapsTotal, repeats, quarantined, lagSeconds, failing } = collector.status();
      return { stored, gaps, gaps_total: gapsTotal, repeats, quarantined, lag_seconds: lagSeconds, failing };
    },
  });
  await listenCollectorApi(api, collectorSocket(life.runDir));
  life.on('reloaded', () => {
    store = readConfigInForce(life.runDir)?.config.store ?? store;
    collector.setRetention(retentionOf(store));
  });
  life.onStop(async () => {
    // reports under way first: they read the store
    await api.close();
    await collector.stop();
  });
});

function retentionOf({ keep, max_bytes }: Config['store']): { eventsMs: number; minutesMs: number; quarterHoursMs: number; maxBytes: number } {
  return { eventsMs: durationMs(keep.events), minutesMs: durationMs(keep.minutes), quarterHoursMs: durationMs(keep.quarter_hours), maxBytes: byteCount(max_bytes) };
}
