/** `GET /v1/reports/live`: the live numbers as JSON, once or as a stream of server-sent events, one a second. */
import type { LiveCount, LiveCounters, LiveNumbers } from '../counters/live-counters.js';
import { formatInstant } from './calendar.js';
import type { Principal } from './principal.js';

export interface LiveReport {
  readonly as_of: string;
  /** Whose today the counts are of. */
  readonly time_zone: string;
  readonly day: string;
  /** Of all that the asker may see: the whole site, or the one app. */
  readonly site: LiveCount;
  /** By name, in the order of names; requests that no route matched have no service, unauthenticated ones no app. */
  readonly services: Readonly<Record<string, LiveCount>>;
  readonly apps: Readonly<Record<string, LiveCount>>;
}

export async function liveReport(counters: LiveCounters, principal: Principal, timeZone: string): Promise<LiveReport> {
  return report(await counters.read(timeZone), principal, timeZone);
}

function report(numbers: LiveNumbers, principal: Principal, timeZone: string): LiveReport {
  const site = none();
  const services = new Map<string, LiveCount>();
  const apps = new Map<string, LiveCount>();
  for (const [app, byService] of numbers.counts) {
    if (principal.kind === 'app' && app !== principal.app) continue;
    for (const [service, count] of byService) {
      add(site, count);
      if (service !== '') addTo(services, service, count);
      if (app !== '') addTo(apps, app, count);
    }
  }
  return {
    as_of: formatInstant(numbers.asOfMs, timeZone), time_zone: timeZone, day: formatInstant(numbers.dayStartMs, timeZone).slice(0, 10),
    site: rounded(site), services: inOrder(services), apps: inOrder(apps),
  };
}

const none = (): LiveCount => ({ qps: 0, requests: 0, errors: 0, refused: 0 });

function add(sum: LiveCount, count: LiveCount): void {
  sum.qps += count.qps;
  sum.requests += count.requests;
  sum.errors += count.errors;
  sum.refused += count.refused;
}

function addTo(sums: Map<string, LiveCount>, name: string, count: LiveCount): void {
  const sum = sums.get(name) ?? none();
  sums.set(name, sum);
  add(sum, count);
}

const rounded = (count: LiveCount): LiveCount => ({ ...count, qps: Number(count.qps.toFixed(1)) });

function inOrder(sums: ReadonlyMap<string, LiveCount>): Record<string, LiveCount> {
  // fromEntries defines own properties: a service named __proto__ is a name like any other
  return Object.fromEntries([...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => [name, rounded(count)]));
}

/** One server-sent event (HTML standard, section 9.2). */
export function liveEvent(live: LiveReport): string {
  return `data: ${JSON.stringify(live)}\n\n`;
}
