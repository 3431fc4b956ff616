/** What an older program has left behind, in frames, chunks and inserts of version 1: all of it is read, and what it had begun is finished as it was begun, each row once. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { decodeChunk, type Chunk } from '../../gateway/events/chunk.js';
import { KeptLog } from '../../gateway/events/event-samples.fixture.js';
import { decodeRows, readStreamEvents, type EventRow } from '../../gateway/events/read-rows.js';
import { readFrames, STREAM_START } from '../../gateway/events/read-segment.js';
import { requires } from '../../test/harness/requires.js';
import { loadMigrations, migrate } from '../store/migrate.js';
import { folderOf, openBackend, storedRows } from '../store/stores.fixture.js';
import { parsePlace, rangeToken } from './kafka/intent.js';
import { RangeBuilder } from './kafka/range-builder.js';
import { RangeInsert } from './range-insert.js';
import { Collect } from './spool/collect.js';
import { OLD_MANIFEST, OLD_MESSAGES, OLD_PLACE, OLD_ROWS, OLD_SPOOL, OLD_STAGING, OLD_STATEMENT, OLD_STREAM, OLD_TOKEN } from './version-1.fixture.js';

const BEFORE = loadMigrations().filter(({ version }) => version < 12);

/** As the killed collector left it. */
function leftBehind(folder: string, staged: boolean): { readonly spoolDir: string; readonly collectorDir: string; readonly log: KeptLog } {
  const [spoolDir, collectorDir] = [join(folder, 'spool'), join(folder, 'collector')];
  mkdirSync(join(spoolDir, OLD_STREAM), { recursive: true });
  mkdirSync(join(collectorDir, 'staging'), { recursive: true });
  for (const [name, bytes] of Object.entries(OLD_SPOOL)) writeFileSync(join(spoolDir, OLD_STREAM, name), bytes);
  writeFileSync(join(collectorDir, 'manifest.json'), OLD_MANIFEST);
  if (staged) writeFileSync(join(collectorDir, 'staging', '1.rows'), OLD_STAGING);
  return { spoolDir, collectorDir, log: new KeptLog() };
}

/** Of whole rows. */
function mustBeOld(rows: readonly EventRow[]): void {
  assert.deepEqual(rows.map(({ seq, stream, node, refusedBy, reason }) => [seq, stream, node, refusedBy, reason]), Array.from({ length: OLD_ROWS }, (_, seq) => [seq, OLD_STREAM, 'old-node', '', '']));
  assert.deepEqual(rows.filter(({ status }) => status === 401).map(({ seq, app, outcome }) => [seq, app, outcome]), [0, 5, 10, 15, 20].map((seq) => [seq, '', 'unauthenticated']));
  assert.ok(rows.every(({ traceId, seq, status }) => status === 401 || traceId === (seq % 3 === 0 ? '0af7651916cd43dd8448eb211c80319c' : '')));
}

const ONCE = { rows: OLD_ROWS, minutes: OLD_ROWS, quarters: OLD_ROWS, bytes: OLD_ROWS * 4321, edges: [[0, 1], [OLD_ROWS, -1]] };

test('rows of version 1 are read as rows of today, from a segment and from chunks', (t) => {
  const { spoolDir } = leftBehind(folderOf(t), true);
  const dir = join(spoolDir, OLD_STREAM);
  const frames = [...readFrames(dir, STREAM_START)].filter((item) => item.kind === 'frame');
  assert.deepEqual(frames.map(({ version, count }) => [version, count]), [[1, 8], [1, 8], [1, 8]]);
  mustBeOld(frames.flatMap(({ rows }) => [...decodeRows(rows)]));
  assert.equal([...readStreamEvents(dir, 0)].length, OLD_ROWS);
  const chunks = OLD_MESSAGES.map((message) => decodeChunk(message));
  assert.deepEqual(chunks.map(({ kind }) => kind), ['frames', 'frames']);
  mustBeOld(chunks.flatMap((chunk) => framesOf(chunk).flatMap(({ rows }) => [...decodeRows(rows)])));
});

const framesOf = (chunk: Chunk) => (chunk.kind === 'frames' ? chunk.frames : []);

for (const [name, staged, inserted] of [
  ['its rows staged', true, false], ['its staging file gone', false, false], ['stored, which it never learned', true, true], ['stored, its staging file gone', false, true],
] as const) {
  test(`an insert from the spool that an older program had begun is finished, each row once: ${name}`, { skip: requires('chdb') }, async (t) => {
    await using opened = await openBackend('chDB');
    const { store } = opened;
    const left = leftBehind(folderOf(t), staged);
    await migrate(store, BEFORE);
    if (inserted) {
      const file = join(opened.folder, 'old.rows');
      writeFileSync(file, OLD_STAGING);
      await store.command(OLD_STATEMENT.replace('STAGING', file));
      assert.deepEqual(await storedRows(store), ONCE);
    }
    await migrate(store);
    // three times: a collector that is killed makes it again
    for (let start = 0; start < 3; start++) {
      await Collect.open({ ...left, store });
      assert.deepEqual(await storedRows(store), ONCE, `start ${start + 1}`);
    }
    // and what comes next is none of it
    const collect = await Collect.open({ ...left, store });
    assert.deepEqual(await collect.step(), { rows: 0, caughtUp: true });
    assert.deepEqual(await store.query("SELECT countIf(refused_by = '' AND reason = '') AS n, countIf(status = 401) AS refused FROM tidegate.events"), [{ n: OLD_ROWS, refused: 5 }]);
  });
}

test('an insert from Kafka that an older program had begun is the same insert, to the token and the byte, and each row is stored once', { skip: requires('chdb') }, async (t) => {
  const folder = folderOf(t);
  const intent = parsePlace(OLD_PLACE, 40)?.intent ?? assert.fail('the intent is read');
  const builder = RangeBuilder.again(intent);
  for (const message of OLD_MESSAGES) assert.ok(builder.add(message));
  const picked = builder.picked();
  const bytes = Buffer.concat(picked.pieces);
  assert.deepEqual([picked.rows, bytes.length, crc32(bytes), builder.to], [intent.rows, intent.bytes, intent.crc, intent.to]);
  assert.ok(bytes.equals(OLD_STAGING));
  assert.equal(rangeToken('events', 3, intent), OLD_TOKEN);
  await using opened = await openBackend('chDB');
  const { store } = opened;
  await migrate(store, BEFORE);
  const file = join(folder, 'old.rows');
  writeFileSync(file, OLD_STAGING);
  await store.command(OLD_STATEMENT.replace('STAGING', file).replace(/insert_deduplication_token = '[^']*'/, `insert_deduplication_token = '${OLD_TOKEN}'`));
  await migrate(store);
  const inserts = new RangeInsert(store, join(folder, 'collector'), new KeptLog());
  await inserts.stage('3-40', picked, false);
  await inserts.insert(inserts.plan(OLD_TOKEN, picked), '3-40', picked.rows);
  assert.deepEqual(await storedRows(store), ONCE);
});

test('to an insert of version 1, what is newer in its range is what the older program could not read', () => {
  const [columns, lying] = OLD_MESSAGES;
  const newer = { ...columns, headers: { t: 'frames', v: '3' } };
  assert.equal(decodeChunk(newer, 1).kind === 'unreadable' && decodeChunk(newer, 1).kind, 'unreadable');
  const frame = Buffer.from(lying.value);
  frame.writeUInt16LE(2, 4);
  frame.writeUInt32LE(crc32(frame.subarray(0, 36)), 36);
  const chunk = decodeChunk({ ...lying, value: Buffer.concat([lying.value, frame]) }, 1);
  assert.deepEqual(chunk.kind === 'unreadable' && [chunk.reason, chunk.frames.length], ['newer', 1]);
});
