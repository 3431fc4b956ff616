/**
 * What is asked of a store full of events: every interval and group of the reports, what a dashboard's panels want, one request, and a billing day.
 * Ranges, apps, services and zones are drawn anew each time, by a seed.
 */
import { bucketBounds } from '../../../collector/reports/calendar.js';
import { REPORT_SETTINGS } from '../../../collector/reports/report-store.js';
import type { QueryParams } from '../../../collector/store/store.js';
import { formatRequestId } from '../../../gateway/events/request-id.js';
import type { SeededRandom } from '../seeded-random.js';
import { DAYS, FIRST_MS, QUARTER_MS, streamName, WORKERS, type MadeTime } from './made-time.js';
import { appName, APPS, serviceName, SERVICES } from './made-traffic.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const REPORT_MARK_MS = 100;
export const BILLING_MARK_MS = 1000;
/** Whose days, hours and bills: whole hours from UTC and not, with a clock change within the events and without. */
export const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Pacific/Auckland', 'America/Sao_Paulo'] as const;

/** Where the answer comes from: a path of the collector's API; or statements, one after the other, where the API has none for it yet. */
export type Asked =
  | { readonly path: string }
  | { readonly statements: readonly { readonly sql: string; readonly params: QueryParams }[] };

export interface BenchQuery {
  /** Unique. */
  readonly words: string;
  readonly markMs: number;
  readonly ask: (random: SeededRandom, time: MadeTime) => Asked;
}

const anyZone = (random: SeededRandom): string => ZONES[random.below(ZONES.length)] as string;
/** The busy ones as often as the quiet ones. */
const anyApp = (random: SeededRandom): string => appName(random.below(APPS));
const anyService = (random: SeededRandom): string => serviceName(random.below(SERVICES));
const iso = (ms: number): string => new Date(ms).toISOString();

/** So many local days that lie within the events. */
function localDays(random: SeededRandom, zone: string, days: number): readonly [fromMs: number, toMs: number] {
  const bounds = bucketBounds('day', zone, FIRST_MS + 1, FIRST_MS + DAYS * DAY_MS - 1);
  // the first and the last of them are cut by the events' own bounds, unless all is asked for
  const within = days >= DAYS - 2 ? bounds : bounds.slice(1, -1);
  const first = random.below(Math.max(1, within.length - days));
  return [within[first] as number, within[Math.min(first + days, within.length - 1)] as number];
}

type Values = Readonly<Record<string, string>>;

function report(words: string, interval: string, days: number, more: (random: SeededRandom) => Values = () => ({})): BenchQuery {
  return {
    words, markMs: REPORT_MARK_MS,
    ask: (random) => {
      const zone = anyZone(random);
      const [fromMs, toMs] = localDays(random, zone, days);
      return { path: trafficPath({ from: iso(fromMs), to: iso(toMs), interval, time_zone: zone, ...more(random) }) };
    },
  };
}

const trafficPath = (values: Values): string => `/v1/reports/traffic?${new URLSearchParams(values).toString()}`;

const oneApp = (random: SeededRandom): Values => ({ app: anyApp(random) });
const busiestApp = (): Values => ({ app: appName(0) });
const oneService = (random: SeededRandom): Values => ({ service: anyService(random) });
const by = (group: string) => (): Values => ({ group_by: group });

const SPANS = [['minute', 1, 'a day'], ['hour', 7, 'a week'], ['day', DAYS, `${DAYS} days`]] as const;

/** Every interval of the API with every group that its bound of 50,000 rows lets through. */
const REPORTS: readonly BenchQuery[] = [
  ...SPANS.flatMap(([interval, days, span]): BenchQuery[] => [
    report(`${interval}s of ${span}, all`, interval, days),
    report(`${interval}s of ${span}, one app`, interval, days, oneApp),
    report(`${interval}s of ${span}, the busiest app`, interval, days, busiestApp),
    report(`${interval}s of ${span}, one service`, interval, days, oneService),
    report(`${interval}s of ${span}, by status class`, interval, days, by('status_class')),
    report(`${interval}s of ${span}, one app by route`, interval, days, (random) => ({ ...oneApp(random), group_by: 'route' })),
  ]),
  report('hours of a week, by service', 'hour', 7, by('service')),
  report(`days of ${DAYS} days, by service`, 'day', DAYS, by('service')),
  report('days of a week, by app', 'day', 7, by('app')),
  report(`months of ${DAYS} days, by app`, 'month', DAYS, by('app')),
  report('top apps of a day', 'total', 1, by('app')),
  report('top apps of a week', 'total', 7, by('app')),
  report(`top apps of ${DAYS} days`, 'total', DAYS, by('app')),
  report('top routes of a week', 'total', 7, by('route')),
  {
    words: 'hours of a day that begin at an odd minute, all', markMs: REPORT_MARK_MS,
    ask: (random) => {
      const fromMs = FIRST_MS + random.below((DAYS - 1) * 1440) * 60_000;
      return { path: trafficPath({ from: iso(fromMs), to: iso(fromMs + DAY_MS), interval: 'total' }) };
    },
  },
];

/** Only raw events know these. */
const RAW_REPORTS: readonly BenchQuery[] = [
  report('refusals by reason, 30 days', 'total', 30, by('outcome')),
  report('refusals by reason, days of 30 days, one app', 'day', 30, (random) => ({ ...oneApp(random), group_by: 'outcome' })),
  report('statuses of a day', 'total', 1, by('status')),
  report('methods of a day, one service', 'total', 1, (random) => ({ ...oneService(random), group_by: 'method' })),
  report('targets of a day, one service', 'total', 1, (random) => ({ ...oneService(random), group_by: 'target' })),
  {
    words: 'an hour that begins at an odd second, one app', markMs: REPORT_MARK_MS,
    ask: (random) => {
      const fromMs = FIRST_MS + random.below((DAYS - 1) * 86_400) * 1000 + 1;
      return { path: trafficPath({ from: iso(fromMs), to: iso(fromMs + HOUR_MS), interval: 'total', app: anyApp(random) }) };
    },
  },
];

const HEATMAP_SQL = `SELECT toUnixTimestamp(t.time) AS quarter, sumMap(t.latency) AS n_latency FROM tidegate.traffic_quarter_hour AS t
WHERE t.app = {app:String} AND t.time >= toDateTime({from_s:UInt32}, 'UTC') AND t.time < toDateTime({to_s:UInt32}, 'UTC')
GROUP BY quarter ORDER BY quarter
${REPORT_SETTINGS}`;

const OTHERS: readonly BenchQuery[] = [
  {
    words: 'heatmap of a week, one app', markMs: REPORT_MARK_MS,
    ask: (random) => {
      const [fromMs, toMs] = localDays(random, 'UTC', 7);
      return { statements: [{ sql: HEATMAP_SQL, params: { app: anyApp(random), from_s: fromMs / 1000, to_s: toMs / 1000 } }] };
    },
  },
  { words: 'live numbers', markMs: REPORT_MARK_MS, ask: (random) => ({ path: `/v1/reports/live?time_zone=${encodeURIComponent(anyZone(random))}` }) },
  {
    words: 'completeness of a day', markMs: REPORT_MARK_MS,
    ask: (random) => ({ path: `/v1/completeness?day=${iso(FIRST_MS + random.below(DAYS) * DAY_MS).slice(0, 10)}` }),
  },
  {
    words: 'completeness of each of 30 days', markMs: 500,
    ask: (random) => {
      const first = random.below(Math.max(1, DAYS - 29));
      return { path: `/v1/completeness?from=${iso(FIRST_MS + first * DAY_MS).slice(0, 10)}&to=${iso(FIRST_MS + (first + 30) * DAY_MS).slice(0, 10)}` };
    },
  },
  {
    words: 'one request by its id', markMs: REPORT_MARK_MS,
    ask: (random, time) => {
      const [day, worker] = [random.below(DAYS), random.below(WORKERS)];
      return { path: `/v1/requests/${formatRequestId(streamName(day, worker), random.below(Math.max(1, time.rowsBefore(day, worker, time.beforeDay(day + 1)))))}` };
    },
  },
];

/** What passed all policies: the default of what is billable. Raw events say it themselves, the rollups by what was not refused. */
const BILLING_SQL = (table: string, billable: string): string => `SELECT toString(t.app) AS app, sum(${billable}) AS n_billable FROM tidegate.${table} AS t
WHERE t.time >= toDateTime({from_s:UInt32}, 'UTC') AND t.time < toDateTime({to_s:UInt32}, 'UTC') AND t.app IN {apps:Array(String)}
GROUP BY app ORDER BY app
${REPORT_SETTINGS}`;

/** One date of all apps, each in its own zone: a statement a zone, with the day's bounds as UTC instants. */
function billingDay(words: string, sql: string): BenchQuery {
  return {
    words, markMs: BILLING_MARK_MS,
    ask: (random) => {
      const noonMs = FIRST_MS + (2 + random.below(DAYS - 4)) * DAY_MS + DAY_MS / 2;
      return {
        statements: ZONES.map((zone, i) => {
          const [startMs, endMs] = bucketBounds('day', zone, noonMs, noonMs + 1) as [number, number];
          if (startMs % QUARTER_MS !== 0 || endMs % QUARTER_MS !== 0) throw new Error(`a day of ${zone} is no whole number of quarters`);
          const apps = Array.from({ length: APPS }, (_, app) => app).filter((app) => app % ZONES.length === i).map(appName);
          return { sql, params: { from_s: startMs / 1000, to_s: endMs / 1000, apps } };
        }),
      };
    },
  };
}

const BILLING: readonly BenchQuery[] = [
  billingDay('billing day of all apps, from rollups', BILLING_SQL('traffic_quarter_hour', 't.requests - t.refused')),
  billingDay('billing day of all apps, from raw events', BILLING_SQL('events', 't.billable')),
];

export const QUERIES: readonly BenchQuery[] = [...REPORTS, ...RAW_REPORTS, ...OTHERS, ...BILLING];
