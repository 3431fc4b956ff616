/** The launcher with stand-ins for its children, which write down what happens to them: real processes, real signals. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Part } from '../../gateway/supervisor/part.js';
import { eventually } from '../../test/harness/deadline.js';
import { isGone, tidegateCommand } from '../../test/harness/tidegate.js';
import { Launcher } from './launcher.js';
import { ENOUGH_OPEN_FILES, openFilesLimit } from './open-files.js';

const SAY = `
const { appendFileSync } = require('node:fs');
const name = ROLE + (process.env.TIDEGATE_WORKER ?? '');
const say = (what) => appendFileSync(JOURNAL, name + ' ' + what + ' ' + process.pid + '\\n');
process.on('SIGINT', () => {});
process.on('disconnect', () => { say('orphaned'); process.exit(0); });
say('started');
`;
const SUPERVISOR = `
process.on('message', ({ type, news, workers, status }) => {
  if (type === 'seal') { say('sealed'); process.send({ type: 'sealed' }); }
  if (type === 'stop') { say('stopped'); process.exit(0); }
  if (type === 'stopping') say('told');
  if (type === 'restarts') say('restarts:' + workers);
  if (type === 'restart') say('restart:' + status.state + ':' + (status.fault?.code ?? 'none') + ':' + status.replaced.join('+').replaceAll(' ', ''));
  if (type === 'collector') say('hears:' + (news.fault?.code ?? 'none') + ':' + news.everRan);
});
process.on('SIGWINCH', () => process.send({ type: 'workers', n: 1, drainMs: 1000 }));
process.send({ type: 'ready', workers: 2, drainMs: 1000 });
`;
const WORKER = `
process.on('message', ({ type }) => { if (type === 'drain') { say('drained'); process.exit(0); } });
process.send({ type: 'serving' });
`;
const COLLECTOR = `
process.on('message', ({ type }) => { if (type === 'stop') { say('stored'); process.exit(0); } });
process.send({ type: 'collecting' });
`;

let folder = '';
/** What the installed program says of the configuration. */
let checked: () => Promise<void> = () => Promise.resolve();
const journal = (): string[][] => readFileSync(join(folder, 'journal'), 'utf8').trimEnd().split('\n').map((line) => line.split(' '));
const started = (name: string): number[] => journal().filter(([who, what]) => who === name && what === 'started').map(([, , pid]) => Number(pid));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-launcher-'));
  appendFileSync(join(folder, 'journal'), '');
  checked = () => Promise.resolve();
});
afterEach(() => { rmSync(folder, { recursive: true }); });

function launch(scripts: Partial<Record<'supervisor' | 'worker' | 'collector', string>> = {}, log = pino({ level: 'silent' }), part: Part = 'whole'): Promise<number> {
  for (const [role, script] of Object.entries({ supervisor: SUPERVISOR, worker: WORKER, collector: COLLECTOR, ...scripts })) {
    const constants = `const ROLE = ${JSON.stringify(role)}; const JOURNAL = ${JSON.stringify(join(folder, 'journal'))};`;
    writeFileSync(join(folder, `${role}.cjs`), constants + SAY + script);
  }
  return new Launcher({ configPath: 'unused.yaml', part, log, program: () => ({ entry: (role) => join(folder, `${role}.cjs`), check: () => checked() }) }).run();
}

async function allStarted(): Promise<void> {
  await eventually('four children', () => (['supervisor', 'worker1', 'worker2', 'collector'].every((name) => started(name).length === 1) ? true : null));
}

function assertNobodyLeft(): void {
  for (const [, , pid] of journal()) assert.ok(isGone(Number(pid)), `process ${pid} is still there`);
}

test('a node stops in order: workers drain, the supervisor seals, the collector stores, the supervisor ends', async () => {
  const node = launch();
  await allStarted();
  assert.equal(journal()[0]?.[0], 'supervisor', 'the supervisor is first');
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  const acts = journal().map(([who, what]) => `${who} ${what}`).filter((act) => !/started|told|hears|restarts/.test(act));
  assert.deepEqual(acts.slice(0, 2).sort(), ['worker1 drained', 'worker2 drained']);
  assert.deepEqual(acts.slice(2), ['supervisor sealed', 'collector stored', 'supervisor stopped']);
  assertNobodyLeft();
});

test('what is killed is started again, and its siblings go on', async () => {
  const node = launch();
  await allStarted();
  for (const name of ['worker1', 'collector', 'supervisor']) process.kill(started(name)[0] as number, 'SIGKILL');
  await eventually('three restarts', () => (['worker1', 'collector', 'supervisor'].every((name) => started(name).length === 2) ? true : null));
  assert.equal(started('worker2').length, 1);
  const restarts = (): string[] => journal().filter(([, what]) => what?.startsWith('restarts:') === true).map(([, what]) => what as string);
  await eventually('the next supervisor is told of the worker', () => (restarts().at(-1) === 'restarts:1' ? true : null));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assert.equal(restarts()[0], 'restarts:0');
  assert.equal(restarts().at(-1), 'restarts:1', 'neither other children nor the workers of a node that stops are counted');
  assertNobodyLeft();
});

test('a worker that cannot be spawned for a while comes back, and the node goes on', async () => {
  const lines: string[] = [];
  const node = launch({}, pino({ level: 'error' }, { write: (line: string) => { lines.push(line); } }));
  await allStarted();
  const { execPath } = process;
  try {
    process.execPath = '/no/such/program';
    process.kill(started('worker1')[0] as number, 'SIGKILL');
    await eventually('an attempt that fails', () => (lines.some((line) => line.includes('worker 1 cannot be started')) ? true : null));
  } finally {
    process.execPath = execPath;
  }
  await eventually('its return', () => (started('worker1').length === 2 ? true : null));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assertNobodyLeft();
});

test('fewer workers: the newest slot drains and does not come back', async () => {
  const node = launch();
  await allStarted();
  process.kill(started('supervisor')[0] as number, 'SIGWINCH');
  await eventually('worker 2 drained', () => (journal().some(([who, what]) => who === 'worker2' && what === 'drained') ? true : null));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assert.equal(started('worker1').length, 1);
  assert.equal(started('worker2').length, 1);
  assert.ok(!journal().some(([, what]) => what === 'restarts:1'), 'it was asked to');
  assertNobodyLeft();
});

test('why a collector does not start is told to the supervisor, and to the one after it', async () => {
  const refuse = "process.send({ type: 'fatal', code: 'store_access', detail: 'wrong password' }, () => process.exit(78));";
  const node = launch({ collector: refuse });
  const heard = (what: string): number => journal().filter(([who, act]) => who === 'supervisor' && act === what).length;
  await eventually('the reason', () => (heard('hears:store_access:false') === 1 ? true : null));
  process.kill(started('supervisor')[0] as number, 'SIGKILL');
  await eventually('the reason again', () => (heard('hears:store_access:false') === 2 ? true : null));
  const acts = journal().map(([who, what]) => `${who} ${what}`);
  // not because the collector has been tried again, and has said it again
  assert.equal(acts.slice(0, acts.lastIndexOf('supervisor hears:store_access:false')).filter((act) => act === 'collector started').length, 1);
  writeFileSync(join(folder, 'collector.cjs'), readFileSync(join(folder, 'collector.cjs'), 'utf8').replace(refuse, COLLECTOR));
  await eventually('that it runs', () => (heard('hears:none:true') === 1 ? true : null));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assertNobodyLeft();
});

test('a gateway alone has no collector, and stops without one', async () => {
  const node = launch({}, undefined, 'gateway');
  await eventually('two workers', () => (['worker1', 'worker2'].every((name) => started(name).length === 1) ? true : null));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assert.equal(started('collector').length, 0);
  assertNobodyLeft();
});

test('a supervisor that cannot start ends the node with its reason', async () => {
  const refuse = "process.send({ type: 'fatal', code: 'data_dir_in_use', detail: 'data is in use by process 1' }, () => process.exit(78));";
  const said: unknown[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => { said.push((JSON.parse(line) as { msg: string }).msg); } });
  await assert.rejects(launch({ supervisor: refuse }, log), (error) => error instanceof TidegateError && error.code === 'data_dir_in_use');
  assert.equal(journal().length, 1, 'nothing else was started');
  assert.deepEqual(said.filter((text) => !String(text).includes('open files')), ['the supervisor ended before it was ready: the node ends']);
  assertNobodyLeft();
});

test('an address that is in use ends the node when no worker has served yet', async () => {
  const refuse = "process.send({ type: 'fatal', code: 'address_in_use', detail: '127.0.0.1:8080' }, () => process.exit(78));";
  await assert.rejects(launch({ worker: refuse }), (error) => error instanceof TidegateError && error.code === 'address_in_use');
  await eventually('the end of all', () => (journal().every(([, , pid]) => isGone(Number(pid))) ? true : null));
});

const restartsTold = (): (string | undefined)[] => journal().filter(([who, what]) => who === 'supervisor' && what?.startsWith('restart:') === true).map(([, what]) => what);
const restartEnded = (): Promise<string> => eventually('the end of the restart', () => restartsTold().find((told) => /^restart:(done|failed)/.test(told ?? '')) ?? null, 20_000);

test('SIGUSR2 replaces collector, supervisor and workers, and each new worker serves before the old one drains', async () => {
  const node = launch();
  await allStarted();
  process.kill(process.pid, 'SIGUSR2');
  assert.equal(await restartEnded(), 'restart:done:none:collector+supervisor+worker1+worker2');
  const pids = new Map([...new Set(journal().map(([who]) => who as string))].map((name) => [name, started(name)]));
  for (const name of ['supervisor', 'collector', 'worker1', 'worker2']) assert.equal(pids.get(name)?.length, 2, `${name} was started twice`);
  const acts = journal().map(([who, what, pid]) => `${who} ${what} ${who?.startsWith('worker') === true || who === 'collector' ? (pids.get(who ?? '') ?? []).indexOf(Number(pid)) + 1 : ''}`.trim())
    .filter((act) => /started|drained|stored|stopped/.test(act)).slice(4);
  assert.deepEqual(acts, [
    'collector stored 1', 'collector started 2', 'supervisor stopped', 'supervisor started',
    'worker1 started 2', 'worker1 drained 1', 'worker2 started 2', 'worker2 drained 1',
  ]);
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assert.ok(!journal().some(([, what]) => what === 'restarts:1'), 'nothing died');
  assertNobodyLeft();
});

test('a restart that is asked for before the node is ready is not done', async () => {
  const late = SUPERVISOR.replace("process.send({ type: 'ready', workers: 2, drainMs: 1000 });", "process.on('SIGCONT', () => process.send({ type: 'ready', workers: 2, drainMs: 1000 })); say('waits');");
  const node = launch({ supervisor: late });
  await eventually('the supervisor', () => (journal().some(([, what]) => what === 'waits') ? true : null));
  process.kill(process.pid, 'SIGUSR2');
  await new Promise(setImmediate);
  process.kill(started('supervisor')[0] as number, 'SIGCONT');
  await allStarted();
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  for (const name of ['supervisor', 'collector', 'worker1', 'worker2']) assert.equal(started(name).length, 1, name);
  assert.deepEqual(restartsTold(), []);
  assertNobodyLeft();
});

test('an installed program that does not take the configuration replaces nothing', async () => {
  checked = () => Promise.reject(new TidegateError('restart_failed', 'tidegate.yaml:3:1: unknown key'));
  const node = launch();
  await allStarted();
  process.kill(process.pid, 'SIGUSR2');
  assert.equal(await restartEnded(), 'restart:failed:restart_failed:');
  checked = () => Promise.resolve();
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  for (const name of ['supervisor', 'collector', 'worker1', 'worker2']) assert.equal(started(name).length, 1);
  assertNobodyLeft();
});

test('a new worker that does not serve is given up, and the old one goes on', async () => {
  const node = launch();
  await allStarted();
  writeFileSync(join(folder, 'worker.cjs'), readFileSync(join(folder, 'worker.cjs'), 'utf8').replace("process.send({ type: 'serving' });", 'process.exit(1);'));
  process.kill(process.pid, 'SIGUSR2');
  assert.equal(await restartEnded(), 'restart:failed:restart_failed:collector+supervisor');
  assert.equal(started('worker1').length, 2, 'it is not tried again');
  assert.ok(!isGone(started('worker1')[0] as number) && !isGone(started('worker2')[0] as number));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assert.deepEqual(journal().filter(([, what]) => what === 'drained').map(([, , pid]) => Number(pid)).sort(), [started('worker1')[0], started('worker2')[0]].sort());
  assertNobodyLeft();
});

test('a node that is told to stop while it restarts stops in order, and leaves nobody', async () => {
  const node = launch();
  await allStarted();
  // the new worker never says that it serves
  writeFileSync(join(folder, 'worker.cjs'), readFileSync(join(folder, 'worker.cjs'), 'utf8').replace("process.send({ type: 'serving' });", ''));
  process.kill(process.pid, 'SIGUSR2');
  await eventually('a second worker 1', () => (started('worker1').length === 2 ? true : null));
  process.kill(process.pid, 'SIGTERM');
  assert.equal(await node, 0);
  assert.equal(journal().filter(([, what]) => what === 'drained').length, 3);
  assert.equal(journal().filter(([who, what]) => who === 'supervisor' && what === 'sealed').length, 1);
  assertNobodyLeft();
});

test('a node that is told to stop while its supervisor is being replaced waits for neither of the two to seal', async () => {
  // as a real one: what comes once it was told to end, it does not hear any more
  const deaf = SUPERVISOR.replace("if (type === 'stop') { say('stopped'); process.exit(0); }", "if (type === 'stop') { say('stopped'); process.removeAllListeners('message'); process.on('SIGCONT', () => process.exit(0)); }");
  const node = launch({ supervisor: deaf });
  await allStarted();
  // the next one is never ready
  writeFileSync(join(folder, 'supervisor.cjs'), readFileSync(join(folder, 'supervisor.cjs'), 'utf8').replace("process.send({ type: 'ready', workers: 2, drainMs: 1000 });", "process.on('message', ({ type }) => { if (type === 'stop') process.exit(0); });"));
  process.kill(process.pid, 'SIGUSR2');
  await eventually('the old one is told to end', () => (journal().some(([who, what]) => who === 'supervisor' && what === 'stopped') ? true : null));
  process.kill(process.pid, 'SIGTERM');
  await eventually('the workers drained', () => (journal().filter(([, what]) => what === 'drained').length === 2 ? true : null));
  process.kill(started('supervisor')[0] as number, 'SIGCONT');
  // a seal is waited for ten seconds
  await eventually('the collector has stored', () => (journal().filter(([, what]) => what === 'stored').length === 2 ? true : null), 8000);
  assert.equal(await node, 0);
  assertNobodyLeft();
});

test('a supervisor that is started while the node stops is told so', async () => {
  const slow = WORKER.replace("say('drained'); process.exit(0);", "process.on('SIGCONT', () => { say('drained'); process.exit(0); });");
  const node = launch({ worker: slow });
  await allStarted();
  process.kill(process.pid, 'SIGTERM');
  const told = (): number => journal().filter(([who, what]) => who === 'supervisor' && what === 'told').length;
  await eventually('the first is told', () => (told() === 1 ? true : null));
  process.kill(started('supervisor')[0] as number, 'SIGKILL');
  await eventually('the next one, too', () => (told() === 2 ? true : null));
  for (const name of ['worker1', 'worker2']) process.kill(started(name)[0] as number, 'SIGCONT');
  assert.equal(await node, 0);
  assertNobodyLeft();
});

test('a second signal ends everything at once, but not the same key press twice', async () => {
  const node = launch({ worker: WORKER.replace("say('drained'); process.exit(0);", "say('hangs');") });
  await allStarted();
  process.kill(process.pid, 'SIGINT');
  process.kill(process.pid, 'SIGINT');
  await eventually('both drain', () => (journal().filter(([, what]) => what === 'hangs').length === 2 ? true : null));
  assert.ok(journal().every(([, , pid]) => !isGone(Number(pid))));
  const again = setInterval(() => { process.kill(process.pid, 'SIGINT'); }, 100);
  assert.equal(await node, 130);
  clearInterval(again);
  await eventually('the end of all', () => (['supervisor', 'worker1', 'worker2', 'collector'].every((name) => isGone(started(name)[0] as number)) ? true : null));
});

const hardLimit = openFilesLimit();

/** What `tidegate start` says of open files under this limit, soft and hard, before it ends for want of its configuration. */
async function saidOfOpenFiles(limit: number): Promise<readonly Readonly<Record<string, unknown>>[]> {
  const { command, args } = tidegateCommand(['start', '-c', join(folder, 'absent.yaml')]);
  const child = spawn('sh', ['-c', `ulimit -n ${limit} && exec "$@"`, 'sh', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TIDEGATE_LOG_LEVEL: 'warn' } });
  const [lines, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  assert.match(errors, /absent\.yaml/, 'it got as far as its configuration');
  return lines.split('\n').filter((line) => line.includes('open files')).map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

test('a low limit of open files is said at the start, with what to do', { skip: hardLimit === null }, async () => {
  const [said, ...more] = await saidOfOpenFiles(1024);
  assert.deepEqual(more, []);
  const { level, code, limit, enough, remedy } = said ?? {};
  assert.deepEqual({ level, code, limit, enough }, { level: 'warn', code: 'open_files_low', limit: 1024, enough: ENOUGH_OPEN_FILES });
  assert.match(String(remedy), /ulimit -n/);
});

test('nothing is said of a limit of open files that is enough', { skip: hardLimit === null || hardLimit < ENOUGH_OPEN_FILES }, async () => {
  assert.deepEqual(await saidOfOpenFiles(ENOUGH_OPEN_FILES), []);
});

test('the limit of open files is read', () => {
  assert.equal(openFilesLimit('Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n'), 1024);
  assert.equal(openFilesLimit('Max open files            unlimited            unlimited            files\n'), Number.POSITIVE_INFINITY);
  assert.equal(openFilesLimit(null), null);
});
