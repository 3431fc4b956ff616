/** What may lie in the log beside what belongs there: chunks twice and in another order, with a flipped bit, of a future version. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import type { QuarantinedItem } from '../../../collector/log/event-log.js';
import { decodeChunk } from '../../../gateway/events/chunk.js';
import { FRAME_HEADER_BYTES, streamNumber, writeFrameHeader } from '../../../gateway/events/frame.js';
import { eventually } from '../../harness/deadline.js';
import { OPERATOR_TOKEN, tidegateCommand, type TestNode } from '../../harness/tidegate.js';
import type { Engines } from './engines.js';
import type { Fault } from './fault-run.js';
import { isFrames, LogTap, type LoggedMessage } from './log-tap.js';

/** Chunks of the load that are put into the log again, at least. */
const CHUNKS = 20;
const WITHIN_MS = 90_000;

export function logFaults({ topology, network }: Engines): Fault[] {
  const brokers = `127.0.0.1:${network.kafka.port}`;
  const counted = async (name: string): Promise<number> => {
    const values = await Promise.all(topology.collectors.map(async (node) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await node.metrics())?.[1] ?? 0)));
    return values.reduce((sum, value) => sum + value, 0);
  };
  const tapped = async (use: (tap: LogTap, chunks: LoggedMessage[]) => Promise<void>): Promise<void> => {
    await using tap = await LogTap.open(brokers);
    const chunks: LoggedMessage[] = [];
    await eventually('chunks of the load', () => chunks.push(...tap.take().filter(isFrames)) >= CHUNKS || null, WITHIN_MS);
    await use(tap, chunks);
  };
  return [
    { name: 'chunks come twice, and in another order', during: () => tapped(async (tap, chunks) => {
      const before = await counted('tidegate_event_repeats_total');
      await tap.send(chunks.toReversed());
      await tap.send(chunks.toSorted(() => Math.random() - 0.5));
      await eventually('repeats are counted', async () => (await counted('tidegate_event_repeats_total') > before ? true : null), WITHIN_MS, 250);
    }) },
    { name: 'chunks come with a flipped bit, and of a future version', during: () => tapped(async (tap, chunks) => {
      const had = new Set((await quarantine(topology.collectors)).map(({ id }) => id));
      const before = await counted('tidegate_events_quarantined_total');
      const flipped = chunks.slice(0, CHUNKS / 2).map((chunk) => ({ ...chunk, value: withFlippedBit(chunk) }));
      const future = chunks.slice(CHUNKS / 2, CHUNKS).map((chunk, i) => (i % 2 === 0 ? { ...chunk, headers: { ...chunk.headers, v: '999' } } : withFutureFrame(chunk)));
      await tap.send([...flipped, ...future]);
      await eventually('all are counted', async () => (await counted('tidegate_events_quarantined_total') === before + CHUNKS ? true : null), WITHIN_MS, 250);
      const items = (await quarantine(topology.collectors)).filter(({ id }) => !had.has(id));
      assert.equal(items.length, CHUNKS);
      assert.equal(items.filter(({ reason }) => reason === 'newer').length, future.length);
      assert.ok(items.every(({ reason }) => ['newer', 'checksum'].includes(reason)), items.map(({ reason }) => reason).join());
    }) },
  ];
}

/** What `tidegate quarantine list` says. */
async function quarantine([collector]: readonly TestNode[]): Promise<readonly QuarantinedItem[]> {
  assert.ok(collector !== undefined);
  const { command, args } = tidegateCommand(['quarantine', 'list', '--json', '--url', collector.controlUrl, '--token', OPERATOR_TOKEN]);
  const { stdout } = await promisify(execFile)(command, args, { maxBuffer: 16 * 1024 * 1024 });
  return (JSON.parse(stdout) as { readonly items: readonly QuarantinedItem[] }).items;
}

function bytesOf({ value }: LoggedMessage): Buffer {
  assert.ok(value !== null);
  return Buffer.from(value);
}

function withFlippedBit(chunk: LoggedMessage): Buffer {
  const bytes = bytesOf(chunk);
  const at = Math.floor(Math.random() * bytes.length);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << Math.floor(Math.random() * 8)), at);
  return bytes;
}

/** A frame of it as it lies in a spool, which says that a later version wrote it; the header's layout stays in every version. */
function withFutureFrame(chunk: LoggedMessage): LoggedMessage {
  const decoded = decodeChunk(chunk);
  assert.ok(decoded.kind === 'frames');
  const [frame] = decoded.frames;
  assert.ok(frame !== undefined);
  const bytes = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), frame.rows]);
  writeFrameHeader(bytes, streamNumber(decoded.stream), frame.firstSeq, frame.count);
  bytes.writeUInt16LE(999, 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
  return { ...chunk, headers: { ...chunk.headers, v: '1' }, value: bytes };
}
