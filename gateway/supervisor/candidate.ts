/** What becomes of a configuration that was loaded before it is in force. */
import { hostname } from 'node:os';
import type { ConfigProblem } from '../config/config-problem.js';
import { INHERITED_ADDRESS } from '../config/values.js';
import { canonicalJson } from '../config/version.js';
import type { ConfigInForce } from './run-files.js';

/** The node's name and the data directory's place filled in: the version is that of the file and its keys alone. */
export function completed(loaded: ConfigInForce): ConfigInForce {
  return { ...loaded, config: { ...loaded.config, node: loaded.config.node ?? hostname().slice(0, 63), data_dir: loaded.dataDir } };
}

/** Why a candidate is refused that changes what cannot change in a running node; null: it does not. */
export function fixedFault(candidate: ConfigInForce, inForce: ConfigInForce): ConfigProblem | null {
  const path = fixedPath(candidate, inForce);
  return path === null ? null : problemOf(candidate, 'config_value', path, 'cannot change while the node runs: stop it, and start it again');
}

function fixedPath(candidate: ConfigInForce, inForce: ConfigInForce): string | null {
  if (candidate.dataDir !== inForce.dataDir) return 'data_dir';
  if (candidate.config.node !== inForce.config.node) return 'node';
  if (candidate.config.control.address !== inForce.config.control.address) return 'control.address';
  const addresses = [candidate, inForce].map(({ config }) => config.listeners.http.address);
  // a worker that has let the socket go could not take it again
  if (addresses.includes(INHERITED_ADDRESS) && addresses[0] !== addresses[1]) return 'listeners.http.address';
  // a worker opens its segments with what it was started with
  if (candidate.config.event_log.spool.segment_bytes !== inForce.config.event_log.spool.segment_bytes) return 'event_log.spool.segment_bytes';
  if (canonicalJson(candidate.config.event_log.kafka) !== canonicalJson(inForce.config.event_log.kafka)) return 'event_log.kafka';
  if (canonicalJson(candidate.config.store.clickhouse) !== canonicalJson(inForce.config.store.clickhouse)) return 'store.clickhouse';
  if (canonicalJson(candidate.config.shared_state.redis) !== canonicalJson(inForce.config.shared_state.redis)) return 'shared_state.redis';
  return null;
}

/** A problem that has no place of its own in the file. */
export function problemOf({ file }: ConfigInForce, code: ConfigProblem['code'], path: string, message: string): ConfigProblem {
  return { file, line: 1, column: 1, path, message, code };
}
