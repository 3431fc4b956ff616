/** `POST /v1/whatif`: what other limits, quotas and allowed services would have done to the requests of a range. They are read in pieces, and run through gateway/whatif. */
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Outcome } from '../../gateway/events/outcomes.js';
import { Replay, type WhatifLimit, type WhatifSums } from '../../gateway/whatif/replay.js';
import type { LimitRules, WhatifQuestion } from '../../gateway/whatif/rules.js';
import { bucketBounds, isTimeZone } from './calendar.js';
import { toldTo } from './completeness-answers.js';
import { MAX_ROWS, REPORT_SETTINGS, type Asker, type Row } from './report-store.js';
import { eventsSince } from './kept-range.js';
import { parseInstant } from './time-text.js';
import type { TrafficDeps } from './traffic.js';

/** Recorded requests of a range: it takes minutes. */
export const MAX_REQUESTS = 20_000_000;
/**
 * What one turn at the store brings into memory: some 60 MB. The table is ordered by stream, so each turn looks at the times of the whole day: 40 ms on a day of 12,000,000 events.
 * A million requests take 4.2 s together.
 */
const PAGE_ROWS = 50_000;
const FIRST_WINDOW_MS = 60_000;

export interface WhatifAnswer {
  /** Of the rules. */
  readonly version: string;
  readonly from: string;
  readonly to: string;
  /** Everything admitted and answered before this is in the numbers. */
  readonly as_of: string;
  /** As in a traffic report, from the first day's begin on. */
  readonly complete: boolean;
  readonly missing: readonly string[];
  readonly totals: WhatifSums;
  /** By app, service and route. */
  readonly rows: readonly ({ readonly app: string; readonly service: string; readonly route: string } & WhatifSums)[];
  readonly limits: readonly WhatifLimit[];
  /** In words: what the numbers leave out. */
  readonly not_simulated: readonly string[];
}

/** IANA has some 600 names, aliases among them. */
const MOST_ZONES = 700;

/** A request's own row; interim rows and those of imported logs are of another kind. */
const RANGE = "t.time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND t.time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AND t.kind = 'request'";

const COUNT_SQL = `SELECT count() AS n FROM tidegate.events AS t WHERE ${RANGE}
${REPORT_SETTINGS}`;

/** What quotas had counted. */
const COUNTED_SQL = `SELECT toString(t.app) AS app_name, sum(t.requests) AS n FROM tidegate.events AS t
WHERE ${RANGE} AND t.counted = 1
GROUP BY t.app
${REPORT_SETTINGS}`;

/** In the order of admission, as far as the record tells it: requests of one millisecond by stream and ordinal. */
const pageSql = (rows: number): string => `SELECT toUnixTimestamp64Milli(t.time) AS time_ms, toString(t.stream) AS stream_id, toString(t.ordinal) AS ordinal_text,
  toString(t.app) AS app_name, toString(t.service) AS service_name, toString(t.route) AS route_name, toString(t.outcome) AS outcome_name, toUInt32(least(t.duration_us, 4294967295)) AS duration
FROM tidegate.events AS t
WHERE ${RANGE} AND (t.time, t.stream, t.ordinal) > (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), {after_stream:UInt64}, {after_ordinal:UInt64})
ORDER BY t.time, t.stream, t.ordinal
LIMIT ${rows}
${REPORT_SETTINGS}`;

/** @throws invalid_parameter, range_not_kept, report_too_large, report_busy, and what the store throws */
export async function whatif(deps: TrafficDeps, question: WhatifQuestion, asked: Asker, pageRows = PAGE_ROWS): Promise<WhatifAnswer> {
  const rules = withFewZones(question.rules);
  // of all apps, whose zones differ
  const clock = { nowMs: deps.nowMs(), timeZone: 'UTC' };
  const fromMs = parseInstant('from', question.from, clock);
  const toMs = parseInstant('to', question.to, clock);
  if (fromMs >= toMs) throw new InvalidParameterError('from', 'must be before `to`');
  // of many turns, of which none may be refused half way
  const end = deps.store.beginStream(asked.principal);
  try {
    const asker: Asker = { ...asked, streams: true };
    const days = daysBefore(rules, fromMs);
    const sinceMs = Math.min(fromMs, ...days.keys());
    await requireKept(deps, sinceMs, fromMs, toMs, asker);
    const [row] = await deps.store.query(COUNT_SQL, { from_ms: fromMs, to_ms: toMs }, asker);
    if (Number(row?.['n']) > MAX_REQUESTS) throw new TidegateError('report_too_large', `The range has ${Number(row?.['n'])} requests; at most ${MAX_REQUESTS}.`);
    const asOfMs = deps.asOfMs();
    const verdict = toldTo(asker.principal, await deps.completeness(sinceMs, toMs, asker));
    const counted = await countedBefore(deps, days, fromMs, asker);
    const replay = new Replay(rules, fromMs, (app) => counted.get(app) ?? 0);
    await run(deps, replay, fromMs, toMs, asker, pageRows);
    const totals = replay.totals();
    return {
      version: rules.version, from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString(), as_of: new Date(asOfMs).toISOString(),
      complete: verdict.complete, missing: verdict.reasons, totals, rows: replay.rows(), limits: replay.limits(), not_simulated: notSimulated(rules, totals),
    };
  } finally {
    end();
  }
}

/**
 * Each zone in one spelling: the clock's rules of each are read once, and a question could spell them in as many ways as it has apps.
 * @throws invalid_parameter: more than there are
 */
function withFewZones(rules: LimitRules): LimitRules {
  const spellings = new Map<string, string>();
  const apps = rules.apps.map((app) => {
    const plain = app.time_zone.toLowerCase();
    const spelled = spellings.get(plain) ?? app.time_zone;
    spellings.set(plain, spelled);
    return { ...app, time_zone: spelled };
  });
  if (spellings.size > MOST_ZONES) throw new InvalidParameterError('rules', `${spellings.size} time zones: there are no more than ${MOST_ZONES}`);
  return { ...rules, apps };
}

/** Where the days begin that hold `fromMs`, with the apps whose quotas go by them. @throws invalid_parameter */
function daysBefore(rules: LimitRules, fromMs: number): Map<number, string[]> {
  const starts = new Map<string, number>();
  const days = new Map<number, string[]>();
  for (const { name, time_zone: zone, qpd } of rules.apps) {
    if (!isTimeZone(zone)) throw new InvalidParameterError('rules', `${zone}, the time_zone of ${name}, is no IANA name`);
    if (qpd === undefined) continue;
    const startMs = starts.get(zone) ?? bucketBounds('day', zone, fromMs, fromMs + 1)[0] ?? fromMs;
    starts.set(zone, startMs);
    const apps = days.get(startMs);
    if (apps === undefined) days.set(startMs, [name]);
    else apps.push(name);
  }
  return days;
}

async function requireKept(deps: TrafficDeps, sinceMs: number, fromMs: number, toMs: number, asker: Asker): Promise<void> {
  const earliestMs = deps.nowMs() - deps.kept().eventsMs;
  const keptMs = sinceMs < earliestMs ? earliestMs : await eventsSince(deps, sinceMs, toMs, asker);
  if (keptMs === null) return;
  const day = sinceMs < fromMs ? `; the day that holds \`from\` begins ${new Date(sinceMs).toISOString()} for an app with a quota, and what was counted in it is needed too` : '';
  throw new TidegateError('range_not_kept', `Raw events are kept since ${new Date(keptMs).toISOString()}${day}.`);
}

async function countedBefore({ store }: TrafficDeps, days: ReadonlyMap<number, readonly string[]>, fromMs: number, asker: Asker): Promise<Map<string, number>> {
  const counted = new Map<string, number>();
  for (const [startMs, apps] of days) {
    if (startMs >= fromMs) continue;
    const rows = await store.query(COUNTED_SQL, { from_ms: startMs, to_ms: fromMs }, asker);
    const counts = new Map(rows.map((row) => [String(row['app_name']), Number(row['n'])]));
    for (const app of apps) counted.set(app, counts.get(app) ?? 0);
  }
  return counted;
}

/** By windows that hold about a page: the store sorts what is in one, for each page of it. */
async function run({ store }: TrafficDeps, replay: Replay, fromMs: number, toMs: number, asker: Asker, pageRows: number): Promise<void> {
  const sql = pageSql(pageRows);
  let windowMs = FIRST_WINDOW_MS;
  let after = { after_ms: fromMs - 1, after_stream: '0', after_ordinal: '0' };
  for (let startMs = fromMs; startMs < toMs;) {
    const endMs = Math.min(toMs, startMs + windowMs);
    const rows = await store.query(sql, { from_ms: startMs, to_ms: endMs, ...after }, asker);
    for (const row of rows) replay.take(requestOf(row));
    if (replay.groups > MAX_ROWS) throw new TidegateError('report_too_large', `The range has requests of more than ${MAX_ROWS} combinations of app, service and route.`);
    const last = rows.length < pageRows ? undefined : rows.at(-1);
    if (last === undefined) {
      startMs = endMs;
      if (rows.length < pageRows / 4) windowMs *= 2;
      continue;
    }
    after = { after_ms: Number(last['time_ms']), after_stream: String(last['stream_id']), after_ordinal: String(last['ordinal_text']) };
    startMs = after.after_ms;
    windowMs = Math.max(1, Math.floor(windowMs / 2));
  }
}

function requestOf(row: Row): Parameters<Replay['take']>[0] {
  return {
    timeMs: Number(row['time_ms']), durationUs: Number(row['duration']), app: row['app_name'] as string, service: row['service_name'] as string, route: row['route_name'] as string,
    outcome: row['outcome_name'] as Outcome,
  };
}

function notSimulated(rules: LimitRules, totals: WhatifSums): string[] {
  const kept = Object.entries(totals.as_recorded);
  return [
    'Rates begin full at the range\'s begin. Where a limit is reached, the gateway may refuse more than this by what lies with its workers: limits[].at_most.',
    ...(rules.services.some(({ client_ip: limited }) => limited) ? ['Limits of client addresses: the record keeps networks, not addresses.'] : []),
    ...(kept.length > 0 ? [`${kept.reduce((sum, [, count]) => sum + count, 0)} requests stay as recorded (${kept.map(([outcome, count]) => `${outcome} ${count}`).join(', ')}): refused before limits are asked, or it is not known whose they were.`] : []),
    ...((totals.refused.route_not_found ?? 0) > 0 ? ['Requests of routes that are gone are taken for route_not_found; whether another route would match them the record cannot tell.'] : []),
    ...(Object.keys(totals.newly_admitted).length > 0 ? ['Requests that were refused and would be let through are taken to count against quotas: what they would have come to is not known.'] : []),
  ];
}
