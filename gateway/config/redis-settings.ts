/** A client of the Redis that the configuration names: for whoever shares limits, and for whoever publishes live counters. */
import { isIP } from 'node:net';
import { Cluster, Redis } from 'ioredis';
import type { Config } from './schema.js';
import { secretOf, type Secrets } from './secrets.js';
import { durationMs } from './units.js';

export interface RedisSettings {
  readonly urls: readonly string[];
  readonly cluster: boolean;
  /** Default: those in the url. */
  readonly username?: string;
  readonly password?: string;
  readonly prefix: string;
  readonly timeoutMs: number;
  /** PEM; absent: what Node trusts. */
  readonly ca?: string;
}

export type RedisClient = Redis | Cluster;

/** Null: no Redis is configured. */
export function redisSettings(config: Config, secrets: Secrets): RedisSettings | null {
  const { redis } = config.shared_state;
  if (redis.url === '') return null;
  return {
    urls: redis.url.split(',').map((url) => url.trim()), cluster: redis.cluster, prefix: redis.prefix, timeoutMs: durationMs(redis.timeout),
    ...(redis.username === undefined ? {} : { username: redis.username }),
    ...(redis.password === undefined ? {} : { password: secretOf(redis.password, secrets) }),
    ...(redis.tls?.ca === undefined ? {} : { ca: secretOf(redis.tls.ca, secrets) }),
  };
}

const RETRY_TO_MS = 1000;
const retry = (times: number): number => Math.min(RETRY_TO_MS, 50 * times) * (0.75 + Math.random() / 2);

/**
 * Connects, and again whenever it is cut. A call while there is no connection fails at once, and none is sent twice. No auto-pipelining: in ioredis 6.0.0 a
 * connection that is cut under it throws out of a callback (autoPipelining.js:69), which ends the process; calls made in one turn share a round trip anyway.
 */
export function openRedis(settings: RedisSettings, name: string): RedisClient {
  const [first = ''] = settings.urls;
  const inUrl = new URL(first);
  const host = inUrl.hostname.replace(/^\[(.*)\]$/, '$1');
  const username = settings.username ?? decodeURIComponent(inUrl.username);
  const password = settings.password ?? decodeURIComponent(inUrl.password);
  // who subscribes does so at each `ready`: ioredis's own subscribing ends the process when the connection is cut under it (6.0.0)
  const options = {
    connectionName: name, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false, autoResubscribe: false, connectTimeout: 2000, socketTimeout: 5000,
    ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }),
    ...(inUrl.protocol === 'rediss:' ? { tls: { ...(isIP(host) === 0 ? { servername: host } : {}), ...(settings.ca === undefined ? {} : { ca: settings.ca }) } } : {}),
  };
  if (!settings.cluster) {
    return new Redis({
      ...options, host, port: inUrl.port === '' ? 6379 : Number(inUrl.port), db: Number(inUrl.pathname.slice(1)),
      enableOfflineQueue: false, retryStrategy: retry,
      // the address follows a failover: the next connection leads to the new master
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    });
  }
  return new Cluster(settings.urls.map((url) => ({ host: new URL(url).hostname, port: Number(new URL(url).port || '6379') })), {
    redisOptions: options, enableOfflineQueue: false, clusterRetryStrategy: retry, slotsRefreshTimeout: 1000, slotsRefreshInterval: 5000,
  });
}
