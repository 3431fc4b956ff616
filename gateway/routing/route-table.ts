/**
 * Finds the route of a request.
 *
 * Precedence: of all routes that match, the one wins that comes first by these rules, each asked only when the ones before it tie.
 * 1. Host: the exact name, then `*.suffix` with the longest suffix (`*` stands for one or more labels), then routes without `hosts`.
 * 2. Path: segment by segment from the left, a literal segment before `:param`, before the end of a prefix `/*`. So an exact path comes
 *    first of all, and of prefixes the longest. Regular expressions (`~…`) come after, in the order in which they are first declared for that host.
 * 3. Headers: more required fields first.
 * 4. Methods: named ones before any (for HEAD: HEAD itself, then GET, then any). GET means HEAD too.
 * 5. The order of declaration.
 * A route that names no methods is none for TRACE: what an upstream would send back are the fields that the gateway has added, too.
 * A route that comes first by host or path but asks for another method or header is passed over, and the next is tried.
 *
 * Why from the left: a path reads from the general to the particular, so a team that owns `/billing/*` gets all of it, whatever
 * `/:tenant/export` others declare; and the search is one walk down a trie. (Counting literal segments instead would hand
 * `/billing/a/b` to `/:x/a/b`.) Why regular expressions last: how particular one is cannot be seen.
 *
 * `/a/*` matches `/a`, `/a/` and `/a/b`, never `/ab`. `:param` matches one segment, not an empty one. `/a` and `/a/` are two paths.
 * Exact paths cost one Map look-up, others one per segment, whatever the number of routes; regular expressions are tried one by one.
 *
 *     by host -> HostTable { exact: path -> Leaf, trie: Node { literals: segment -> Node, param: Node, here: Leaf, below: Leaf }, regexps }
 *     Leaf (one path of one host) -> by method -> candidates in order; a candidate may ask for headers
 */
import type { MatchConfig } from '../config/schema.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { linearRegExp } from './linear-regexp.js';
import { parsePattern, type PathPattern } from './path-pattern.js';

export interface RouteEntry<T> {
  readonly match: MatchConfig;
  readonly value: T;
  readonly service: string;
  readonly name: string;
}

interface HeaderCondition {
  /** Lower case. */
  readonly name: string;
  /** null: any value. */
  readonly value: string | null;
}

interface Candidate<T> {
  readonly value: T;
  /** Empty: any but TRACE. */
  readonly methods: readonly string[];
  /** null: none asked for. */
  readonly headers: readonly HeaderCondition[] | null;
  /** Position of the declaration. */
  readonly order: number;
}

/** What Allow says of a route that takes any. */
const USUAL_METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

/** The routes of one path of one host. */
class Leaf<T> {
  readonly #all: Candidate<T>[] = [];
  /** By method that a route names; null: none names one. */
  #byMethod: Map<string, readonly Candidate<T>[]> | null = null;
  #otherMethods: readonly Candidate<T>[] = [];

  add(candidate: Candidate<T>): void {
    this.#all.push(candidate);
  }

  /** To be called once, after the last `add`. */
  seal(): void {
    this.#otherMethods = this.#candidatesFor('');
    const methods = new Set(this.#all.flatMap((candidate) => candidate.methods));
    if (methods.size === 0) return;
    if (methods.has('GET')) methods.add('HEAD');
    this.#byMethod = new Map([...methods].map((method) => [method, this.#candidatesFor(method)]));
  }

  find(method: string, rawHeaders: readonly string[]): Candidate<T> | null {
    const named = this.#byMethod === null ? undefined : this.#byMethod.get(method);
    if (named === undefined && method === 'TRACE') return null;
    const candidates = named ?? this.#otherMethods;
    for (let i = 0; i < candidates.length; i++) {
      const candidate = candidates[i] as Candidate<T>;
      if (candidate.headers === null || headersMatch(candidate.headers, rawHeaders)) return candidate;
    }
    return null;
  }

  /** Adds the methods that the routes for these headers take. */
  addMethods(rawHeaders: readonly string[], to: Set<string>): void {
    for (const { methods, headers } of this.#all) {
      if (headers !== null && !headersMatch(headers, rawHeaders)) continue;
      for (const method of methods.length === 0 ? USUAL_METHODS : methods) to.add(method);
      if (methods.includes('GET')) to.add('HEAD');
    }
  }

  #candidatesFor(method: string): Candidate<T>[] {
    const rank = ({ methods }: Candidate<T>): number =>
      methods.includes(method) ? 0 : method === 'HEAD' && methods.includes('GET') ? 1 : methods.length === 0 && method !== 'TRACE' ? 2 : 3;
    return this.#all.filter((candidate) => rank(candidate) < 3).sort((a, b) =>
      (b.headers?.length ?? 0) - (a.headers?.length ?? 0) || rank(a) - rank(b) || a.order - b.order);
  }
}

class TrieNode<T> {
  literals: Map<string, TrieNode<T>> | null = null;
  param: TrieNode<T> | null = null;
  /** Routes whose pattern ends here. */
  here: Leaf<T> | null = null;
  /** Routes whose prefix ends here. */
  below: Leaf<T> | null = null;

  /** `start` is where the next segment begins; past the path's end, none is left. */
  find(path: string, start: number, method: string, rawHeaders: readonly string[]): Candidate<T> | null {
    let found: Candidate<T> | null = null;
    if (start > path.length) {
      if (this.here !== null) found = this.here.find(method, rawHeaders);
    } else if (this.literals !== null || this.param !== null) {
      let end = path.indexOf('/', start);
      if (end === -1) end = path.length;
      if (this.literals !== null) {
        const child = this.literals.get(path.slice(start, end));
        if (child !== undefined) found = child.find(path, end + 1, method, rawHeaders);
      }
      if (found === null && this.param !== null && end > start) found = this.param.find(path, end + 1, method, rawHeaders);
    }
    if (found === null && this.below !== null) found = this.below.find(method, rawHeaders);
    return found;
  }

  /** Walks to all that match, where `find` stops at the first. */
  addMethods(path: string, start: number, rawHeaders: readonly string[], to: Set<string>): void {
    if (start > path.length) {
      this.here?.addMethods(rawHeaders, to);
    } else {
      let end = path.indexOf('/', start);
      if (end === -1) end = path.length;
      this.literals?.get(path.slice(start, end))?.addMethods(path, end + 1, rawHeaders, to);
      if (end > start) this.param?.addMethods(path, end + 1, rawHeaders, to);
    }
    this.below?.addMethods(rawHeaders, to);
  }
}

interface RegExpLeaf<T> {
  readonly source: string;
  readonly regExp: RegExp;
  readonly leaf: Leaf<T>;
}

/** The routes of one host, or of one wildcard, or of any host. */
class HostTable<T> {
  readonly #exact = new Map<string, Leaf<T>>();
  readonly #regExps: RegExpLeaf<T>[] = [];
  readonly #regExpBySource = new Map<string, RegExpLeaf<T>>();
  readonly #trie = new TrieNode<T>();
  readonly #leaves: Leaf<T>[] = [];

  add(pattern: PathPattern, candidate: Candidate<T>): void {
    this.#leaf(pattern).add(candidate);
  }

  seal(): void {
    for (const leaf of this.#leaves) leaf.seal();
  }

  find(path: string, method: string, rawHeaders: readonly string[]): Candidate<T> | null {
    const exact = this.#exact.get(path);
    let found = exact === undefined ? null : exact.find(method, rawHeaders);
    if (found === null) found = this.#trie.find(path, 1, method, rawHeaders);
    for (let i = 0; found === null && i < this.#regExps.length; i++) {
      const { regExp, leaf } = this.#regExps[i] as RegExpLeaf<T>;
      if (regExp.test(path)) found = leaf.find(method, rawHeaders);
    }
    return found;
  }

  addMethods(path: string, rawHeaders: readonly string[], to: Set<string>): void {
    this.#exact.get(path)?.addMethods(rawHeaders, to);
    this.#trie.addMethods(path, 1, rawHeaders, to);
    for (const { regExp, leaf } of this.#regExps) if (regExp.test(path)) leaf.addMethods(rawHeaders, to);
  }

  #leaf(pattern: PathPattern): Leaf<T> {
    if (pattern.kind === 'exact') {
      let leaf = this.#exact.get(pattern.path);
      if (leaf === undefined) this.#exact.set(pattern.path, leaf = this.#newLeaf());
      return leaf;
    }
    if (pattern.kind === 'regexp') {
      let entry = this.#regExpBySource.get(pattern.source);
      if (entry === undefined) {
        entry = { source: pattern.source, regExp: linearRegExp(pattern.source), leaf: this.#newLeaf() };
        this.#regExpBySource.set(pattern.source, entry);
        this.#regExps.push(entry);
      }
      return entry.leaf;
    }
    let node = this.#trie;
    for (const segment of pattern.segments) {
      if (segment === null) {
        node = node.param ??= new TrieNode<T>();
      } else {
        node.literals ??= new Map();
        let child = node.literals.get(segment);
        if (child === undefined) node.literals.set(segment, child = new TrieNode<T>());
        node = child;
      }
    }
    return pattern.kind === 'prefix' ? node.below ??= this.#newLeaf() : node.here ??= this.#newLeaf();
  }

  #newLeaf(): Leaf<T> {
    const leaf = new Leaf<T>();
    this.#leaves.push(leaf);
    return leaf;
  }
}

export class RouteTable<T> {
  readonly #exactHosts = new Map<string, HostTable<T>>();
  /** By suffix with its dot: `.example.com`. */
  readonly #wildcardHosts = new Map<string, HostTable<T>>();
  readonly #anyHost = new HostTable<T>();

  private constructor() {}

  /** Throws TidegateError (config_value, config_regexp) for a pattern that cannot be used. */
  static build<T>(entries: readonly RouteEntry<T>[]): RouteTable<T> {
    const table = new RouteTable<T>();
    entries.forEach(({ match, value, service, name }, order) => {
      const headers = headerConditions(match);
      const candidate: Candidate<T> = { value, methods: match.methods, headers: headers.length === 0 ? null : headers, order };
      try {
        const pattern = parsePattern(match.path);
        for (const hostTable of table.#hostTables(match.hosts)) hostTable.add(pattern, candidate);
      } catch (error) {
        if (!(error instanceof TidegateError)) throw error;
        throw new TidegateError(error.code, `route ${service}/${name}: ${error.message}`, { cause: error });
      }
    });
    for (const hostTable of [...table.#exactHosts.values(), ...table.#wildcardHosts.values(), table.#anyHost]) hostTable.seal();
    return table;
  }

  /** The route of a request, or null. `host` is without its port and in lower case ('' if there is none), `path` normalised and without its query. */
  find(host: string, method: string, path: string, rawHeaders: readonly string[]): T | null {
    let found: Candidate<T> | null = null;
    if (this.#exactHosts.size > 0) {
      const table = this.#exactHosts.get(host);
      if (table !== undefined) found = table.find(path, method, rawHeaders);
    }
    if (found === null && this.#wildcardHosts.size > 0) {
      // From the second character on: something must stand for the `*`.
      for (let dot = host.indexOf('.', 1); found === null && dot !== -1; dot = host.indexOf('.', dot + 1)) {
        const table = this.#wildcardHosts.get(host.slice(dot));
        if (table !== undefined) found = table.find(path, method, rawHeaders);
      }
    }
    if (found === null) found = this.#anyHost.find(path, method, rawHeaders);
    return found === null ? null : found.value;
  }

  /** With which methods `find` would have found a route, where it found none: for the Allow field; sorted. */
  allowedMethods(host: string, path: string, rawHeaders: readonly string[]): string[] {
    const methods = new Set<string>();
    this.#exactHosts.get(host)?.addMethods(path, rawHeaders, methods);
    for (let dot = host.indexOf('.', 1); dot !== -1; dot = host.indexOf('.', dot + 1)) this.#wildcardHosts.get(host.slice(dot))?.addMethods(path, rawHeaders, methods);
    this.#anyHost.addMethods(path, rawHeaders, methods);
    return [...methods].sort();
  }

  #hostTables(hosts: readonly string[]): ReadonlySet<HostTable<T>> {
    if (hosts.length === 0) return new Set([this.#anyHost]);
    return new Set(hosts.map((pattern) => {
      const host = pattern.toLowerCase();
      const wildcard = host.startsWith('*.');
      const tables = wildcard ? this.#wildcardHosts : this.#exactHosts;
      const key = wildcard ? host.slice(1) : host;
      if (key.length < 2 && wildcard || key === '' || key.includes('*')) throw new TidegateError('config_value', `host ${pattern} is neither a name nor *.name`);
      let table = tables.get(key);
      if (table === undefined) tables.set(key, table = new HostTable<T>());
      return table;
    }));
  }
}

/** Pairs of routes that match exactly the same requests, so that the second is never reached. Patterns that cannot be used are passed over. */
export function conflicts<T>(entries: readonly RouteEntry<T>[]): { readonly first: RouteEntry<T>; readonly second: RouteEntry<T> }[] {
  const seen = new Map<string, RouteEntry<T>>();
  const pairs: { first: RouteEntry<T>; second: RouteEntry<T> }[] = [];
  for (const entry of entries) {
    const key = requestsMatched(entry.match);
    if (key === null) continue;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, entry);
    else pairs.push({ first, second: entry });
  }
  return pairs;
}

/** One text for each set of requests that a `match` can describe; null if its path cannot be used. */
function requestsMatched(match: MatchConfig): string | null {
  let pattern: PathPattern;
  try {
    pattern = parsePattern(match.path);
  } catch {
    return null;
  }
  const hosts = [...new Set(match.hosts.map((host) => host.toLowerCase()))].sort();
  const methods = new Set(match.methods);
  if (methods.has('GET')) methods.add('HEAD');
  return JSON.stringify([hosts, pattern, [...methods].sort(), headerConditions(match)]);
}

function headerConditions(match: MatchConfig): HeaderCondition[] {
  return Object.entries(match.headers)
    .map(([name, value]) => ({ name: name.toLowerCase(), value: value === '*' ? null : value }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function headersMatch(conditions: readonly HeaderCondition[], rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < conditions.length; i++) {
    if (!headerMatches(conditions[i] as HeaderCondition, rawHeaders)) return false;
  }
  return true;
}

/** True if any field of that name has the value: a repeated field is no way around. */
function headerMatches(condition: HeaderCondition, rawHeaders: readonly string[]): boolean {
  const { name, value } = condition;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const field = rawHeaders[i] as string;
    if (field.length === name.length && (field === name || field.toLowerCase() === name) && (value === null || rawHeaders[i + 1] === value)) return true;
  }
  return false;
}
