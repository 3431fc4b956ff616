import type { BillingConfig } from '../../collector/billing/billing.js';
import { LivePublisher } from '../../collector/counters/live-publisher.js';
import { createCollectorApi, listenCollectorApi } from '../../collector/api/server.js';
import { Collector } from '../../collector/collector.js';
import { clickHouseConnection } from '../../collector/store/open-store.js';
import { readHistory } from '../../gateway/config/history.js';
import type { Config } from '../../gateway/config/schema.js';
import { redisSettings } from '../../gateway/config/redis-settings.js';
import { byteCount, durationMs } from '../../gateway/config/units.js';
import { kafkaSettings } from '../../gateway/events/kafka-client.js';
import { collectorSocket, readConfigInForce, type ConfigInForce } from '../../gateway/supervisor/run-files.js';
import { ChildLife } from './child-life.js';
import { giveWay } from './give-way.js';

giveWay();
const life = new ChildLife('collector');
await life.run(async () => {
  const inForce = readConfigInForce(life.runDir);
  if (inForce === null) throw new Error('no configuration in force: the collector starts after the supervisor');
  let { store, apps, nodes } = inForce.config;
  const kafka = kafkaSettings(inForce.config, inForce.secrets);
  // a start that waits for somebody else to migrate the store ends with the node
  const stopping = new AbortController();
  life.on('stopping', () => { stopping.abort(); });
  const collector = await Collector.start({
    dataDir: inForce.dataDir, kafka: kafka === null ? null : { settings: kafka }, clickhouse: clickHouseConnection(store, inForce.secrets), retention: retentionOf(store), nodes, log: life.log, signal: stopping.signal,
    onWaiting: ({ code, message }) => { life.send({ type: 'waiting', code, detail: message }); },
  });
  collector.billing.configure(billingOf(inForce));
  const redis = redisSettings(inForce.config, inForce.secrets);
  const publisher = redis === null ? null : new LivePublisher({
    settings: redis, query: (sql, params) => collector.store.query(sql, params), log: life.log,
    quotas: () => apps.filter(({ limits }) => limits.qpd !== undefined).map(({ name, time_zone }) => ({ app: name, timeZone: time_zone })),
  });
  const api = createCollectorApi({
    store: collector.store, log: life.log,
    asOfMs: () => collector.asOfMs(),
    quarantine: collector.quarantine,
    records: collector,
    days: collector.billing,
    billing: { entries: collector.billing, store: collector.store },
    completeness: (spans) => collector.completenessOfEach(spans),
    kept: () => retentionOf(store),
    status: () => {
      const { stored, gaps, gapsTotal, repeats, quarantined, inQuarantine, quarantineBytes, inserts, lagSeconds, caughtUpMs, failing, store: found } = collector.status();
      const publishing = publisher === null ? null : { ever: publisher.standing.everDone, failing: publisher.standing.failing };
      return {
        stored, gaps, gaps_total: gapsTotal, repeats, quarantined, in_quarantine: inQuarantine, lag_seconds: lagSeconds, caught_up_at: new Date(caughtUpMs).toISOString(), failing, publishing, billing: collector.billing.status(),
        store: found === null ? null : { looked_at: found.lookedMs === null ? null : new Date(found.lookedMs).toISOString(), rows_missing: found.rowsMissing, detached_parts: found.detached },
        counts: { quarantine_bytes: quarantineBytes, inserts },
      };
    },
  });
  await listenCollectorApi(api, collectorSocket(life.runDir));
  life.on('reloaded', () => {
    const now = readConfigInForce(life.runDir);
    if (now === null) return;
    ({ store, apps, nodes } = now.config);
    collector.billing.configure(billingOf(now));
    collector.setRetention(retentionOf(store));
    collector.setNodes(nodes);
  });
  life.send({ type: 'collecting' });
  life.onStop(async () => {
    await publisher?.close();
    // reports under way first: they read the store
    await api.close();
    await collector.stop();
  });
});

/** In force since the supervisor noted that it is, which may be long before this process began. */
function billingOf({ config, dataDir, version }: ConfigInForce): BillingConfig {
  const [latest] = readHistory(dataDir, 1);
  return {
    apps: config.apps, graceMs: durationMs(config.billing.grace), keepEventsMs: durationMs(config.store.keep.events),
    sinceMs: latest?.version === version ? Date.parse(latest.time) : Date.now(),
  };
}

function retentionOf({ keep, max_bytes }: Config['store']): { eventsMs: number; minutesMs: number; quarterHoursMs: number; maxBytes: number } {
  return { eventsMs: durationMs(keep.events), minutesMs: durationMs(keep.minutes), quarterHoursMs: durationMs(keep.quarter_hours), maxBytes: byteCount(max_bytes) };
}
