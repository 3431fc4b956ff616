/**
 * What was pushed to whom, so that a second push is safe for ever, from whichever machine. Receivers keep ids unique for a time only, so what was sent and never
 * answered may be sent again within that time, and afterwards by an operator's word alone.
 */
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import type { Store } from '../store/store.js';

/**
 * intend: the entries are about to be sent. received: the receiver has them. not_taken: it said no, or never got them, in this attempt. resend: an operator says
 * that it has not got them. assume_received: an operator says that it has. look: nothing is noted.
 */
export const RECEIPT_ACTIONS = ['intend', 'received', 'not_taken', 'resend', 'assume_received', 'look'] as const;

/** Of one request: as a statement's parameter they stand in a URL. */
export const MOST_OF_A_NOTE = 200;

export const ReceiptsBody = Type.Object({
  target: Type.String({ minLength: 1, maxLength: 2048 }),
  action: Type.Enum([...RECEIPT_ACTIONS]),
  entry_ids: Type.Array(Type.String({ pattern: '^[0-9a-f]{32}$' }), { minItems: 1, maxItems: MOST_OF_A_NOTE, uniqueItems: true }),
  /** Of one batch of one run. */
  attempt: Type.Optional(Type.String({ maxLength: 64 })),
  /** How long the receiver remembers an id, s; absent: for ever. */
  window_seconds: Type.Optional(Type.Number({ minimum: 3600, maximum: 315_360_000 })),
  status: Type.Optional(Type.Integer({ minimum: 0, maximum: 999 })),
  detail: Type.Optional(Type.String({ maxLength: 2000 })),
}, { additionalProperties: false });
export type ReceiptsBody = Static<typeof ReceiptsBody>;

/** send: it may be sent. unknown: it was sent since `since`, nobody knows whether it came, and the receiver would not know it again. */
export interface Standing { readonly entry_id: string; readonly standing: 'send' | 'received' | 'unknown'; readonly since: string | null }

export interface ReceiptNote { readonly entry_id: string; readonly at_ms: number; readonly action: string; readonly attempt: string }

/** What is sent at the window's very end may come behind it; and clocks of several machines differ. */
const MARGIN_MS = 600_000;

export class Receipts {
  readonly #store: Pick<Store, 'command' | 'query'>;
  readonly #nowMs: () => number;

  constructor(store: Pick<Store, 'command' | 'query'>, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /**
   * Notes what is done, on disk before it returns.
   * @returns of `intend`, what may be sent; of the others, what stands now
   */
  async note(body: ReceiptsBody): Promise<{ readonly standings: readonly Standing[] }> {
    const { target, action, entry_ids: ids, attempt = '', window_seconds: window, status = 0, detail = '' } = body;
    if ((action === 'intend' || action === 'not_taken') && attempt === '') throw new InvalidParameterError('attempt', `is needed for ${action}`);
    const nowMs = this.#nowMs();
    const windowMs = window === undefined ? Number.POSITIVE_INFINITY : window * 1000;
    let noted: readonly string[] = action === 'look' ? [] : ids;
    if (action === 'intend') noted = (await this.#standings(target, ids, nowMs, windowMs)).filter(({ standing }) => standing === 'send').map(({ entry_id: id }) => id);
    if (noted.length > 0) {
      await this.#store.command(
        `INSERT INTO tidegate.billing_receipts (target, entry_id, at, action, attempt, status, detail)
         SELECT {target:String}, arrayJoin({ids:Array(String)}), fromUnixTimestamp64Milli({at:Int64}, 'UTC'), {action:String}, {attempt:String}, {status:UInt16}, {detail:String}`,
        { target, ids: noted, at: nowMs, action, attempt, status, detail });
    }
    if (action !== 'intend') return { standings: await this.#standings(target, ids, nowMs, windowMs) };
    // what stands now, those of other machines included that were noted meanwhile: each that may be sent is noted by now
    const after = await this.#standings(target, ids, nowMs, windowMs);
    return { standings: after.map((one) => (one.standing === 'send' && !noted.includes(one.entry_id) ? { ...one, standing: 'unknown' } : one)) };
  }

  async #standings(target: string, ids: readonly string[], nowMs: number, windowMs: number): Promise<Standing[]> {
    const notes = await this.#store.query<ReceiptNote>(
      `SELECT r.entry_id AS entry_id, toUnixTimestamp64Milli(r.at) AS at_ms, toString(r.action) AS action, r.attempt AS attempt
       FROM tidegate.billing_receipts AS r WHERE r.target = {target:String} AND r.entry_id IN {ids:Array(String)}`, { target, ids });
    const byEntry = new Map<string, ReceiptNote[]>();
    for (const note of notes) byEntry.set(note.entry_id, [...byEntry.get(note.entry_id) ?? [], note]);
    return ids.map((id) => standingOf(id, byEntry.get(id) ?? [], nowMs, windowMs));
  }
}

/** What stands of an entry, from its notes in any order. */
export function standingOf(id: string, notes: readonly ReceiptNote[], nowMs: number, windowMs: number): Standing {
  if (notes.some(({ action }) => action === 'received' || action === 'assume_received')) return { entry_id: id, standing: 'received', since: null };
  const wordMs = Math.max(Number.NEGATIVE_INFINITY, ...notes.filter(({ action }) => action === 'resend').map(({ at_ms: atMs }) => atMs));
  const settled = new Set(notes.filter(({ action }) => action === 'not_taken').map(({ attempt }) => attempt));
  // another machine's attempt may have come where this one was refused: each stands for itself, and the oldest counts
  const pending = notes.filter(({ action, at_ms: atMs, attempt }) => action === 'intend' && atMs >= wordMs && !settled.has(attempt)).map(({ at_ms: atMs }) => atMs);
  if (pending.length === 0) return { entry_id: id, standing: 'send', since: null };
  const sinceMs = Math.min(...pending);
  return { entry_id: id, standing: nowMs < sinceMs + windowMs - MARGIN_MS ? 'send' : 'unknown', since: new Date(sinceMs).toISOString() };
}
