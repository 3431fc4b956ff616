/** Whether a Redis is as whoever counts in it needs it: what the gateway asks before limits are shared through it, and the collector before it publishes counters. */
import type { ErrorCode } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { RedisClient, RedisSettings } from './redis-settings.js';

export interface RedisFault {
  readonly code: ErrorCode;
  readonly detail: string;
  /** RFC 3339 */
  readonly since: string;
}

const LEAST_MAJOR_VERSION = 7;

/** Looks over the server, or each master of the cluster. @throws TidegateError shared_state_…, and what ioredis throws */
export async function lookOver(client: RedisClient, settings: RedisSettings): Promise<void> {
  if (!('nodes' in client)) return lookOverServer(await client.info(), settings);
  const masters = client.nodes('master');
  if (masters.length === 0) throw new TidegateError('shared_state_unavailable', 'no master of the cluster is known');
  for (const node of masters) lookOverServer(await node.info(), settings);
}

/** @throws TidegateError */
function lookOverServer(info: string, settings: RedisSettings): void {
  const value = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  const where = `port ${value('tcp_port')}`;
  if (Number.parseInt(value('redis_version'), 10) < LEAST_MAJOR_VERSION) throw new TidegateError('shared_state_old_server', `${where}: version ${value('redis_version')}`);
  if ((value('cluster_enabled') === '1') !== settings.cluster) throw new TidegateError('shared_state_settings', `${where} is ${settings.cluster ? 'a single server' : 'a node of a Redis Cluster'}`);
  if (value('role') !== 'master') throw new TidegateError('shared_state_replica', `${where} follows ${value('master_host')}:${value('master_port')}`);
  const policy = value('maxmemory_policy');
  if (policy !== 'noeviction') throw new TidegateError('shared_state_eviction', `${where}: maxmemory-policy is ${policy}`);
}

/** What ioredis and Redis say, as one of ours. Redis's first word is its code. */
export function redisFailure(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  const { lastNodeError } = error as { readonly lastNodeError?: unknown };
  // of a cluster: what the node that was asked last said
  if (lastNodeError instanceof Error) return redisFailure(lastNodeError);
  const message = error instanceof Error ? error.message : String(error);
  const [word = ''] = message.split(' ');
  const at = (code: ErrorCode): TidegateError => new TidegateError(code, message, { cause: error });
  if (['WRONGPASS', 'NOAUTH', 'NOPERM'].includes(word)) return at('shared_state_access');
  if (/\bNOPERM\b|invalid username-password|without any password configured/.test(message)) return at('shared_state_access');
  if (/\bREADONLY\b/.test(message)) return at('shared_state_replica');
  if (['MOVED', 'CROSSSLOT'].includes(word) || /cluster support disabled/.test(message)) return at('shared_state_settings');
  return at('shared_state_unavailable');
}
