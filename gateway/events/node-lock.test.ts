/** The lock of a data directory, with real processes: heirs, kill -9, other PID namespaces, copies. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { requires } from '../../test/harness/requires.js';
import { noteSeen } from './dir-identity.js';
import { isLocked, lockDescriptor, openLocked } from './kernel-lock.js';
import { NODE_LOCK, NodeLock } from './node-lock.js';

const skip = requires('flock');
const MODULE = fileURLToPath(new URL(`./node-lock${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
let folder = '';
let holders: ChildProcess[] = [];

beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'tidegate-node-lock-')); });
afterEach(() => {
  for (const holder of holders) holder.kill('SIGKILL');
  holders = [];
  rmSync(folder, { recursive: true, force: true });
});

const refusedAs = (code: ErrorCode) => (error: unknown): boolean => error instanceof TidegateError && error.code === code;
const runInside = (dataDir: string): string => (JSON.parse(readFileSync(join(dataDir, NODE_LOCK), 'utf8')) as { readonly run: string }).run;

/** A process of its own that takes the lock and holds it; resolves once it has. `heir`: it starts a child that inherits it, and says its pid. */
async function holder(dataDir: string, { wrap = [], heir = false }: { readonly wrap?: readonly string[]; readonly heir?: boolean } = {}): Promise<{ readonly process: ChildProcess; readonly said: string }> {
  const script = `
    const { NodeLock } = await import(${JSON.stringify(MODULE)});
    const lock = await NodeLock.take(${JSON.stringify(dataDir)}, { waitMs: 0 });
    let said = lock.run;
    if (${String(heir)}) {
      const { spawn } = await import('node:child_process');
      said = spawn('sleep', ['600'], { stdio: ['ignore', 'ignore', 'ignore', lock.fd] }).pid;
    }
    console.log(said);
    setInterval(() => {}, 1000);`;
  const [command = '', ...args] = [...wrap, process.execPath, ...process.execArgv, '--input-type=module', '-e', script];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  holders.push(child);
  const [said] = await once(child.stdout, 'data') as [Buffer];
  return { process: child, said: String(said).trim() };
}

test('a second start is refused by its holder, and every process of the run shares the lock', { skip }, async () => {
  const first = await NodeLock.take(folder);
  assert.match(first.run ?? '', /^[0-9a-f]{16}$/);
  assert.equal(runInside(folder), first.run);
  await assert.rejects(NodeLock.take(folder), (error: TidegateError) => refusedAs('data_dir_in_use')(error) && error.message.includes(`process ${process.pid} `));
  const shared = NodeLock.join(folder, first.run ?? '');
  first.release();
  await assert.rejects(NodeLock.take(folder), refusedAs('data_dir_in_use'), 'the other process of the run has it yet');
  shared.release();
  const second = await NodeLock.take(folder);
  assert.notEqual(second.run, first.run);
  assert.throws(() => NodeLock.join(folder, first.run ?? ''), refusedAs('data_dir_in_use'), 'another run has it');
  second.release();
});

test('kill -9 of a holder frees it, once its heirs have ended too', { skip }, async () => {
  const { process: killed, said } = await holder(folder, { heir: true });
  killed.kill('SIGKILL');
  await once(killed, 'exit');
  await assert.rejects(NodeLock.take(folder, { waitMs: 0 }), refusedAs('data_dir_in_use'), 'a child lives');
  const waiting = NodeLock.take(folder);
  process.kill(Number(said), 'SIGKILL');
  (await waiting).release();
});

test('a holder in another PID namespace is seen, and named as being elsewhere', { skip: requires('flock', 'namespaces') }, async () => {
  const { process: unshare } = await holder(folder, { wrap: ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'] });
  await assert.rejects(NodeLock.take(folder, { waitMs: 100 }), (error: TidegateError) => refusedAs('data_dir_in_use')(error) && error.message.includes('another container or PID namespace'));
  unshare.kill('SIGKILL');
  (await NodeLock.take(folder)).release();
});

test('a copy of a directory whose node runs is refused, and taken when it does not run any more', { skip }, async () => {
  const [original, copy] = [join(folder, 'original'), join(folder, 'copy')];
  mkdirSync(original);
  noteSeen(original, Date.now(), true);
  const { process: running } = await holder(original);
  cpSync(original, copy, { recursive: true, preserveTimestamps: true });
  await assert.rejects(NodeLock.take(copy), refusedAs('data_dir_copied'));
  running.kill('SIGKILL');
  await once(running, 'exit');
  const again = await NodeLock.take(original);
  await assert.rejects(NodeLock.take(copy), refusedAs('data_dir_copied'), 'started again since: its lock tells');
  again.release();
  const taken = await NodeLock.take(copy);
  taken.release();
  // as the supervisor does once it has the directory
  noteSeen(copy, Date.now(), true);
  const beside = await NodeLock.take(original);
  (await NodeLock.take(copy)).release();
  beside.release();
});

test('a torn or foreign text in the file is nobody\'s', { skip }, async () => {
  writeFileSync(join(folder, NODE_LOCK), '{"run":"0123');
  (await NodeLock.take(folder)).release();
});

test('without the program flock nothing is locked; what fails to lock is said in its words', async () => {
  const lock = await NodeLock.take(folder, { program: 'no-such-program-flock' });
  assert.equal(lock.run, null);
  assert.equal(lock.fd, -1);
  lock.release();
  const failing = join(folder, 'flock');
  writeFileSync(failing, '#!/bin/sh\necho "flock: 3: No locks available" >&2\nexit 71\n');
  chmodSync(failing, 0o755);
  await assert.rejects(NodeLock.take(folder, { program: failing }), (error: TidegateError) => refusedAs('data_dir_unlockable')(error) && error.message.includes('No locks available'));
  await assert.rejects(NodeLock.take(join(folder, 'absent')), refusedAs('data_dir_unusable'));
});

test('a lock of a file that was replaced meanwhile is not the file\'s', { skip }, () => {
  const path = join(folder, 'lock');
  const replacing = join(folder, 'flock');
  // between the opening and the locking another process replaces it
  writeFileSync(replacing, `#!/bin/sh\nif [ ! -e ${path}.done ]; then touch ${path}.done; rm ${path}; touch ${path}; fi\nexec flock "$@"\n`);
  chmodSync(replacing, 0o755);
  const { fd, attempt } = openLocked(path, 'exclusive', replacing);
  assert.equal(attempt.kind, 'locked');
  assert.ok(isLocked(path));
  assert.equal(lockDescriptor(fd, 'shared').kind, 'locked');
  assert.equal(spawnSync('flock', ['-n', path, 'true']).status, 1);
});
