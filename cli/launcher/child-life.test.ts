import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { pino } from 'pino';
import { eventually } from '../../test/harness/deadline.js';
import type { LogSettings } from '../../gateway/supervisor/log-settings.js';
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

for (const place of ['a pipe', 'a file'] as const) {
  test(`the last lines of requests, and how many lines were held back, are in the log of a process that has ended: ${place}`, { timeout: 30_000 }, async () => {
    const runDir = mkdtempSync(join(tmpdir(), 'tidegate-life-'));
    const file = place === 'a file' ? join(runDir, 'a.log') : null;
    const settings: LogSettings = { level: 'info', format: 'json', file, rotate: { bytes: 1 << 30, ageMs: 1 << 30, keep: 1 }, repeats: 20 };
    const script = `
      import { ChildLife } from ${JSON.stringify(new URL('./child-life.js', import.meta.url).href)};
      const life = new ChildLife('worker');
      life.onStop(async () => {
        for (let i = 0; i < 500; i++) life.log.error({ code: 'disk_full' }, 'the spool is full');
        life.processLog.access(Array.from({ length: 2000 }, (_, i) => ({ time: '2026-11-21T10:00:00.000Z', host: 'a', path: '/' + i, status: 200 })));
      });
      life.send({ type: 'serving' });
    `;
    const running = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'], env: { ...process.env, TIDEGATE_RUN_DIR: runDir, TIDEGATE_LOG_SETTINGS: JSON.stringify(settings) },
    });
    try {
      await once(running, 'message');
      running.send({ type: 'drain' });
      const output = await text(running.stdout as Readable);
      const lines = (file === null ? output : readFileSync(file, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as { readonly msg: string; readonly suppressed?: number });
      assert.equal(lines.filter(({ msg }) => msg === 'request').length, 2000);
      assert.deepEqual(lines.flatMap(({ suppressed }) => suppressed ?? []), [480]);
    } finally {
      running.kill('SIGKILL');
      rmSync(runDir, { recursive: true, force: true });
    }
  });
}
