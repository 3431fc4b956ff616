/** Which entries a question is about: a month or a range of local dates, and apps. Dates are those of each app's own zone, so a month ends in each app's zone. */
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import type { Principal } from '../reports/principal.js';
import { parseDate as parseLocalDate, type Clock } from '../reports/time-text.js';
import { tenantOf } from '../reports/traffic-query.js';
import type { EntrySelection } from './entry.js';

export const SELECTION = {
  month: Type.Optional(Type.String({ description: 'Local dates of this month, such as 2026-11.' })),
  from: Type.Optional(Type.String({ description: 'In place of month: first local date, such as 2026-11-01, yesterday, monday or 7d.' })),
  to: Type.Optional(Type.String({ description: 'First local date after the range.' })),
  day: Type.Optional(Type.String({ description: 'In place of month, from and to: one local date.' })),
  app: Type.Optional(Type.Array(Type.String({ maxLength: 2048 }), { maxItems: 1000, description: 'Only these apps; repeatable.' })),
};
export const SelectionParameters = Type.Object(SELECTION, { additionalProperties: false });
export type SelectionParameters = Static<typeof SelectionParameters>;

/** As long as any number of days is kept by default. */
const MOST_DAYS = 1100;
const DAY_MS = 86_400_000;

/**
 * @param defaultMonth in place of one where nothing is said; null: something must be
 * @param clock by which `yesterday` is a date
 * @throws invalid_parameter naming the parameter; operator_only where an app asks for another one
 */
export function parseSelection({ month, from, to, day, app = [] }: SelectionParameters, principal: Principal, defaultMonth: string | null, clock: Clock): EntrySelection {
  const own = tenantOf(principal, app);
  const apps = own !== null ? [own] : app.length > 0 ? [...new Set(app)].sort() : null;
  if (month !== undefined && (from !== undefined || to !== undefined)) throw new InvalidParameterError('month', 'does not go with from and to');
  if (day !== undefined) {
    if (month !== undefined || from !== undefined || to !== undefined) throw new InvalidParameterError('day', 'does not go with month, from and to');
    const atMs = parseDate('day', day, clock);
    return { fromDay: dateOf(atMs), toDay: dateOf(atMs + DAY_MS), apps };
  }
  const asked = month ?? (from === undefined && to === undefined ? defaultMonth : undefined);
  if (asked === null) throw new InvalidParameterError('month', 'is missing: a month such as 2026-11, or from and to');
  if (asked !== undefined) return { ...monthDates(asked), apps };
  const [fromMs, toMs] = [parseDate('from', from, clock), parseDate('to', to, clock)];
  if (fromMs >= toMs) throw new InvalidParameterError('from', 'must be before `to`');
  if (toMs - fromMs > MOST_DAYS * DAY_MS) throw new InvalidParameterError('to', `is ${(toMs - fromMs) / DAY_MS} days after from: at most ${MOST_DAYS}`);
  return { fromDay: dateOf(fromMs), toDay: dateOf(toMs), apps };
}

/**
 * @param clock null: a date alone, such as 2026-11-01; what changes a bill is not said as `yesterday`
 * @returns ms since the epoch of the date's midnight in UTC
 * @throws invalid_parameter
 */
export function parseDate(parameter: string, text: string | undefined, clock: Clock | null): number {
  if (text === undefined) throw new InvalidParameterError(parameter, 'is missing: from and to are both needed');
  const date = clock === null ? text : parseLocalDate(parameter, text, clock);
  const atMs = /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN;
  // the 30th of February is read as a day of March
  if (Number.isNaN(atMs) || dateOf(atMs) !== date || !inRange(atMs)) throw new InvalidParameterError(parameter, 'must be a date such as 2026-11-01, from 1971 to 2099');
  return atMs;
}

function monthDates(month: string): Pick<EntrySelection, 'fromDay' | 'toDay'> {
  const startMs = /^\d{4}-\d\d$/.test(month) ? Date.parse(`${month}-01T00:00:00Z`) : Number.NaN;
  if (Number.isNaN(startMs) || !inRange(startMs)) throw new InvalidParameterError('month', 'must be a month such as 2026-11, from 1971 to 2099');
  const start = new Date(startMs);
  return { fromDay: dateOf(startMs), toDay: dateOf(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1)) };
}

const dateOf = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);
/** 2100-01-01 is the first date after a range. */
const inRange = (atMs: number): boolean => atMs >= Date.UTC(1971, 0, 1) && atMs <= Date.UTC(2100, 0, 1);
