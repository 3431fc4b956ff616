/**
 * The limits that nodes share through Redis, as one node's ledger sees them. It asks ahead, so that nearly no request waits for Redis; one call a limit is
 * under way at a time. Nodes speak to each other over one channel:
 *
 *   declare KEY        Redis does not know any more what we hold: say so, all of you
 *   wanted  KEY        I have nothing, and Redis has nothing: give back what your workers don't need
 *   given   KEY UNITS  the answer; Redis has them
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { RedisFault } from '../../config/redis-fitness.js';
import type { RedisSettings } from '../../config/redis-settings.js';
import type { LimitClock } from '../../policies/limits/clock.js';
import type { SharedLimits, SharingLedger } from '../ledger/shared-limits.js';
import type { LimitKey } from '../protocol.js';
import { callQuota, callRate, type CallResult, type Caller } from './calls.js';
import { ALIVE_MS, KnownNodes } from './known-nodes.js';
import { RedisLink, type SharedLog } from './redis-link.js';
import { EARLY_MS, HEARTBEAT_SCRIPT, LEAVE_SCRIPT, SETTLE_MS } from './scripts.js';
import { SharedKey } from './shared-key.js';

export interface RedisLimitsOptions {
  readonly settings: RedisSettings;
  /** Of this data directory: two nodes never have the same. */
  readonly instance: string;
  readonly name: string;
  /** Names of the nodes there are, if the configuration lists them. */
  readonly listed: () => readonly string[];
  readonly allowsLoss: () => boolean;
  readonly clock: LimitClock;
  readonly log: SharedLog;
  /** Longest wait for other nodes to give back, ms. Default 250. */
  readonly recallWaitMs?: number;
}

export interface SharedStanding {
  readonly up: boolean;
  /** Redis has answered at least once in this life. */
  readonly everUp: boolean;
  readonly fault: RedisFault | null;
  /** Nodes known to be alive, this one among them. */
  readonly nodes: number;
}

const HEARTBEAT_MS = 1000;
/** A rate is recalled no more often; a quota neither, unless the last recall brought some. */
const RATE_RECALL_EVERY_MS = 200;
const QUOTA_RECALL_EVERY_MS = 1000;
/** A quota that Redis had nothing of is asked for again with a heartbeat. */
const EMPTY_MS = 900;
/** What was not lent for so long goes back. */
const IDLE_MS = 2000;
const SETTLE_LOOK_MS = 40;
const MOST_CALLS = 200;

export class RedisLimits implements SharedLimits {
  readonly #options: RedisLimitsOptions;
  readonly #ledger: SharingLedger;
  readonly #clock: LimitClock;
  readonly #link: RedisLink;
  readonly #nodes: KnownNodes;
  readonly #caller: Caller;
  readonly #keys = new Map<LimitKey, SharedKey>();
  readonly #channel: string;
  #timer: NodeJS.Timeout | null = null;
  #beating = false;
  #registryEpoch = '';
  #closed = false;
  #aheadMs = 0;

  constructor(ledger: SharingLedger, options: RedisLimitsOptions) {
    const { settings, instance, name } = options;
    this.#options = options;
    this.#ledger = ledger;
    this.#clock = options.clock;
    this.#channel = `${settings.prefix}:limits`;
    const nodes = new KnownNodes(instance, options.listed);
    this.#nodes = nodes;
    const link = new RedisLink(settings, this.#channel, { onUp: () => { this.#up(); }, onDown: () => { this.#down(); }, onMessage: (text) => { this.#heard(text); } }, options.log);
    this.#link = link;
    this.#caller = {
      node: instance, name, prefix: settings.prefix,
      get count() { return nodes.count; },
      get expected() { return nodes.expected; },
      clock: (storeMs) => { this.#compareClocks(storeMs); },
      run: (script, keys, args) => link.run(script, keys, args),
    };
  }

  start(): void {
    this.#link.start();
    this.#timer = setInterval(() => { void this.#beat(); }, HEARTBEAT_MS);
  }

  /** Lets go without a word, as a kill does. */
  abandon(): void {
    this.#closed = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const { recall } of this.#keys.values()) if (recall !== null) clearTimeout(recall.timer);
    this.#link.close();
  }

  /** Leaves in good order, if Redis answers: nobody waits for this node then. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#link.up) await this.#link.run(LEAVE_SCRIPT, [this.#registry], [this.#options.instance]).catch(() => {});
    this.abandon();
  }

  get standing(): SharedStanding {
    return { up: this.#link.up, everUp: this.#link.everUp, fault: this.#link.fault, nodes: this.#nodes.count };
  }

  get up(): boolean { return this.#link.up; }
  get allowsLoss(): boolean { return this.#options.allowsLoss(); }

  get aheadMs(): number { return this.#aheadMs; }

  ceiling(dated: LimitKey, committed: number): number {
    return this.#key(dated.slice(0, dated.lastIndexOf(':'))).ceiling(dated, committed);
  }

  left(key: LimitKey): number { return this.#link.up ? this.#keys.get(key)?.left ?? 0 : 0; }

  alone(): number { return this.allowsLoss ? 1 : 1 / this.#nodes.count; }

  share(): number { return this.#link.up ? 0 : this.alone(); }

  waitMs(key: LimitKey): number {
    return Math.max(1, Math.ceil((this.#keys.get(key)?.emptyUntilMs ?? 0) - this.#clock.monotonicMs()));
  }

  unknown(key: LimitKey): boolean {
    const k = this.#key(key);
    // a rate goes on at this node's share
    if (!this.#link.up) return k.quota && !this.allowsLoss;
    return k.failed;
  }

  ask(key: LimitKey, want: number): boolean {
    const k = this.#key(key);
    if (!this.#link.up) {
      k.denied = true;
      return false;
    }
    const nowMs = this.#clock.monotonicMs();
    // empty, but some that were asked to give back have not answered
    if (k.calling === null && nowMs < k.emptyUntilMs) return k.recall !== null;
    void this.#call(k, k.nextWant(want, 0, nowMs));
    return true;
  }

  recall(key: LimitKey): boolean {
    const k = this.#key(key);
    if (!this.#link.up) return false;
    if (k.calling !== null || k.recall !== null) return true;
    const nowMs = this.#clock.monotonicMs();
    const { others } = this.#nodes;
    if (others.length === 0 || k.failed || nowMs - k.recalledAtMs < (k.quota ? QUOTA_RECALL_EVERY_MS : RATE_RECALL_EVERY_MS)) return false;
    k.recalledAtMs = nowMs;
    k.recall = { missing: new Set(others), timer: setTimeout(() => { this.#endRecall(k); }, this.#options.recallWaitMs ?? 250) };
    this.#say('wanted', key);
    return true;
  }

  lent(key: LimitKey, units: number): void {
    const k = this.#key(key);
    k.lent(units, this.#clock.monotonicMs());
    // after what the ledger is about to say
    setImmediate(() => { this.#askAhead(k); });
  }

  changed(key: LimitKey): void {
    const k = this.#keys.get(key);
    if (k === undefined) return;
    k.emptyUntilMs = 0;
    // what was granted under another limit goes back first, what no worker has at once: who has most of it then is decided anew
    void this.#giveBack(k, true);
    this.#ledger.collect(key, () => { void this.#giveBack(k, true).then(() => this.#call(k, 1)); });
  }

  get #registry(): string { return `${this.#options.settings.prefix}:nodes`; }

  #key(key: LimitKey): SharedKey {
    let known = this.#keys.get(key);
    if (known === undefined) {
      known = new SharedKey(key);
      this.#keys.set(key, known);
    }
    return known;
  }

  /** Units of this node that no worker has. */
  #idle(k: SharedKey): number {
    if (!k.quota) return this.#ledger.idle(k.key);
    const quota = this.#ledger.quota(k.key);
    return quota === null ? 0 : k.ceiling(quota.dated, quota.committed) - quota.committed;
  }

  #askAhead(k: SharedKey): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#closed || !this.#link.up || k.calling !== null || nowMs < k.emptyUntilMs) return;
    const idle = this.#idle(k);
    if (k.isLow(idle)) void this.#call(k, k.nextWant(0, idle, nowMs));
  }

  /** Says what this node holds, and asks for `want` units; one call a key at a time, and who comes meanwhile shares the next. */
  #call(k: SharedKey, want: number): Promise<void> {
    k.want = Math.max(k.want, want);
    if (k.calling !== null) {
      k.again = true;
      return k.calling;
    }
    k.calling = this.#calls(k).finally(() => {
      k.calling = null;
      if (!this.#closed) this.#ledger.answered(k.key);
    });
    return k.calling;
  }

  async #calls(k: SharedKey): Promise<void> {
    do {
      k.again = false;
      k.asking = k.want;
      k.want = 0;
      try {
        const result = await this.#untilAnswered(k);
        k.failed = result === null;
        if (result === null) return;
        if (!k.quota && result.granted > 0) this.#ledger.credit(k.key, result.granted);
        if (k.asking === 0) continue;
        k.denied = result.granted === 0;
        k.emptyUntilMs = result.granted > 0 ? 0 : this.#clock.monotonicMs() + (k.quota ? EMPTY_MS : result.waitMs);
      } catch {
        // the link has said why
        k.failed = true;
        k.denied ||= k.asking > 0;
        return;
      }
    } while (k.again && !this.#closed);
  }

  /** Null: others do not declare what they hold, or nothing can be said of ourselves yet. */
  async #untilAnswered(k: SharedKey): Promise<Extract<CallResult, { status: 'ok' }> | null> {
    const startedMs = this.#clock.monotonicMs();
    let called = false;
    for (let calls = 0; calls < MOST_CALLS; calls++) {
      const result = await this.#once(k);
      if (result === null) return null;
      if (result.status === 'ok') return result;
      if (result.status === 'again') continue;
      if (!called) this.#say('declare', k.key);
      called = true;
      if (this.#closed || this.#clock.monotonicMs() - startedMs > 2 * SETTLE_MS) return null;
      await pause(SETTLE_LOOK_MS);
    }
    return null;
  }

  async #once(k: SharedKey): Promise<CallResult | null> {
    if (!k.quota) {
      const { back } = k;
      k.back = 0;
      const result = await callRate(this.#caller, k, this.#ledger.rate(k.key), back, this.#ledger);
      if (result.status !== 'ok') k.back += back;
      return result;
    }
    const quota = this.#ledger.quota(k.key);
    return quota?.blocked === true ? null : callQuota(this.#caller, k, quota, this.#ledger);
  }

  /** What no worker has goes back; answers how much. Redis may grant it only once it is not ours any more. */
  async #giveBack(k: SharedKey, always = false): Promise<number> {
    let units = 0;
    if (k.quota) {
      const quota = this.#ledger.quota(k.key);
      if (quota !== null && !quota.blocked) {
        units = k.ceiling(quota.dated, quota.committed) - quota.committed;
        k.ceilings.set(quota.dated, quota.committed);
      }
    } else {
      units = this.#ledger.takeIdle(k.key);
      k.back += units;
    }
    if (units > 0 || always) await this.#call(k, 0);
    return units;
  }

  #compareClocks(storeMs: number): void {
    const aheadMs = this.#clock.wallMs() - storeMs;
    const before = this.#aheadMs;
    this.#aheadMs = aheadMs > EARLY_MS ? aheadMs : 0;
    if (before === 0 && this.#aheadMs > 0) {
      this.#options.log.warn({ ahead_s: Math.round(aheadMs / 1000) }, 'the clock of this node is ahead of that of Redis: the days of quotas go by the clock of Redis');
    }
  }

  #endRecall(k: SharedKey): void {
    if (k.recall === null) return;
    clearTimeout(k.recall.timer);
    k.recall = null;
    this.#fetch(k);
  }

  /** Others have given back, or will not: asks for what there is now, and answers those who wait. */
  #fetch(k: SharedKey): void {
    if (!this.#closed) void this.#call(k, k.nextWant(1, 0, this.#clock.monotonicMs()));
  }

  /** Who waits is served with what came first. The recall goes on until all have answered: nobody is refused while units may be on their way. */
  #given(k: SharedKey, from: string, units: number): void {
    if (units > 0 && k.quota) k.recalledAtMs = Number.NEGATIVE_INFINITY;
    const wanted = k.recall !== null || k.denied || (k.calling !== null && k.asking > 0);
    k.recall?.missing.delete(from);
    if (k.recall?.missing.size === 0) this.#endRecall(k);
    else if (units > 0 && wanted) this.#fetch(k);
  }

  #say(what: 'declare' | 'wanted' | 'given', key: LimitKey, units = 0): void {
    this.#link.publish(JSON.stringify({ what, from: this.#options.instance, key, units }));
  }

  #heard(text: string): void {
    const message = parseSaid(text);
    // another program's word on the channel is none of ours
    if (message === null || message.from === this.#options.instance || this.#closed) return;
    const k = this.#key(message.key);
    switch (message.what) {
      case 'declare':
        if (k.calling === null) void this.#call(k, 0);
        return;
      case 'wanted':
        this.#ledger.collect(k.key, () => { void this.#giveBack(k).then((units) => { this.#say('given', k.key, units); }); });
        return;
      case 'given':
        this.#given(k, message.from, message.units);
    }
  }

  #up(): void {
    void this.#beat();
    for (const k of this.#keys.values()) void this.#call(k, k.denied ? 1 : 0);
    this.#ledger.standing();
  }

  #down(): void {
    for (const k of this.#keys.values()) this.#endRecall(k);
    this.#ledger.standing();
  }

  /** Each second: this node lives; who else does; and what can be tidied up. */
  async #beat(): Promise<void> {
    if (this.#beating || this.#closed) return;
    this.#beating = true;
    try {
      const [epoch = '', ...pairs] = await this.#link.run(HEARTBEAT_SCRIPT, [this.#registry], [this.#options.instance, this.#options.name, ALIVE_MS]) as string[];
      const ids = pairs.filter((_, i) => i % 2 === 0);
      this.#nodes.take(ids, this.#clock.monotonicMs());
      const forgotten = this.#registryEpoch !== '' && epoch !== this.#registryEpoch;
      this.#registryEpoch = epoch;
      for (const k of this.#keys.values()) this.#tidy(k, forgotten);
    } catch {
      // the link has said why
    } finally {
      this.#beating = false;
    }
  }

  #tidy(k: SharedKey, forgotten: boolean): void {
    if (k.calling !== null || k.recall !== null) return;
    const nowMs = this.#clock.monotonicMs();
    if (forgotten) void this.#call(k, k.denied ? 1 : 0);
    else if (k.denied && k.quota && nowMs >= k.emptyUntilMs) void this.#call(k, 1);
    else if (nowMs - k.lentAtMs > IDLE_MS && this.#idle(k) > 0) void this.#giveBack(k).then((units) => { this.#say('given', k.key, units); });
    // of a quota whose use is known better now, nothing needs to be said: what it may use is as before
    else if (!k.quota) {
      const rate = this.#ledger.rate(k.key);
      if (rate?.held !== k.toldHeld || rate.made > 0) void this.#call(k, 0);
    }
  }
}

interface Said { readonly what: string; readonly from: string; readonly key: LimitKey; readonly units: number }

function parseSaid(text: string): Said | null {
  try {
    const { what, from, key, units } = JSON.parse(text) as Partial<Record<keyof Said, unknown>>;
    return typeof what === 'string' && typeof from === 'string' && typeof key === 'string' && typeof units === 'number' ? { what, from, key, units } : null;
  } catch {
    return null;
  }
}
