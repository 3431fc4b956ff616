import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { requires } from '../harness/requires.js';
import { commandLine, cpuSeconds, parseStat, processTree, rssBytes } from './proc-cpu.js';

test('a process whose name holds brackets and spaces is read like any other', () => {
  const line = '4242 (a) R 1 (b) S 17 4242 4242 0 -1 4194560 100 0 0 0 250 31 7 9 20 0 11 0 1000 1 1';
  assert.deepEqual(parseStat(line), { parent: 17, ticks: 281 });
  assert.equal(parseStat(''), null);
});

test('a child\'s work is seen in its parent\'s tree, and nothing is seen of it when it is gone', { skip: requires('linux') }, async () => {
  const child = spawn(process.execPath, ['-e', 'const end = performance.now() + 300; while (performance.now() < end); console.log("done"); process.stdin.resume();'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const pid = child.pid as number;
  await once(child.stdout, 'data');
  assert.ok(processTree(process.pid).includes(pid));
  assert.match(commandLine(pid), /performance\.now/);
  assert.ok(cpuSeconds([pid]) >= 0.05, `${cpuSeconds([pid])} s`);
  assert.ok(rssBytes([pid]) > 10_000_000);
  child.stdin.end();
  await once(child, 'exit');
  assert.equal(cpuSeconds([pid]), 0);
  assert.equal(rssBytes([pid]), 0);
});
