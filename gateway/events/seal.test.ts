import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { DropPage, readDrops } from './drop-page.js';
import { KeptLog, NOTHING_HELD, sampleFacts } from './event-samples.fixture.js';
import { readStreamEvents } from './read-rows.js';
import { Recorder } from './recorder.js';
import { sealStream, updateMark } from './seal.js';
import { segmentPath } from './segment.js';
import { removeLeftovers, removeStream, scanStreams, spoolBytes } from './spool.js';
import { readState, writeState, type StreamState } from './stream-state.js';

const dead = (): boolean => false;
let spoolDir: string;
before(() => { spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-seal-')); });
after(() => { rmSync(spoolDir, { recursive: true }); });

/** A closed, not yet sealed stream of `rows` rows, one a turn. */
async function streamOf(rows: number, segmentBytes = 1e9): Promise<string> {
  const recorder = Recorder.open({ spoolDir, node: 'n1', worker: 2, segmentBytes, log: new KeptLog() });
  for (let i = 0; i < rows; i++) {
    recorder.record(sampleFacts(recorder.nextOrdinal()), NOTHING_HELD);
    recorder.flushNow();
  }
  await recorder.close();
  return join(spoolDir, recorder.stream);
}

function edit(dir: string, changes: Partial<StreamState>): void {
  writeState(dir, { ...readState(dir) as StreamState, ...changes }, false);
}

test('a mark moves forward only, and never touches a sealed stream', async () => {
  const dir = await streamOf(5);
  updateMark(dir, 3);
  assert.equal(readState(dir)?.lastSeq, 3);
  updateMark(dir, 1);
  assert.equal(readState(dir)?.lastSeq, 3);
  const sealed = sealStream(dir, new KeptLog(), dead);
  updateMark(dir, 100);
  assert.deepEqual(readState(dir), sealed);
  assert.equal(sealed?.seal?.lastSeq, 4);
});

test('sealing again changes nothing, and a crash before the seal is made good by the next', async () => {
  const dir = await streamOf(5);
  const bytes = statSync(segmentPath(dir, 1)).size;
  truncateSync(segmentPath(dir, 1), bytes - 1);
  const before = readFileSync(join(dir, 'state.json'));
  const first = sealStream(dir, new KeptLog(), dead);
  // as if the process had died after the cut, with half a temporary file
  writeFileSync(join(dir, 'state.json'), before);
  writeFileSync(join(dir, 'state.json.tmp'), '{"format":1,');
  const second = sealStream(dir, new KeptLog(), dead);
  assert.deepEqual(second?.seal?.segments, first?.seal?.segments);
  assert.equal(second?.seal?.lastSeq, 3);
  assert.deepEqual(sealStream(dir, new KeptLog(), () => true), second, 'nobody is asked about a sealed stream');
});

test('a stream from another boot of the machine is dead, and its tail unproven', async () => {
  const dir = await streamOf(3);
  edit(dir, { bootId: '00000000-0000-0000-0000-000000000000', lastSeq: 10 });
  const seal = sealStream(dir, new KeptLog())?.seal;
  assert.deepEqual([seal?.proven, seal?.lastSeq, seal?.segments[0]?.lastSeq], [false, 10, 2], 'the mark knew of rows that the disk never got');
});

test('a stream whose state was lost with the power is sealed from what is left, unproven', async () => {
  const dir = await streamOf(3);
  truncateSync(join(dir, 'state.json'), 0);
  const state = sealStream(dir, new KeptLog());
  assert.deepEqual([state?.node, state?.worker, state?.seal?.proven, state?.seal?.lastSeq], ['n1', 2, false, 2]);
  assert.deepEqual(readState(dir), state);
  assert.equal(sealStream(join(spoolDir, 'ffffffffffffffff'), new KeptLog()), null, 'no such stream');
});

test('rows are read from a seq on without the segments before it', async () => {
  const dir = await streamOf(30, 1000);
  const all = [...readStreamEvents(dir, 0)].map(({ seq }) => seq);
  assert.equal(all.length, 30);
  for (let from = 0; from <= 31; from++) assert.deepEqual([...readStreamEvents(dir, from)].map(({ seq }) => seq), all.slice(from), `from ${from}`);
  // as soon as one is read, this throws EISDIR
  unlinkSync(segmentPath(dir, 1));
  mkdirSync(segmentPath(dir, 1));
  assert.deepEqual([...readStreamEvents(dir, 25)].map(({ seq }) => seq), [25, 26, 27, 28, 29]);
  assert.throws(() => [...readStreamEvents(dir, 0)], { code: 'EISDIR' });
  rmSync(segmentPath(dir, 1), { recursive: true });
});

test('earlier segments may be gone, empty or damaged', async () => {
  const dir = await streamOf(30, 1000);
  unlinkSync(segmentPath(dir, 1));
  const third = readFileSync(segmentPath(dir, 3));
  third.fill(0xaa, 40, 60);
  writeFileSync(segmentPath(dir, 3), third);
  const seal = sealStream(dir, new KeptLog(), dead)?.seal;
  assert.equal(seal?.segments[0]?.index, 2);
  assert.equal(seal?.lastSeq, 29);
  const [second, damaged, fourth] = seal?.segments ?? [];
  assert.equal(damaged?.lastSeq, (fourth?.firstSeq ?? 0) - 1);
  assert.equal(second?.lastSeq, (damaged?.firstSeq ?? 0) - 1);
  assert.ok((damaged?.firstSeq ?? 0) < (damaged?.lastSeq ?? 0));
  assert.ok([...readStreamEvents(dir, 0)].length < 30);
});

test('the spool lists whole streams only, in the order of their opening, and clears what crashes left', async () => {
  const other = join(spoolDir, 'listed');
  const open = (): string => {
    const recorder = Recorder.open({ spoolDir: other, node: 'n', worker: 1, segmentBytes: 1e6, log: new KeptLog() });
    recorder.record(sampleFacts(1), NOTHING_HELD);
    void recorder.close();
    return recorder.stream;
  };
  const names = [open(), open(), open()];
  names.forEach((name, i) => { edit(join(other, name), { openedAt: `2026-11-2${3 - i}T00:00:00.000Z` }); });
  mkdirSync(join(other, 'opening-0000000000000001'));
  mkdirSync(join(other, 'removing-0000000000000002'));
  mkdirSync(join(other, 'opening-0000000000000003'));
  edit(join(other, names[0] as string), {});
  writeState(join(other, 'opening-0000000000000003'), { ...readState(join(other, names[0] as string)) as StreamState, pidStart: 1 }, false);
  assert.deepEqual(scanStreams(other).map(({ stream }) => stream), names.toReversed());
  assert.deepEqual(scanStreams(join(spoolDir, 'nowhere')), []);
  assert.equal(spoolBytes(other), scanStreams(other).reduce((sum, stream) => sum + stream.bytes, 0));
  assert.ok(spoolBytes(other) > 3 * 256 * 1024);
  assert.equal(removeLeftovers(other, Date.now()), 2, 'a young opening directory without a state stays');
  assert.equal(removeLeftovers(other, Date.now() + 61_000), 1);
  removeStream(other, names[1] as string);
  assert.deepEqual(scanStreams(other).map(({ stream }) => stream), [names[2], names[0]]);
  assert.equal(existsSync(join(other, `removing-${names[1]}`)), false);
});

test('a drop page keeps more apps than it has room for in one entry together, and says what is damaged', () => {
  const dir = join(spoolDir, 'drops');
  mkdirSync(dir);
  const page = DropPage.create(dir, '00000000000000aa');
  for (let seq = 0; seq < 5000; seq++) page.add({ seq, app: `app-${seq % 2500}`, timeMs: 1000 + seq, requests: 1, counted: seq % 2 }, 'disk_full');
  assert.equal(page.committed, false);
  assert.equal(readDrops(dir)?.rows, 0, 'nothing is written before commit');
  page.commit();
  const drops = readDrops(dir);
  assert.deepEqual([drops?.stream, drops?.lastSeq, drops?.rows, drops?.byReason.disk_full], ['00000000000000aa', 4999, 5000, 5000]);
  const [overflow, ...named] = drops?.apps ?? [];
  assert.deepEqual([overflow?.app, overflow?.rows, named.length], [null, 5000 - 2 * named.length, 2046]);
  assert.deepEqual(named[7], { app: 'app-7', rows: 2, requests: 2, counted: 2, toldCounted: 0, firstMs: 1007, lastMs: 3507 });
  page.close();
  const bytes = readFileSync(join(dir, 'drops'));
  bytes[128 * 9 + 80] = 0xff;
  writeFileSync(join(dir, 'drops'), bytes);
  assert.deepEqual([readDrops(dir)?.damaged, readDrops(dir)?.rows], [1, 4998]);
  bytes[3] = 0;
  writeFileSync(join(dir, 'drops'), bytes);
  assert.equal(readDrops(dir), null);
});

test('a state that is none is refused', () => {
  const dir = join(spoolDir, 'state');
  mkdirSync(dir);
  for (const text of ['', 'null', '[]', '{"format":2}', '{"format":1,"stream":"x"}']) {
    for (const written of [text, `{"crc":${crc32(text)},"state":${text}}\n`]) {
      writeFileSync(join(dir, 'state.json'), written);
      assert.equal(readState(dir), null, written);
    }
  }
});

test('a mark is written in place, and one that is half written is not believed', async () => {
  const dir = await streamOf(30);
  const path = join(dir, 'state.json');
  updateMark(dir, 19);
  const file = statSync(path).ino;
  const older = readFileSync(path);
  updateMark(dir, 20);
  assert.equal(statSync(path).ino, file);
  const newer = readFileSync(path);
  assert.notDeepEqual(newer, older);
  // the new mark's first bytes in front of the old one's last, cut anywhere: one of the two, or none
  for (let cut = 0; cut <= newer.length; cut++) {
    writeFileSync(path, Buffer.concat([newer.subarray(0, cut), older.subarray(cut)]));
    const state = readState(dir);
    assert.ok(state === null || state.lastSeq === 19 || (state.lastSeq === 20 && newer.equals(readFileSync(path))), `cut at ${cut}: ${JSON.stringify(state)}`);
  }
});
