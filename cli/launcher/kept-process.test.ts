import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { pino } from 'pino';
import { eventually } from '../../test/harness/deadline.js';
import { KeptProcess } from './kept-process.js';

test('a child that cannot be spawned, in either way that node says so, is tried again until it can', async () => {
  const errors: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => { errors.push((JSON.parse(line) as { msg: string }).msg); } });
  let attempts = 0;
  let ends = 0;
  let child: ChildProcess | null = null;
  const kept = new KeptProcess({
    name: 'child', log, onMessage: () => {}, onExit: () => { ends++; },
    spawn: () => {
      attempts++;
      if (attempts === 1) throw Object.assign(new Error('spawn ENOMEM'), { code: 'ENOMEM' });
      // its error comes later, and no exit
      if (attempts === 2) return spawn('/no/such/program');
      return child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    },
  });
  kept.start();
  assert.equal(kept.running, false);
  const running = await eventually('the third attempt', () => child);
  assert.deepEqual([attempts, ends, errors], [3, 2, ['the child cannot be started', 'the child cannot be started']]);
  const exit = once(running, 'exit');
  kept.abandon();
  await exit;
});

test('a child that turns out not to be spawned while it is retired ends the wait', async () => {
  const kept = new KeptProcess({ name: 'child', log: pino({ level: 'silent' }), onMessage: () => {}, onExit: () => {}, spawn: () => spawn('/no/such/program') });
  kept.start();
  assert.equal(await kept.retire({ type: 'stop' }, 60_000), true);
});
