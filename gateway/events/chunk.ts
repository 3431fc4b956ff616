/**
 * A chunk: one Kafka message of the event log. What the shipper sends and the collector reads, and nothing else knows.
 *
 *   key      the stream, 16 hexadecimal digits
 *   headers  t  frames | state
 *            v  1 | 2 | 3
 *   value    frames, 3: whole frames of that stream, by columns (columns/pack-frames.ts)
 *            frames, 2: the same, of rows of version 1; read, and written no more
 *            frames, 1: the same as they lie in the spool, header, payload and checksums, one behind the other; and damage
 *            state,  1: JSON, what is known of the stream (StreamFacts)
 *
 * All of a stream lies in one partition, which the shipper chooses once: partitionOf, kept in the stream's `partition.json`, so that partitions
 * that are added later move nothing.
 *
 * Frames of a stream may come again, and a later one before an earlier one: who reads them knows their rows by (stream, seq).
 * Damaged bytes of a segment come as a chunk of their own, unreadable here too, so that they reach the quarantine of the collector.
 */
import { packFrames, type ChunkFrame } from './columns/pack-frames.js';
import { unpackFrames } from './columns/unpack-frames.js';
import { ROW_VERSION, ROW_VERSIONS, type RowVersion } from './event.js';
import { findFrame, FRAME_HEADER_BYTES, parseFrameHeader, payloadIsSound, streamNumber } from './frame.js';
import { todaysRows } from './older-rows.js';
import { rowsFit } from './rows-fit.js';

/** By `v`: what was there first, and frames by columns: of rows of version 1, and of those of today. */
const FIRST_VERSION = '1';
const COLUMNS_VERSIONS: Readonly<Record<RowVersion, string>> = { 1: '2', 2: '3' };
/** A topic's `max.message.bytes`: a frame has 4 MiB or less, and a request to Kafka no more than one of these beside other chunks. */
export const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

export interface ChunkMessage {
  readonly key: string;
  readonly headers: { readonly t: 'frames' | 'state'; readonly v: string };
  readonly value: Buffer;
}

/** A chunk as Kafka gives it out (kafkajs's message fits). */
export interface ReceivedMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, Buffer | string | readonly (Buffer | string)[] | undefined>> | undefined;
}

export interface StreamFacts {
  readonly format: 1;
  readonly stream: string;
  readonly node: string;
  /** Random, of the node's data directory: two nodes of one name differ in it. */
  readonly instance: string;
  readonly worker: number;
  /** RFC 3339 */
  readonly openedAt: string;
  /** The mark: last seq known to be written or dropped; -1: none. */
  readonly lastSeq: number;
  /**
   * All that was written up to it was acknowledged before this message was made, so a hole below it is a loss, and not on its way: the mark as it was
   * read before a pass that shipped every segment to its end. Absent: not known, and the collector goes by how long a mark is known (a backlog
   * that takes longer to catch up then looks like a loss).
   */
  readonly shippedSeq?: number;
  /** RFC 3339 */
  readonly markedAt: string;
  /** Null while the worker may still write. */
  readonly seal: { readonly sealedAt: string; readonly lastSeq: number; readonly proven: boolean } | null;
  /** Events that could not be written, by app; null: all the apps together that found no room in the tally. Times in ms since the epoch. */
  readonly drops: readonly { readonly app: string | null; readonly rows: number; readonly firstMs: number; readonly lastMs: number }[];
}

export type Chunk =
  | { readonly kind: 'frames'; readonly stream: string; readonly frames: readonly ChunkFrame[] }
  | { readonly kind: 'state'; readonly stream: string; readonly facts: StreamFacts }
  | {
    readonly kind: 'unreadable';
    /** Null: the key is none. */
    readonly stream: string | null;
    readonly reason: UnreadableReason;
    /** In words, for people. */
    readonly detail: string;
    /** Those of its frames that can be read all the same. */
    readonly frames: readonly ChunkFrame[];
  };

/** `newer`: written by a later version of Tidegate, chunk or frame; the rest is damage. */
export type UnreadableReason = 'key' | 'headers' | 'newer' | 'frame_header' | 'checksum' | 'rows' | 'empty' | 'state';

const STREAM = /^[0-9a-f]{16}$/;

/** Where the stream's chunks go, of so many partitions. */
export function partitionOf(stream: string, partitions: number): number {
  return streamNumber(stream).low % partitions;
}

/** @param frames the bytes of whole frames of the stream, checked; or of damage */
export function encodeFrames(stream: string, frames: Buffer): ChunkMessage {
  const columns = packFrames(stream, frames);
  return { key: stream, headers: { t: 'frames', v: columns === null ? FIRST_VERSION : COLUMNS_VERSIONS[ROW_VERSION] }, value: columns ?? frames };
}

export function encodeState(facts: StreamFacts): ChunkMessage {
  return { key: facts.stream, headers: { t: 'state', v: FIRST_VERSION }, value: Buffer.from(JSON.stringify(facts)) };
}

/**
 * Never throws: what cannot be read says why. Rows are of today's version, whatever version lies in the log.
 * @param as 1: as a program read it that knew no later version: what is newer than that it could not read, and rows stay as they are
 */
export function decodeChunk(message: ReceivedMessage, as: RowVersion = ROW_VERSION): Chunk {
  const key = message.key?.toString('latin1') ?? '';
  const stream = STREAM.test(key) ? key : null;
  const unreadable = (reason: UnreadableReason, detail: string, frames: readonly ChunkFrame[] = []): Chunk => ({ kind: 'unreadable', stream, reason, detail, frames });
  if (stream === null) return unreadable('key', 'the key is no stream');
  const type = headerOf(message, 't');
  const version = headerOf(message, 'v');
  if (!/^\d{1,6}$/.test(version)) return unreadable('headers', 'the header v is missing or no number');
  const packed = type === 'frames' ? ROW_VERSIONS.find((one) => one <= as && COLUMNS_VERSIONS[one] === version) ?? null : null;
  if (version !== FIRST_VERSION && packed === null) return unreadable('newer', `chunk version ${version}, and this reads ${FIRST_VERSION}, and ${Object.values(COLUMNS_VERSIONS).join(' and ')} of frames`);
  const value = message.value ?? Buffer.alloc(0);
  if (value.length === 0) return unreadable('empty', 'there is no value');
  if (packed !== null) {
    const frames = unpackFrames(stream, value, packed);
    if (frames === null) return unreadable('checksum', 'its columns are damaged');
    const fit = frames.flatMap((frame) => framesThatFit(stream, frame, packed, as));
    return fit.length === frames.length ? { kind: 'frames', stream, frames: fit } : unreadable('rows', 'rows of it are not what their frame says', fit);
  }
  switch (type) {
    case 'frames': return decodeFrames(stream, value, as);
    case 'state': {
      const facts = parseFacts(value, stream);
      return facts === null ? unreadable('state', 'the value is no state of this stream') : { kind: 'state', stream, facts };
    }
    default: return unreadable('headers', 'the header t is neither frames nor state');
  }
}

/** The frame, its rows of the version `as` or, if they are older and that is today's, made into it; nothing: its rows are not what it says. */
function framesThatFit(stream: string, frame: ChunkFrame, version: RowVersion, as: RowVersion): ChunkFrame[] {
  if (!rowsFit(stream, frame, version)) return [];
  const rows = as === ROW_VERSION ? todaysRows(frame.rows, frame.count, version) : frame.rows;
  return rows === null ? [] : [{ ...frame, rows }];
}

/** Damage costs what is damaged: reading goes on at the next sound frame. */
function decodeFrames(stream: string, value: Buffer, as: RowVersion): Chunk {
  const frames: ChunkFrame[] = [];
  let failure: { reason: UnreadableReason; detail: string } | null = null;
  for (let at = 0; at < value.length;) {
    const header = parseFrameHeader(value, at, stream);
    const end = header === null ? at : at + FRAME_HEADER_BYTES + header.payloadBytes;
    if (header !== null && end <= value.length) {
      const rows = value.subarray(at + FRAME_HEADER_BYTES, end);
      const { version, firstSeq, count } = header;
      if (version > as) {
        failure ??= { reason: 'newer', detail: `frame version ${version} at byte ${at}, and this reads ${as}` };
        at = end;
        continue;
      }
      if (payloadIsSound(header, rows)) {
        const fit = framesThatFit(stream, { firstSeq, count, rows }, version as RowVersion, as);
        frames.push(...fit);
        if (fit.length === 0) failure ??= { reason: 'rows', detail: `the rows of the frame at byte ${at} are not what its header says` };
        at = end;
        continue;
      }
      failure ??= { reason: 'checksum', detail: `the payload of the frame at byte ${at} does not fit its checksum` };
    } else {
      failure ??= { reason: 'frame_header', detail: header === null ? `no frame at byte ${at}` : `the frame at byte ${at} is cut short` };
    }
    const next = findFrame(value, at + 1, stream);
    at = next === -1 ? value.length : next;
  }
  return failure === null ? { kind: 'frames', stream, frames } : { kind: 'unreadable', stream, ...failure, frames };
}

/** '': absent, or there more than once. */
function headerOf({ headers }: ReceivedMessage, name: string): string {
  const value = headers?.[name];
  return typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('latin1') : '';
}

function parseFacts(value: Buffer, stream: string): StreamFacts | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value.toString('utf8'));
  } catch {
    return null;
  }
  if (typeof parsed !== 'object' || parsed === null) return null;
  const facts = parsed as Partial<Record<keyof StreamFacts, unknown>>;
  const sound = facts.format === 1 && facts.stream === stream && typeof facts.node === 'string' && typeof facts.instance === 'string'
    && isWhole(facts.worker, 0) && isTime(facts.openedAt) && isWhole(facts.lastSeq, -1) && isTime(facts.markedAt)
    && (facts.shippedSeq === undefined || isWhole(facts.shippedSeq, -1))
    && (facts.seal === null || isSeal(facts.seal)) && Array.isArray(facts.drops) && facts.drops.every(isDrop);
  return sound ? parsed as StreamFacts : null;
}

function isSeal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { sealedAt, lastSeq, proven } = value as Record<string, unknown>;
  return isTime(sealedAt) && isWhole(lastSeq, -1) && typeof proven === 'boolean';
}

function isDrop(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { app, rows, firstMs, lastMs } = value as Record<string, unknown>;
  return (app === null || typeof app === 'string') && isWhole(rows, 0) && Number.isSafeInteger(firstMs) && Number.isSafeInteger(lastMs);
}

const isWhole = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && (value as number) >= least;
const isTime = (value: unknown): boolean => typeof value === 'string' && !Number.isNaN(Date.parse(value));
