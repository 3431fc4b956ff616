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
  assert.equal(ends, 1);
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

test('one that waits to be started again is gone once it is retired, or abandoned', async () => {
  for (const how of ['retire', 'abandon'] as const) {
    let ends = 0;
    const kept = new KeptProcess({ name: 'child', log: pino({ level: 'silent' }), onMessage: () => {}, onExit: () => { ends++; }, spawn: () => spawn('/no/such/program') });
    kept.start();
    await eventually('its end', () => (ends > 0 ? true : null));
    if (how === 'retire') assert.equal(await kept.retire({ type: 'stop' }, 60_000), true);
    else kept.abandon();
    await kept.gone;
  }
});

test('a start beside one that runs starts nothing', async () => {
  let spawned = 0;
  const kept = new KeptProcess({
    name: 'child', log: pino({ level: 'silent' }), onMessage: () => {}, onExit: () => {},
    spawn: () => { spawned++; return spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']); },
  });
  kept.start();
  kept.start();
  assert.equal(spawned, 1);
  kept.abandon();
  await kept.gone;
});

/** Lets it run, and end, so many times; answers how long it waited each time, ms. */
async function waits(script: string, times: number, killed: boolean): Promise<number[]> {
  const told: number[] = [];
  const log = pino({ level: 'warn' }, {
    write: (line: string) => {
      const { restart_in_ms: waitMs } = JSON.parse(line) as { restart_in_ms?: number };
      if (waitMs !== undefined) told.push(waitMs);
    },
  });
  let child: ChildProcess | null = null;
  const kept = new KeptProcess({
    name: 'child', log, onExit: () => {}, onMessage: () => { if (killed) child?.kill('SIGKILL'); },
    spawn: () => child = spawn(process.execPath, ['-e', `${script}; setInterval(() => {}, 1000)`], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] }),
  });
  kept.start();
  await eventually(`${times} ends`, () => (told.length >= times ? true : null), 60_000);
  kept.abandon();
  return told.slice(0, times);
}

test('a child that was killed at its work is started again at once, however often', async () => {
  assert.deepEqual(await waits('process.send({ type: "serving" })', 5, true), [100, 100, 100, 100, 100]);
});

test('one that was killed before it had come to its work waits for twice as long each time, up to a second', async () => {
  assert.deepEqual(await waits('process.send({ type: "suppressed", lines: 1 })', 5, true), [100, 200, 400, 800, 1000]);
});

test('one that fails at its work waits up to a second, and one that fails before it, or crashes, for longer', async () => {
  const [atWork, before, crashed] = await Promise.all([
    waits('process.send({ type: "ready" }, () => process.exit(1))', 5, false), waits('process.exit(1)', 5, false), waits('process.kill(process.pid, "SIGSEGV")', 5, false),
  ]);
  assert.deepEqual([atWork, before, crashed], [[100, 200, 400, 800, 1000], [100, 200, 400, 800, 1600], [100, 200, 400, 800, 1600]]);
});
