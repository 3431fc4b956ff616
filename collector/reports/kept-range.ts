/**
 * What of a range is kept. One that begins before the first kept day is answered from that day on, and says so (`clipped`); one that lies wholly before it is refused. Days of
 * imported logs are kept from when they were stored: an older range is answered between them.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import { bucketBounds } from './calendar.js';
import { importedWithin, isImported } from './imported-days.js';
import { REPORT_SETTINGS, type Asker, type ReportStore } from './report-store.js';
import { dayStart } from './time-text.js';
import { needsRaw, type TrafficQuery } from './traffic-query.js';
import { QUARTER_MS, tableOf, type Source } from './traffic-statement.js';

export interface KeptDeps {
  readonly store: ReportStore;
  /** How far back each is kept. */
  kept(): { readonly eventsMs: number; readonly minutesMs: number; readonly quarterHoursMs: number };
  nowMs(): number;
}

export interface KeptRange {
  readonly fromMs: number;
  readonly toMs: number;
  /** The range that was asked for is longer. */
  readonly clipped: boolean;
}

type AskedRange = Pick<TrafficQuery, 'fromMs' | 'toMs' | 'timeZone'>;

const DAY_MS = 86_400_000;

/** Events may be gone before their time where the store's bound on disk took the oldest days: what was counted of them then says so. */
const GONE_SQL = `SELECT toUnixTimestamp(min(t.time)) AS gone_s, toUnixTimestamp((SELECT min(min_time) FROM system.parts WHERE database = 'tidegate' AND table = 'events' AND active)) AS kept_s
FROM tidegate.traffic_quarter_hour AS t
WHERE t.time >= toDateTime({from_s:UInt32}, 'UTC') AND t.time < toDateTime({to_s:UInt32}, 'UTC')
${REPORT_SETTINGS}`;

/** What raw events are needed for. */
export const rawFor = (query: TrafficQuery): string => (needsRaw(query) ? 'these filters or groups' : 'a range that does not begin and end on whole minutes');

/**
 * @param of what raw events are needed for, where they are
 * @throws range_not_kept
 */
export async function keptRange(deps: KeptDeps, asked: AskedRange, source: Source, asker: Asker, of: string): Promise<KeptRange> {
  const kept = deps.kept();
  const earliestMs = deps.nowMs() - (source === 'events' ? kept.eventsMs : source === 'minutes' ? kept.minutesMs : kept.quarterHoursMs);
  const range = await withinRetention(deps, asked, source, asker, earliestMs);
  if (range === null) throw notKept(of, source, earliestMs);
  if (source !== 'events') return range;
  const sinceMs = await eventsSince(deps, range.fromMs, range.toMs, asker);
  if (sinceMs === null) return range;
  // they go by whole days of UTC
  const rest = since(asked.timeZone, range, Math.floor(sinceMs / DAY_MS) * DAY_MS);
  if (rest === null) throw notKept(of, source, sinceMs);
  return rest;
}

/** Null: none of it is kept. */
async function withinRetention({ store }: KeptDeps, asked: AskedRange, source: Source, asker: Asker, earliestMs: number): Promise<KeptRange | null> {
  const { fromMs, toMs, timeZone } = asked;
  const table = tableOf(source);
  if (fromMs >= earliestMs || await isImported(store, asker, table, fromMs, Math.min(toMs, earliestMs))) return { fromMs, toMs, clipped: false };
  if (toMs > earliestMs) return since(timeZone, asked, earliestMs);
  const days = await importedWithin(store, asker, fromMs, toMs);
  if (days === null) return null;
  // whole days of the zone: rows of its days are then not partial
  const imported = { fromMs: Math.max(fromMs, dayStart(timeZone, days.first * DAY_MS)), toMs: Math.min(toMs, bucketBounds('day', timeZone, days.last * DAY_MS, (days.last + 1) * DAY_MS).at(-1) as number) };
  if (imported.fromMs >= imported.toMs || !await isImported(store, asker, table, imported.fromMs, imported.toMs)) return null;
  return { ...imported, clipped: true };
}

/** From the first day of the zone on that is kept whole; where that is too late, from the first quarter of an hour. */
function since(timeZone: string, { fromMs, toMs }: Pick<AskedRange, 'fromMs' | 'toMs'>, sinceMs: number): KeptRange | null {
  const startMs = dayStart(timeZone, sinceMs);
  const wholeMs = startMs === sinceMs ? startMs : bucketBounds('day', timeZone, sinceMs, sinceMs + 1)[1] as number;
  const from = wholeMs < toMs ? wholeMs : Math.ceil(sinceMs / QUARTER_MS) * QUARTER_MS;
  return from < toMs ? { fromMs: Math.max(fromMs, from), toMs, clipped: true } : null;
}

/** Since when raw events are there, ms since the epoch, where older ones of the range have gone before their time; null: none have. */
export async function eventsSince({ store, nowMs }: Pick<KeptDeps, 'store' | 'nowMs'>, fromMs: number, toMs: number, asker: Asker): Promise<number | null> {
  const [row] = await store.query(GONE_SQL, { from_s: Math.floor(fromMs / QUARTER_MS) * 900, to_s: Math.floor(toMs / 1000) }, asker);
  const goneMs = Number(row?.['gone_s'] ?? 0) * 1000;
  const restMs = Number(row?.['kept_s'] ?? 0) * 1000;
  // a quarter of an hour begins up to 15 minutes before the first event in it
  if (goneMs === 0 || (restMs !== 0 && goneMs + QUARTER_MS > restMs)) return null;
  return restMs === 0 ? nowMs() : restMs;
}

function notKept(of: string, source: Source, earliestMs: number): TidegateError {
  const text = new Date(earliestMs).toISOString();
  return new TidegateError('range_not_kept', source === 'events'
    ? `Raw events are kept since ${text}; they are needed for ${of}.`
    : `Counts by ${source === 'minutes' ? 'minute' : 'quarter of an hour'} are kept since ${text}${source === 'minutes' ? '; ask for whole quarters of an hour' : ''}.`);
}
