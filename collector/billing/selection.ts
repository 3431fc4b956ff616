/** Which entries a question is about: a month or a range of local dates, and apps. Dates are those of each app's own zone, so a month ends in each app's zone. */
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import type { Principal } from '../reports/principal.js';
import { tenantOf } from '../reports/traffic-query.js';
import type { EntrySelection } from './entry.js';

export const SelectionParameters = Type.Object({
  month: Type.Optional(Type.String({ description: 'Such as 2026-11. Default, without from and to: the month under way (UTC).' })),
  from: Type.Optional(Type.String({ description: 'First local date.' })),
  to: Type.Optional(Type.String({ description: 'First local date after the range.' })),
  app: Type.Optional(Type.Array(Type.String(), { description: 'Only these apps.' })),
}, { additionalProperties: false });
export type SelectionParameters = Static<typeof SelectionParameters>;

/** As long as any zone's days are known. */
const MOST_DAYS = 1100;
const DAY_MS = 86_400_000;

/** @throws invalid_parameter naming the parameter; operator_only where an app asks for another one */
export function parseSelection({ month, from, to, app }: SelectionParameters, principal: Principal, nowMs: number): EntrySelection {
  const own = tenantOf(principal, app ?? []);
  const apps = own === null ? app ?? null : [own];
  if (month !== undefined) {
    if (from !== undefined || to !== undefined) throw new InvalidParameterError('month', 'stands alone: without from and to');
    return { ...monthDates(month), apps };
  }
  if (from === undefined && to === undefined) return { ...monthDates(new Date(nowMs).toISOString().slice(0, 7)), apps };
  if (from === undefined) throw new InvalidParameterError('from', 'stands with to: a date such as 2026-11-01');
  if (to === undefined) throw new InvalidParameterError('to', 'stands with from: the first date after the range, such as 2026-12-01');
  const days = (parseDate('to', to) - parseDate('from', from)) / DAY_MS;
  if (days <= 0) throw new InvalidParameterError('to', 'must be later than from: it is the first date after the range');
  if (days > MOST_DAYS) throw new InvalidParameterError('to', `is ${days} days after from: at most ${MOST_DAYS}`);
  return { fromDay: from, toDay: to, apps };
}

/** @returns ms since the epoch of the date's midnight in UTC. @throws invalid_parameter */
export function parseDate(parameter: string, date: string): number {
  const midnightMs = Date.parse(`${date}T00:00:00Z`);
  const year = Number(date.slice(0, 4));
  if (!/^\d{4}-\d\d-\d\d$/.test(date) || Number.isNaN(midnightMs) || year < 1971 || year > 2099 || new Date(midnightMs).toISOString().slice(0, 10) !== date) {
    throw new InvalidParameterError(parameter, 'must be a date such as 2026-11-21, from 1971 to 2099');
  }
  return midnightMs;
}

function monthDates(month: string): Pick<EntrySelection, 'fromDay' | 'toDay'> {
  const [, year, number] = /^(\d{4})-(\d\d)$/.exec(month) ?? [];
  if (Number(year) < 1971 || Number(year) > 2098 || !(Number(number) >= 1 && Number(number) <= 12)) throw new InvalidParameterError('month', 'must be a month such as 2026-11');
  return { fromDay: `${month}-01`, toDay: new Date(Date.UTC(Number(year), Number(number), 1)).toISOString().slice(0, 10) };
}
