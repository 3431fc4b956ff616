/**
 * Where a page of a report ended. A cursor holds the range and the last row's place in the order of rows, and is good for the question that it was given to: who
 * asks, groups and filters are not in it, so that one that was made up, or is another app's, leads to no row that could not be asked for without it.
 */
import { createHash } from 'node:crypto';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { EARLIEST_MS, LATEST_MS } from './calendar.js';
import type { TrafficQuery } from './traffic-query.js';

/** A row's place: the start of its bucket in seconds since the epoch, then what tells rows of a bucket apart, as the engine orders it. */
export interface Position {
  readonly bucket: number;
  readonly keys: readonly (string | number)[];
}

export interface Cursor {
  readonly fromMs: number;
  readonly toMs: number;
  readonly position: Position;
  /** Whether it was made of this question. */
  fits(query: TrafficQuery): boolean;
}

export function writeCursor(query: TrafficQuery, { bucket, keys }: Position): string {
  return Buffer.from(JSON.stringify([query.fromMs, query.toMs, fingerprint(query), bucket, ...keys])).toString('base64url');
}

/** @throws invalid_parameter */
export function readCursor(text: string): Cursor {
  const [fromMs, toMs, made, bucket, ...keys] = parsed(text);
  if (!isInstant(fromMs) || !isInstant(toMs) || typeof made !== 'string' || !isSecond(bucket) || !keys.every(isKey)) throw new InvalidParameterError('cursor', 'is none of `next`');
  return {
    fromMs, toMs, position: { bucket, keys },
    fits: (query) => made === fingerprint(query) && query.fromMs === fromMs && query.toMs === toMs
      && keys.length === query.groupBy.length && query.groupBy.every((group, i) => (typeof keys[i] === 'number') === isNumber(group)),
  };
}

/** @throws invalid_parameter */
function parsed(text: string): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    value = null;
  }
  if (!Array.isArray(value)) throw new InvalidParameterError('cursor', 'is none of `next`');
  return value as readonly unknown[];
}

/** A call's place, newest or slowest first: no two have the same. */
export interface CallPosition {
  readonly timeMs: number;
  readonly durationUs: number;
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly ordinal: number;
}

export interface CallCursor {
  readonly fromMs: number;
  readonly toMs: number;
  readonly position: CallPosition;
  fits(query: TrafficQuery, more: string): boolean;
}

/** @param more what else decides which calls there are, and in which order */
export function writeCallCursor(query: TrafficQuery, more: string, { timeMs, durationUs, stream, ordinal }: CallPosition): string {
  return Buffer.from(JSON.stringify([query.fromMs, query.toMs, fingerprint(query, more), timeMs, durationUs, stream, ordinal])).toString('base64url');
}

/** @throws invalid_parameter */
export function readCallCursor(text: string): CallCursor {
  const [fromMs, toMs, made, timeMs, durationUs, stream, ordinal] = parsed(text);
  if (!isInstant(fromMs) || !isInstant(toMs) || typeof made !== 'string' || !isInstant(timeMs) || typeof stream !== 'string' || !/^[0-9a-f]{16}$/.test(stream) || !isCount(ordinal) || !isCount(durationUs)) {
    throw new InvalidParameterError('cursor', 'is none of `next`');
  }
  return { fromMs, toMs, position: { timeMs, durationUs, stream, ordinal }, fits: (query, more) => made === fingerprint(query, more) && query.fromMs === fromMs && query.toMs === toMs };
}

/** How the engine answers a group: as a number, or as a text. */
export const isNumber = (group: TrafficQuery['groupBy'][number]): boolean => group === 'status' || group === 'status_class';

const isInstant = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= EARLIEST_MS && (value as number) <= LATEST_MS;
/** A bucket may begin before 1971. */
const isSecond = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) * 1000 <= LATEST_MS;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isKey = (value: unknown): value is string | number => typeof value === 'string' || (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 65_536);

/** Of all that decides which rows there are, and in which order. */
function fingerprint({ interval, timeZone, groupBy, texts, statuses, fill, tenant }: TrafficQuery, more = ''): string {
  return createHash('sha256').update(JSON.stringify([interval, timeZone, groupBy, texts, statuses, fill, tenant, more])).digest('base64url').slice(0, 16);
}
