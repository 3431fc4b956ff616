/** Which days' records are whole: a line a day, with what is wrong. */
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

/** @param all days whose record is whole, too */
export function renderCompleteness(terminal: Terminal, { as_of: asOf, time_zone: timeZone, recorded_from: since, days }: CompletenessRange, all: boolean): string {
  const wrong = days.filter(({ complete }) => !complete);
  const unrecorded = days.filter(({ complete, recorded }) => complete && !recorded);
  const uncompared = days.filter(({ not_compared: notCompared = [] }) => notCompared.length > 0);
  const [first, last] = [days[0]?.day ?? '', days.at(-1)?.day ?? ''];
  const ofAll = days.length === 1 ? `${first} is` : `${wrong.length === 0 ? 'all ' : `${count(wrong.length)} of `}${count(days.length)} days from ${first} to ${last} are`;
  const summary = wrong.length === 0 ? `${ofAll} complete` : `${ofAll} incomplete`;
  return [
    ...(all ? days : wrong).map((day) => dayLines(terminal, day, asOf)),
    `${styled(terminal, wrong.length === 0 ? 'green' : 'yellow', summary)} (${timeZone}, as of ${asOf.slice(0, 16).replace('T', ' ')}Z)\n`,
    unrecorded.length === 0 ? '' : `${count(unrecorded.length)} of them ${unrecorded.length === 1 ? 'is' : 'are'} not recorded${since === undefined || since === null ? '' : `: the record begins ${since.slice(0, 16).replace('T', ' ')}Z`}\n`,
    uncompared.length === 0 ? '' : `${count(uncompared.length)} could not be compared with what was stored: --json says why\n`,
  ].join('');
}

function dayLines(terminal: Terminal, { day, to, complete, recorded, reasons }: CompletenessDay, asOf: string): string {
  if (complete) return `${day}  ${!recorded ? styled(terminal, 'dim', 'not recorded') : styled(terminal, 'green', Date.parse(to) > Date.parse(asOf) ? 'complete so far' : 'complete')}\n`;
  const shown = reasons.slice(0, MOST_REASONS).map((reason, index) => `${index === 0 ? `${day}  ${styled(terminal, 'yellow', 'incomplete:')}` : ' '.repeat(11)} ${printable(reason)}\n`);
  return `${shown.join('')}${reasons.length > MOST_REASONS ? `${' '.repeat(12)}and ${reasons.length - MOST_REASONS} more: --json\n` : ''}`;
}
