/**
 * The live counters under the names that others look for, in Redis: sums over the rollups, written by one collector each second, never lower than what stands
 * there, so that who writes twice, or late, does no harm. Nothing is accumulated: a wiped Redis is whole again with the next round.
 *
 *   flow_day_{YYYYMMDD}_{app}   flow_hour_{YYYYMMDDHH}_{app}   the same with service_{service}, and with site; days and hours of UTC
 *
 * It also tells the limits' scripts what the store has of each node, for when Redis has forgotten and the node itself is away.
 */
import { randomBytes } from 'node:crypto';
import { TidegateError } from '../../errors/tidegate-error.js';
import { lookOver, redisFailure, type RedisFault } from '../../gateway/config/redis-fitness.js';
import { openRedis, type RedisClient, type RedisSettings } from '../../gateway/config/redis-settings.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { bucketBounds } from '../reports/calendar.js';
import type { QueryParams } from '../store/store.js';
import { NOT_IMPORTED } from './live-counters.js';

export interface LivePublisherOptions {
  readonly settings: RedisSettings;
  readonly query: (sql: string, params: QueryParams) => Promise<readonly unknown[]>;
  /** Apps with a quota, as the configuration in force has them. */
  readonly quotas: () => readonly { readonly app: string; readonly timeZone: string }[];
  readonly log: SpoolLog;
  readonly nowMs?: () => number;
}

export interface PublishingStanding {
  /** A round has come to its end at least once in this life. */
  readonly everDone: boolean;
  /** Why the last did not; null: it did. */
  readonly failing: RedisFault | null;
}

const EVERY_MS = 1000;
const LOCK_MS = 5000;
/** Yesterday changes, too, while a log is caught up with. */
const BOTH_DAYS_EVERY_MS = 5000;
/** What the store has of each node is read from raw events. */
const RECORDED_EVERY_MS = 60_000;
const HOUR_S = 3600;
const DAY_S = 24 * HOUR_S;
const BATCH = 500;

const HOURS_SQL = `SELECT intDiv(toUnixTimestamp(t.time), ${HOUR_S}) AS hour, toString(t.app) AS app, toString(t.service) AS service, sum(t.requests) AS n_requests
FROM ${NOT_IMPORTED} AS t
GROUP BY hour, app, service
SETTINGS max_execution_time = 10`;

const RECORDED_SQL = `SELECT toString(t.app) AS app, toString(t.node) AS node, count() AS n_counted
FROM tidegate.events AS t
WHERE t.time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND t.time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
  AND t.app IN {apps:Array(String)} AND t.counted = 1 AND t.requests = 1
GROUP BY app, node
SETTINGS max_execution_time = 10`;

/** KEYS: the lock. ARGV: who, ms. Answers 1 if it is theirs. */
const LOCK_SCRIPT = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`;

/** KEYS: a counter. ARGV: value, ttl in s. Never lower. */
const RAISE_SCRIPT = `
local known = redis.call('GET', KEYS[1])
if not known or tonumber(known) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end`;

/** KEYS: hash. ARGV: field, value, ttl in s. Never lower. */
const RECORD_SCRIPT = `
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or tonumber(known) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])`;

/** Which Redis this is: another after a restart, a failover and a wipe. KEYS: where it is noted. Of a cluster, each master has its own. */
const EPOCH_SCRIPT = `
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local epoch = redis.call('GET', KEYS[1])
if not epoch or string.sub(epoch, 1, #run) ~= run then
  local time = redis.call('TIME')
  epoch = run .. ':' .. time[1] .. '.' .. time[2]
  redis.call('SET', KEYS[1], epoch)
end
return epoch`;

/** Of a cluster: so many keys that each of its masters holds one of them; of 16 masters with equal shares each does. */
const CLUSTER_EPOCHS = 64;

type Client = RedisClient & Record<'holdLock' | 'raise' | 'record' | 'epoch', (key: string, ...args: readonly (string | number)[]) => Promise<unknown>>;

export class LivePublisher {
  readonly #options: LivePublisherOptions;
  readonly #id = randomBytes(8).toString('hex');
  readonly #client: Client;
  readonly #nowMs: () => number;
  /** As Redis holds them, as far as this collector knows. */
  readonly #written = new Map<string, number>();
  #epoch = '';
  /** When it is due again (monotonic ms). */
  #bothDaysAtMs = 0;
  #recordedAtMs = 0;
  #running: Promise<void> | null = null;
  /** Looked over, in this connection. */
  #fit = false;
  /** Why there is no connection, where there is none. */
  #lastError: unknown = new TidegateError('shared_state_unavailable', 'not reached yet');
  #everDone = false;
  #failing: RedisFault | null = { code: 'shared_state_unavailable', detail: 'not reached yet', since: new Date().toISOString() };
  #saidCode = '';
  readonly #timer: NodeJS.Timeout;

  constructor(options: LivePublisherOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    const client = openRedis(options.settings, 'tidegate-counters');
    // each round says what is wrong
    client.on('error', (error: Error) => { this.#lastError = error; });
    client.on('node error', (error: Error) => { this.#lastError = error; });
    client.on('ready', () => {
      this.#fit = false;
      this.#lastError = new TidegateError('shared_state_unavailable', 'the connection was closed');
      void this.publish();
    });
    client.defineCommand('holdLock', { numberOfKeys: 1, lua: LOCK_SCRIPT });
    client.defineCommand('raise', { numberOfKeys: 1, lua: RAISE_SCRIPT });
    client.defineCommand('record', { numberOfKeys: 1, lua: RECORD_SCRIPT });
    client.defineCommand('epoch', { numberOfKeys: 1, lua: EPOCH_SCRIPT });
    this.#client = client as Client;
    this.#timer = setInterval(() => { void this.publish(); }, EVERY_MS);
  }

  /** One round, if this collector is the one that publishes. Never throws: the next round is a second away. */
  publish(): Promise<void> {
    this.#running ??= this.#round().then(() => { this.#done(); }, (error: unknown) => {
      this.#accuse(redisFailure(error));
      // whatever was sent may not have come, and the server may have changed
      this.#epoch = '';
      this.#fit = false;
    }).finally(() => { this.#running = null; });
    return this.#running;
  }

  get standing(): PublishingStanding {
    return { everDone: this.#everDone, failing: this.#failing };
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
    this.#client.disconnect();
  }

  #done(): void {
    if (this.#saidCode !== '') this.#options.log.info({}, 'live counters are published again');
    this.#saidCode = '';
    this.#failing = null;
    this.#everDone = true;
  }

  #accuse({ code, message, remedy }: TidegateError): void {
    if (code === this.#saidCode) return;
    this.#saidCode = code;
    this.#failing = { code, detail: message, since: new Date().toISOString() };
    this.#options.log.error({ code, detail: message }, `live counters are not published, by which nothing is lost: ${remedy}`);
  }

  async #round(): Promise<void> {
    const { prefix, cluster } = this.#options.settings;
    if (this.#client.status !== 'ready') throw this.#lastError;
    if (!this.#fit) {
      // before the answer: a connection made meanwhile is another
      this.#fit = true;
      await lookOver(this.#client, this.#options.settings);
    }
    if (await this.#client.holdLock(`${prefix}:publisher`, this.#id, LOCK_MS) !== 1) {
      // who takes over begins anew
      this.#epoch = '';
      return;
    }
    const nowMs = this.#nowMs();
    const epochs = cluster ? Array.from({ length: CLUSTER_EPOCHS }, (_, i) => `${prefix}:publisher:epoch:{${i}}`) : [`${prefix}:publisher:epoch`];
    const epoch = (await Promise.all(epochs.map((key) => this.#client.epoch(key)))).join();
    const forgotten = epoch !== this.#epoch;
    if (forgotten) this.#written.clear();
    const atMs = performance.now();
    // first: grants wait for it, and not for long
    if (forgotten || atMs >= this.#recordedAtMs) {
      await this.#publishRecorded(nowMs);
      this.#recordedAtMs = atMs + RECORDED_EVERY_MS;
    }
    const bothDays = forgotten || atMs >= this.#bothDaysAtMs;
    await this.#publishFlows(nowMs, bothDays ? 2 : 1);
    if (bothDays) this.#bothDaysAtMs = atMs + BOTH_DAYS_EVERY_MS;
    this.#epoch = epoch;
  }

  /** `days`: today, and how many before it less one. */
  async #publishFlows(nowMs: number, days: number): Promise<void> {
    const tomorrowS = (Math.floor(nowMs / 1000 / DAY_S) + 1) * DAY_S;
    const rows = await this.#options.query(HOURS_SQL, { from_s: tomorrowS - days * DAY_S, to_s: tomorrowS }) as readonly { readonly hour: number; readonly app: string; readonly service: string; readonly n_requests: number }[];
    const flows = new Map<string, number>();
    const add = (name: string, count: number): void => { flows.set(name, (flows.get(name) ?? 0) + count); };
    for (const { hour, app, service, n_requests } of rows) {
      const stamp = new Date(Number(hour) * HOUR_S * 1000).toISOString().replaceAll(/[-T:]/g, '').slice(0, 10);
      const count = Number(n_requests);
      for (const period of [`day_${stamp.slice(0, 8)}`, `hour_${stamp}`]) {
        add(`flow_${period}_site`, count);
        if (app !== '' && app !== 'site' && !app.startsWith('service_')) add(`flow_${period}_${app}`, count);
        if (service !== '') add(`flow_${period}_service_${service}`, count);
      }
    }
    const changed = [...flows].filter(([name, count]) => this.#written.get(name) !== count);
    await inBatches(changed, async ([name, count]) => {
      await this.#client.raise(name, count, 2 * DAY_S);
      this.#written.set(name, count);
    });
    // of days past, which are not looked at any more
    const [today, yesterday] = [0, 1].map((ago) => new Date(nowMs - ago * DAY_S * 1000).toISOString().slice(0, 10).replaceAll('-', ''));
    for (const name of this.#written.keys()) if (!name.includes(`_${today}`) && !name.includes(`_${yesterday}`)) this.#written.delete(name);
  }

  async #publishRecorded(nowMs: number): Promise<void> {
    const zones = new Map<string, string[]>();
    for (const { app, timeZone } of this.#options.quotas()) zones.set(timeZone, [...zones.get(timeZone) ?? [], app]);
    for (const [timeZone, apps] of zones) {
      const [fromMs = 0, toMs = 0] = bucketBounds('day', timeZone, nowMs, nowMs + 1);
      const day = new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(nowMs);
      const rows = await this.#options.query(RECORDED_SQL, { from_ms: fromMs, to_ms: toMs, apps }) as readonly { readonly app: string; readonly node: string; readonly n_counted: number }[];
      await inBatches(rows, ({ app, node, n_counted }) => this.#client.record(`${this.#options.settings.prefix}:{qpd:app:${app}}:recorded`, `${day}|${node}`, Number(n_counted), 3 * DAY_S));
    }
  }
}

async function inBatches<T>(items: readonly T[], send: (item: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < items.length; from += BATCH) await Promise.all(items.slice(from, from + BATCH).map(send));
}
