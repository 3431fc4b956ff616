/** A spool of which nothing can be written any more, segments and drop page alike: the tally is kept elsewhere, comes back with the disk, and outlives its worker. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../test/harness/deadline.js';
import { DropPage, readDrops } from './drop-page.js';
import { KeptLog, sampleFacts } from './event-samples.fixture.js';
import { readStreamEvents } from './read-rows.js';
import { Recorder } from './recorder.js';
import { sealStream } from './seal.js';
import { SYSTEM_CALLS } from './segment-writer.js';
import { bringBack } from './tally-elsewhere.js';

const systemTemporary = process.env['TMPDIR'];
let folder = '';
let readOnly = false;
let log = new KeptLog();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-elsewhere-'));
  mkdirSync(join(folder, 'tmp'));
  process.env['TMPDIR'] = join(folder, 'tmp');
  readOnly = false;
  log = new KeptLog();
});
afterEach(() => {
  if (systemTemporary === undefined) delete process.env['TMPDIR'];
  else process.env['TMPDIR'] = systemTemporary;
  rmSync(folder, { recursive: true });
});

const refused = (): void => {
  if (readOnly) throw Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' });
};

interface OpenStream { readonly recorder: Recorder; readonly dir: string; readonly released: () => number; readonly turn: (...apps: readonly string[]) => void }

function open(): OpenStream {
  const spoolDir = join(folder, 'spool');
  const recorder = Recorder.open({
    spoolDir, node: 'n', worker: 1, segmentBytes: 1 << 20, log,
    calls: {
      create: (path) => { refused(); return SYSTEM_CALLS.create(path); },
      write: (...call) => { refused(); return SYSTEM_CALLS.write(...call); },
      truncate: (...call) => { refused(); SYSTEM_CALLS.truncate(...call); },
    },
    writePage: (...call) => { refused(); return writeSync(...call); },
  });
  let released = 0;
  const turn = (...apps: readonly string[]): void => {
    for (const app of apps) recorder.record(sampleFacts(recorder.nextOrdinal(), { appName: app }, { app }), { release: () => { released++; } });
    recorder.flushNow();
  };
  return { recorder, dir: join(spoolDir, recorder.stream), released: () => released, turn };
}

const kept = (): string[] => readdirSync(join(folder, 'tmp'), { recursive: true }).map(String).filter((name) => /\/[0-9a-f]{16}$/.test(name));
const perApp = (dir: string): unknown => readDrops(dir)?.apps.map(({ app, rows }) => [app, rows]);

test('while the disk is read-only answers go and few words are said; when it comes back the tally is in the page, exactly', async () => {
  const { recorder, dir, released, turn } = open();
  turn('acme');
  readOnly = true;
  for (let i = 0; i < 500; i++) turn('acme', 'globex', '');
  assert.deepEqual([released(), recorder.dropped.write_failed, recorder.lastWrittenSeq], [1501, 1500, 1500]);
  assert.deepEqual([perApp(dir), kept().length], [[], 1]);
  assert.ok(log.lines.length < 5, `${log.lines.length} lines`);
  readOnly = false;
  // without another request
  await eventually('the tally in the page', () => ((readDrops(dir)?.rows ?? 0) > 0 ? true : null));
  assert.deepEqual(perApp(dir), [['acme', 500], ['globex', 500], ['', 500]]);
  assert.deepEqual([readDrops(dir)?.lastSeq, readdirSync(join(folder, 'tmp'))], [1500, []]);
  turn('acme');
  await recorder.close();
  assert.deepEqual([sealStream(dir, log, () => false)?.seal?.lastSeq, [...readStreamEvents(dir, 0)].length], [1501, 2]);
});

test('of a worker that ends before the disk comes back, what it dropped is brought back before the seal', async () => {
  const { recorder, dir, turn } = open();
  readOnly = true;
  recorder.noteTold();
  turn('acme', 'globex');
  turn('acme');
  await recorder.close();
  assert.deepEqual([perApp(dir), kept().length], [[], 1]);
  bringBack(dir, recorder.stream, log);
  bringBack(dir, recorder.stream, log);
  assert.deepEqual([perApp(dir), readdirSync(join(folder, 'tmp'))], [[['acme', 2], ['globex', 1]], []]);
  assert.equal(sealStream(dir, log, () => false)?.seal?.lastSeq, 2);
});

test('a folder that others may write to is not used, and it is said that the tally is nowhere', async () => {
  const { recorder, turn, dir: streamDir } = open();
  const dir = join(folder, 'tmp', `tidegate-tally-${String(process.getuid?.() ?? 'user')}`);
  mkdirSync(dir);
  chmodSync(dir, 0o777);
  readOnly = true;
  turn('acme');
  assert.deepEqual(kept(), []);
  assert.ok(log.lines.some(({ level, message }) => level === 'error' && message.includes('nowhere')));
  await recorder.close();
  // anybody can make one: no stream waits for its seal because of it
  bringBack(streamDir, recorder.stream, log);
  assert.equal(sealStream(streamDir, log, () => false)?.seal?.lastSeq, -1);
});

test('that the stream had come further than what was flushed is in its page, and moves no drop', async () => {
  const { recorder, dir, turn } = open();
  turn('acme');
  turn('acme');
  const drops = DropPage.open(dir, recorder.stream);
  drops.reach(1);
  drops.commit();
  drops.reach(0);
  assert.equal(drops.onDisk, false);
  await drops.flush();
  assert.equal(drops.onDisk, true);
  drops.close();
  assert.deepEqual([readDrops(dir)?.lastSeq, readDrops(dir)?.reachedSeq, readDrops(dir)?.rows], [-1, 1, 0]);
  await recorder.close();
});

test('of a page that could not be flushed all is written again', async () => {
  const { recorder, dir } = open();
  const page = DropPage.open(dir, recorder.stream);
  page.add({ seq: 0, app: 'acme', timeMs: 1, requests: 1, counted: 1 }, 'disk_full');
  page.commit();
  page.close();
  await assert.rejects(page.flush());
  assert.deepEqual([page.committed, page.onDisk], [false, false]);
  await recorder.close();
});
