/**
 * What all nodes together have used of the apps' quotas, through the Redis that they share. The limits' own hashes hold what each node may use (scripts.ts); here each says what it has
 * used, so that what is told of a quota is what was called, and not what lies with workers.
 *
 *   <prefix>:{qpd:app:A}:used     u|<day>|<node>                       used, as the node said last
 *                                 w|<day>|<threshold>|<limit>          who tells the app of it: `<node> <until ms>`, or `told`
 *
 * Nothing of a request waits for it, so it has a connection of its own, beside the one by which limits are asked.
 */
import { TidegateError } from '../../../errors/tidegate-error.js';
import { redisFailure } from '../../config/redis-fitness.js';
import { openRedis, type RedisClient, type RedisSettings } from '../../config/redis-settings.js';
import { appQuota } from '../../policies/limits/keys.js';
import { hashOf } from '../shared-limits/calls.js';

/** A day, and what is said of it late. */
const KEEP_MS = 3 * 86_400_000;
const BATCH = 500;

/** KEYS: hash. ARGV: day, node, used, ms to keep. Answers what all nodes have used; what is left of days before the day before goes. */
const USED_SCRIPT = `
redis.call('HSET', KEYS[1], 'u|' .. ARGV[1] .. '|' .. ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local sum, flat = 0, redis.call('HGETALL', KEYS[1])
local newest = ''
for i = 1, #flat, 2 do
  local day = string.match(flat[i], '^u|([^|]*)|')
  if day and day > newest then newest = day end
end
for i = 1, #flat, 2 do
  local day = string.match(flat[i], '^[uw]|([^|]*)|')
  if day == ARGV[1] and string.sub(flat[i], 1, 1) == 'u' then sum = sum + tonumber(flat[i + 1])
  elseif day and day < newest and day ~= ARGV[1] and string.sub(flat[i], 1, 1) == 'u' then redis.call('HDEL', KEYS[1], flat[i]) end
end
return string.format('%.0f', sum)`;

/** KEYS: hash. ARGV: field, node, ms for which it is the node's. Answers `mine`, `others` or `told`. */
const CLAIM_SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known == 'told' then return 'told' end
if known then
  local node, till = string.match(known, '^(%S+) (%d+)$')
  if node ~= ARGV[2] and tonumber(till) > now then return 'others' end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now + ARGV[3]))
return 'mine'`;

/** KEYS: hash. ARGV: field. */
const TOLD_SCRIPT = 'return redis.call(\'HSET\', KEYS[1], ARGV[1], \'told\')';

const SCRIPTS = { addUse: USED_SCRIPT, claimNotice: CLAIM_SCRIPT, noticeTold: TOLD_SCRIPT } as const;
type Client = RedisClient & Record<keyof typeof SCRIPTS, (key: string, ...args: readonly (string | number)[]) => Promise<unknown>>;

export type Claim = 'mine' | 'others' | 'told';

/** A notice of a day, a threshold and a limit. */
export interface Notice { readonly app: string; readonly day: string; readonly threshold: number; readonly limit: number }

export interface SharedUseOptions {
  readonly settings: RedisSettings;
  /** Of this data directory: two nodes never have the same. */
  readonly instance: string;
}

export class SharedUse {
  readonly #client: Client;
  readonly #settings: RedisSettings;
  readonly #instance: string;

  constructor({ settings, instance }: SharedUseOptions) {
    this.#settings = settings;
    this.#instance = instance;
    const client = openRedis(settings, 'tidegate-quota-use');
    for (const [name, lua] of Object.entries(SCRIPTS)) client.defineCommand(name, { numberOfKeys: 1, lua });
    this.#client = client as Client;
    // the limits' link says what is wrong with this Redis
    this.#client.on('error', () => {});
    this.#client.on('node error', () => {});
  }

  /** Says what this node has used of each app's day. @returns what all nodes have, in the same order @throws TidegateError shared_state_… */
  async add(uses: readonly { readonly app: string; readonly day: string; readonly used: number }[]): Promise<number[]> {
    const sums: number[] = [];
    for (let from = 0; from < uses.length; from += BATCH) {
      sums.push(...await Promise.all(uses.slice(from, from + BATCH).map(async ({ app, day, used }) => Number(await this.#run('addUse', app, [day, this.#instance, used, KEEP_MS])))));
    }
    return sums;
  }

  /** Takes the telling of a notice for `forMs`; who has it may take it again. A node that dies leaves it to another when the time is over. @throws TidegateError shared_state_… */
  async claim(notice: Notice, forMs: number): Promise<Claim> {
    return await this.#run('claimNotice', notice.app, [fieldOf(notice), this.#instance, forMs]) as Claim;
  }

  /** The app knows of it: nobody tells it again. @throws TidegateError shared_state_… */
  async told(notice: Notice): Promise<void> {
    await this.#run('noticeTold', notice.app, [fieldOf(notice)]);
  }

  close(): void {
    this.#client.disconnect();
  }

  async #run(script: keyof typeof SCRIPTS, app: string, args: readonly (string | number)[]): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const { timeoutMs, prefix } = this.#settings;
    try {
      return await Promise.race([this.#client[script](`${hashOf(prefix, appQuota(app))}:used`, ...args), new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => { reject(new TidegateError('shared_state_unavailable', `no answer within ${timeoutMs} ms`)); }, timeoutMs);
      })]);
    } catch (error) {
      throw redisFailure(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

const fieldOf = ({ day, threshold, limit }: Notice): string => `w|${day}|${threshold}|${limit}`;
