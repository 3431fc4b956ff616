/**
 * What a schema cannot say of a configuration. Works beside schema findings: parts that do not fit the schema are passed over, the
 * others are judged, so that everything comes at once.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import { OUTCOMES } from '../events/outcomes.js';
import { normalisePath } from '../routing/normalise-path.js';
import { parsePattern } from '../routing/path-pattern.js';
import { conflicts } from '../routing/route-table.js';
import { Checker, type Item, type Judgement } from './checker.js';
import { formatPath, nearest } from './config-problem.js';
import type { ConfigPath } from './config-problem.js';
import type { SchemaFinding } from './schema-check.js';
import type { AppConfig, Config, ControlTokenConfig, IpListsConfig, RouteConfig, ServiceConfig } from './schema.js';
import { secretOf, type Secrets } from './secrets.js';
import { byteCount, durationMs } from './units.js';
import { checkClickHouse } from './validate-clickhouse.js';
import { checkJwt } from './validate-jwt.js';
import { checkKafka } from './validate-kafka.js';
import { checkReach, type DeclaredRoute } from './validate-reach.js';
import { checkRedis } from './validate-redis.js';
import { checkThresholds } from './validate-thresholds.js';
import { checkTracing } from './validate-tracing.js';
import { checkWebhook } from './validate-webhook.js';
import { sha256 } from './version.js';
import { addressFault, cidrFault, fieldNameFault, hostHeaderFault, hostPatternFault, INHERITED_ADDRESS, shown, targetUrlFault, timeZoneFault } from './values.js';

/** `secrets`: what could be read of the `file:` references; what could not has a finding of its own already. */
export function validate(config: Config, secrets: Secrets, schemaFindings: readonly SchemaFinding[]): Judgement {
  const checker = new Checker(schemaFindings);
  checkGateway(config, secrets, checker);
  const services = checker.list<ServiceConfig>(config.services, ['services']);
  const serviceNames = names(services, checker, 'service');
  const routes: DeclaredRoute[] = [];
  for (const { item, path } of services) checkService(item, path, checker, routes);
  if (checker.sound(['billing', 'grace'])) checkGrace(config.billing.grace, services, checker);
  for (const { first, second } of conflicts(routes)) {
    checker.fail([...second.value, 'match'], 'config_conflict', `matches exactly the requests of ${first.service}/${first.name} (${formatPath(first.value)}), which comes first`);
  }
  checkReach(routes, checker);
  const apps = checker.list<AppConfig>(config.apps, ['apps']);
  names(apps, checker, 'app');
  checkApps(apps, serviceNames, checkTokens(config, secrets, checker), secrets, checker);
  return checker;
}

function names(items: readonly Item<{ readonly name: string }>[], checker: Checker, what: string): Set<string> {
  const first = new Map<string, ConfigPath>();
  for (const { item, path } of items) {
    if (typeof item.name !== 'string') continue;
    const earlier = first.get(item.name);
    if (earlier === undefined) first.set(item.name, path);
    else checker.fail([...path, 'name'], 'config_duplicate', `the ${what} ${shown(item.name)} is declared already (${formatPath(earlier)})`);
  }
  return new Set(first.keys());
}

const MIN_SECRET_LENGTH = 16;

/** Absent and empty mean one that is made at random. */
function notGuessable(reference: string | undefined, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  if (reference === undefined || reference === '') return;
  // of a file that cannot be read it is said that it cannot
  if (reference.startsWith('file:') && !Object.hasOwn(secrets, reference)) return;
  if (secretOf(reference, secrets).length < MIN_SECRET_LENGTH) checker.fail(path, 'config_value', `is shorter than ${MIN_SECRET_LENGTH} characters, and can be guessed: openssl rand -hex 32 makes another`);
}

function checkPrivacy({ privacy: { client, key }, nodes }: Config, secrets: Secrets, checker: Checker): void {
  notGuessable(key, ['privacy', 'key'], secrets, checker);
  if (client === 'hash' && (key === undefined || key === '') && nodes.length > 1) checker.warn(['privacy', 'client'], 'each node hashes with a key of its own: a client is another one at each, unless privacy.key is the same');
}

/** Below these the record would be no record: a spool that a few seconds fill, a file for every few events, a store that drops its days as they come. */
const LEAST = { spool: '8MiB', segment: '64KiB', store: '256MiB', log: '64KiB' } as const;

/** A day of 25 hours that ends as far from UTC's as any does. */
const LEAST_BILLED_MS = 2 * 86_400_000;

/** With it, the days that wait stay within what raw events are kept for. */
const MOST_GRACE_MS = 7 * 86_400_000;

/** Beyond this, a timer of Node's fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

function checkGateway(config: Config, secrets: Secrets, checker: Checker): void {
  const http = ['listeners', 'http'];
  checkAddresses(config, checker);
  if (checker.sound(['control', 'token'])) notGuessable(config.control.token, ['control', 'token'], secrets, checker);
  if (checker.sound(['privacy'])) checkPrivacy(config, secrets, checker);
  if (checker.sound([...http, 'health_path']) && config.listeners.http.health_path !== null && normalisePath(config.listeners.http.health_path) !== config.listeners.http.health_path) {
    checker.fail([...http, 'health_path'], 'config_value', 'is not a normalised path, so no request has it');
  }
  if (checker.sound([...http, 'timeouts'])) durations(config.listeners.http.timeouts, [...http, 'timeouts'], checker);
  if (checker.sound([...http, 'limits'])) {
    for (const key of ['head', 'target', 'body'] as const) byteSize(config.listeners.http.limits[key], [...http, 'limits', key], checker);
  }
  if (checker.sound(['event_log', 'spool'])) {
    const { max_bytes, segment_bytes } = config.event_log.spool;
    byteSize(max_bytes, ['event_log', 'spool', 'max_bytes'], checker, LEAST.spool);
    byteSize(segment_bytes, ['event_log', 'spool', 'segment_bytes'], checker, LEAST.segment);
    if (byteCount(segment_bytes) > byteCount(max_bytes)) checker.fail(['event_log', 'spool', 'segment_bytes'], 'config_value', `is more than max_bytes (${max_bytes})`);
  }
  if (checker.sound(['event_log', 'kafka'])) checkKafka(config.event_log.kafka, ['event_log', 'kafka'], secrets, checker);
  if (checker.sound(['log', 'rotate'])) checkRotation(config.log.rotate, ['log', 'rotate'], checker);
  if (checker.sound(['store', 'max_bytes'])) byteSize(config.store.max_bytes, ['store', 'max_bytes'], checker, LEAST.store);
  if (checker.sound(['store', 'keep'])) {
    for (const [key, text] of Object.entries(config.store.keep)) {
      if (!(durationMs(text) >= 60_000 && durationMs(text) <= 36_500 * 86_400_000)) checker.fail(['store', 'keep', key], 'config_value', 'must be at least 1m, and no more than 36500d');
    }
  }
  if (checker.sound(['store', 'keep', 'events']) && checker.sound(['billing', 'grace']) && durationMs(config.store.keep.events) < LEAST_BILLED_MS + durationMs(config.billing.grace)) {
    checker.warn(['store', 'keep', 'events'], 'is shorter than two days and billing.grace: raw events go before their day is closed, and each day waits for an operator');
  }
  if (checker.sound(['store', 'clickhouse'])) checkClickHouse(config.store.clickhouse, ['store', 'clickhouse'], secrets, checker);
  if (checker.sound(['shared_state', 'redis'])) checkRedis(config.shared_state.redis, ['shared_state', 'redis'], secrets, checker);
  if (checker.sound(['tracing'])) checkTracing(config.tracing, config.trusted_proxies, ['tracing'], secrets, checker);
  if (checker.sound(['nodes'])) {
    config.nodes.forEach((node, i) => {
      if (config.nodes.indexOf(node) < i) checker.fail(['nodes', i], 'config_duplicate', `the node ${shown(node)} is listed already`);
    });
  }
  if (checker.sound(['data_dir']) && config.data_dir === '') checker.fail(['data_dir'], 'config_value', 'must not be empty');
  if (checker.sound(['trusted_proxies'])) config.trusted_proxies.forEach((block, i) => checker.value(['trusted_proxies', i], cidrFault(block)));
  if (checker.sound(['ip'])) ipLists(config.ip, ['ip'], checker);
  if (checker.sound(['limits'])) burst(config.limits, ['limits'], checker);
}

function checkRotation({ size, age }: Config['log']['rotate'], path: ConfigPath, checker: Checker): void {
  byteSize(size, [...path, 'size'], checker, LEAST.log);
  if (!(durationMs(age) >= 60_000 && durationMs(age) <= 36_500 * 86_400_000)) checker.fail([...path, 'age'], 'config_value', 'must be at least 1m, and no more than 36500d');
}

/** Each must be an address, and no other's. */
function checkAddresses(config: Config, checker: Checker): void {
  const seen = new Map<string, string>();
  for (const path of [['listeners', 'http', 'address'], ['control', 'address'], ['reports', 'address']]) {
    const address = checker.sound(path) ? path.reduce<unknown>((part, key) => (part as Record<string, unknown>)[key], config) as string | undefined : undefined;
    if (address === undefined) continue;
    if (address.startsWith('fd:')) {
      checker.value(path, path[0] === 'listeners' && address === INHERITED_ADDRESS ? null : `${shown(address)}: of the sockets that are handed over the first is taken, ${INHERITED_ADDRESS}, by listeners.http alone`);
      continue;
    }
    checker.value(path, addressFault(address));
    const other = seen.get(address);
    if (other !== undefined) checker.fail(path, 'config_duplicate', `is the address of ${other} too`);
    else if (!address.endsWith(':0')) seen.set(address, path.slice(0, -1).join('.'));
  }
}

function checkService(service: ServiceConfig, path: ConfigPath, checker: Checker, routes: DeclaredRoute[]): void {
  const upstream = [...path, 'upstream'];
  if (checker.sound([...upstream, 'targets'])) {
    const seen = new Set<string>();
    for (const { item, path: target } of checker.list(service.upstream.targets, [...upstream, 'targets'])) {
      checker.value([...target, 'url'], targetUrlFault(item.url));
      if (seen.has(item.url)) checker.fail([...target, 'url'], 'config_duplicate', 'is a target of this service already; give one of them more weight');
      seen.add(item.url);
    }
  }
  checkThresholds(service, path, checker);
  if (checker.sound([...upstream, 'host']) && !['preserve', 'target'].includes(service.upstream.host)) checker.value([...upstream, 'host'], hostHeaderFault(service.upstream.host));
  if (checker.sound([...upstream, 'timeouts'])) durations(service.upstream.timeouts, [...upstream, 'timeouts'], checker);
  if (checker.sound([...upstream, 'skip_refused']) && durationMs(service.upstream.skip_refused) > MAX_TIMER_MS) checker.fail([...upstream, 'skip_refused'], 'config_value', 'is longer than 24d');
  if (checker.sound([...path, 'ip'])) ipLists(service.ip, [...path, 'ip'], checker);
  if (checker.sound([...path, 'limits'])) burst(service.limits, [...path, 'limits'], checker);
  if (checker.sound([...path, 'outcomes'])) {
    for (const outcome of Object.keys(service.outcomes)) {
      if (Object.hasOwn(OUTCOMES, outcome)) continue;
      const near = nearest(outcome, Object.keys(OUTCOMES));
      checker.fail([...path, 'outcomes', outcome], 'config_reference', `there is no outcome ${shown(outcome)}${near === null ? '; see docs/reference/outcomes.md' : `; did you mean ${near}?`}`, 'key');
    }
  }
  if (checker.sound([...path, 'statuses'])) {
    for (const status of Object.keys(service.statuses)) {
      if (!/^[1-5](?:xx|\d\d)$/.test(status)) checker.fail([...path, 'statuses', status], 'config_value', `${shown(status)} is neither a status (404) nor a class of them (4xx)`, 'key');
    }
  }
  const declared = checker.list<RouteConfig>(service.routes, [...path, 'routes']);
  names(declared, checker, 'route');
  for (const { item, path: route } of declared) checkRoute(item, route, service.name, checker, routes);
}

/** A day that is closed while its last requests are under way would have adjustments every time. */
function checkGrace(grace: string, services: readonly Item<ServiceConfig>[], checker: Checker): void {
  const path = ['billing', 'grace'];
  if (durationMs(grace) > MOST_GRACE_MS) checker.fail(path, 'config_value', 'is longer than 7d');
  for (const { item, path: service } of services) {
    if (!checker.sound([...service, 'upstream', 'timeouts', 'total']) || durationMs(item.upstream.timeouts.total) < durationMs(grace) || durationMs(item.upstream.timeouts.total) > MAX_TIMER_MS) continue;
    checker.fail(path, 'config_value', `is not longer than ${formatPath([...service, 'upstream', 'timeouts', 'total'])} (${item.upstream.timeouts.total}): a day would be closed while its requests are under way`);
    return;
  }
}

function checkRoute(route: RouteConfig, path: ConfigPath, service: string, checker: Checker, routes: DeclaredRoute[]): void {
  if (checker.sound([...path, 'limits'])) burst(route.limits, [...path, 'limits'], checker);
  if (checker.sound([...path, 'add_prefix']) && route.add_prefix !== undefined) prefix(route.add_prefix.replace(/\/$/, '') || '/', [...path, 'add_prefix'], checker);
  if (!checker.sound([...path, 'match'])) return;
  const before = checker.errors.length;
  const { hosts, headers } = route.match;
  hosts.forEach((host, i) => checker.value([...path, 'match', 'hosts', i], hostPatternFault(host)));
  for (const [name, value] of Object.entries(headers)) {
    const fault = fieldNameFault(name);
    if (fault !== null) checker.fail([...path, 'match', 'headers', name], 'config_value', fault, 'key');
    if (/[\u0000-\u0008\u000a-\u001f\u007f]|^[ \t]|[ \t]$/.test(value)) checker.fail([...path, 'match', 'headers', name], 'config_value', 'is a value that no header field can have');
  }
  pathPattern(route, path, checker);
  if (checker.errors.length === before) routes.push({ match: route.match, value: path, service, name: route.name, open: checker.sound([...path, 'authentication']) && route.authentication.length === 0 });
}

function pathPattern(route: RouteConfig, path: ConfigPath, checker: Checker): void {
  const text = route.match.path;
  const at = [...path, 'match', 'path'];
  if (!text.startsWith('/') && !text.startsWith('~')) {
    checker.fail(at, 'config_value', 'begins with / or, for a regular expression, with ~');
    return;
  }
  const params = text.startsWith('~') ? [] : text.split('/').filter((part) => part.startsWith(':'));
  if (new Set(params).size < params.length) checker.fail(at, 'config_value', 'names one parameter twice');
  let pattern: ReturnType<typeof parsePattern>;
  try {
    pattern = parsePattern(text);
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    checker.fail(at, error.code, error.message);
    return;
  }
  if (pattern.kind !== 'regexp' && text.includes(';')) {
    checker.warn(at, 'holds ;parameters: a request gets here only if its path without them does too, and is else refused with bad_path');
  }
  const strip = route.strip_prefix;
  if (strip === undefined || !checker.sound([...path, 'strip_prefix']) || !prefix(strip, [...path, 'strip_prefix'], checker) || pattern.kind === 'regexp') return;
  const have = pattern.kind === 'exact' ? pattern.path.slice(1).split('/') : pattern.segments;
  const wanted = strip.slice(1).split('/');
  const clash = wanted.some((segment, i) => { const part = have[i]; return typeof part === 'string' && part !== segment; });
  if (clash || (wanted.length > have.length && pattern.kind !== 'prefix')) {
    checker.fail([...path, 'strip_prefix'], 'config_value', `no path that ${shown(text)} matches begins with it`);
  } else if (wanted.length > have.length || wanted.some((_, i) => have[i] === null)) {
    checker.warn([...path, 'strip_prefix'], `${shown(text)} also matches paths that do not begin with it; those are sent on as they are`);
  }
}

function prefix(text: string, path: ConfigPath, checker: Checker): boolean {
  const normal = normalisePath(text);
  const fault = text.endsWith('/') && path.at(-1) === 'strip_prefix' ? 'ends with /: leave that out'
    : normal === text ? null
      : normal === null ? 'cannot be normalised, so no path has it' : `is not normalised: write ${normal}`;
  checker.value(path, fault);
  return fault === null;
}

/** One text with two roles would have the greater: each token is its own. Answers with what is taken, by its hash. */
function checkTokens(config: Config, secrets: Secrets, checker: Checker): Map<string, ConfigPath> {
  const hashes = new Map<string, ConfigPath>();
  const { token } = checker.sound(['control', 'token']) ? config.control : {};
  if (token !== undefined && token !== '') hashes.set(sha256(secretOf(token, secrets)), ['control', 'token']);
  const tokens = checker.list<ControlTokenConfig>(config.control?.tokens, ['control', 'tokens']);
  names(tokens, checker, 'token');
  for (const { item, path } of tokens) {
    const other = hashes.get(item.sha256);
    if (other !== undefined) checker.fail([...path, 'sha256'], 'config_duplicate', `is that of ${formatPath(other)} already: make another, with tidegate tokens new`);
    else if (checker.sound([...path, 'sha256'])) hashes.set(item.sha256, [...path, 'sha256']);
  }
  return hashes;
}

/** `hashes`: of the tokens that no key may be. */
function checkApps(apps: readonly Item<AppConfig>[], services: ReadonlySet<string>, hashes: Map<string, ConfigPath>, secrets: Secrets, checker: Checker): void {
  const issuers = new Map<string, ConfigPath>();
  for (const { item: app, path } of apps) {
    const ids = new Map<string, ConfigPath>();
    for (const { item: key, path: keyPath } of checker.list(app.keys, [...path, 'keys'])) {
      if (!checker.sound(keyPath)) continue;
      const sameId = ids.get(key.id);
      if (sameId !== undefined) checker.fail([...keyPath, 'id'], 'config_duplicate', `the key id ${shown(key.id)} is the app's already (${formatPath(sameId)})`);
      else ids.set(key.id, keyPath);
      const sameHash = hashes.get(key.sha256);
      if (sameHash !== undefined) checker.fail([...keyPath, 'sha256'], 'config_duplicate', `the same key is declared already (${formatPath(sameHash)})`);
      else hashes.set(key.sha256, keyPath);
    }
    if (checker.sound([...path, 'services'])) {
      app.services.forEach((name, i) => {
        if (services.has(name)) return;
        const near = nearest(name, services);
        checker.fail([...path, 'services', i], 'config_reference', `there is no service ${shown(name)}${near === null ? '' : `; did you mean ${near}?`}`);
      });
    }
    if (checker.sound([...path, 'time_zone'])) checker.value([...path, 'time_zone'], timeZoneFault(app.time_zone));
    if (checker.sound([...path, 'ip'])) ipLists(app.ip, [...path, 'ip'], checker);
    if (checker.sound([...path, 'limits'])) burst(app.limits, [...path, 'limits'], checker);
    if (checker.sound([...path, 'webhook']) && app.webhook !== undefined) checkWebhook(app, app.webhook, [...path, 'webhook'], secrets, checker);
    if (checker.sound([...path, 'jwt']) && app.jwt !== undefined) checkJwt(app, app.jwt, [...path, 'jwt'], secrets, issuers, checker);
  }
}

function ipLists(lists: IpListsConfig, path: ConfigPath, checker: Checker): void {
  for (const key of ['allow', 'deny'] as const) lists[key].forEach((block, i) => checker.value([...path, key, i], cidrFault(block)));
}

function burst(limits: { readonly qps?: number; readonly burst?: number }, path: ConfigPath, checker: Checker): void {
  if (limits.burst !== undefined && limits.qps === undefined) checker.fail([...path, 'burst'], 'config_value', 'says nothing without qps');
}

function durations(timeouts: Readonly<Record<string, string>>, path: ConfigPath, checker: Checker): void {
  for (const [key, text] of Object.entries(timeouts)) {
    const ms = durationMs(text);
    if (!(ms >= 1 && ms <= MAX_TIMER_MS)) checker.fail([...path, key], 'config_value', 'must be at least 1ms, and no more than 24d');
  }
}

function byteSize(text: string, path: ConfigPath, checker: Checker, least = '1B'): void {
  const bytes = byteCount(text);
  if (!(bytes >= byteCount(least) && Number.isSafeInteger(bytes))) checker.fail(path, 'config_value', `must be at least ${least}, and no more than a number can count`);
}
