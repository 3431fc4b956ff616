import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { LogSettings } from '../gateway/supervisor/log-settings.js';

const MODULE = new URL(import.meta.url.endsWith('.js') ? 'log.js' : 'log.ts', import.meta.url).href;
const SETTINGS: LogSettings = { level: 'info', format: null, file: null, rotate: { bytes: 1e6, ageMs: 1e6, keep: 1 }, repeats: 20 };

interface Run { readonly stdout: string; readonly stderr: string; readonly status: number | null }

/** What a process with this log, and this done in it, writes on its standard output. */
function run(script: string, { fields = { role: 'worker', worker: 2 }, settings, env = {} }: {
  readonly fields?: Readonly<Record<string, string | number>>; readonly settings?: Partial<LogSettings>; readonly env?: Readonly<Record<string, string>>;
} = {}): Run {
  const given = settings === undefined ? '' : `, ${JSON.stringify({ ...SETTINGS, ...settings })}`;
  const program = `const { makeLog } = await import(${JSON.stringify(MODULE)});
const { logger: log, apply, access, suppressed } = makeLog(${JSON.stringify(fields)}${given});
${script}`;
  const { stdout, stderr, status } = spawnSync(process.execPath, [...process.execArgv.filter((argument) => !argument.startsWith('--test')), '--input-type=module', '-e', program],
    { encoding: 'utf8', timeout: 30_000, env: { ...process.env, TIDEGATE_LOG_LEVEL: '', ...env } });
  return { stdout: stripVTControlCharacters(stdout), stderr, status };
}

const linesOf = ({ stdout }: Run): Record<string, unknown>[] => stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>);
const WARN = 'log.debug({}, \'not asked for\'); log.warn({ worker: 7, code: \'spool_full\' }, \'the spool is full\');';

test('a log that goes into a file or a pipe is a line of JSON each', () => {
  const { stdout } = run(WARN);
  assert.match(stdout, /^\{"level":"warn","time":"\d{4}-\d\d-\d\dT[^"]*Z","role":"worker","worker":7,"pid":\d+,"code":"spool_full","msg":"the spool is full"\}\n$/);
});

test('a log as text is read by people: the time, who speaks, and the line\'s own fields under it', () => {
  assert.match(run(WARN, { settings: { format: 'text' } }).stdout, /^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: worker2 the spool is full\n {4}code: "spool_full"\n$/);
  assert.match(run(WARN, { fields: { role: 'supervisor' }, settings: { format: 'text' } }).stdout, /^\[\S+\] WARN: supervisor the spool is full\n {4}worker: 7\n {4}code: "spool_full"\n$/);
});

test('TIDEGATE_LOG_LEVEL sets the level; one that is none keeps the process from starting, and says what there is', () => {
  const lines = (level: string): number => linesOf(run(WARN, { env: { TIDEGATE_LOG_LEVEL: level } })).length;
  assert.deepEqual(['debug', 'info', '', 'error', 'silent'].map(lines), [2, 1, 1, 0, 0]);
  const { status, stderr } = run(WARN, { env: { TIDEGATE_LOG_LEVEL: 'banana' } });
  assert.equal(status, 1);
  assert.match(stderr, /TIDEGATE_LOG_LEVEL is "banana", which is none of silent, fatal, error, warn, info, debug, trace/);
});

test('level, form and place change while the process runs, from the next line on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-log-'));
  const file = join(folder, 'below', 'tidegate.log');
  try {
    const now = (settings: Partial<LogSettings>): string => `apply(${JSON.stringify({ ...SETTINGS, ...settings })});`;
    const out = run(`log.debug({}, 'one'); ${now({ level: 'debug' })} log.debug({}, 'two'); ${now({ file })} log.info({}, 'three'); ${now({ format: 'ecs' })} log.info({}, 'four');`);
    const changed = 'the level of the log has changed';
    assert.deepEqual(linesOf(out).map((line) => line['msg'] ?? line['message']), [changed, 'two', 'four']);
    assert.deepEqual(readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => (JSON.parse(line) as { msg: string }).msg), [changed, 'three']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('what a file that cannot be written does not take goes to standard output, and it is said once', () => {
  const out = linesOf(run('log.info({}, \'one\'); log.info({}, \'two\');', { settings: { file: '/proc/no/such/tidegate.log' } }));
  assert.deepEqual(out.map(({ code, msg }) => code ?? msg), ['log_file', 'one', 'two']);
});

const ROW = { time: '2026-11-23T00:00:00.000Z', request_id: 'r-1', client: '192.0.2.0/24', method: 'GET', host: 'a', path: '/a', protocol: 'http/1.1', status: 200, outcome: 'answered',
  app: '', service: 's', route: 'r', target: '', attempts: 1, bytes_in: 0, bytes_out: 1, duration_us: 1, upstream_us: 1 };
const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

test('what a full disk does not take of requests and of other lines goes whole to standard output, and no half line is joined to another', { skip: !hasPrlimit && 'needs prlimit (util-linux)', timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-log-'));
  try {
    // 100,000 bytes are two batches
    const full = `const { spawnSync } = await import('node:child_process');
const room = (bytes) => { spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=' + bytes + ':']); };
room(100_000);
access(Array.from({ length: 1000 }, (_, i) => ({ ...${JSON.stringify(ROW)}, request_id: 'r-' + i })));`;
    for (const after of ['', 'process.once(\'beforeExit\', () => { log.info({}, \'no room\'); room(\'unlimited\'); log.info({}, \'room again\'); });']) {
      const file = join(folder, `tidegate${after.length}.log`);
      const ended = run(`${full} ${after}`, { settings: { file } });
      const out = linesOf(ended);
      const [halves, whole] = [[] as string[], [] as Record<string, unknown>[]];
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        if (line.endsWith('}')) whole.push(JSON.parse(line) as Record<string, unknown>);
        else if (line !== '') halves.push(line);
      }
      assert.equal(halves.length, 1, 'the disk was full in the middle of a line');
      const ids = [...whole, ...out].filter(({ msg }) => msg === 'request').map(({ request_id }) => request_id);
      assert.ok(whole.length > 100 && out.length > 100);
      assert.deepEqual(ids, Array.from({ length: 1000 }, (_, i) => `r-${i}`), 'each once, and in order');
      if (after === '') assert.deepEqual(out.filter(({ msg }) => msg !== 'request').map(({ code }) => code), ['log_file'], 'it is said once');
      else assert.deepEqual([out.at(-1)?.['msg'], whole.at(-1)?.['msg']], ['no room', 'room again']);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a FIFO that nobody reads, a device and a folder are no log files: nobody waits for them, and lines go to standard output', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-log-'));
  try {
    const fifo = join(folder, 'fifo');
    assert.equal(spawnSync('mkfifo', [fifo]).status, 0);
    for (const [file, reason] of [[fifo, 'it is not a regular file'], ['/dev/null', 'it is not a regular file'], [folder, 'it is a folder']] as const) {
      const [fault, ...lines] = linesOf(run('log.info({}, \'one\');', { settings: { file } }));
      assert.deepEqual([fault?.['code'], fault?.['reason'], lines.map(({ msg }) => msg)], ['log_file', reason, ['one']], file);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('an error that comes again and again is written so often, then counted; what is left out is told when the process ends', () => {
  const out = run(`for (let i = 0; i < 1000; i++) { log.error({ code: 'spool_full', i }, 'the spool is full'); log.info({ i }, 'a usual line'); }
log.error({ code: 'disk_full' }, 'the spool is full'); process.on('exit', () => { console.error(suppressed()); });`, { settings: { repeats: 3 } });
  const lines = linesOf(out);
  assert.equal(lines.filter(({ code, suppressed }) => code === 'spool_full' && suppressed === undefined).length, 3);
  assert.equal(lines.filter(({ code }) => code === 'disk_full').length, 1, 'another code is another error');
  assert.equal(lines.filter(({ level }) => level === 'info').length, 1000, 'only warnings and errors are held back');
  assert.deepEqual(lines.at(-1), { ...lines.at(-1), level: 'error', role: 'worker', code: 'spool_full', suppressed: 997, msg: '997 more lines were left out, which said within a minute: the spool is full' });
  assert.equal(out.stderr.trim(), '997');
});

test('lines of requests carry no credential that a client wrote into what is logged of it, and are whole lines', () => {
  const row = { ...ROW, host: 'tg_0123456789012345678901234567', user_agent: 'é Bearer CANARY-0123456789' };
  const out = run(`access(Array.from({ length: 100 }, () => (${JSON.stringify(row)})));`);
  const lines = linesOf(out);
  assert.equal(lines.length, 100);
  assert.deepEqual([lines[0]?.['msg'], lines[0]?.['request_id'], lines[0]?.['host'], lines[0]?.['user_agent']], ['request', 'r-1', '***', 'é Bearer ***']);
});

test('lines of requests that nobody reads hold up neither the process nor its end, and those beyond a bound are counted', { timeout: 60_000 }, async () => {
  const program = `const { makeLog } = await import(${JSON.stringify(MODULE)});
const { access, suppressed } = makeLog({ role: 'worker', worker: 1 });
access(Array.from({ length: 20_000 }, () => ({ host: 'a', path: '/' + 'a'.repeat(1000) })));
const began = performance.now();
setInterval(() => { if (performance.now() - began > 1000) { process.stderr.write(String(suppressed())); process.exit(0); } }, 10);`;
  const child = spawn(process.execPath, [...process.execArgv.filter((argument) => !argument.startsWith('--test')), '--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  let left = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => { left += text; });
  const [status] = await once(child, 'exit') as [number];
  assert.equal(status, 0);
  const lost = Number(left);
  assert.ok(lost > 10_000 && lost < 20_000, `some 4 MiB of 20 MiB wait: ${left}`);
});
