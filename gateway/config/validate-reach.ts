/**
 * Routes that ask who the client is, and that an open prefix (`/*` with `authentication: []`) takes requests from, so that these are open without anybody having
 * meant it: a regular expression, because all paths come before it; and one exact path, because the same with or without `/` at its end is another path.
 */
import { parsePattern, type PathPattern } from '../routing/path-pattern.js';
import { RouteTable, type RouteEntry } from '../routing/route-table.js';
import type { Checker } from './checker.js';
import { formatPath, type ConfigPath } from './config-problem.js';
import type { MatchConfig } from './schema.js';

/** `value`: where it is declared. */
export interface DeclaredRoute extends RouteEntry<ConfigPath> {
  /** It asks nobody who it is. */
  readonly open: boolean;
}

interface Declared { readonly route: DeclaredRoute; readonly pattern: PathPattern }

/** Stands for whatever a parameter, a wildcard or a field takes: nobody declares it. */
const ANY = '0-any';

/** @param routes whose patterns can be used */
export function checkReach(routes: readonly DeclaredRoute[], checker: Checker): void {
  const declared = routes.map((route): Declared => ({ route, pattern: parsePattern(route.match.path) }));
  const openPrefixes = declared.filter(({ route, pattern }) => route.open && pattern.kind === 'prefix');
  if (openPrefixes.length === 0) return;
  const table = RouteTable.build(declared.map((one) => ({ ...one.route, value: one })));
  for (const one of declared) {
    if (one.route.open) continue;
    if (one.pattern.kind === 'regexp') checkRegExp(one.route, one.pattern.source, openPrefixes, checker);
    else if (one.pattern.kind !== 'prefix') checkEnding(one.route, one.pattern, table, checker);
  }
}

function checkRegExp(route: DeclaredRoute, source: string, openPrefixes: readonly Declared[], checker: Checker): void {
  const begins = literalSegments(source);
  for (const { route: open, pattern } of openPrefixes) {
    if (pattern.kind !== 'prefix' || pattern.segments.length > begins.length || pattern.segments.some((segment, i) => segment !== null && segment !== begins[i])) continue;
    const hosts = sharedHosts(open.match, route.match);
    const methods = sharedMethods(open.match, route.match);
    if (hosts === null || methods === null || !asksForNoMore(open.match, route.match)) continue;
    const of = [...methods, ...hosts.map((host) => `at ${host}`)].join(' ');
    checker.warn([...route.value, 'match', 'path'], `is never reached${of === '' ? '' : ` (${of})`}: ${nameOf(open)} comes before regular expressions, and asks nobody who it is; give these paths a prefix of their own, such as /admin/*`);
    return;
  }
}

function checkEnding(route: DeclaredRoute, pattern: Exclude<PathPattern, { kind: 'regexp' }>, table: RouteTable<Declared>, checker: Checker): void {
  const path = pattern.kind === 'exact' ? pattern.path : `/${pattern.segments.map((segment) => segment ?? ANY).join('/')}`;
  if (path === '/') return;
  const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
  const fields = Object.entries(route.match.headers).flatMap(([name, value]) => [name, value === '*' ? ANY : value]);
  for (const host of route.match.hosts.length === 0 ? [''] : route.match.hosts) {
    for (const method of route.match.methods.length === 0 ? ['GET', 'POST'] : route.match.methods) {
      const found = table.find(host.toLowerCase().replace('*', ANY), method, other, fields);
      if (found === null || !found.route.open || found.pattern.kind !== 'prefix') continue;
      const written = route.match.path;
      const twin = written.endsWith('/') ? written.slice(0, -1) : `${written}/`;
      checker.warn([...route.value, 'match', 'path'], `does not take ${twin}: that goes to ${nameOf(found.route)}, which asks nobody who it is; give it a route as well, or write ${written.replace(/\/$/, '')}/*`);
      return;
    }
  }
}

const nameOf = ({ service, name, value, match }: DeclaredRoute): string => `${service}/${name} (${match.path}, ${formatPath(value)})`;

/** The hosts at which both are looked for in one table; empty: at any. Null: at none. */
function sharedHosts(open: MatchConfig, protectedOne: MatchConfig): readonly string[] | null {
  if (open.hosts.length === 0 || protectedOne.hosts.length === 0) return open.hosts.length === protectedOne.hosts.length ? [] : null;
  const openHosts = new Set(open.hosts.map((host) => host.toLowerCase()));
  const shared = protectedOne.hosts.filter((host) => openHosts.has(host.toLowerCase()));
  return shared.length === 0 ? null : shared.length === protectedOne.hosts.length ? [] : shared;
}

/** The methods that the open one takes from the other; empty: all. Null: none. */
function sharedMethods(open: MatchConfig, protectedOne: MatchConfig): readonly string[] | null {
  if (open.methods.length === 0) return [];
  if (protectedOne.methods.length === 0) return open.methods;
  const shared = protectedOne.methods.filter((method) => open.methods.includes(method) || (method === 'HEAD' && open.methods.includes('GET')));
  return shared.length === 0 ? null : shared.length === protectedOne.methods.length ? [] : shared;
}

/** Whether each field that the open one asks for is asked for by the other, too. */
function asksForNoMore(open: MatchConfig, protectedOne: MatchConfig): boolean {
  const asked = new Map(Object.entries(protectedOne.headers).map(([name, value]) => [name.toLowerCase(), value]));
  return Object.entries(open.headers).every(([name, value]) => {
    const other = asked.get(name.toLowerCase());
    return other !== undefined && (value === '*' || value === other);
  });
}

/** The whole segments that each path begins with that the expression matches: of `^/admin/v\d` it is `admin`. */
function literalSegments(source: string): readonly string[] {
  if (!source.startsWith('^/') || source.includes('|')) return [];
  const [literal = ''] = /^(?:[\w/~%@!&=,:;-](?![?*{])|\\[^\w\s](?![?*{]))*/.exec(source.slice(1)) ?? [];
  return literal.replaceAll('\\', '').split('/').slice(1, -1);
}
