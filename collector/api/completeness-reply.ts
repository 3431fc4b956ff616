/** `GET /v1/completeness`: of one day all that is known of it; of several, a line each. */
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { iso } from '../completeness/completeness.js';
import { bucketBounds, formatInstant } from '../reports/calendar.js';
import { isRecorded, toldTo, type CompletenessAnswer, type CompletenessAnswers } from '../reports/completeness-answers.js';
import type { Asker } from '../reports/report-store.js';
import { dayStart, parseDay, parseInstant, type Clock } from '../reports/time-text.js';

export const CompletenessParameters = Type.Object({
  day: Type.Optional(Type.String({ maxLength: 100, description: 'Such as 2026-11-21, yesterday or monday. Default, without from: today.' })),
  from: Type.Optional(Type.String({ maxLength: 100, description: 'In place of day, each day from this one on: a day, how long ago (30d), or an RFC 3339 instant.' })),
  to: Type.Optional(Type.String({ maxLength: 100, description: 'First instant after the range, written as `from`. Default: now.' })),
  time_zone: Type.Optional(Type.String({ description: 'Whose days. Default: the app\'s own zone, else UTC.' })),
}, { additionalProperties: false });
export type CompletenessParameters = Static<typeof CompletenessParameters>;

/** Of a range: as long as billing days may be asked of. */
const MAX_DAYS = 1100;
const DAY_MS = 86_400_000;

/** @throws invalid_parameter; as CompletenessAnswers */
export async function completenessReply(answers: CompletenessAnswers, { day, from, to }: CompletenessParameters, clock: Clock, asker: Asker): Promise<object> {
  if (from === undefined) {
    if (to !== undefined) throw new InvalidParameterError('to', 'goes with from');
    return ofDay(answers, day ?? 'today', clock, asker);
  }
  if (day !== undefined) throw new InvalidParameterError('day', 'does not go with from and to');
  const { timeZone } = clock;
  const bounds = boundsOf(from, to, clock);
  const spans = bounds.slice(0, -1).map((fromMs, index) => ({ fromMs, toMs: bounds[index + 1] as number }));
  const judged = await answers.ofEach(spans, asker);
  const days = spans.map(({ fromMs, toMs }, index) => {
    const answer = judged[index] as CompletenessAnswer;
    const { complete, reasons, dropped } = toldTo(asker.principal, answer);
    const told = { day: formatInstant(fromMs, timeZone).slice(0, 10), from: iso(fromMs), to: iso(toMs), complete, recorded: isRecorded(answer, { fromMs, toMs }, clock.nowMs), reasons, dropped };
    // streams are told of one day alone
    const { streams, as_of: asOf, recorded_from: since, ...rest } = answer;
    return asker.principal.kind === 'app' ? told : { ...rest, ...told };
  });
  const { as_of: asOf, recorded_from: since = null } = judged[0] as CompletenessAnswer;
  return { as_of: asOf, from: iso(bounds[0] as number), to: iso(bounds.at(-1) as number), time_zone: timeZone, recorded_from: since, complete: days.every(({ complete }) => complete), days };
}

async function ofDay(answers: CompletenessAnswers, text: string, clock: Clock, asker: Asker): Promise<object> {
  const { date, startMs: fromMs, endMs: toMs } = parseDay('day', text, clock);
  const answer = await answers.of(fromMs, toMs, asker);
  const { complete, reasons, dropped } = toldTo(asker.principal, answer);
  const day = { day: date, time_zone: clock.timeZone, from: iso(fromMs), to: iso(toMs), recorded: isRecorded(answer, { fromMs, toMs }, clock.nowMs) };
  // streams carry names of nodes and all apps' counts
  return asker.principal.kind === 'app' ? { ...day, as_of: answer.as_of, recorded_from: answer.recorded_from ?? null, complete, reasons, dropped } : { ...day, ...answer, dropped };
}

/** Whole days of the zone: each that the range has a part of. @throws invalid_parameter */
function boundsOf(from: string, to: string | undefined, clock: Clock): readonly number[] {
  const fromMs = parseInstant('from', from, clock);
  const toMs = to === undefined ? Math.max(clock.nowMs, fromMs + 1) : parseInstant('to', to, clock);
  if (fromMs >= toMs) throw new InvalidParameterError('from', 'must be before `to`');
  // the one that is further away
  const tooLong = (days: number): InvalidParameterError => new InvalidParameterError(toMs - clock.nowMs > clock.nowMs - fromMs ? 'to' : 'from', `the range has ${days} days; at most ${MAX_DAYS}`);
  // a day more than so many times 24 h holds parts of, and the zone's own shifts: the calendar is read for a range near the limit alone
  const roughly = Math.ceil((toMs - fromMs) / DAY_MS);
  if (roughly > MAX_DAYS + 2) throw tooLong(roughly);
  const bounds = bucketBounds('day', clock.timeZone, dayStart(clock.timeZone, fromMs), toMs);
  if (bounds.length - 1 > MAX_DAYS) throw tooLong(bounds.length - 1);
  return bounds;
}
