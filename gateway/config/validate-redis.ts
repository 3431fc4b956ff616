/** What a schema cannot say of shared_state.redis. */
import type { Checker } from './checker.js';
import type { ConfigPath } from './config-problem.js';
import type { RedisConfig } from './schema.js';
import type { Secrets } from './secrets.js';
import { durationMs } from './units.js';

const MIN_TIMEOUT_MS = 10;
/** A worker waits a second for the ledger, which may have to ask twice. */
const MAX_TIMEOUT_MS = 400;

export function checkRedis(redis: RedisConfig, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  const timeoutMs = durationMs(redis.timeout);
  if (timeoutMs < MIN_TIMEOUT_MS || timeoutMs > MAX_TIMEOUT_MS) checker.fail([...path, 'timeout'], 'config_value', `must be at least ${MIN_TIMEOUT_MS}ms, and no more than ${MAX_TIMEOUT_MS}ms`);
  if (redis.url === '') return;
  const at = [...path, 'url'];
  const urls = redis.url.split(',').map((url) => url.trim());
  let tls = 0;
  for (const url of urls) {
    const fault = urlFault(url, redis.cluster);
    if (fault !== null) checker.fail(at, 'config_value', fault);
    if (url.startsWith('rediss://')) tls++;
  }
  if (urls.length > 1 && !redis.cluster) checker.fail(at, 'config_value', 'names several servers: with `cluster: true` they are nodes of one Redis Cluster');
  if (tls > 0 && tls < urls.length) checker.fail(at, 'config_value', 'mixes redis:// and rediss://');
  const ca = redis.tls?.ca;
  if (ca === undefined) return;
  if (!ca.startsWith('file:')) checker.fail([...path, 'tls', 'ca'], 'config_value', 'must be file:PATH');
  else if (Object.hasOwn(secrets, ca) && !secrets[ca]?.includes('-----BEGIN CERTIFICATE-----')) checker.fail([...path, 'tls', 'ca'], 'config_file', `${ca} holds no PEM certificate`);
  if (tls === 0) checker.warn([...path, 'tls', 'ca'], 'is of no use: url does not begin with rediss://');
}

/** What stands there may hold a password: it is not repeated. */
function urlFault(text: string, cluster: boolean): string | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'must be redis://host:port or rediss://host:port';
  }
  if (!['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') return 'must be redis://host:port or rediss://host:port';
  if (url.search !== '' || url.hash !== '') return 'is user, password, host, port and database only';
  if (!/^(?:\/\d*)?$/.test(url.pathname)) return 'names a database that is not a number';
  return cluster && !['', '/', '/0'].includes(url.pathname) ? 'names a database: a Redis Cluster has only number 0' : null;
}
