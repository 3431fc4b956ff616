/**
 * What the ledger writes down, one record a line of its journal. The quotas' state is what these records add up to, live and after a
 * restart alike, so there is one way in which state changes: a record is applied.
 */
import type { LimitKey } from '../protocol.js';

export type KeyUnits = readonly (readonly [LimitKey, number])[];

export type LedgerRecord =
  /** A day of an app's quota begins, or (same key) is extended. ms since the epoch. */
  | { readonly t: 'open'; readonly key: LimitKey; readonly startMs: number; readonly endMs: number }
  /** Granted to a stream (positive) or given back by it (negative). */
  | { readonly t: 'grant'; readonly stream: string; readonly units: KeyUnits }
  /** A stream's holding as it declares it: granted and not given back, in all. */
  | { readonly t: 'hold'; readonly stream: string; readonly units: KeyUnits }
  /** What a stream has used of each key in all, as of its event `lastSeq`. Keys that did not change are absent. */
  | { readonly t: 'used'; readonly stream: string; readonly lastSeq: number; readonly units: KeyUnits }
  /** A stream is over: what it used in all; the rest of what it held is back. */
  | { readonly t: 'settled'; readonly stream: string; readonly units: KeyUnits }
  /** What recorded events say of apps that the ledger had no word of: used in all by streams that are over. They are kept account of from here. */
  | { readonly t: 'base'; readonly apps: readonly string[]; readonly settled: KeyUnits }
  /** The store that nodes share counts this day of this node, with so many used units more than were known here. */
  | { readonly t: 'agreed'; readonly key: LimitKey; readonly units: number }
  /** Apps without a quota to refuse by, from here. */
  | { readonly t: 'untrack'; readonly apps: readonly string[] }
  /** The journal was lost: until the next `base`, what is here is not the whole truth. */
  | { readonly t: 'lost' }
  /** No unit of a rate is granted at or after this moment (monotonic ms) without a later record. */
  | { readonly t: 'until'; readonly monotonicMs: number }
  /** Days that are over and settled. */
  | { readonly t: 'drop'; readonly keys: readonly LimitKey[] };

const isString = (value: unknown): value is string => typeof value === 'string';
const isStrings = (value: unknown): boolean => Array.isArray(value) && value.every(isString);
const isUnits = (value: unknown): boolean =>
  Array.isArray(value) && value.every((pair) => Array.isArray(pair) && isString(pair[0]) && Number.isSafeInteger(pair[1]));

const FIELDS: Readonly<Record<LedgerRecord['t'], Readonly<Record<string, (value: unknown) => boolean>>>> = {
  open: { key: isString, startMs: Number.isSafeInteger, endMs: Number.isSafeInteger },
  grant: { stream: isString, units: isUnits },
  hold: { stream: isString, units: isUnits },
  used: { stream: isString, lastSeq: Number.isSafeInteger, units: isUnits },
  settled: { stream: isString, units: isUnits },
  base: { apps: isStrings, settled: isUnits },
  agreed: { key: isString, units: Number.isSafeInteger },
  untrack: { apps: isStrings },
  lost: {},
  until: { monotonicMs: Number.isFinite },
  drop: { keys: isStrings },
};

/** The record, if the value is one. */
export function parseRecord(value: unknown): LedgerRecord | null {
  if (typeof value !== 'object' || value === null) return null;
  const record = value as Record<string, unknown>;
  if (!isString(record['t']) || !Object.hasOwn(FIELDS, record['t'])) return null;
  const fields = FIELDS[record['t'] as LedgerRecord['t']];
  return Object.keys(fields).every((name) => fields[name]?.(record[name])) ? (record as unknown as LedgerRecord) : null;
}
