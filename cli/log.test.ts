import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';

const MODULE = new URL(import.meta.url.endsWith('.js') ? 'log.js' : 'log.ts', import.meta.url).href;

/** What a process with this log writes on its standard output, which it takes for a terminal or not. */
function written(terminal: boolean, level: string, fields: Readonly<Record<string, string | number>>): string {
  const script = `process.stdout.isTTY = ${terminal};
const { makeLog } = await import(${JSON.stringify(MODULE)});
const log = makeLog(${JSON.stringify(fields)});
log.debug({}, 'not asked for');
log.warn({ worker: 7, code: 'spool_full' }, 'the spool is full');
`;
  const { stdout, stderr, status } = spawnSync(process.execPath, [...process.execArgv.filter((argument) => !argument.startsWith('--test')), '--input-type=module', '-e', script],
    { encoding: 'utf8', env: { ...process.env, TIDEGATE_LOG_LEVEL: level } });
  assert.equal(status, 0, stderr);
  return stripVTControlCharacters(stdout);
}

test('a log that goes into a file or a pipe is a line of JSON each', () => {
  const [line = '', ...more] = written(false, 'info', { role: 'worker', worker: 2 }).split('\n');
  assert.deepEqual(more, ['']);
  assert.match(line, /^\{"level":"warn","time":"\d{4}-\d\d-\d\dT[^"]*Z","role":"worker","worker":2,"pid":\d+,/);
  assert.match(line, /,"worker":7,"code":"spool_full","msg":"the spool is full"\}$/);
});

test('a log on a terminal is read by people: the time, who speaks, and the line\'s own fields under it', () => {
  assert.match(written(true, 'info', { role: 'worker', worker: 2 }), /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: worker2 the spool is full\n {4}code: "spool_full"\n$/);
  assert.match(written(true, 'info', { role: 'supervisor' }), /^\[\S+\] WARN: supervisor the spool is full\n {4}worker: 7\n {4}code: "spool_full"\n$/);
});

test('TIDEGATE_LOG_LEVEL sets the level; one that is none is info', () => {
  const lines = (level: string): number => written(false, level, { role: 'worker' }).trimEnd().split('\n').filter((line) => line !== '').length;
  assert.deepEqual(['debug', 'info', 'error', 'loud'].map(lines), [2, 1, 0, 1]);
});
