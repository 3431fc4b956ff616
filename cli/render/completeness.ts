/** Which days' records are whole: a line for each that is not, with what is wrong, and how many there are of each kind. */
import { count } from './figures.js';
import { printable, styled, type Terminal } from './terminal.js';

/** As `GET /v1/completeness` answers of a day, as far as it is shown. */
export interface CompletenessDay {
  readonly day: string;
  readonly to: string;
  readonly complete: boolean;
  /** False: the record had not begun, or the day has not. */
  readonly recorded: boolean;
  readonly reasons: readonly string[];
  /** The operator's. */
  readonly not_compared?: readonly string[];
}

/** Of a range. */
export interface CompletenessRange {
  readonly as_of: string;
  readonly time_zone: string;
  readonly complete: boolean;
  readonly recorded_from?: string | null;
  readonly days: readonly CompletenessDay[];
}

const MOST_REASONS = 5;

/** Each day is of one: what is missing from it counts before what nobody could compare, and a day without a record is neither. */
const KINDS = ['complete', 'incomplete', 'not compared', 'not recorded'] as const;

function kindOf({ complete, recorded, not_compared: notCompared = [] }: CompletenessDay): (typeof KINDS)[number] {
  if (!complete) return 'incomplete';
  if (!recorded) return 'not recorded';
  return notCompared.length > 0 ? 'not compared' : 'complete';
}

/** Every day of which there is a record is complete and compared with what was stored, and there is one. */
export function isProven(days: readonly CompletenessDay[]): boolean {
  const kinds = new Set(days.map(kindOf));
  return kinds.has('complete') && !kinds.has('incomplete') && !kinds.has('not compared');
}

/** @param all days that are complete or not recorded, too */
export function renderCompleteness(terminal: Terminal, { as_of: asOf, time_zone: timeZone, recorded_from: since, days }: CompletenessRange, all: boolean): string {
  const kinds = KINDS.flatMap((kind) => {
    const of = days.filter((day) => kindOf(day) === kind).length;
    return of === 0 ? [] : [{ kind, of }];
  });
  const has = (wanted: (typeof KINDS)[number]): boolean => kinds.some(({ kind }) => kind === wanted);
  const [first, last] = [days[0]?.day ?? '', days.at(-1)?.day ?? ''];
  const [only] = kinds.length === 1 ? kinds : [];
  const summary = days.length === 1 ? `${first} is ${only?.kind ?? ''}`
    : only !== undefined ? `all ${count(days.length)} days from ${first} to ${last} are ${only.kind}`
    : `${count(days.length)} days from ${first} to ${last}: ${kinds.map(({ kind, of }) => `${count(of)} ${kind}`).join(', ')}`;
  const before = since !== undefined && since !== null && days.some((day) => kindOf(day) === 'not recorded' && day.to <= since);
  return [
    ...days.filter((day) => all || ['incomplete', 'not compared'].includes(kindOf(day))).map((day) => dayLines(terminal, day, asOf)),
    `${styled(terminal, isProven(days) ? 'green' : 'yellow', summary)} (${timeZone}, as of ${asOf.slice(0, 16).replace('T', ' ')}Z)\n`,
    before ? `the record begins ${since.slice(0, 16).replace('T', ' ')}Z\n` : '',
    has('not compared') ? 'not compared with what was stored: --json says why\n' : '',
  ].join('');
}

function dayLines(terminal: Terminal, day: CompletenessDay, asOf: string): string {
  const { to, reasons } = day;
  const kind = kindOf(day);
  if (kind === 'complete') return `${day.day}  ${styled(terminal, 'green', Date.parse(to) > Date.parse(asOf) ? 'complete so far' : 'complete')}\n`;
  if (kind !== 'incomplete') return `${day.day}  ${styled(terminal, kind === 'not recorded' ? 'dim' : 'yellow', kind)}\n`;
  const shown = reasons.slice(0, MOST_REASONS).map((reason, index) => `${index === 0 ? `${day.day}  ${styled(terminal, 'yellow', 'incomplete:')}` : ' '.repeat(11)} ${printable(reason)}\n`);
  return `${shown.join('')}${reasons.length > MOST_REASONS ? `${' '.repeat(12)}and ${reasons.length - MOST_REASONS} more: --json\n` : ''}`;
}
