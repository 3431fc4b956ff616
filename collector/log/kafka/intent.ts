/**
 * An intent: what the collector is about to insert, durable before the insert begins, as the metadata of the partition's committed offset. The offset
 * is where the range begins, so whoever owns the partition next reads exactly that range again, and makes exactly that insert again.
 *
 * `v` stands for all that the insert's rows, blocks and token are made by: the rules of picked-rows.ts, INSERT_SETTINGS, rangeToken. Where one of them
 * changes so that the same range would become another insert, it is a new number, and the old way stays for intents that are found.
 */
import type { SeqRunOfStream } from '../picked-rows.js';

export interface Intent {
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

const VERSION = 1;
/** Kafka's `offset.metadata.max.bytes` is 4,096 by default. */
const MOST_BYTES = 3500;

export function encodeIntent({ to, out, rows, bytes, crc, at, block }: Intent): string {
  return JSON.stringify({ v: VERSION, to, out: compact(out), rows, bytes, crc, at, block });
}

/** Whether an intent that leaves these out is short enough to be committed. */
export function intentFits(out: readonly SeqRunOfStream[]): boolean {
  const most = Number.MAX_SAFE_INTEGER;
  return encodeIntent({ from: 0, to: most, out, rows: most, bytes: most, crc: most, at: new Date(0).toISOString(), block: most }).length <= MOST_BYTES;
}

/** Null: the metadata is no intent of this version. @param from the committed offset */
export function parseIntent(metadata: string, from: number): Intent | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(metadata);
  } catch {
    return null;
  }
  if (typeof parsed !== 'object' || parsed === null) return null;
  const { v, to, out, rows, bytes, crc, at, block } = parsed as Record<string, unknown>;
  if (v !== VERSION || !isWhole(to) || to <= from || !Array.isArray(out) || !out.every(isRun)) return null;
  if (!isWhole(rows) || !isWhole(bytes) || !isWhole(crc) || typeof at !== 'string' || !Number.isSafeInteger(block)) return null;
  return { from, to, out: out.map(([stream, first, last]) => ({ stream, first, last })), rows, bytes, crc, at, block: block as number };
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
