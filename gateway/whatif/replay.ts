/**
 * What limits would have done to recorded requests: each is taken, in the order of admission, through the policies that rules decide
 * (gateway/config/compile.ts), as one worker would that holds all that is left of each limit.
 *
 *   route there? -> app there? -> may it call the service? -> rates: gateway, service, route, app -> quota of the app's day
 *
 * Rates are the ledger's own buckets. They begin full, and nothing lies with workers: of all ways to keep to a rate this lets the most through. Of a quota there is nothing to
 * lend: it is a number a day. A unit of a request whose outcome does not count is back when the request is over, as the gateway gives it back.
 */
import { ERASED } from '../events/event.js';
import { OUTCOMES, type Outcome } from '../events/outcomes.js';
import { appRate, GATEWAY_RATE, routeRate, serviceRate } from '../policies/limits/keys.js';
import { dayAt } from '../supervisor/ledger/day.js';
import { RateBucket } from '../supervisor/ledger/rate-bucket.js';
import type { LimitRules } from './rules.js';

/** What the record keeps of a request, as far as it matters here. */
export interface RecordedRequest {
  /** Of admission, ms since the epoch. */
  readonly timeMs: number;
  readonly durationUs: number;
  /** '' where nobody was asked who it is, or it was not known. */
  readonly app: string;
  readonly service: string;
  readonly route: string;
  readonly outcome: Outcome;
}

/** As what the rules refuse: `unauthenticated` the requests of an app that is gone, `route_not_found` those of a route that is gone. */
export const REFUSALS = ['route_not_found', 'unauthenticated', 'forbidden', 'rate_limited', 'quota_exhausted'] as const;
export type WhatifRefusal = (typeof REFUSALS)[number];
/** Counts by outcome; what is none is absent. */
export type Counts = Readonly<Partial<Record<Outcome, number>>>;

/** requests = admitted + refused + as_recorded. */
export interface WhatifSums {
  readonly requests: number;
  readonly admitted: number;
  /** By which refusal. */
  readonly refused: Counts;
  /** Of `refused`: were let through. */
  readonly newly_refused: Counts;
  /** Of `admitted`: were refused, by which refusal. What they would have come to is not known: they are taken to count. */
  readonly newly_admitted: Counts;
  /** Not run through the rules, by their outcome: refused before limits are asked, or nobody knows who they were of. */
  readonly as_recorded: Counts;
}

export interface WhatifLimit {
  readonly key: string;
  /** Requests that the rate would have refused. */
  readonly refused: number;
  /** No more than this in the gateway, where a part of the burst may lie with workers that do not need it. */
  readonly at_most: number;
}

interface Tally { requests: number; admitted: number; refused: Count; newlyRefused: Count; newlyAdmitted: Count; asRecorded: Count }
type Count = Partial<Record<Outcome, number>>;
interface Rate { readonly key: string; readonly bucket: RateBucket; asked: number; refused: number; atMost: number; low: boolean }
interface Quota { readonly limit: number; readonly zone: string; startMs: number; endMs: number; used: number }
interface App { readonly services: ReadonlySet<string>; readonly rate: Rate | null; readonly quota: Quota | null }
interface Route { readonly open: boolean; readonly clientIp: boolean; readonly rates: readonly Rate[]; readonly counted: ReadonlySet<string> }
/** A unit of a quota that comes back. */
interface Return { readonly atMs: number; readonly quota: Quota; readonly dayMs: number }

/** Everything is one worker's here. */
const WORKER = 'whatif';

/** Refused by what rules decide: with others they may be let through. */
const BY_RULES: ReadonlySet<Outcome> = new Set(['forbidden', 'rate_limited', 'quota_exhausted']);
/** Refused by what the rules leave out. */
const OTHERWISE: ReadonlySet<Outcome> = new Set(['route_not_found', 'ip_denied', 'unauthenticated', 'ledger_unavailable']);

export class Replay {
  readonly #apps = new Map<string, App>();
  /** By service, then by route: rows have names, and a joined key would be made anew for each. */
  readonly #routes = new Map<string, Map<string, Route>>();
  readonly #rates = new Map<string, Rate>();
  readonly #tallies = new Map<string, Map<string, Map<string, Tally>>>();
  readonly #returns: Return[] = [];
  #groups = 0;

  /**
   * @param fromMs where the record begins, ms since the epoch
   * @param countedBefore what was counted of an app's day that holds `fromMs`, before it
   */
  constructor(rules: LimitRules, fromMs: number, countedBefore: (app: string) => number) {
    for (const { key, qps, burst } of rules.rates) {
      this.#rates.set(key, { key, bucket: new RateBucket({ qps, burst }, burst, fromMs), asked: 0, refused: 0, atMost: 0, low: false });
    }
    const days = new Map<string, ReturnType<typeof bounds>>();
    for (const { name, services, time_zone: zone, qpd } of rules.apps) {
      const day = days.get(zone) ?? bounds(zone, fromMs);
      days.set(zone, day);
      const quota = qpd === undefined ? null : { limit: qpd, zone, ...day, used: countedBefore(name) };
      this.#apps.set(name, { services: new Set(services), rate: this.#rates.get(appRate(name)) ?? null, quota });
    }
    for (const service of rules.services) {
      const routes = new Map<string, Route>();
      const counted = new Set<string>(service.counted);
      for (const { name, open } of service.routes) {
        const rates = [GATEWAY_RATE, serviceRate(service.name), routeRate(service.name, name)].map((key) => this.#rates.get(key)).filter((rate) => rate !== undefined);
        routes.set(name, { open, clientIp: service.client_ip, rates, counted });
      }
      this.#routes.set(service.name, routes);
    }
  }

  /** Combinations of app, service and route met so far. */
  get groups(): number { return this.#groups; }

  /** Requests come by time. Answers what became of it; null: it stays as recorded. */
  take(request: RecordedRequest): 'admitted' | WhatifRefusal | null {
    const tally = this.#tally(request);
    const { outcome } = request;
    tally.requests++;
    const verdict = this.#verdict(request);
    if (verdict === null) {
      add(tally.asRecorded, outcome);
    } else if (verdict === 'admitted') {
      tally.admitted++;
      if (BY_RULES.has(outcome)) add(tally.newlyAdmitted, outcome);
    } else {
      add(tally.refused, verdict);
      if (!BY_RULES.has(outcome)) add(tally.newlyRefused, verdict);
    }
    return verdict;
  }

  /** By app, service and route. */
  rows(): ({ readonly app: string; readonly service: string; readonly route: string } & WhatifSums)[] {
    const rows = [...this.#tallies].flatMap(([app, services]) => [...services].flatMap(([service, routes]) => [...routes].map(([route, tally]) => ({ app, service, route, ...sumsOf(tally) }))));
    return rows.sort((a, b) => order(a.app, b.app) || order(a.service, b.service) || order(a.route, b.route));
  }

  totals(): WhatifSums {
    const total = newTally();
    for (const services of this.#tallies.values()) {
      for (const routes of services.values()) for (const tally of routes.values()) addTally(total, tally);
    }
    return sumsOf(total);
  }

  /** The rates that refused, or came near it. */
  limits(): WhatifLimit[] {
    return [...this.#rates.values()].filter(({ atMost }) => atMost > 0)
      .map(({ key, refused, atMost, asked }) => ({ key, refused, at_most: Math.min(asked, refused + atMost) }))
      .sort((a, b) => b.refused - a.refused || order(a.key, b.key));
  }

  #verdict(request: RecordedRequest): 'admitted' | WhatifRefusal | null {
    const { app: name, outcome } = request;
    if (OTHERWISE.has(outcome) || request.service === '') return null;
    const route = this.#routes.get(request.service)?.get(request.route);
    if (name === '' && !reachedLimits(outcome, route)) return null;
    if (route === undefined) return 'route_not_found';
    let app: App | null = null;
    // of an app that was erased nobody knows any more what it might call; it took units of what it shared with others
    if (!route.open && name !== ERASED) {
      // the route was open to all, or the client's address was refused: who it was, nobody asked
      if (name === '') return null;
      app = this.#apps.get(name) ?? null;
      if (app === null) return 'unauthenticated';
      if (!app.services.has(request.service)) return 'forbidden';
    }
    return this.#takeUnits(request, route, app);
  }

  #takeUnits({ timeMs, durationUs, outcome }: RecordedRequest, route: Route, app: App | null): 'admitted' | WhatifRefusal {
    const { rates } = route;
    const count = rates.length;
    const last = app?.rate ?? null;
    for (let i = 0; i <= count; i++) {
      const rate = i < count ? rates[i] as Rate : last;
      if (rate === null || takeUnit(rate, timeMs)) continue;
      for (let taken = 0; taken < i; taken++) (rates[taken] as Rate).bucket.giveBack(WORKER, 1, timeMs);
      return 'rate_limited';
    }
    const quota = app?.quota ?? null;
    const refused = quota !== null && !this.#takeOfDay(quota, timeMs, BY_RULES.has(outcome) || route.counted.has(outcome) ? null : timeMs + durationUs / 1000);
    for (let i = 0; i <= count; i++) {
      const bucket = (i < count ? rates[i] as Rate : last)?.bucket;
      if (refused) bucket?.giveBack(WORKER, 1, timeMs);
      else bucket?.used(WORKER, 1, timeMs);
    }
    return refused ? 'quota_exhausted' : 'admitted';
  }

  /** @param backMs when the unit comes back; null: never */
  #takeOfDay(quota: Quota, timeMs: number, backMs: number | null): boolean {
    for (let next = this.#returns[0]; next !== undefined && next.atMs <= timeMs; next = this.#returns[0]) {
      this.#returns.shift();
      // of a day that is over, nobody needs it
      if (next.quota.startMs === next.dayMs) next.quota.used--;
    }
    if (timeMs >= quota.endMs) Object.assign(quota, bounds(quota.zone, timeMs), { used: 0 });
    if (quota.used >= quota.limit) return false;
    quota.used++;
    if (backMs !== null) this.#comesBack({ atMs: backMs, quota, dayMs: quota.startMs });
    return true;
  }

  /** They are as many as requests were under way at once, and the later come later: the place is near the end. */
  #comesBack(one: Return): void {
    let at = this.#returns.length;
    while (at > 0 && (this.#returns[at - 1] as Return).atMs > one.atMs) at--;
    this.#returns.splice(at, 0, one);
  }

  #tally({ app, service, route }: RecordedRequest): Tally {
    let services = this.#tallies.get(app);
    if (services === undefined) this.#tallies.set(app, services = new Map<string, Map<string, Tally>>());
    let routes = services.get(service);
    if (routes === undefined) services.set(service, routes = new Map<string, Tally>());
    let tally = routes.get(route);
    if (tally === undefined) {
      routes.set(route, tally = newTally());
      this.#groups++;
    }
    return tally;
  }
}

/**
 * Whether a request without an app came as far as rates. What was broken or too slow may have ended before; and whether a client's address or a rate
 * refused it, the record does not say: a configuration without limits of addresses asks the rate in either case.
 */
function reachedLimits(outcome: Outcome, route: Route | undefined): boolean {
  if (outcome === 'rate_limited') return route?.clientIp === false;
  return OUTCOMES[outcome].letThrough || outcome === 'draining';
}

function takeUnit(rate: Rate, timeMs: number): boolean {
  const { bucket } = rate;
  rate.asked++;
  const available = bucket.available(timeMs);
  // once between two times that the bucket is full, units may lie where they are not needed: a burst of them at most
  if (available >= bucket.burst) rate.low = false;
  if (!rate.low && available <= bucket.burst / 2) {
    rate.low = true;
    rate.atMost += bucket.burst;
  }
  if (available < 1) {
    rate.refused++;
    return false;
  }
  bucket.grant(WORKER, 1);
  return true;
}

function bounds(zone: string, atMs: number): { readonly startMs: number; readonly endMs: number } {
  const { startMs, endMs } = dayAt(zone, atMs);
  return { startMs, endMs };
}

const newTally = (): Tally => ({ requests: 0, admitted: 0, refused: {}, newlyRefused: {}, newlyAdmitted: {}, asRecorded: {} });

function addTally(to: Tally, { requests, admitted, refused, newlyRefused, newlyAdmitted, asRecorded }: Tally): void {
  to.requests += requests;
  to.admitted += admitted;
  for (const [counts, more] of [[to.refused, refused], [to.newlyRefused, newlyRefused], [to.newlyAdmitted, newlyAdmitted], [to.asRecorded, asRecorded]] as const) {
    for (const [outcome, count] of Object.entries(more)) add(counts, outcome as Outcome, count);
  }
}

function sumsOf({ requests, admitted, refused, newlyRefused, newlyAdmitted, asRecorded }: Tally): WhatifSums {
  return { requests, admitted, refused, newly_refused: newlyRefused, newly_admitted: newlyAdmitted, as_recorded: asRecorded };
}

function add(counts: Count, outcome: Outcome, count = 1): void {
  counts[outcome] = (counts[outcome] ?? 0) + count;
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
