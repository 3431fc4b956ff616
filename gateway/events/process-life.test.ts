import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { bootId, isAlive, ownIdentity, pidStart } from './process-life.js';

test('this process lives; with another start time or boot it is another', () => {
  const { pid, pidStart: start, bootId: boot } = ownIdentity();
  assert.equal(isAlive(pid, start, boot), true);
  if (process.platform === 'linux') {
    assert.equal(isAlive(pid, (start ?? 0) + 1, boot), false);
    assert.equal(isAlive(pid, start, '00000000-0000-0000-0000-000000000000'), false);
  }
});

test('a killed process is dead, also before its parent has noticed', { skip: process.platform !== 'linux' && 'needs /proc' }, async () => {
  // the shell never waits for its child, which so stays a zombie
  const shell = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 61'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [line] = await once(shell.stdout, 'data') as [Buffer];
  const pid = Number(line.toString());
  const start = pidStart(pid);
  assert.equal(isAlive(pid, start, bootId()), true);
  process.kill(pid, 'SIGKILL');
  const deadline = performance.now() + 5000;
  while (isAlive(pid, start, bootId()) && performance.now() < deadline) await new Promise((resolve) => { setImmediate(resolve); });
  assert.equal(isAlive(pid, start, bootId()), false);
  assert.notEqual(pidStart(pid), null, 'a zombie is still listed');
  const exited = once(shell, 'exit');
  shell.kill('SIGKILL');
  await exited;
  assert.equal(isAlive(shell.pid as number, null, null), false);
});
