/**
 * What stands with a partition's committed offset, as its metadata.
 *
 * An intent: what the collector is about to insert, durable before the insert begins. The offset is where the range begins, so whoever owns the partition
 * next reads exactly that range again, and makes exactly that insert again.
 *
 * The row that was stored last, of what lies before the offset: a store that does not hold it is older than the group's place (restored from a backup), or another.
 *
 * `v` stands for all that the insert's rows, blocks and token are made by: the rules of picked-rows.ts, INSERT_SETTINGS, rangeToken. Where one of them
 * changes so that the same range would become another insert, it is a new number, and the old way stays for intents that are found. Of an intent it is the version of the rows;
 * a place without one says the same in either, and is written as 1, which an older collector reads too.
 */
import { ROW_VERSION, ROW_VERSIONS, type RowVersion } from '../../../gateway/events/event.js';
import type { SeqRunOfStream } from '../picked-rows.js';

export interface Intent {
  /** Of the rows to insert: by what they were in the log when it was begun. */
  readonly version: RowVersion;
  /** Offsets `from` up to `to`, without it. */
  readonly from: number;
  readonly to: number;
  /** Seqs of its frames that were stored before it. */
  readonly out: readonly SeqRunOfStream[];
  /** Of the rows to insert, leave-outs among them. */
  readonly rows: number;
  readonly bytes: number;
  readonly crc: number;
  /** RFC 3339 */
  readonly at: string;
  /** Newest block of the table of events, as of then; the deduplication window is counted in blocks. */
  readonly block: number;
}

/** A row that the store holds, unless it was put back to an earlier time. */
export interface LastStored {
  readonly stream: string;
  readonly seq: number;
  /** When it was stored, by the collector's clock, ms since the epoch. */
  readonly atMs: number;
}

/** Null: none. */
export interface PlaceMetadata {
  readonly intent: Intent | null;
  readonly lastStored: LastStored | null;
}

const PLACE_VERSION = 1;
/** Kafka's `offset.metadata.max.bytes` is 4,096 by default; the row that was stored last takes up to 70 more. */
const MOST_BYTES = 3500;

/** '': nothing is to be said. */
export function encodePlace({ intent, lastStored }: PlaceMetadata): string {
  if (intent === null && lastStored === null) return '';
  const stored = lastStored === null ? {} : { stored: [lastStored.stream, lastStored.seq, lastStored.atMs] };
  if (intent === null) return JSON.stringify({ v: PLACE_VERSION, ...stored });
  const { version, to, out, rows, bytes, crc, at, block } = intent;
  return JSON.stringify({ v: version, to, out: compact(out), rows, bytes, crc, at, block, ...stored });
}

/** Whether an intent that leaves these out is short enough to be committed. */
export function intentFits(out: readonly SeqRunOfStream[]): boolean {
  const most = Number.MAX_SAFE_INTEGER;
  const intent = { version: ROW_VERSION, from: 0, to: most, out, rows: most, bytes: most, crc: most, at: new Date(0).toISOString(), block: most };
  return encodePlace({ intent, lastStored: null }).length <= MOST_BYTES;
}

/** Null: it says nothing that this version can read. @param from the committed offset */
export function parsePlace(metadata: string, from: number): PlaceMetadata | null {
  if (metadata === '') return { intent: null, lastStored: null };
  let parsed: unknown;
  try {
    parsed = JSON.parse(metadata);
  } catch {
    return null;
  }
  if (typeof parsed !== 'object' || parsed === null) return null;
  const fields = parsed as Record<string, unknown>;
  const version = ROW_VERSIONS.find((one) => one === fields.v);
  if (version === undefined) return null;
  const lastStored = parseLastStored(fields.stored);
  if (fields.to === undefined) return lastStored === null ? null : { intent: null, lastStored };
  const intent = parseIntent(fields, from, version);
  return intent === null ? null : { intent, lastStored };
}

/** Whether a range is begun there: what cannot be read may be one. */
export function isBegun(metadata: string): boolean {
  const place = parsePlace(metadata, 0);
  return place === null || place.intent !== null;
}

/** Offset behind the range that is begun there; null: none is, or it is not known which. */
export function intentEnd(metadata: string, offset: number): number | null {
  return parsePlace(metadata, offset)?.intent?.to ?? null;
}

function parseIntent({ to, out, rows, bytes, crc, at, block }: Record<string, unknown>, from: number, version: RowVersion): Intent | null {
  if (!isWhole(to) || to <= from || !Array.isArray(out) || !out.every(isRun)) return null;
  if (!isWhole(rows) || !isWhole(bytes) || !isWhole(crc) || typeof at !== 'string' || !Number.isSafeInteger(block)) return null;
  return { version, from, to, out: out.map(([stream, first, last]) => ({ stream, first, last })), rows, bytes, crc, at, block: block as number };
}

function parseLastStored(stored: unknown): LastStored | null {
  if (!isRun(stored)) return null;
  const [stream, seq, atMs] = stored;
  return { stream, seq, atMs };
}

/** Names the range and what is in it: offsets begin again where a topic is made anew. */
export function rangeToken(topic: string, partition: number, { from, to, crc }: Pick<Intent, 'from' | 'to' | 'crc'>): string {
  return `kafka-${topic}-${partition}-${from}-${to}-${crc.toString(16)}`;
}

const compact = (out: readonly SeqRunOfStream[]): readonly (readonly [string, number, number])[] => out.map(({ stream, first, last }) => [stream, first, last]);
const isWhole = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function isRun(value: unknown): value is [string, number, number] {
  return Array.isArray(value) && value.length === 3 && typeof value[0] === 'string' && /^[0-9a-f]{16}$/.test(value[0]) && isWhole(value[1]) && isWhole(value[2]);
}
