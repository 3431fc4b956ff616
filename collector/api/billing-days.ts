/** Days that are billed, over HTTP: what they have come to, and an operator's words on them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { MOST_REASON, type Billing, type ToldDay } from '../billing/billing.js';
import type { OperatorNote } from '../billing/operator-notes.js';
import { parseDate, parseSelection, SELECTION } from '../billing/selection.js';
import type { Principal } from '../reports/principal.js';
import type { ReportStore } from '../reports/report-store.js';

/** What answers of days, and takes an operator's word on them. */
export type Days = Pick<Billing, 'days' | 'notes' | 'close' | 'adjust'>;

export interface BillingDaysDeps {
  readonly days: Days;
  /** The line in which reports wait for the store. */
  readonly line: ReportStore;
  nowMs(): number;
  asOfMs(): number;
  principalOf(request: FastifyRequest): Principal;
  /** @throws operator_only */
  mustBeOperator(request: FastifyRequest, why: string): void;
  goneSignal(reply: FastifyReply): AbortSignal;
  /** Of the app that asks, or is asked about alone. */
  defaultZone(request: FastifyRequest): string;
}

const Close = Type.Object({
  day: Type.String(),
  app: Type.Optional(Type.String()),
  accept_gap: Type.Optional(Type.String()),
  note: Type.Optional(Type.String()),
}, { additionalProperties: false });
const Adjust = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64 }),
  app: Type.String(),
  day: Type.String(),
  requests: Type.Integer(),
  reason: Type.String(),
  note: Type.Optional(Type.String()),
}, { additionalProperties: false });

const DaysParameters = Type.Object({
  ...SELECTION, customer: Type.Optional(Type.Array(Type.String({ maxLength: 2048 }), { maxItems: 1000, description: 'Only entries of these customers; repeatable.' })),
}, { additionalProperties: false });

export function registerBillingDays(server: FastifyInstance, deps: BillingDaysDeps): void {
  server.get<{ Querystring: Static<typeof DaysParameters> }>('/v1/billing/days', { schema: { querystring: DaysParameters } }, async (request, reply) => {
    const principal = deps.principalOf(request);
    const { customer = null, ...asked } = request.query;
    const selection = parseSelection(asked, principal, new Date(deps.nowMs()).toISOString().slice(0, 7), { nowMs: deps.nowMs(), timeZone: deps.defaultZone(request) });
    const signal = deps.goneSignal(reply);
    const days = await deps.line.turn({ principal, signal }, () => deps.days.days(selection, customer, signal));
    // not for a token that only reads: a billing system may hold one
    const notes = principal.kind === 'operator' && principal.reader === undefined ? await deps.line.turn({ principal, signal }, () => deps.days.notes.of(selection)) : [];
    return { as_of: new Date(deps.asOfMs()).toISOString(), from: selection.fromDay, to: selection.toDay, days: notes.length === 0 ? days : withNotes(days, notes) };
  });

  server.post<{ Body: Static<typeof Close> }>('/v1/billing/close', { schema: { body: Close } }, async (request) => {
    deps.mustBeOperator(request, 'It changes bills.');
    const { day, app = null, accept_gap: acceptGap, note } = request.body;
    parseDate('day', day, null);
    return { closed: await deps.days.close(day, app, acceptGap === undefined ? null : words('accept_gap', acceptGap), note === undefined ? null : words('note', note)) };
  });

  server.post<{ Body: Static<typeof Adjust> }>('/v1/billing/adjust', { schema: { body: Adjust } }, (request) => {
    deps.mustBeOperator(request, 'It changes bills.');
    const { note, ...asked } = request.body;
    const { day, reason } = asked;
    parseDate('day', day, null);
    return deps.days.adjust({ ...asked, reason: words('reason', reason), ...(note === undefined ? {} : { note: words('note', note) }) });
  });
}

function withNotes(days: readonly ToldDay[], notes: readonly OperatorNote[]): readonly ToldDay[] {
  const byEntry = new Map<string, { readonly at: string; readonly note: string }[]>();
  for (const { entry_id: id, ...note } of notes) byEntry.set(id, [...byEntry.get(id) ?? [], note]);
  return days.map((day) => {
    const own = byEntry.get(day.entry_id);
    return own === undefined ? day : { ...day, notes: own };
  });
}

/** They stand for ever. @throws invalid_parameter */
function words(parameter: string, text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') throw new InvalidParameterError(parameter, 'says why, and stands for ever');
  if (trimmed.length > MOST_REASON) throw new InvalidParameterError(parameter, `is longer than ${MOST_REASON} characters`);
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(trimmed)) throw new InvalidParameterError(parameter, 'is one line of text');
  return trimmed;
}
