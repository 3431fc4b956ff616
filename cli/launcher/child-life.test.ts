import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { eventually } from '../../test/harness/deadline.js';
import { KeptProcess } from './kept-process.js';

/** A child whose exit never comes to its end, as chDB's may not. */
const child = (end: string): string => `
  import { ChildLife } from ${JSON.stringify(new URL('./child-life.js', import.meta.url).href)};
  import { TidegateError } from ${JSON.stringify(new URL('../../errors/tidegate-error.js', import.meta.url).href)};
  process.on('exit', () => { for (;;); });
  setInterval(() => {}, 1000);
  const life = new ChildLife('collector');
  life.onStop(async () => {});
  await life.run(async () => { ${end} });
`;

for (const [what, end, exitCode] of [
  ['crashes', "setImmediate(() => { throw new Error('a crash'); });", 1],
  ['cannot go on until an operator acts', "throw new TidegateError('store_access', 'wrong password');", 78],
  ['is told to stop', "life.send({ type: 'collecting' });", 0],
] as const) {
  test(`a collector that ${what} is gone, and its exit code known, even where its engine does not let it exit`, { timeout: 30_000 }, async () => {
    const runDir = mkdtempSync(join(tmpdir(), 'tidegate-life-'));
    const ends: unknown[] = [];
    const said: string[] = [];
    let inTime = true;
    const kept = new KeptProcess({
      name: 'collector', log: pino({ level: 'silent' }), onMessage: ({ type }) => { said.push(type); }, onExit: (code, signal) => { ends.push([code, signal]); kept.abandon(); },
      spawn: () => spawn(process.execPath, ['--input-type=module', '-e', child(end)], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], env: { ...process.env, TIDEGATE_RUN_DIR: runDir } }),
    });
    try {
      kept.start();
      if (exitCode === 0) {
        await eventually('it to be at work', () => (kept.isAtWork ? true : null));
        inTime = await kept.retire({ type: 'stop' }, 20_000);
      }
      await eventually('its end', () => (ends.length > 0 ? true : null));
      assert.deepEqual([ends, inTime], [[[exitCode, null]], true]);
      assert.deepEqual(said, { 0: ['collecting'], 1: [], 78: ['fatal'] }[exitCode]);
    } finally {
      kept.abandon();
      await kept.gone;
      rmSync(runDir, { recursive: true, force: true });
    }
  });
}
