import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { LogFile } from './log-file.js';
import { LogRotation } from './rotation.js';

function logFolder(t: TestContext): { readonly folder: string; readonly file: string } {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-rotation-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  return { folder, file: join(folder, 'tidegate.log') };
}

test('a file that is too large or too old is put aside, compressed whole, and the oldest go', async (t) => {
  const { folder, file } = logFolder(t);
  const warnings: object[] = [];
  let nowMs = Date.now();
  const rotation = new LogRotation({ settings: { file, rotate: { bytes: 100, ageMs: 60_000, keep: 3 } }, log: { warn: (fields) => { warnings.push(fields); } }, nowMs: () => nowMs });
  const look = async (): Promise<readonly string[]> => {
    rotation.look();
    await rotation.settled();
    return readdirSync(folder).sort();
  };
  writeFileSync(join(folder, 'tidegate.log.of-somebody-else'), '');
  assert.deepEqual(await look(), ['tidegate.log.of-somebody-else'], 'nothing is written yet');
  writeFileSync(file, 'a'.repeat(99));
  assert.deepEqual((await look()).length, 2, 'neither large nor old');
  // its age is the file system's word, to the nanosecond: it may be born after the millisecond that Date.now() gives
  nowMs = Date.now() + 60_001;
  const aged = (await look()).filter((name) => name !== 'tidegate.log.of-somebody-else');
  assert.deepEqual(aged, [`tidegate.log.${new Date(nowMs).toISOString().replaceAll(':', '')}`], 'put aside, and not compressed while another process may write to it');
  nowMs += 10_000;
  assert.deepEqual((await look())[0], `${aged[0]}.gz`);
  for (let i = 0; i < 5; i++) {
    writeFileSync(file, `${i}`.repeat(100));
    nowMs += 1000;
    await look();
  }
  nowMs += 20_000;
  const left = (await look()).filter((name) => name.endsWith('.gz'));
  assert.deepEqual(left.map((name) => gunzipSync(readFileSync(join(folder, name))).toString()), ['2', '3', '4'].map((digit) => digit.repeat(100)));
  assert.equal((await look()).length, 4, 'nothing half done, and nobody else\'s file, is touched');
  assert.deepEqual(warnings, []);
});

test('processes that have the file open go on in the new one, and no line is lost or cut', (t) => {
  const { folder, file } = logFolder(t);
  const writers = [new LogFile(file), new LogFile(file)];
  let nowMs = Date.now();
  const rotation = new LogRotation({ settings: { file, rotate: { bytes: 2000, ageMs: 1e9, keep: 100 } }, log: { warn: (fields) => { throw new Error(JSON.stringify(fields)); } }, nowMs: () => nowMs });
  let written = 0;
  for (let round = 0; round < 5; round++) {
    for (let i = 0; i < 50; i++) for (const writer of writers) assert.equal(writer.append(`line ${String(written++).padStart(6, '0')} ${'x'.repeat(20)}\n`), '');
    nowMs += round === 3 ? 0 : 1000;
    rotation.look();
    // as each does by itself every second
    for (const writer of writers) writer.look();
  }
  const lines = readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n')).filter((line) => line !== '');
  assert.ok(readdirSync(folder).length > 3, 'it was put aside several times');
  assert.deepEqual(lines.sort(), Array.from({ length: written }, (_, i) => `line ${String(i).padStart(6, '0')} ${'x'.repeat(20)}`));
});

test('a log file that somebody puts a FIFO or a folder in place of is not written, waited for or put aside, and is written again when it is one', (t) => {
  const { folder, file } = logFolder(t);
  const writer = new LogFile(file);
  const rotation = new LogRotation({ settings: { file, rotate: { bytes: 1, ageMs: 1, keep: 3 } }, log: { warn: (fields) => { throw new Error(JSON.stringify(fields)); } } });
  for (const [make, why] of [['mkfifo', 'it is not a regular file'], ['mkdir', 'it is a folder']] as const) {
    assert.deepEqual([writer.append('one\n'), writer.fault], ['', null]);
    rmSync(file);
    assert.equal(spawnSync(make, [file]).status, 0);
    // read by somebody, so that opening it would not wait
    const reader = make === 'mkfifo' ? openSync(file, constants.O_RDWR | constants.O_NONBLOCK) : null;
    writer.look();
    assert.deepEqual([writer.append('two\n'), writer.fault], ['two\n', why]);
    rotation.look();
    assert.deepEqual(readdirSync(folder), ['tidegate.log']);
    if (reader !== null) closeSync(reader);
    rmSync(file, { recursive: true });
    writer.look();
  }
  assert.deepEqual([writer.append('three\n'), readFileSync(file, 'utf8')], ['', 'three\n']);
});

test('a folder where nothing can be put aside is told once, and ends nothing', async (t) => {
  const { folder, file } = logFolder(t);
  const warnings: unknown[] = [];
  const rotation = new LogRotation({ settings: { file, rotate: { bytes: 1, ageMs: 1e9, keep: 3 } }, log: { warn: (fields) => { warnings.push((fields as { code: string }).code); } } });
  rmSync(folder, { recursive: true });
  for (let i = 0; i < 3; i++) rotation.look();
  await rotation.settled();
  assert.deepEqual(warnings, ['log_file']);
});
