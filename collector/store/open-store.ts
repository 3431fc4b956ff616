/** The one place that decides which engine stands behind the store, and that hands it out only when it is fit to be written to. */
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from '../../gateway/config/schema.js';
import { secretOf, type Secrets } from '../../gateway/config/secrets.js';
import { durationMs } from '../../gateway/config/units.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ChdbStore } from './chdb-store.js';
import { checkServer } from './clickhouse-check.js';
import { ClickHouseStore, type ClickHouseConnection } from './clickhouse-store.js';
import { lacking, loadMigrations, migrate } from './migrate.js';
import type { Store } from './store.js';
import { checkTables, wantedTables } from './table-settings.js';

export type { ClickHouseConnection } from './clickhouse-store.js';

export interface StoreOptions {
  /** Absolute: chDB lies in `store` below it. */
  readonly dataDir: string;
  /** Null: chDB. */
  readonly clickhouse: ClickHouseConnection | null;
  readonly log: SpoolLog;
  /** Ends the wait for somebody else to migrate. */
  readonly signal?: AbortSignal;
  /** Told once, when such a wait begins. */
  readonly onWaiting?: (why: TidegateError) => void;
}

/** How often a schema that somebody else must bring to this version is looked at. */
const LOOK_EVERY_MS = 2000;

/** What the configuration says; null: chDB. */
export function clickHouseConnection({ clickhouse }: Config['store'], secrets: Secrets): ClickHouseConnection | null {
  const urls = clickhouse.url.split(',').map((url) => url.trim().replace(/\/$/, '')).filter((url) => url !== '');
  if (urls.length === 0) return null;
  return {
    urls, user: clickhouse.user, password: clickhouse.password === undefined ? '' : secretOf(clickhouse.password, secrets),
    ca: clickhouse.tls?.ca === undefined ? null : secretOf(clickhouse.tls.ca, secrets),
    cluster: clickhouse.cluster === '' ? null : clickhouse.cluster, insertQuorum: clickhouse.insert_quorum,
    timeoutMs: durationMs(clickhouse.timeout), compression: clickhouse.compression,
  };
}

/**
 * A store at this program's version. A schema that is older is brought there by whoever may; who may not waits until somebody has.
 * @throws store_unavailable; store_access; store_old_server; store_version; store_settings; store_cluster; store_schema_old: told to stop waiting
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { dataDir, clickhouse, log } = options;
  const migrations = loadMigrations();
  const cluster = clickhouse?.cluster ?? null;
  const store = clickhouse === null ? await ChdbStore.open(join(dataDir, 'store'), log) : new ClickHouseStore(clickhouse, log);
  try {
    const { mayMigrate } = store instanceof ClickHouseStore ? await checkServer(store, log) : { mayMigrate: true };
    if (!mayMigrate) await otherwiseMigrated(store, options);
    const applied = await migrate(store, migrations, cluster);
    if (applied.length > 0) log.info({ migrations: applied }, 'the store was brought to this version');
    await checkTables(store, wantedTables(migrations, cluster));
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function otherwiseMigrated(store: Store, { clickhouse, log, signal, onWaiting }: StoreOptions): Promise<void> {
  let told = false;
  for (;;) {
    const lacks = (await lacking(store)).map(({ version }) => version);
    if (lacks.length === 0) return;
    const why = new TidegateError('store_schema_old', `the store lacks migration ${lacks.join(', ')}, and the user ${clickhouse?.user ?? ''} may not make it`);
    if (!told) {
      log.warn({ code: why.code, remedy: why.remedy, migrations: lacks }, 'the store\'s schema is older than this program, and its user may not change it: waiting for a collector whose user may');
      onWaiting?.(why);
    }
    told = true;
    try {
      await pause(LOOK_EVERY_MS, undefined, signal === undefined ? {} : { signal });
    } catch {
      throw why;
    }
  }
}
