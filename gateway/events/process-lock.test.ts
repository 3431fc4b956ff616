import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { bootId, pidStart } from './process-life.js';
import { ProcessLock } from './process-lock.js';

test('a living holder keeps the others out, a dead one does not, and release lets go', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tidegate-lock-'));
  const path = join(directory, 'collector.lock');
  const holder = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
  t.after(() => {
    holder.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  await once(holder, 'spawn');
  const pid = holder.pid as number;
  writeFileSync(path, JSON.stringify({ pid, pidStart: pidStart(pid), bootId: bootId() }));
  assert.throws(() => ProcessLock.acquire(path), (error: TidegateError) => error.code === 'data_dir_in_use' && error.message.includes(String(pid)));
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = ProcessLock.acquire(path);
  assert.throws(() => ProcessLock.acquire(path), (error: TidegateError) => error.code === 'data_dir_in_use');
  lock.release();
  assert.equal(existsSync(path), false);
  assert.deepEqual(readdirSync(directory), []);
});

test('a lock that a power cut left empty, or of another boot, is taken over; a directory that is not there is said', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tidegate-lock-'));
  t.after(() => { rmSync(directory, { recursive: true, force: true }); });
  const path = join(directory, 'collector.lock');
  writeFileSync(path, '');
  ProcessLock.acquire(path).release();
  writeFileSync(path, JSON.stringify({ pid: process.pid, pidStart: pidStart(process.pid), bootId: 'another' }));
  ProcessLock.acquire(path).release();
  assert.throws(() => ProcessLock.acquire(join(directory, 'absent', 'lock')), (error: TidegateError) => error.code === 'data_dir_unusable');
});
