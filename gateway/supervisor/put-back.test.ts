/** A data directory that is a copy, with real copies: what is put into its spool, and what is not. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { ErrorCode } from '../../errors/codes.js';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { requires } from '../../test/harness/requires.js';
import { SmallDisk } from '../../test/harness/small-disk.js';
import { IDENTITY_FILE, isOf, noteSeen, readIdentity } from '../events/dir-identity.js';
import { GAP_WORKER } from '../events/event.js';
import { sealStream } from '../events/seal.js';
import { removeLeftovers, scanStreams } from '../events/spool.js';
import { SpooledEvents } from '../events/shipper/spooled-events.fixture.js';
import { declareGap } from './declared-gap.js';
import { noticeCopy } from './put-back.js';
import type { ConfigInForce } from './run-files.js';

const HOUR_MS = 3_600_000;
const SEEN = Date.UTC(2026, 10, 20, 10);
const START = SEEN + 26 * HOUR_MS;

let folder = '';
let original = '';
let copy = '';
let logged: (readonly [fields: { readonly code?: ErrorCode; readonly stream?: string; readonly from?: string; readonly to?: string }, message: string])[] = [];
const log = { warn: (fields: object, message: string): void => { logged.push([fields, message]); } };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-put-back-'));
  [original, copy] = [join(folder, 'original'), join(folder, 'copy')];
  mkdirSync(join(original, 'spool'), { recursive: true });
  logged = [];
});
afterEach(() => { rmSync(folder, { recursive: true, force: true }); });

/** As a supervisor does. */
const start = (dataDir: string, nowMs: number, serves = true): void => {
  noticeCopy({ dataDir, node: 'n1', serves, log }, nowMs);
  noteSeen(dataDir, nowMs, false);
};
const gapsOf = (dataDir: string): readonly (readonly [from: string, to: string, proven: boolean | undefined])[] => scanStreams(join(dataDir, 'spool'))
  .filter(({ state }) => state?.worker === GAP_WORKER).map(({ state }) => [state?.openedAt ?? '', state?.seal?.sealedAt ?? '', state?.seal?.proven]);
const iso = (ms: number): string => new Date(ms).toISOString();

test('a first start, one on the same directory, and one on the directory at another place find no gap', () => {
  start(original, SEEN);
  noteSeen(original, SEEN + 1000, false);
  assert.equal(readIdentity(original)?.seenMs, SEEN + 1000);
  start(original, START);
  renameSync(original, copy);
  assert.equal(isOf(copy, readIdentity(copy) as NonNullable<ReturnType<typeof readIdentity>>), true);
  start(copy, START + 1000);
  assert.deepEqual(readdirSync(join(copy, 'spool')), []);
  assert.deepEqual(logged, []);
});

for (const [how, make] of [
  ['cp -a', () => execFileSync('cp', ['-a', original, copy])],
  ['tar', () => { mkdirSync(copy); execFileSync('sh', ['-c', 'tar -C "$0" -cf - . | tar -C "$1" -xpf -', original, copy]); }],
  ['files copied one by one', () => { cpSync(original, copy, { recursive: true, preserveTimestamps: true }); }],
] as const) {
  test(`a copy made with ${how}, and put back in the original's place, has a gap from when the original was last seen until its start`, () => {
    start(original, SEEN - HOUR_MS);
    noteSeen(original, SEEN, false);
    make();
    noteSeen(original, SEEN + 3 * HOUR_MS, false);
    // the original keeps its inode meanwhile
    renameSync(original, join(folder, 'broken'));
    renameSync(copy, original);
    start(original, START);
    assert.deepEqual(gapsOf(original), [[iso(SEEN), iso(START), false]]);
    assert.deepEqual(logged.map(([{ code, from, to }]) => [code, from, to]), [['data_dir_put_back', iso(SEEN), iso(START)]]);
    start(original, START + 1000);
    assert.equal(logged.length, 1, 'the directory is its own from then on');
    assert.equal(removeLeftovers(join(original, 'spool'), START), 0);
  });
}

test('killed before the directory is its own, the next start puts the same gap, up to itself', () => {
  start(original, SEEN);
  cpSync(original, copy, { recursive: true });
  const before = readFileSync(join(copy, IDENTITY_FILE));
  start(copy, START);
  writeFileSync(join(copy, IDENTITY_FILE), before, { flag: 'r+' });
  start(copy, START + 60_000);
  assert.deepEqual(gapsOf(copy), [[iso(SEEN), iso(START + 60_000), false]]);
  assert.equal(logged[0]?.[0].stream, logged[1]?.[0].stream);
});

test('two copies of one moment have a gap each: one may be told through Kafka to a store that knows the other', () => {
  start(original, SEEN);
  const streams = ['first', 'second'].map((name) => {
    cpSync(original, join(folder, name), { recursive: true });
    start(join(folder, name), START);
    return logged.at(-1)?.[0].stream;
  });
  assert.notEqual(streams[0], streams[1]);
});

test('of a node that ran while it was copied, file after file, the gap begins at the oldest mark of a living stream', async () => {
  start(original, Date.now());
  const events = new SpooledEvents(join(original, 'spool'));
  events.record(10).mark();
  const markedMs = Date.parse(scanStreams(join(original, 'spool'))[0]?.state?.markedAt ?? '');
  noteSeen(original, markedMs + 40_000, false);
  cpSync(original, copy, { recursive: true });
  start(copy, markedMs + HOUR_MS);
  assert.deepEqual(gapsOf(copy), [[iso(markedMs), iso(markedMs + HOUR_MS), false]]);
  await events.seal();
  rmSync(copy, { recursive: true });
  cpSync(original, copy, { recursive: true });
  start(copy, markedMs + HOUR_MS);
  assert.deepEqual(gapsOf(copy), [[iso(markedMs + 40_000), iso(markedMs + HOUR_MS), false]], 'a sealed one is whole');
});

test('a copy whose clock was ahead has a gap all the same', () => {
  start(original, START);
  cpSync(original, copy, { recursive: true });
  start(copy, SEEN);
  assert.deepEqual(gapsOf(copy), [[iso(SEEN), iso(START), false]]);
});

test('a collector alone answers no requests that a copy could lack', () => {
  start(original, SEEN, false);
  cpSync(original, copy, { recursive: true });
  start(copy, START, false);
  assert.deepEqual(readdirSync(join(copy, 'spool')), []);
  assert.equal(isOf(copy, readIdentity(copy) as NonNullable<ReturnType<typeof readIdentity>>), true);
});

test('a file that is torn, foreign or empty says nothing, and is told and written anew in its place', () => {
  for (const text of ['{"inode":"12', '', 'null', '[]', '{"inode":1,"birth_ns":"2","seen_at":"2026-11-20T10:00:00.000Z"}', '{"inode":"1","birth_ns":"2","seen_at":"then"}']) {
    writeFileSync(join(original, IDENTITY_FILE), text);
    assert.equal(readIdentity(original), null, text);
    logged = [];
    start(original, SEEN);
    assert.deepEqual(logged.map(([{ code }, message]) => [code, /whether the data directory is a copy cannot be told/.test(message)]), [[undefined, true]], text);
    assert.equal(readIdentity(original)?.seenMs, SEEN, text);
    assert.equal(statSync(join(original, IDENTITY_FILE)).size, 256);
  }
  assert.deepEqual(readdirSync(original).sort(), [IDENTITY_FILE, 'spool']);
});

test('on a full disk the file cannot be made, and leaves nothing behind; one that is there is written in its place', { skip: requires('root', 'linux') }, () => {
  const dataDir = join(folder, 'disk');
  using disk = SmallDisk.mount(dataDir, 1);
  disk.fill();
  const before = readdirSync(dataDir);
  assert.throws(() => { noteSeen(dataDir, SEEN, true); }, { code: 'ENOSPC' });
  assert.deepEqual(readdirSync(dataDir), before);
  disk.makeRoom();
  noteSeen(dataDir, SEEN, true);
  disk.fill();
  noteSeen(dataDir, START, true);
  assert.equal(readIdentity(dataDir)?.seenMs, START);
});

test('what cannot be written keeps the node from starting: a gap that is not told would be one that nobody knows of', () => {
  start(original, SEEN);
  cpSync(original, copy, { recursive: true });
  rmSync(join(copy, 'spool'), { recursive: true });
  writeFileSync(join(copy, 'spool'), '');
  assert.throws(() => { start(copy, START); }, { code: 'data_dir_unusable' });
  assert.equal(readIdentity(copy)?.seenMs, SEEN, 'and the next start finds the copy');
});

test('a declared gap is the same as one that was found; said twice it is one, and slips are refused', () => {
  const inForce = { dataDir: original, config: { node: 'n1', store: { keep: { events: '30d', minutes: '90d', quarter_hours: '1100d' } } } } as ConfigInForce;
  const declare = (fromMs: number, toMs: number): string => declareGap(inForce, { fromMs, toMs }, START, log).stream;
  const stream = declare(SEEN, START - HOUR_MS);
  assert.equal(declare(SEEN, START - HOUR_MS), stream);
  assert.deepEqual(gapsOf(original), [[iso(SEEN), iso(START - HOUR_MS), false]]);
  const sealed = sealStream(join(original, 'spool', stream), { info: () => undefined, warn: () => undefined, error: () => undefined }, () => false);
  assert.equal(sealed?.seal?.proven, false, 'the supervisor has nothing to seal');
  const refused = (parameter: string) => (error: unknown): boolean => error instanceof InvalidParameterError && error.parameter === parameter;
  assert.throws(() => declare(SEEN, START + 1), refused('to'));
  assert.throws(() => declare(SEEN, SEEN), refused('from'));
  assert.throws(() => declare(START, SEEN), refused('from'));
  assert.throws(() => declare(START - 1101 * 24 * HOUR_MS, START), refused('from'));
  assert.equal(gapsOf(original).length, 1);
});
