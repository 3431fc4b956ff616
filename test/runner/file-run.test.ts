/** What a test file does is told as it is: also where it dies, hangs, or leaves something behind. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { isGone } from '../harness/tidegate.js';
import { runFile, type FileRun } from './file-run.js';

const LEAVES_A_PROCESS = `
  import { spawn } from 'node:child_process';
  const child = spawn('sleep', ['600'], { detached: true, stdio: 'inherit' });
  child.unref();
  console.log('left ' + child.pid);`;

/** @param then what happens meanwhile, with what the file has printed */
async function run(t: TestContext, code: string, timeoutMs = 60_000, then: (printed: () => string, stop: () => void) => void = () => undefined): Promise<FileRun & { readonly printed: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-runner-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const path = join(folder, 'some.test.js');
  writeFileSync(path, `import { test } from 'node:test';\nimport assert from 'node:assert/strict';\n${code}`);
  const stop = new AbortController();
  let printed = '';
  then(() => printed, () => { stop.abort(); });
  const result = await runFile({ path, cwd: folder, timeoutMs, env: {}, live: (text) => { printed += text; } }, stop.signal);
  return { ...result, printed };
}

const pidIn = (printed: string): number => Number(/left (\d+)/.exec(printed)?.[1]);

test('what passed, failed and was skipped is known by name, with why', async (t) => {
  const { results, faults, printed } = await run(t, `
    test('good', () => {});
    test('bad', () => { assert.equal(1, 2); });
    test('left', { skip: 'wrk is missing' }, () => {});
    test('whole', async (t) => { await t.test('part', () => { throw new Error('of the part'); }); });`);
  assert.deepEqual(results.map(({ verdict, name }) => `${verdict} ${name}`), ['passed good', 'failed bad', 'skipped left', 'failed part', 'failed whole']);
  assert.match(results[1]?.why ?? '', /1 !== 2/);
  assert.equal(results[2]?.why, 'wrk is missing');
  assert.match(results[3]?.why ?? '', /of the part/);
  assert.equal(results[4]?.why, '', 'what failed of it is told where it did');
  assert.deepEqual(faults, []);
  assert.match(printed, /✔ good \(\d+ ms\)\n✖ bad \(\d+ ms\)\n {2}AssertionError/);
});

for (const [what, code, fault] of [
  ['ends in the midst of a test', "test('good', () => {}); test('half', async () => { await new Promise((resolve) => { setTimeout(resolve, 50); }); process.exit(0); });", /it ended before its tests had/],
  ['is killed', "test('dies', () => { process.kill(process.pid, 'SIGKILL'); });", /it was ended by SIGKILL/],
  ['cannot be loaded', "test('good', () => {}); await import('./absent.js');", /exit code \d though no test failed/],
  ['has no test', '', /no test ran in it/],
] as const) {
  test(`a file that ${what} is at fault`, async (t) => {
    assert.match((await run(t, code)).faults.join('\n'), fault);
  });
}

test('a process that a file leaves behind, in a group of its own, is named and ended', { skip: process.platform !== 'linux' && 'Linux only: by /proc' }, async (t) => {
  const { faults, printed } = await run(t, `${LEAVES_A_PROCESS}\ntest('good', () => {});`);
  assert.match(faults.join('\n'), new RegExp(`it left processes behind:\n  ${pidIn(printed)} sleep 600`));
  assert.ok(isGone(pidIn(printed)));
});

test('a file that does not end in time is ended, with all that it made', { skip: process.platform !== 'linux' && 'Linux only: by /proc' }, async (t) => {
  const { faults, printed } = await run(t, `${LEAVES_A_PROCESS}\ntest('hangs', () => new Promise(() => { setInterval(() => {}, 1000); }));`, 2000);
  assert.deepEqual(faults, ['it did not end within 2 s']);
  await eventually('its end', () => (isGone(pidIn(printed)) ? true : null));
});

test('an interrupted file ends at once, with all that it made', { skip: process.platform !== 'linux' && 'Linux only: by /proc' }, async (t) => {
  const { faults, printed } = await run(t, `${LEAVES_A_PROCESS}\ntest('hangs', () => new Promise(() => { setInterval(() => {}, 1000); }));`, 60_000, (seen, stop) => {
    void eventually('its process', () => (pidIn(seen()) > 0 ? true : null)).then(stop);
  });
  assert.deepEqual(faults, ['it was interrupted']);
  await eventually('its end', () => (isGone(pidIn(printed)) ? true : null));
});
