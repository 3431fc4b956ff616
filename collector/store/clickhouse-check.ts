/** What a ClickHouse server must be, and its user be allowed, before anything is stored there. */
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ClickHouseStore } from './clickhouse-store.js';
import type { Store } from './store.js';

/**
 * The first long-term version that has all of: repeated inserts recognised in the tables that views write to (rewritten in 2024),
 * input_format_max_block_size_bytes, and CHECK GRANT. Tried with: 26.7, the engine of chDB.
 */
const OLDEST: readonly [number, number] = [25, 3];

type Privilege = readonly [privilege: string, on: string];
export const TO_STORE: readonly Privilege[] = [['SELECT', 'tidegate.*'], ['INSERT', 'tidegate.*'], ['ALTER DELETE', 'tidegate.*'], ['SELECT', 'system.parts']];
const ON_CLUSTER: readonly Privilege[] = [['SELECT', 'system.clusters'], ['SELECT', 'system.macros']];
export const TO_MIGRATE: Privilege = ['CREATE DATABASE, CREATE TABLE, CREATE VIEW, ALTER TABLE', 'tidegate.*'];

/** @throws store_old_server, store_access, store_cluster, store_unavailable @returns whether the user may bring the schema to another version */
export async function checkServer(store: ClickHouseStore, log: SpoolLog): Promise<{ readonly mayMigrate: boolean }> {
  const { cluster, user, insertQuorum, urls } = store.connection;
  if (cluster === null && urls.length > 1) await checkOneServer(store);
  const [server] = await store.query<{ version: string; stable: number }>("SELECT version() AS version, (SELECT count() FROM system.settings WHERE name = 'deduplicate_insert_select') AS stable");
  const version = server?.version ?? '';
  if (isOlder(version)) throw new TidegateError('store_old_server', `the server is ClickHouse ${version}; ${OLDEST.join('.')} or later is needed`);
  if (server?.stable === 1) store.demandStableInserts();
  const missing: string[] = [];
  for (const [privilege, on] of [...TO_STORE, ...(cluster === null ? [] : ON_CLUSTER)]) {
    if (!await store.isGranted(privilege, on)) missing.push(`${privilege} ON ${on}`);
  }
  if (missing.length > 0) throw new TidegateError('store_access', `the user ${user} lacks: ${missing.join(', ')}`);
  if (cluster !== null) await checkCluster(store, cluster, insertQuorum, log);
  return { mayMigrate: await store.isGranted(...TO_MIGRATE) };
}

/**
 * Several urls without a cluster are several ways to one server. Of two servers each would hold a part of the events, and would not recognise an insert that the other has
 * stored. One that does not answer leaves it open, so storing waits for it.
 * @throws store_cluster; store_unavailable
 */
async function checkOneServer({ connection }: ClickHouseStore): Promise<void> {
  const names = new Map<string, string>();
  for (const url of connection.urls) {
    const server = new ClickHouseStore({ ...connection, urls: [url] });
    try {
      const [row] = await server.query<{ name: string }>("SELECT concat(toString(serverUUID()), '/', (SELECT toString(any(uuid)) FROM system.tables WHERE database = 'tidegate' AND name = 'events')) AS name");
      names.set(row?.name ?? '', url);
    } finally {
      await server.close();
    }
  }
  if (names.size < 2) return;
  throw new TidegateError('store_cluster', `store.clickhouse.url names ${names.size} servers (${[...names.values()].join(', ')}) and store.clickhouse.cluster is not set: each would hold a part of the events, and what one of them has stored the other would store again. Name one, or make them replicas of a cluster`);
}

export function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
}

/** @throws store_cluster */
export async function checkCluster(store: Pick<Store, 'query'>, cluster: string, quorum: number, log: SpoolLog): Promise<void> {
  const [nodes] = await store.query<{ shards: number; replicas: number }>('SELECT uniqExact(shard_num) AS shards, count() AS replicas FROM system.clusters WHERE cluster = {cluster:String}', { cluster });
  const { shards = 0, replicas = 0 } = nodes ?? {};
  if (replicas === 0) throw new TidegateError('store_cluster', `the server knows no cluster ${cluster} (remote_servers)`);
  if (shards > 1) throw new TidegateError('store_cluster', `the cluster ${cluster} has ${shards} shards; one whose replicas hold everything is needed`);
  if (quorum > replicas) throw new TidegateError('store_cluster', `insert_quorum is ${quorum}, and the cluster ${cluster} has ${replicas} replicas: no insert would ever count`);
  const macros = await store.query("SELECT macro FROM system.macros WHERE macro = 'replica'");
  if (macros.length === 0) throw new TidegateError('store_cluster', 'the macro {replica} is not set on the server');
  if (quorum < replicas) log.warn({ cluster, replicas, insert_quorum: quorum }, 'an insert counts before all replicas have it: one that is lost with its disk may take events along, and one that lags may be read from');
}
