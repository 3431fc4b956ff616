import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MatchConfig } from '../config/schema.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { conflicts, RouteTable, type RouteEntry } from './route-table.js';

const match = (path: string, rest: Partial<MatchConfig> = {}): MatchConfig => ({ hosts: [], path, methods: [], headers: {}, ...rest });
const entry = (path: string, rest: Partial<MatchConfig> = {}, value = path): RouteEntry<string> => ({ match: match(path, rest), value, service: 's', name: 'r' });
const tableOf = (...entries: RouteEntry<string>[]): RouteTable<string> => RouteTable.build(entries);

test('a prefix matches its own path and what lies below, never a longer segment', () => {
  const table = tableOf(entry('/abc/*'));
  for (const path of ['/abc', '/abc/', '/abc/d', '/abc/d/e']) assert.equal(table.find('', 'GET', path, []), '/abc/*', path);
  for (const path of ['/abcd', '/ab', '/', '/abcd/e', '/x/abc/']) assert.equal(table.find('', 'GET', path, []), null, path);
});

test('a parameter is exactly one segment, and not an empty one', () => {
  const table = tableOf(entry('/users/:id'), entry('/users/:id/orders/:order/'));
  assert.equal(table.find('', 'GET', '/users/7', []), '/users/:id');
  assert.equal(table.find('', 'GET', '/users/7/orders/8/', []), '/users/:id/orders/:order/');
  for (const path of ['/users', '/users/', '/users/7/', '/users/7/orders/8', '/users/7/orders/8/9']) assert.equal(table.find('', 'GET', path, []), null, path);
});

test('exact before parameter before the longest prefix before a regular expression', () => {
  const table = tableOf(entry('~^/a/'), entry('/*'), entry('/a/*'), entry('/a/b/*'), entry('/a/:x'), entry('/a/b'), entry('~^/a/zz$', { methods: ['PUT'] }));
  const find = (path: string): string | null => table.find('', 'GET', path, []);
  assert.equal(find('/a/b'), '/a/b');
  assert.equal(find('/a/c'), '/a/:x');
  assert.equal(find('/a/b/c'), '/a/b/*');
  assert.equal(find('/a/c/d'), '/a/*');
  assert.equal(find('/b'), '/*');
  assert.equal(tableOf(entry('~^/a/'), entry('~z$')).find('', 'GET', '/a/z', []), '~^/a/');
});

test('from the left, a literal segment beats a parameter, and a dead end goes back', () => {
  const table = tableOf(entry('/:tenant/export'), entry('/billing/*'), entry('/billing/a/:x/end'), entry('/billing/:y/b/c'));
  const find = (path: string): string | null => table.find('', 'GET', path, []);
  assert.equal(find('/billing/export'), '/billing/*');
  assert.equal(find('/other/export'), '/:tenant/export');
  assert.equal(find('/billing/a/b/c'), '/billing/:y/b/c');
  assert.equal(find('/billing/a/b/end'), '/billing/a/:x/end');
});

test('exact host before the longest wildcard before any host; no host is any host', () => {
  const table = tableOf(entry('/*', {}, 'any'), entry('/*', { hosts: ['*.example.com'] }, 'wild'), entry('/*', { hosts: ['*.eu.example.com'] }, 'wild eu'),
    entry('/only', { hosts: ['API.example.com'] }, 'exact'));
  const find = (host: string, path = '/x'): string | null => table.find(host, 'GET', path, []);
  assert.equal(find('api.example.com', '/only'), 'exact');
  assert.equal(find('api.example.com'), 'wild');
  assert.equal(find('a.b.example.com'), 'wild');
  assert.equal(find('a.eu.example.com'), 'wild eu');
  assert.equal(find('eu.example.com'), 'wild');
  for (const host of ['example.com', '.example.com', 'badexample.com', 'x.org', '', '127.0.0.1']) assert.equal(find(host), 'any', host);
});

test('a route that asks for another method or header is passed over', () => {
  const table = tableOf(entry('/a/b', { methods: ['POST'] }, 'exact post'), entry('/a/:x', { headers: { 'X-Beta': '1' } }, 'param beta'), entry('/a/*', {}, 'prefix'),
    entry('/a/b', { hosts: ['h'], methods: ['PUT'] }, 'host put'));
  assert.equal(table.find('h', 'GET', '/a/b', []), 'prefix');
  assert.equal(table.find('h', 'PUT', '/a/b', []), 'host put');
  assert.equal(table.find('h', 'POST', '/a/b', []), 'exact post');
  assert.equal(table.find('', 'GET', '/a/b', ['x-BETA', '1']), 'param beta');
});

test('more headers first, then named methods, then the order of declaration', () => {
  const table = tableOf(entry('/a', {}, 'any'), entry('/a', { methods: ['GET'] }, 'get'), entry('/a', { headers: { a: '1' } }, 'a'), entry('/a', { headers: { a: '1', b: '*' } }, 'a b'),
    entry('/a', { methods: ['GET', 'POST'] }, 'get post'));
  assert.equal(table.find('', 'GET', '/a', []), 'get');
  assert.equal(table.find('', 'POST', '/a', []), 'get post');
  assert.equal(table.find('', 'DELETE', '/a', []), 'any');
  assert.equal(table.find('', 'GET', '/a', ['A', '1']), 'a');
  assert.equal(table.find('', 'GET', '/a', ['b', '', 'A', '1']), 'a b');
  assert.equal(table.find('', 'GET', '/a', ['A', '2', 'A', '1']), 'a');
});

test('GET means HEAD too, unless a route names HEAD', () => {
  assert.equal(tableOf(entry('/a', { methods: ['GET'] })).find('', 'HEAD', '/a', []), '/a');
  const table = tableOf(entry('/a', {}, 'any'), entry('/a', { methods: ['GET'] }, 'get'), entry('/a', { methods: ['HEAD'] }, 'head'));
  assert.equal(table.find('', 'HEAD', '/a', []), 'head');
  assert.equal(tableOf(entry('/a', { methods: ['HEAD'] })).find('', 'GET', '/a', []), null);
});

test('a pattern is spelt as a normalised path is', () => {
  const table = tableOf(entry('/%7Euser//x', {}, 'tilde'), entry('/café/*', {}, 'accent'), entry('/a|b', {}, 'bar'), entry('/v1/things:cancel', {}, 'verb'));
  assert.equal(table.find('', 'GET', '/~user/x', []), 'tilde');
  assert.equal(table.find('', 'GET', '/caf%C3%A9/y', []), 'accent');
  assert.equal(table.find('', 'GET', '/a%7Cb', []), 'bar');
  assert.equal(table.find('', 'GET', '/v1/things:cancel', []), 'verb');
});

test('patterns that no request could match are refused, naming the route', () => {
  const bad: readonly (readonly [string, string])[] = [['a', 'config_value'], ['/a*', 'config_value'], ['/*/b', 'config_value'], ['/:', 'config_value'], ['/:id.json', 'config_value'],
    ['/{id}', 'config_value'], ['/a%2fb', 'config_value'], ['/..', 'config_value'], ['~(?=a)', 'config_regexp'], ['~(', 'config_regexp']];
  for (const [path, code] of bad) {
    assert.throws(() => tableOf(entry(path)), (error) => error instanceof TidegateError && error.code === code && error.message.startsWith('route s/r: '), path);
  }
  for (const host of ['', '*', '*.', 'a.*', '*.*.b']) assert.throws(() => tableOf(entry('/', { hosts: [host] })), TidegateError, host);
});

test('routes that match exactly the same requests are told', () => {
  const entries = [entry('/a/:x', { methods: ['GET'], hosts: ['B', 'a'] }, '0'), entry('/a/:y', { methods: ['HEAD', 'GET'], hosts: ['a', 'b'] }, '1'), entry('/a/:x', { methods: ['GET'] }, '2'),
    entry('~^/a', {}, '3'), entry('~^/a', { headers: { A: '*' } }, '4'), entry('~^/a', { headers: { a: '*' } }, '5'), entry('/~u', {}, '6'), entry('/%7eu', {}, '7'), entry('/{', {}, '8'), entry('/{', {}, '9'),
    entry('/a/*', {}, '10'), entry('/a', {}, '11'), entry('/a/*', {}, '12')];
  assert.deepEqual(conflicts(entries).map(({ first, second }) => [first.value, second.value]), [['0', '1'], ['4', '5'], ['6', '7'], ['10', '12']]);
});

// ---- against a slow matcher that tries every route and sorts by the documented order -------------------------------------------------

interface Ranked { readonly value: number; readonly key: readonly number[] }

function slowFind(entries: readonly RouteEntry<number>[], host: string, method: string, path: string, rawHeaders: readonly string[]): number | null {
  const ranked: Ranked[] = [];
  entries.forEach(({ match: { hosts, path: pattern, methods, headers }, value }, order) => {
    const named = methods.includes(method) ? 0 : method === 'HEAD' && methods.includes('GET') ? 1 : methods.length === 0 && method !== 'TRACE' ? 2 : -1;
    const fields = Object.entries(headers);
    const present = (name: string, wanted: string): boolean =>
      rawHeaders.some((field, i) => i % 2 === 0 && field.toLowerCase() === name.toLowerCase() && (wanted === '*' || rawHeaders[i + 1] === wanted));
    if (named === -1 || !fields.every(([name, wanted]) => present(name, wanted))) return;
    for (const hostPattern of hosts.length === 0 ? [null] : hosts) {
      const hostKey = hostPattern === null ? [2, 0] : hostPattern === host ? [0, 0]
        : hostPattern.startsWith('*') && host.length >= hostPattern.length && host.endsWith(hostPattern.slice(1)) ? [1, -hostPattern.length] : null;
      if (hostKey === null) continue;
      const firstDeclared = entries.findIndex((other) => other.match.path === pattern && (hostPattern === null ? other.match.hosts.length === 0 : other.match.hosts.includes(hostPattern)));
      const pathKey = slowPathKey(pattern, path, firstDeclared);
      if (pathKey !== null) ranked.push({ value, key: [...hostKey, ...pathKey, -fields.length, named, order] });
    }
  });
  ranked.sort((a, b) => a.key.map((x, i) => x - (b.key[i] as number)).find((difference) => difference !== 0) ?? 0);
  return ranked[0]?.value ?? null;
}

/** Twelve numbers, a segment each: literal 0, parameter 1, a prefix's end 2, a regular expression 3 and its place. */
function slowPathKey(pattern: string, path: string, firstDeclared: number): number[] | null {
  const pad = (key: number[]): number[] => [...key, ...Array<number>(12 - key.length).fill(0)];
  if (pattern.startsWith('~')) return new RegExp(pattern.slice(1)).test(path) ? pad([3, firstDeclared]) : null;
  const have = path.slice(1).split('/');
  const want = pattern.slice(1).split('/');
  const key: number[] = [];
  for (const [i, segment] of want.entries()) {
    if (segment === '*') return pad([...key, 2]);
    const actual = have[i];
    if (actual === undefined) return null;
    if (segment.startsWith(':') ? actual === '' : segment !== actual) return null;
    key.push(segment.startsWith(':') ? 1 : 0);
  }
  return have.length === want.length ? pad(key) : null;
}

test('agrees with a linear scan of the documented order, over random tables and requests', () => {
  let state = 20261121;
  const random = (below: number): number => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % below;
  const pick = <T>(from: readonly T[]): T => from[random(from.length)] as T;
  const segments = ['a', 'b', 'ab', ':x', ':y', 'c', ''];
  const hosts = ['h.com', 'a.h.com', '*.h.com', '*.a.h.com', '*.com', 'x.org'];
  let found = 0;
  let otherwise = 0;
  for (let round = 0; round < 4000; round++) {
    const entries: RouteEntry<number>[] = [];
    for (let n = 1 + random(14); n > 0; n--) {
      let path = '';
      for (let depth = 1 + random(4); depth > 0; depth--) {
        const segment = pick(segments);
        path += segment === '' && depth > 1 ? '/c' : `/${segment}`;
      }
      if (random(3) === 0) path = path.endsWith('/') ? `${path}*` : `${path}/*`;
      if (random(8) === 0) path = pick(['~^/a', '~b$', '~/(a|c)/', '~^/[^/]+/b']);
      const headers: Record<string, string> = {};
      if (random(5) === 0) headers['X-A'] = pick(['1', '*']);
      if (random(7) === 0) headers['x-b'] = '2';
      const methods = random(3) === 0 ? [pick(['GET', 'POST', 'HEAD', 'TRACE']), 'PUT'] : [];
      entries.push({ match: { path, hosts: random(2) === 0 ? [] : [...new Set([pick(hosts), pick(hosts)])], methods, headers }, value: entries.length, service: 's', name: 'r' });
    }
    const table = RouteTable.build(entries);
    for (let request = 0; request < 12; request++) {
      let path = '';
      for (let depth = 1 + random(4); depth > 0; depth--) path += `/${pick(['a', 'b', 'ab', 'c', 'zz'])}`;
      if (random(6) === 0) path += '/';
      const rawHeaders = [...(random(2) === 0 ? ['x-a', pick(['1', '3'])] : []), ...(random(2) === 0 ? ['X-B', '2'] : [])];
      const host = pick(['h.com', 'a.h.com', 'b.a.h.com', 'x.org', 'com', '']);
      const method = pick(['GET', 'HEAD', 'POST', 'PUT', 'TRACE']);
      const expected = slowFind(entries, host, method, path, rawHeaders);
      if (expected !== null) found++;
      const actual = table.find(host, method, path, rawHeaders);
      const asked = JSON.stringify({ entries, host, method, path, rawHeaders });
      assert.equal(actual, expected, asked);
      if (expected !== null) continue;
      const allowed = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'TRACE'].filter((other) => slowFind(entries, host, other, path, rawHeaders) !== null);
      if (allowed.length > 0) otherwise++;
      assert.deepEqual(table.allowedMethods(host, path, rawHeaders), allowed, asked);
    }
  }
  assert.ok(found > 10_000, String(found));
  assert.ok(otherwise > 500, String(otherwise));
});
