/**
 * A spool that was damaged while the node was down: what cannot be read goes to quarantine with the reason, the gap shows to the event, and everything
 * else is stored and reported.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FRAME_HEADER_BYTES } from '../../gateway/events/frame.js';
import { readSegment, type FrameItem } from '../../gateway/events/read-segment.js';
import { listSegments, type SegmentFile } from '../../gateway/events/segment.js';
import { readState } from '../../gateway/events/stream-state.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { isGone, TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

interface Completeness {
  readonly complete: boolean;
  readonly reasons: readonly string[];
  readonly streams: readonly { readonly stream: string; readonly stored: number; readonly missing: number; readonly twice: number; readonly sealed: string | null }[];
}
interface Traffic { readonly rows: readonly { readonly requests: number }[]; readonly complete: boolean }

const config = (upstream: TestUpstream): TestConfig => ({
  event_log: { spool: { segment_bytes: '64KiB' } },
  services: [{ name: 'shop', record_path: 'full', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
});

/** A row takes more than 1 KiB with it, and a segment of the least size is full after some 55. */
const LONG = 'x'.repeat(1000);

async function ask(node: TestNode, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const answer = await fetch(`${node.url}/bytes/10/${LONG}`);
    await answer.arrayBuffer();
    assert.equal(answer.status, 200);
  }
}

async function reported(node: TestNode): Promise<number> {
  const [from, to] = [new Date(Date.now() - 1_800_000), new Date(Date.now() + 1_800_000)].map((time) => time.toISOString()) as [string, string];
  const { rows } = await node.control<Traffic>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
  return rows.reduce((sum, row) => sum + row.requests, 0);
}

/** Answers of so many requests lie in the spool, none of them stored, and every process is dead. */
async function spoolOf(node: TestNode, requests: number): Promise<string> {
  const [collector] = node.pids('collector') as [number];
  process.kill(collector, 'SIGSTOP');
  await ask(node, requests);
  const spoolDir = join(node.dataDir, 'spool');
  const stream = readdirSync(spoolDir).find((name) => /^[0-9a-f]{16}$/.test(name)) ?? '';
  const dir = join(spoolDir, stream);
  await eventually('the mark of the last event', () => (readState(dir)?.lastSeq === requests - 1 ? true : null));
  const pids = [...node.pids('supervisor'), ...node.pids('worker'), collector];
  await node.kill(node.launcher.pid ?? 0);
  // only now: nobody starts another
  process.kill(collector, 'SIGKILL');
  for (const pid of pids) await eventually(`the end of ${pid}`, () => (isGone(pid) ? true : null));
  await node.exited;
  return dir;
}

function framesOf(dir: string, file: SegmentFile | undefined): FrameItem[] {
  assert.ok(file !== undefined);
  return [...readSegment(file, dir.slice(-16), 0, true)].filter((item) => item.kind === 'frame');
}

const rowsOf = (frames: readonly FrameItem[]): number => frames.reduce((sum, { count }) => sum + count, 0);

function change(file: SegmentFile | undefined, edit: (bytes: Buffer) => void): void {
  assert.ok(file !== undefined);
  const bytes = readFileSync(file.path);
  edit(bytes);
  writeFileSync(file.path, bytes);
}

/** Each damages one segment, and answers how many events can't be read any more. */
const DAMAGES: readonly (readonly [what: string, damage: (dir: string, file: SegmentFile) => number])[] = [
  ['checksum', (dir, file) => {
    const frame = framesOf(dir, file)[5] as FrameItem;
    change(file, (bytes) => { bytes.writeUInt8(bytes.readUInt8(frame.at.offset + FRAME_HEADER_BYTES + 20) ^ 0x10, frame.at.offset + FRAME_HEADER_BYTES + 20); });
    return frame.count;
  }],
  ['frame_header', (dir, file) => {
    const frame = framesOf(dir, file)[3] as FrameItem;
    change(file, (bytes) => { bytes.fill(0xff, frame.at.offset, frame.at.offset + 16); });
    return frame.count;
  }],
  ['torn', (dir, file) => {
    const lost = framesOf(dir, file).slice(7);
    truncateSync(file.path, (lost[0] as FrameItem).at.offset + 100);
    return rowsOf(lost);
  }],
  ['version_9', (dir, file) => {
    const frame = framesOf(dir, file)[2] as FrameItem;
    change(file, (bytes) => {
      bytes.writeUInt16LE(9, frame.at.offset + 4);
      bytes.writeUInt32LE(crc32(bytes.subarray(frame.at.offset, frame.at.offset + 36)), frame.at.offset + 36);
    });
    return frame.count;
  }],
  ['version_7', (dir, file) => {
    const lost = rowsOf(framesOf(dir, file));
    change(file, (bytes) => {
      bytes.writeUInt16LE(7, 8);
      bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
    });
    return lost;
  }],
  ['segment_header', (_, file) => {
    change(file, (bytes) => { bytes.fill(0, 0, 8); });
    return 0;
  }],
];

test('flipped bits, cuts and newer versions: quarantined with the reason, the gap told to the event, the rest stored', { skip: requires('linux', 'chdb'), timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
  const upstream = await TestUpstream.start();
  try {
    const requests = 550;
    let dir: string;
    {
      await using before = await TestNode.start(config(upstream), { folder, removeFolder: false });
      dir = await spoolOf(before, requests);
    }
    const files = listSegments(dir);
    assert.ok(files.length > DAMAGES.length + 1, `${files.length} segments`);
    let lost = DAMAGES.reduce((sum, [, damage], i) => sum + damage(dir, files[i] as SegmentFile), 0);
    // the very end: taken for a frame that was being written, but the mark knows better
    const last = files.at(-1) as SegmentFile;
    const end = framesOf(dir, last).at(-1) as FrameItem;
    truncateSync(last.path, end.next.offset - 1);
    lost += end.count;

    await using node = await TestNode.start(config(upstream), { folder, removeFolder: false });
    await ask(node, 30);
    const stored = requests - lost + 30;
    const { complete, reasons, streams } = await eventually('everything that can be read', async () => {
      const [rows, found] = await Promise.all([reported(node), node.control<Completeness>(`/v1/completeness?day=${new Date().toISOString().slice(0, 10)}`)]);
      return rows >= stored && found.streams.some(({ missing }) => missing >= lost) ? found : null;
    }).catch((error: unknown) => { throw new Error(node.output, { cause: error }); });
    assert.equal(await reported(node), stored);
    const damaged = streams.find(({ stream }) => dir.endsWith(stream));
    assert.deepEqual([damaged?.missing, damaged?.stored, damaged?.twice, complete], [lost, requests - lost, 0, false]);
    assert.match(reasons.join('\n'), new RegExp(`${lost} events of stream ${damaged?.stream ?? '?'} .* are missing`));
    const told = node.output.split('\n').filter((line) => line.includes('went to quarantine')).map((line) => JSON.parse(line) as { code: string; reason: string; file: string });
    assert.deepEqual(told.map(({ reason }) => reason), DAMAGES.map(([reason]) => reason));
    assert.deepEqual(told.map(({ code }) => code), DAMAGES.map(([reason]) => (reason.startsWith('version') ? 'spool_version' : 'spool_corrupt')));
    assert.deepEqual(readdirSync(join(node.dataDir, 'collector', 'quarantine')).sort(), told.map(({ file }) => file).sort());
    await eventually('the metrics', async () => {
      const metrics = await node.metrics();
      return new RegExp(`^tidegate_event_gaps_total ${lost}$`, 'm').test(metrics) && new RegExp(`^tidegate_events_quarantined_total ${DAMAGES.length}$`, 'm').test(metrics) ? true : null;
    });
    await eventually('the end of the damaged stream', () => (readState(dir) === null ? true : null));
  } finally {
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a stream whose state and tally are damaged too is sealed from what its rows say', { skip: requires('linux', 'chdb'), timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
  const upstream = await TestUpstream.start();
  try {
    let dir: string;
    {
      await using before = await TestNode.start(config(upstream), { folder, removeFolder: false });
      dir = await spoolOf(before, 40);
    }
    writeFileSync(join(dir, 'state.json'), '{"format":1,"stre');
    writeFileSync(join(dir, 'drops'), Buffer.alloc(200, 0x55));
    await using node = await TestNode.start(config(upstream), { folder, removeFolder: false });
    await eventually('what the rows say', async () => (await reported(node) === 40 ? true : null))
      .catch((error: unknown) => { throw new Error(node.output, { cause: error }); });
    const { streams } = await node.control<Completeness>(`/v1/completeness?day=${new Date().toISOString().slice(0, 10)}`);
    const found = streams.find(({ stream }) => dir.endsWith(stream));
    assert.deepEqual([found?.stored, found?.missing], [40, 0]);
  } finally {
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
