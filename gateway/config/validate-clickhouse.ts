/** What a schema cannot say of store.clickhouse. */
import type { Checker } from './checker.js';
import type { ConfigPath } from './config-problem.js';
import type { Config } from './schema.js';
import type { Secrets } from './secrets.js';
import { durationMs } from './units.js';
import { clickHouseUrlFault, shown } from './values.js';

const MAX_TIMEOUT_MS = 600_000;

export function checkClickHouse(clickhouse: Config['store']['clickhouse'], path: ConfigPath, secrets: Secrets, checker: Checker): void {
  const urls = clickhouse.url.split(',').map((url) => url.trim());
  const timeoutMs = durationMs(clickhouse.timeout);
  if (timeoutMs < 1000 || timeoutMs > MAX_TIMEOUT_MS) checker.fail([...path, 'timeout'], 'config_value', 'must be at least 1s, and no more than 10m');
  if (clickhouse.url === '') return;
  const seen = new Set<string>();
  for (const url of urls) {
    const fault = url === '' ? 'has a comma too many' : clickHouseUrlFault(url);
    // what stands there may hold a password
    checker.value([...path, 'url'], fault === null || urls.length === 1 || url.includes('@') ? fault : `${shown(url)} ${fault}`);
    if (fault === null && seen.has(url)) checker.fail([...path, 'url'], 'config_duplicate', `names ${shown(url)} twice`);
    seen.add(url);
  }
  if (urls.length > 1 && clickhouse.cluster === '') checker.warn([...path, 'url'], 'names several servers and store.clickhouse.cluster none: a collector starts only if they are one and the same server, for of several each would hold a part of the events');
  if (clickhouse.insert_quorum > 0 && clickhouse.cluster === '') checker.fail([...path, 'insert_quorum'], 'config_value', 'needs store.clickhouse.cluster: one server has no replicas');
  if (clickhouse.password !== undefined && clickhouse.password !== '' && urls.some((url) => url.startsWith('http://') && !isLoopback(url))) {
    checker.warn([...path, 'url'], 'sends the password over http:// to another machine, where others may read it');
  }
  const ca = clickhouse.tls?.ca;
  if (ca === undefined) return;
  if (!ca.startsWith('file:')) checker.fail([...path, 'tls', 'ca'], 'config_value', 'must be file:PATH');
  else if (Object.hasOwn(secrets, ca) && !secrets[ca]?.includes('-----BEGIN CERTIFICATE-----')) checker.fail([...path, 'tls', 'ca'], 'config_file', `${ca} holds no PEM certificate`);
  if (!urls.some((url) => url.startsWith('https://'))) checker.warn([...path, 'tls', 'ca'], 'is of no use: no url begins with https://');
}

function isLoopback(url: string): boolean {
  return /^https?:\/\/(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::|\/|$)/.test(url);
}
