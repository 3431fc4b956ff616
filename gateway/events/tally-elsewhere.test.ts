/** A spool of which nothing can be written any more, segments and drop page alike: the tally is kept elsewhere, comes back with the disk, and outlives its worker. */
import { afterEach, beforeEach, mock, test } from 'node:test';
import assert from 'node:assert/strict';
import fs, { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../test/harness/deadline.js';
import { decodeDrops, DropPage, PAGE_CALLS, readDrops, type PageCalls, type StreamDrops } from './drop-page.js';
import { KeptLog, sampleFacts } from './event-samples.fixture.js';
import { readStreamEvents } from './read-rows.js';
import { Recorder } from './recorder.js';
import { sealStream } from './seal.js';
import { SEGMENT_HEADER_BYTES, segmentPath } from './segment.js';
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

/** Beneath the page cache: what a flush fails to bring here the kernel takes for clean, and no later flush brings it. */
class Disk implements PageCalls {
  fails = false;
  readonly #bytes = Buffer.alloc(256 * 1024);
  #dirty: { readonly bytes: Buffer; readonly position: number }[] = [];

  write(...call: Parameters<PageCalls['write']>): number {
    const [, bytes, offset, length, position] = call;
    this.#dirty.push({ bytes: Buffer.from(bytes.subarray(offset, offset + length)), position });
    return PAGE_CALLS.write(...call);
  }

  async flush(): Promise<void> {
    const { fails } = this;
    const dirty = this.#dirty;
    this.#dirty = [];
    await Promise.resolve();
    if (fails) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
    for (const { bytes, position } of dirty) bytes.copy(this.#bytes, position);
  }

  get drops(): StreamDrops | null {
    return decodeDrops(this.#bytes);
  }
}

/** @param flushSegments in place of the system's */
function open(page: PageCalls = PAGE_CALLS, flushSegments: (fd: number) => Promise<void> = (fd) => SYSTEM_CALLS.flush(fd)): OpenStream {
  const spoolDir = join(folder, 'spool');
  const recorder = Recorder.open({
    spoolDir, node: 'n', worker: 1, segmentBytes: 1 << 20, log,
    calls: {
      create: (path) => { refused(); return SYSTEM_CALLS.create(path); },
      write: (...call) => { refused(); return SYSTEM_CALLS.write(...call); },
      truncate: (...call) => { refused(); SYSTEM_CALLS.truncate(...call); },
      flush: flushSegments,
    },
    pageCalls: { write: (...call) => { refused(); return page.write(...call); }, flush: (fd) => page.flush(fd) },
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
  await eventually('the tally in the page, on disk', () => (readdirSync(join(folder, 'tmp')).length === 0 ? true : null));
  assert.deepEqual(perApp(dir), [['acme', 500], ['globex', 500], ['', 500]]);
  assert.equal(readDrops(dir)?.lastSeq, 1500);
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
  const disk = new Disk();
  const page = DropPage.create(folder, '00000000000000aa', disk);
  const drop = (apps: number): void => {
    for (let app = 0; app < apps; app++) page.add({ seq: app, app: `app-${app}`, timeMs: 1, requests: 1, counted: 1 }, 'disk_full');
  };
  // more than have a place of their own
  drop(2050);
  page.commit();
  disk.fails = true;
  await assert.rejects(page.flush(), /EIO/);
  assert.deepEqual([page.committed, page.onDisk], [false, false]);
  disk.fails = false;
  drop(1);
  page.commit();
  await page.flush();
  page.close();
  assert.equal(page.onDisk, true);
  assert.deepEqual([disk.drops?.lastSeq, disk.drops?.rows, disk.drops?.damaged], [2049, 2051, 0]);
  assert.deepEqual(disk.drops?.apps, readDrops(folder)?.apps);
});

test('what is tallied while the page is being flushed is not taken for flushed, nor what is tallied and not written', async () => {
  const disk = new Disk();
  const page = DropPage.create(folder, '00000000000000aa', disk);
  const drop = (): void => { page.add({ seq: 0, app: 'acme', timeMs: 1, requests: 1, counted: 1 }, 'disk_full'); };
  drop();
  page.commit();
  const flushing = page.flush();
  drop();
  page.commit();
  await flushing;
  assert.deepEqual([page.onDisk, disk.drops?.rows], [false, 1]);
  await page.flush();
  assert.deepEqual([page.onDisk, disk.drops?.rows], [true, 2]);
  drop();
  assert.equal(page.onDisk, false);
  await page.flush();
  assert.equal(page.onDisk, false);
  page.close();
});

const eio = (): Promise<void> => Promise.reject(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' }));

for (const [name, ends] of [['by a worker that lives, within seconds', false], ['by one that ends', true]] as const) {
  test(`of rows that could not be flushed it is noted on disk that they were there, ${name}`, async () => {
    const disk = new Disk();
    const { recorder, dir, turn } = open(disk, eio);
    turn('acme', 'globex');
    if (ends) await recorder.close();
    else await eventually('it is noted', () => (disk.drops?.reachedSeq === 1 ? true : null));
    assert.deepEqual([disk.drops?.reachedSeq, disk.drops?.rows], [1, 0]);
    await recorder.close();
    // as after a mount that has lost them
    truncateSync(segmentPath(dir, 1), SEGMENT_HEADER_BYTES);
    assert.equal(sealStream(dir, log, () => false)?.seal?.lastSeq, 1);
  });
}

test('a flush that was under way as the worker ended, and failed, is noted; so are the rows written meanwhile', async () => {
  for (const ends of [true, false]) {
    const disk = new Disk();
    let flushes = 0;
    let fail: () => void = () => undefined;
    const underWay = new Promise<void>((_, reject) => { fail = () => { reject(new Error('EIO: i/o error, fdatasync')); }; });
    const { recorder, turn } = open(disk, () => (flushes++ === 0 ? underWay : Promise.resolve()));
    turn('acme');
    await eventually('it is under way', () => (flushes > 0 ? true : null));
    turn('acme');
    const closed = ends ? recorder.close() : null;
    fail();
    await closed;
    await eventually('it is noted', () => (disk.drops?.reachedSeq === 1 ? true : null));
    await recorder.close();
  }
});

for (const [name, ends] of [['until it is', false], ['where the worker ends before', true]] as const) {
  test(`a tally that is in the page and could not be flushed is kept elsewhere, ${name}`, async () => {
    const disk = new Disk();
    const { recorder, turn } = open(disk);
    disk.fails = true;
    recorder.setRoom(10, 10);
    turn('acme', 'globex');
    if (ends) await recorder.close();
    else await eventually('it is kept', () => (kept().length === 1 ? true : null));
    assert.equal(kept().length, 1);
    assert.ok(log.lines.some(({ level, message }) => level === 'error' && message.includes('kept elsewhere')));
    if (ends) return;
    disk.fails = false;
    turn('acme');
    await eventually('it is in the page', () => (kept().length === 0 ? true : null));
    assert.deepEqual(disk.drops?.apps.map(({ app, rows }) => [app, rows]), [['acme', 2], ['globex', 1]]);
    await recorder.close();
    assert.equal(disk.drops.rows, 3);
  });
}

test('what is dropped last is on disk when the worker has ended', async () => {
  const disk = new Disk();
  const { recorder, turn } = open(disk);
  recorder.setRoom(10, 10);
  turn('acme');
  await recorder.close();
  assert.equal(disk.drops?.rows, 1);
});

test('a tally that could not be flushed as it was brought back is written again: another flush alone would bring nothing', async (t) => {
  t.after(() => { mock.restoreAll(); syncBuiltinESMExports(); });
  const { recorder, dir, turn } = open();
  readOnly = true;
  turn('acme', 'globex');
  await recorder.close();
  const lasting: number[] = [];
  let dirty = 0;
  let fails = true;
  const { writeSync, fsyncSync } = fs;
  mock.method(fs, 'writeSync', (...call: Parameters<typeof writeSync>) => {
    const written = writeSync(...call);
    dirty += written;
    return written;
  });
  mock.method(fs, 'fsyncSync', (fd: number) => {
    const bytes = dirty;
    dirty = 0;
    if (fails) throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' });
    fsyncSync(fd);
    lasting.push(bytes);
  });
  syncBuiltinESMExports();
  assert.throws(() => { bringBack(dir, recorder.stream, log); }, /EIO/);
  assert.equal(kept().length, 1);
  fails = false;
  bringBack(dir, recorder.stream, log);
  assert.deepEqual([kept(), perApp(dir)], [[], [['acme', 1], ['globex', 1]]]);
  assert.ok((lasting.at(-1) ?? 0) >= 4 * 128, `${lasting.at(-1)} bytes`);
});

test('up to where the ledger was told is written again where it could not be, and is brought back', async () => {
  for (const ends of [false, true]) {
    const { recorder, dir, turn } = open();
    recorder.setRoom(10, 10);
    turn('acme', 'globex');
    readOnly = true;
    recorder.noteTold();
    if (ends) {
      await recorder.close();
      bringBack(dir, recorder.stream, log);
    }
    readOnly = false;
    await eventually('the tally in the page, on disk', () => (kept().length === 0 ? true : null));
    const drops = readDrops(dir);
    assert.deepEqual([drops?.toldSeq, drops?.toldRows, drops?.apps.map(({ toldCounted }) => toldCounted)], [1, 2, [1, 1]]);
    await recorder.close();
  }
});

test('of a copy that a kill left half written nothing stays', async () => {
  const { recorder, dir, turn } = open();
  readOnly = true;
  turn('acme');
  await recorder.close();
  writeFileSync(join(folder, 'tmp', `${kept()[0] ?? ''}.new`), 'half');
  bringBack(dir, recorder.stream, log);
  assert.deepEqual(readdirSync(join(folder, 'tmp')), []);
});

test('a kept tally that cannot be read is told, and blocks no seal', async () => {
  const { recorder, dir, turn } = open();
  readOnly = true;
  turn('acme');
  await recorder.close();
  writeFileSync(join(folder, 'tmp', kept()[0] ?? ''), 'no page');
  bringBack(dir, recorder.stream, log);
  assert.ok(log.lines.some(({ fields }) => (fields as { code?: string }).code === 'spool_corrupt'));
  assert.deepEqual(kept(), []);
});
