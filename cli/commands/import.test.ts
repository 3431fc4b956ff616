import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { importLogs, type ImportCommandOptions } from './import.js';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-import-command-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const config = file('tidegate.yaml', `version: 1
listeners: { http: { address: "127.0.0.1:8080" } }
services: [{ name: site, upstream: { targets: [{ url: "http://127.0.0.1:1" }] }, routes: [{ name: all, match: { path: "/*" } }] }]
apps: [{ name: acme, services: [site] }]
data_dir: ./data
`);
const line = (second: number): string => `203.0.113.9 - - [17/May/2015:10:05:0${second} +0000] "GET / HTTP/1.1" 200 5 "-" "x"\n`;

async function run(files: readonly string[], more: Partial<ImportCommandOptions> = {}): Promise<readonly [code: number, output: string, progress: readonly string[]]> {
  let output = '';
  const shown: string[] = [];
  const code = await importLogs(files, { config, service: 'site', ...more }, { columns: 80, colour: false, write: (text) => { output += text; } }, { show: (_, __, told) => { shown.push(told); }, end: () => undefined });
  return [code, output, shown];
}

test('the outcome of each file is told, bad lines by number; a file that cannot be read stops no other', async (t) => {
  const told: string[] = [];
  t.mock.method(console, 'error', (text: string) => { told.push(text); });
  const good = file('a.log', `${line(1)}nothing of a log\n${line(2)}`);
  const [code, output, shown] = await run([file('b.log', 'no log\n'), good, join(folder, 'nowhere')]);
  assert.equal(code, 1);
  assert.equal(output, `${good}: 2 events of 3 lines, from 2015-05-17T10:05:01Z to 2015-05-17T10:05:02Z.\n  1 line is none of an access log:\n  line 2: no time such as [17/May/2015:10:05:03 +0000]\n`);
  assert.deepEqual(shown, [`${join(folder, 'b.log')}: 100 %, 1 lines`, `${good}: 100 %, 3 lines`]);
  assert.equal(told.length, 2);
  assert.match(told[0] ?? '', /b\.log: none of its 1 lines is one of an access log; line 1: .*\(import_not_a_log\)/);
  assert.match(told[1] ?? '', /nowhere: ENOENT.*\(import_file\)/);
  assert.deepEqual(await run([good]).then(([again, text]) => [again, text]), [0, `${good}: 0 events of 0 new lines behind 3 that were imported before.\n`]);
  const [, json] = await run([good], { json: true });
  assert.deepEqual((JSON.parse(json) as { known: number; rows: number }).known, 3);
});

test('a service or an app that the configuration has not is refused before anything is written', async () => {
  const before = readdirSync(folder);
  for (const [more, message] of [[{ service: 'shop' }, /--service shop: .*only site/], [{ app: 'globex' }, /--app globex: /]] as const) {
    await assert.rejects(run([file('c.log', line(3))], more), (error: TidegateError) => error.code === 'config_reference' && message.test(error.message));
  }
  assert.deepEqual(readdirSync(folder).filter((name) => !before.includes(name)), ['c.log']);
});
