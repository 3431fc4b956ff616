/**
 * The migrations as a cluster's replicas take them: the same texts, ON CLUSTER, with Replicated engines and their names of the settings. Whatever
 * statement this does not know it refuses, so that a migration never reaches one replica alone.
 *
 * Every node of the cluster is a replica of the same tables: the path in the keeper has no shard in it, and `{replica}` must differ on each.
 */
import { TidegateError } from '../../errors/tidegate-error.js';

const NAME = 'tidegate\\.([a-z_0-9]+)';
const IF = '(?:IF (?:NOT )?EXISTS )?';
/** What of a statement's beginning ON CLUSTER follows. */
const BEGINNINGS = [
  new RegExp(`^(?:CREATE|DROP) DATABASE ${IF}tidegate\\b`),
  new RegExp(`^CREATE TABLE ${IF}${NAME}`),
  new RegExp(`^CREATE MATERIALIZED VIEW ${IF}${NAME}`),
  new RegExp(`^ALTER TABLE ${NAME}`),
  new RegExp(`^(?:DROP|TRUNCATE) (?:TABLE|VIEW) ${IF}${NAME}`),
];
/** Rows: the replicas tell them each other. */
const AS_IT_IS = /^(?:INSERT|SELECT|WITH)\b/;

/** For how long a replica remembers a token, s. The default was a week once, and is an hour in newer servers. */
const WINDOW_SECONDS = 604_800;

/** @param statement one of a migration, without comments @throws store_cluster: a kind of statement that is not known here */
export function onCluster(statement: string, cluster: string): string {
  if (AS_IT_IS.test(statement)) return statement;
  const beginning = BEGINNINGS.map((pattern) => pattern.exec(statement)).find((match) => match !== null);
  if (beginning === undefined || beginning === null) throw new TidegateError('store_cluster', `no form for a cluster is known of: ${statement.slice(0, 60)}…`);
  const [whole, name = ''] = beginning;
  const rest = statement.slice(whole.length);
  return `${whole} ON CLUSTER \`${cluster}\`${/^CREATE TABLE/.test(whole) ? replicated(rest, name) : rest}`;
}

function replicated(definition: string, table: string): string {
  return definition
    .replace(/\bENGINE = ([A-Za-z]*MergeTree)(?:\(([^)]*)\))?/, (_, engine: string, parameters: string | undefined) =>
      `ENGINE = Replicated${engine}('/clickhouse/tidegate/${table}', '{replica}'${parameters === undefined || parameters === '' ? '' : `, ${parameters}`})`)
    .replace(/\bnon_replicated_deduplication_window = (\d+)/, `replicated_deduplication_window = $1, replicated_deduplication_window_seconds = ${WINDOW_SECONDS}`);
}
