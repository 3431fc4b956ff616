/**
 * The connection to Redis: looked over before anything is asked, behind a breaker, so that a Redis that is away or stalled costs nothing, and with a word
 * for each way in which it can be unfit. It mends itself: nothing here ever gives up.
 */
import CircuitBreaker from 'opossum';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { lookOver, redisFailure, type RedisFault } from '../../config/redis-fitness.js';
import { openRedis, type RedisClient, type RedisSettings } from '../../config/redis-settings.js';

export interface SharedLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface RedisLinkEvents {
  /** It answers again, or for the first time. */
  readonly onUp: () => void;
  /** It does not, from now on. */
  readonly onDown: () => void;
  readonly onMessage: (text: string) => void;
}

const LOOK_AGAIN_MS = 1000;

export class RedisLink {
  readonly #settings: RedisSettings;
  readonly #events: RedisLinkEvents;
  readonly #log: SharedLog;
  readonly #channel: string;
  readonly #breaker: CircuitBreaker<[script: string, keys: readonly string[], args: readonly (string | number)[]], unknown>;
  readonly #scripts = new Map<string, string>();
  #client: RedisClient | null = null;
  #subscriber: RedisClient | null = null;
  /** Connected and looked over. */
  #fit = false;
  #wasUp = false;
  #everUp = false;
  #looking = false;
  #fault: RedisFault | null = { code: 'shared_state_unavailable', detail: 'not reached yet', since: new Date().toISOString() };
  #lastError = '';
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(settings: RedisSettings, channel: string, events: RedisLinkEvents, log: SharedLog) {
    this.#settings = settings;
    this.#events = events;
    this.#log = log;
    this.#channel = channel;
    this.#breaker = new CircuitBreaker((script, keys, args) => this.#evaluate(script, keys, args), {
      timeout: settings.timeoutMs, errorThresholdPercentage: 50, volumeThreshold: 2, rollingCountTimeout: 2000, rollingCountBuckets: 4, resetTimeout: 500,
    });
    this.#breaker.on('open', () => { this.#judge(); });
    this.#breaker.on('close', () => { this.#judge(); });
  }

  /** It answers, as far as is known. */
  get up(): boolean { return this.#fit && !this.#breaker.opened; }
  /** It has answered at least once in this life. */
  get everUp(): boolean { return this.#everUp; }
  /** Null: all is well. */
  get fault(): RedisFault | null { return this.#fault; }

  start(): void {
    this.#client = this.#open('tidegate-limits', () => { void this.#look(); });
    this.#subscriber = this.#open('tidegate-limits-calls', (client) => { void client.subscribe(this.#channel).catch(() => {}); });
    this.#subscriber.on('message', (_channel: string, text: string) => { this.#events.onMessage(text); });
    this.#timer = setInterval(() => { if (!this.#fit) void this.#look(); }, LOOK_AGAIN_MS);
  }

  /** Runs a script; every key in one slot. @throws TidegateError shared_state_… */
  async run(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    if (!this.#fit) throw new TidegateError('shared_state_unavailable', this.#fault?.detail ?? 'not connected');
    try {
      return await this.#breaker.fire(script, keys, args);
    } catch (error) {
      const fault = redisFailure(error);
      this.#lastError = fault.message;
      // said by the server: the next look finds out what has changed
      if (fault.code !== 'shared_state_unavailable') this.#unfit(fault);
      throw fault;
    }
  }

  publish(text: string): void {
    if (this.#fit) void this.#client?.publish(this.#channel, text).catch(() => {});
  }

  close(): void {
    this.#closed = true;
    this.#fit = false;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#breaker.shutdown();
    this.#client?.disconnect();
    this.#subscriber?.disconnect();
  }

  #open(name: string, onReady: (client: RedisClient) => void): RedisClient {
    const client = openRedis(this.#settings, name);
    client.on('ready', () => { onReady(client); });
    client.on('error', (error: Error) => { this.#failed(error); });
    client.on('node error', (error: Error) => { this.#failed(error); });
    if (name === 'tidegate-limits') {
      client.on('close', () => {
        if (!this.#closed) this.#unfit(new TidegateError('shared_state_unavailable', this.#lastError === '' ? 'the connection was closed' : this.#lastError));
      });
    }
    return client;
  }

  #failed(error: Error): void {
    const fault = redisFailure(error);
    this.#lastError = fault.message;
    if (!this.#fit) this.#unfit(fault);
  }

  async #evaluate(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    const client = this.#client;
    if (client === null) throw new TidegateError('shared_state_unavailable', 'not connected');
    let command = this.#scripts.get(script);
    if (command === undefined) {
      // sends the script's hash, and its text where the server does not know it
      command = `tidegate${this.#scripts.size}`;
      client.defineCommand(command, { lua: script });
      this.#scripts.set(script, command);
    }
    const call = (client as unknown as Record<string, (...args: readonly (string | number)[]) => Promise<unknown>>)[command];
    return call?.call(client, keys.length, ...keys, ...args);
  }

  /** Finds out whether this Redis is fit to keep limits. */
  async #look(): Promise<void> {
    const client = this.#client;
    if (client === null || this.#looking || client.status !== 'ready') return;
    this.#looking = true;
    try {
      await lookOver(client, this.#settings);
      const probe = `${this.#settings.prefix}:{probe}`;
      await this.#within(this.#evaluate('redis.call(\'SET\', KEYS[1], \'1\', \'PX\', 1000) redis.call(\'HGETALL\', KEYS[2]) redis.call(\'TIME\') return redis.call(\'INFO\', \'server\')', [probe, `${probe}:hash`], []));
      this.#fit = true;
      this.#fault = null;
      this.#breaker.close();
      this.#judge();
    } catch (error) {
      this.#unfit(redisFailure(error));
    } finally {
      this.#looking = false;
    }
  }

  async #within<T>(answer: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([answer, new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => { reject(new TidegateError('shared_state_unavailable', `no answer within ${this.#settings.timeoutMs} ms`)); }, this.#settings.timeoutMs);
      })]);
    } finally {
      clearTimeout(timer);
    }
  }

  #unfit(fault: TidegateError): void {
    if (this.#closed) return;
    this.#fit = false;
    this.#accuse(fault);
    this.#judge();
  }

  #accuse(fault: TidegateError): void {
    if (this.#fault?.code !== fault.code || !this.#saidFault) {
      this.#fault = { code: fault.code, detail: fault.message, since: new Date().toISOString() };
      this.#saidFault = true;
      this.#log.error({ code: fault.code, detail: fault.message }, `limits are not shared: ${fault.remedy}`);
    }
  }
  #saidFault = false;

  #judge(): void {
    const { up } = this;
    if (up === this.#wasUp || this.#closed) return;
    this.#wasUp = up;
    if (up) {
      this.#fault = null;
      this.#saidFault = false;
      this.#log.info({}, this.#everUp ? 'limits are shared again' : 'limits are shared through Redis');
      this.#everUp = true;
      this.#events.onUp();
    } else {
      if (this.#fit) this.#accuse(new TidegateError('shared_state_unavailable', this.#lastError === '' ? 'no answer' : this.#lastError));
      this.#events.onDown();
    }
  }
}
