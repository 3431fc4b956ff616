import { randomBytes } from 'node:crypto';
import { refusal, type Policy, type PolicyExchange, type Refusal } from '../exchange.js';
import { parseAddress } from './address.js';

/**
 * Requests a second by client address: counted by each worker alone and approximate, so an attacker can buy no round trip with it.
 *
 * GCRA: for each address one number, the theoretical arrival time (TAT, ms): how far its debt reaches into the future. A request costs 1/qps
 * of a second; it passes if the debt stays within `burst` requests; a refused one costs nothing. A TAT in the past is as good as
 * none, so an entry is worth keeping for at most burst/qps seconds, and nothing has to be swept.
 *
 *     set = hash(limit, address), keyed at random     8 ways of 20 bytes: limit, high, low (32 bits each), tat (64 bits)
 *     IPv4: high = 0xffffffff, low = the address      IPv6: high and low = the /64
 *
 * Memory is fixed: 65,536 entries, 1.3 MB a worker for all limits together, whoever comes. In a full set the entry with the least
 * debt gives way: such an address may burst again, never is one refused for another's requests (the whole key is compared).
 */
const WAYS = 8;
const DEFAULT_ENTRIES = 65_536;
const IPV4_HIGH = 0xffffffff;
/** What is no address shares one entry. */
const NO_ADDRESS_HIGH = 0xfffffffe;

export interface ClientIpRateConfig {
  readonly qps: number;
  readonly burst?: number;
}

const scratch = new Uint32Array(4);

/** The entries of all client address limits of a worker. Lives as long as the worker: a reload keeps every debt, whatever was edited. */
export class ClientIpTable {
  readonly #setMask: number;
  readonly #limit: Uint32Array;
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  /** Counted from `#epochMs`: fractions of a millisecond would be rounded away at today's 1.8e12. -Infinity: never used. */
  readonly #tatMs: Float64Array;
  #epochMs = Number.NaN;
  readonly #seed0: number;
  readonly #seed1: number;
  readonly #limitIds = new Map<string, number>();

  /** `entries` is a power of two. `seed` (8 bytes) is random but in tests: nobody outside can aim at one set. */
  constructor(entries: number = DEFAULT_ENTRIES, seed: Buffer = randomBytes(8)) {
    this.#setMask = entries / WAYS - 1;
    this.#limit = new Uint32Array(entries);
    this.#high = new Uint32Array(entries);
    this.#low = new Uint32Array(entries);
    this.#tatMs = new Float64Array(entries).fill(Number.NEGATIVE_INFINITY);
    this.#seed0 = seed.readInt32LE(0);
    this.#seed1 = seed.readInt32LE(4);
  }

  /** Bytes of the table. */
  get bytes(): number {
    return this.#tatMs.length * 20;
  }

  /** The number of a limit by its name (`gateway`, `service:catalogue`); the same name keeps its debts. */
  limitId(name: string): number {
    let id = this.#limitIds.get(name);
    if (id === undefined) this.#limitIds.set(name, id = this.#limitIds.size + 1);
    return id;
  }

  /**
   * Counts one request of `address`. Answers the debt after it (ms), or, if it may not pass, minus the wait until one may (ms, < 0).
   * `costMs` is what a request costs (1000 / qps), `depthMs` what may be owed (burst * costMs).
   */
  take(limitId: number, address: string, timeMs: number, costMs: number, depthMs: number): number {
    if (Number.isNaN(this.#epochMs)) this.#epochMs = timeMs;
    const nowMs = timeMs - this.#epochMs;
    const family = parseAddress(address, scratch);
    const high = family === 6 ? scratch[0] as number : family === 4 ? IPV4_HIGH : NO_ADDRESS_HIGH;
    const low = family === 6 ? scratch[1] as number : family === 4 ? scratch[3] as number : 0;
    const first = (this.#hash(limitId, high, low) & this.#setMask) * WAYS;
    let slot = -1;
    let least = first;
    for (let i = first; i < first + WAYS; i++) {
      if (this.#low[i] === low && this.#high[i] === high && this.#limit[i] === limitId) {
        slot = i;
        break;
      }
      if ((this.#tatMs[i] as number) < (this.#tatMs[least] as number)) least = i;
    }
    let debt = 0;
    if (slot === -1) {
      slot = least;
      this.#limit[slot] = limitId;
      this.#high[slot] = high;
      this.#low[slot] = low;
      this.#tatMs[slot] = nowMs;
    } else {
      // No more than can be owed: the limit was lowered, or the clock stepped back.
      debt = Math.min(Math.max((this.#tatMs[slot] as number) - nowMs, 0), depthMs);
    }
    const after = debt + costMs;
    // The rounding of fractions of a millisecond, over a burst: a thousandth of one, and of a request.
    if (after > depthMs + Math.min(costMs, 1) * 1e-3) {
      this.#tatMs[slot] = nowMs + debt;
      return depthMs - after;
    }
    this.#tatMs[slot] = nowMs + after;
    return after;
  }

  /** HalfSipHash-1-3 of three words (without the block of the length, which is always the same): keyed, so that sets cannot be aimed at. */
  #hash(limitId: number, high: number, low: number): number {
    let v0 = this.#seed0;
    let v1 = this.#seed1;
    let v2 = 0x6c796765 ^ this.#seed0;
    let v3 = 0x74656462 ^ this.#seed1;
    for (let step = 0; step < 6; step++) {
      const word = step === 0 ? limitId : step === 1 ? high : step === 2 ? low : 0;
      if (step < 3) v3 ^= word;
      else if (step === 3) v2 ^= 0xff;
      v0 = (v0 + v1) | 0; v1 = (v1 << 5) | (v1 >>> 27); v1 ^= v0; v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0; v3 = (v3 << 8) | (v3 >>> 24); v3 ^= v2;
      v0 = (v0 + v3) | 0; v3 = (v3 << 7) | (v3 >>> 25); v3 ^= v0;
      v2 = (v2 + v1) | 0; v1 = (v1 << 13) | (v1 >>> 19); v1 ^= v2; v2 = (v2 << 16) | (v2 >>> 16);
      if (step < 3) v0 ^= word;
    }
    return v1 ^ v3;
  }
}

const LIMITED = refusal('rate_limited', 'rate_limited', 'Too many requests per second from this address.', 'client_ip');

/** The policy of the gateway's (`name` `gateway`) or a service's (`service:NAME`) `limits.client_ip`; null if there is none. */
export function clientIpLimitPolicy(name: string, rate: ClientIpRateConfig | undefined, table: ClientIpTable): Policy | null {
  if (rate === undefined) return null;
  const limit = new ClientIpLimit(table, table.limitId(name), rate);
  return (exchange) => limit.check(exchange);
}

class ClientIpLimit {
  readonly #table: ClientIpTable;
  readonly #id: number;
  readonly #qps: number;
  readonly #costMs: number;
  readonly #depthMs: number;

  constructor(table: ClientIpTable, id: number, rate: ClientIpRateConfig) {
    this.#table = table;
    this.#id = id;
    this.#qps = rate.qps;
    this.#costMs = 1000 / rate.qps;
    this.#depthMs = (rate.burst ?? rate.qps) * this.#costMs;
  }

  check(exchange: PolicyExchange): Refusal | null {
    const debtMs = this.#table.take(this.#id, exchange.clientAddress, exchange.timeMs, this.#costMs, this.#depthMs);
    const passes = debtMs > 0;
    exchange.limitAnswer = {
      policy: 'client-ip',
      limit: this.#qps,
      windowSeconds: 1,
      remaining: passes ? Math.floor((this.#depthMs - debtMs) / this.#costMs + 1e-3) : 0,
      resetSeconds: passes ? Math.ceil(debtMs / 1000) : Math.max(1, Math.ceil(-debtMs / 1000)),
    };
    return passes ? null : LIMITED;
  }
}
