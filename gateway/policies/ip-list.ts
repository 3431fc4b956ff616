import { TidegateError } from '../../errors/tidegate-error.js';
import type { AppConfig, IpListsConfig } from '../config/schema.js';
import { refusal, type Policy, type Refusal } from '../exchange.js';
import { parseAddress, type AddressWords } from './address.js';

/** A set of CIDR blocks; asked with the text of an address. */
export interface CompiledCidrs {
  /** False for what is no address. `::ffff:a.b.c.d` is the IPv4 address. */
  contains(address: string): boolean;
}

interface Range {
  readonly first: AddressWords;
  readonly last: AddressWords;
}

/** Disjoint ranges of one family in ascending order, four words an address. Found by bisection: 10,000 blocks cost 14 steps. */
class RangeSet {
  readonly #count: number;
  readonly #first: Uint32Array;
  readonly #last: Uint32Array;

  constructor(ranges: readonly Range[]) {
    const merged: Range[] = [];
    for (const range of [...ranges].sort((a, b) => compare(a.first, 0, b.first))) {
      const before = merged.at(-1);
      if (before === undefined || compare(range.first, 0, before.last) > 0) merged.push(range);
      else if (compare(range.last, 0, before.last) > 0) merged[merged.length - 1] = { first: before.first, last: range.last };
    }
    this.#count = merged.length;
    this.#first = new Uint32Array(merged.length * 4);
    this.#last = new Uint32Array(merged.length * 4);
    merged.forEach(({ first, last }, i) => {
      this.#first.set(first, i * 4);
      this.#last.set(last, i * 4);
    });
  }

  contains(words: AddressWords): boolean {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compare(this.#first, middle * 4, words) <= 0) low = middle + 1;
      else high = middle;
    }
    return low > 0 && compare(this.#last, (low - 1) * 4, words) >= 0;
  }
}

function compare(table: Uint32Array, offset: number, words: AddressWords): number {
  for (let i = 0; i < 4; i++) {
    const difference = (table[offset + i] as number) - (words[i] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

const scratch = new Uint32Array(4);

class CidrSet implements CompiledCidrs {
  readonly #v4: RangeSet;
  readonly #v6: RangeSet;

  constructor(v4: readonly Range[], v6: readonly Range[]) {
    this.#v4 = new RangeSet(v4);
    this.#v6 = new RangeSet(v6);
  }

  contains(address: string): boolean {
    const family = parseAddress(address, scratch);
    return family === 4 ? this.#v4.contains(scratch) : family === 6 && this.#v6.contains(scratch);
  }
}

const PREFIX_LENGTH = /^(0|[1-9]\d{0,2})$/;

/**
 * Compiles CIDR blocks (`10.0.0.0/8`, `2001:db8::/32`) and single addresses; null for an empty list. Bits beyond the prefix are ignored.
 * `::/0` means IPv6 only. Throws TidegateError config_value.
 */
export function compileCidrs(list: readonly string[]): CompiledCidrs | null {
  if (list.length === 0) return null;
  const v4: Range[] = [];
  const v6: Range[] = [];
  for (const text of list) {
    const slash = text.indexOf('/');
    const address = slash === -1 ? text : text.slice(0, slash);
    const first = new Uint32Array(4);
    const family = address.includes('%') ? 0 : parseAddress(address, first);
    // A block of `::ffff:0:0/96` is written with IPv6's prefix lengths and means IPv4.
    const mapped = family === 4 && address.includes(':');
    const bits = family === 4 && !mapped ? 32 : 128;
    const prefix = slash === -1 ? String(bits) : text.slice(slash + 1);
    const length = Number(prefix);
    if (family === 0 || !PREFIX_LENGTH.test(prefix) || length > bits || (mapped && length < 96)) {
      throw new TidegateError('config_value', `${text} is no address and no CIDR block`);
    }
    const range = block(first, bits === 32 ? length + 96 : length);
    (family === 4 ? v4 : v6).push(range);
  }
  return new CidrSet(v4, v6);
}

/** The block of `words` with the first `length` of 128 bits fixed. */
function block(words: AddressWords, length: number): Range {
  const first = words.slice();
  const last = words.slice();
  for (let i = 0; i < 4; i++) {
    const fixed = Math.max(0, Math.min(32, length - i * 32));
    const free = fixed === 32 ? 0 : 0xffffffff >>> fixed;
    first[i] = (first[i] as number) & ~free;
    last[i] = (last[i] as number) | free;
  }
  return { first, last };
}

const DENIED = refusal('ip_denied', 'ip_denied', 'This address may not call.', 'ip_list');

/** Allows or refuses by address: deny wins; a list that is not empty allows only what it names; what is no address passes no list. */
class AddressFilter {
  readonly #allow: CompiledCidrs | null;
  readonly #deny: CompiledCidrs | null;

  constructor(lists: IpListsConfig) {
    this.#allow = compileCidrs(lists.allow);
    this.#deny = compileCidrs(lists.deny);
  }

  check(address: string): Refusal | null {
    if (this.#deny !== null && (this.#deny.contains(address) || parseAddress(address, scratch) === 0)) return DENIED;
    return this.#allow === null || this.#allow.contains(address) ? null : DENIED;
  }
}

const isEmpty = (lists: IpListsConfig): boolean => lists.allow.length === 0 && lists.deny.length === 0;

/** The lists of the gateway or of one service. */
export function ipListPolicy(lists: IpListsConfig): Policy | null {
  if (isEmpty(lists)) return null;
  const filter = new AddressFilter(lists);
  return (exchange) => filter.check(exchange.clientAddress);
}

/** The lists of the app that authentication found: comes after it. One policy for all routes of a snapshot. */
export function appIpListPolicy(apps: readonly AppConfig[]): Policy | null {
  const filters = new Map(apps.filter((app) => !isEmpty(app.ip)).map((app) => [app.name, new AddressFilter(app.ip)]));
  if (filters.size === 0) return null;
  return (exchange) => {
    if (exchange.app === null) return null;
    const filter = filters.get(exchange.app.name);
    return filter === undefined ? null : filter.check(exchange.clientAddress);
  };
}
