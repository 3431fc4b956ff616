import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../test/harness/deadline.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ConfigRejectedError } from '../config/config-problem.js';
import { ownerOf } from '../config/file-owner.js';
import { hashKey, KeyStore } from '../config/keys.js';
import type { ReloadResult } from '../control/control-deps.js';
import { Configuration, type ConfigurationOptions } from './configuration.js';
import { readConfigInForce, type ConfigInForce } from './run-files.js';
import { trialCompile } from './trial-compile.js';
import { trialListen } from './trial-listen.js';

const LOG = { info: () => {}, warn: () => {}, error: () => {} };
const SERVICE = { name: 'shop', upstream: { targets: [{ url: 'http://127.0.0.1:9001' }] }, routes: [{ name: 'all', match: { path: '/*' } }] };
let folder = '';
let applied: ConfigInForce[] = [];
let told: ReloadResult['result'][] = [];
const open: Configuration[] = [];

const file = (): string => join(folder, 'tidegate.yaml');
const write = (more: object): void => {
  writeFileSync(file(), JSON.stringify({ version: 1, listeners: { http: {} }, data_dir: './data', services: [SERVICE], apps: [{ name: 'acme', services: ['shop'] }], ...more }));
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-configuration-'));
  applied = [];
  told = [];
  write({});
});
afterEach(() => {
  for (const one of open.splice(0)) one.close();
  rmSync(folder, { recursive: true });
});

async function load(trial: ConfigurationOptions['trial'] = trialCompile): Promise<Configuration> {
  const made = await Configuration.load({
    file: file(), runDir: folder, trial, log: LOG, apply: (inForce) => { applied.push(inForce); }, onReload: (result) => { told.push(result); },
  });
  open.push(made);
  made.begin();
  return made;
}

test('a reload applies a changed file, says when nothing has changed, and refuses a bad one with all its errors', async () => {
  const configuration = await load();
  assert.equal((await configuration.reload()).result, 'unchanged');
  write({ workers: 3 });
  const good = await configuration.reload();
  assert.equal(good.result, 'applied');
  assert.equal(configuration.inForce.config.workers, 3);
  write({ workers: 0, wrong: 1 });
  const bad = await configuration.reload();
  assert.deepEqual([bad.result, bad.version, bad.errors.length], ['rejected', good.version, 2]);
  assert.deepEqual(told, ['unchanged', 'applied', 'rejected']);
  assert.deepEqual(applied.map(({ version }) => version), [good.version]);
  assert.equal(configuration.status.last_reload?.result, 'rejected');
});

test('what cannot change while the node runs is refused by its path', async () => {
  const configuration = await load();
  for (const [change, path] of [[{ data_dir: './other' }, 'data_dir'], [{ control: { address: '127.0.0.1:9999' } }, 'control.address'], [{ node: 'other' }, 'node'],
    [{ event_log: { spool: { segment_bytes: '1MiB' } } }, 'event_log.spool.segment_bytes']] as const) {
    write(change);
    const { result, errors } = await configuration.reload();
    assert.deepEqual([result, errors[0]?.path], ['rejected', path]);
  }
});

test('what only the trial can find is refused too', async () => {
  const configuration = await load(({ config }) => {
    if (config.workers === 2) throw new TidegateError('config_value', 'two is not usable');
  });
  write({ workers: 2 });
  assert.deepEqual((await configuration.reload()).errors.map(({ code }) => code), ['config_value']);
  assert.deepEqual((await configuration.diff(readFileSync(file(), 'utf8'))).errors.map(({ code }) => code), ['config_value']);
});

test('the history has every change, one made while the node was down included, and the start only where something changed', async () => {
  const first = await load();
  write({ workers: 3 });
  await first.reload('anna');
  first.close();
  await load();
  write({ workers: 4 });
  const third = await load();
  const entries = third.history(10);
  const owner = ownerOf(file());
  assert.notEqual(owner, '');
  assert.deepEqual(entries.map(({ source, author, diff }) => [source, author, diff.map(({ path }) => path)]), [['start', owner, ['workers']], ['api', 'anna', ['workers']], ['start', owner, ['']]]);
});

test('a change that the file\'s owner made is the owner\'s', async () => {
  const configuration = await load();
  write({ workers: 3 });
  const entry = await eventually('the change', () => configuration.history(1).find(({ source }) => source === 'file') ?? null);
  assert.equal(entry.author, ownerOf(file()));
});

test('a change that was entered before a crash is not entered again', async () => {
  (await load()).close();
  const lastFile = join(folder, 'data', 'config', 'last.json');
  const before = readFileSync(lastFile);
  write({ workers: 3 });
  (await load()).close();
  // as if the process had died between the two files
  writeFileSync(lastFile, before);
  const again = await load();
  assert.deepEqual(again.history(10).map(({ diff }) => diff.map(({ path }) => path)), [['workers'], ['']]);
  assert.equal((JSON.parse(readFileSync(lastFile, 'utf8')) as { version: string }).version, again.inForce.version);
});

test('a listener address that is in use is refused, by a trial and by a reload, and the one in force stays', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  const configuration = await load(({ config }) => trialListen(config.listeners.http.address));
  const { version } = configuration.inForce;
  write({ listeners: { http: { address } } });
  for (const errors of [(await configuration.reload()).errors, (await configuration.diff(readFileSync(file(), 'utf8'))).errors]) {
    assert.deepEqual(errors.map(({ code, path }) => [code, path]), [['address_in_use', 'listeners.http.address']]);
  }
  assert.equal(configuration.inForce.version, version);
  other.close();
  await once(other, 'close');
  assert.equal((await configuration.reload()).result, 'applied');
});

test('keys are looked up without keys.json, and a damaged one changes nothing', async () => {
  const first = await load();
  const made = await first.createKey('acme', { scopes: ['reports'], author: 'test' });
  assert.ok(made !== null);
  const hash = hashKey(made.key);
  const path = KeyStore.pathIn(join(folder, 'data'));
  const content = readFileSync(path);
  writeFileSync(path, '{"format":1,');
  assert.equal((await first.reload()).result, 'rejected');
  const stored = first.storedKey(hash);
  assert.ok(stored !== null && stored !== 'unknown');
  assert.deepEqual([stored.app, stored.scopes], ['acme', ['reports']]);
  // a process that has never read it does not take it for empty
  const second = await load();
  assert.equal(second.storedKey(hash), 'unknown');
  // a key for reports alone makes no new version, and yet is known when the file has changed
  writeFileSync(path, content);
  assert.equal((await second.reload()).result, 'unchanged');
  assert.notEqual(second.storedKey(hash), 'unknown');
  assert.equal(second.storedKey(hashKey('other')), null);
});

test('a supervisor that starts again in the same run goes on with what was in force where the file is bad; a new run does not', async () => {
  const first = await load();
  write({ wrong: 1 });
  const second = await load();
  assert.equal(second.inForce.version, first.inForce.version);
  assert.equal(second.status.last_reload?.result, 'rejected');
  rmSync(join(folder, 'config-in-force.json'));
  await assert.rejects(load(), ConfigRejectedError);
});

test('a key takes effect at once, also while the file is bad; its hash alone is kept', async () => {
  const configuration = await load();
  assert.equal(await configuration.createKey('nobody', { scopes: ['traffic'], author: 'test' }), null);
  write({ wrong: 1 });
  const made = await configuration.createKey('acme', { scopes: ['traffic'], author: 'test' });
  assert.ok(made !== null);
  assert.equal(applied.at(-1)?.config.apps[0]?.keys[0]?.id, made.id);
  assert.ok(!JSON.stringify(configuration.inForce).includes(made.key));
  assert.equal(await configuration.revokeKey('acme', made.id, 'test'), true);
  assert.deepEqual(applied.at(-1)?.config.apps[0]?.keys, []);
  assert.equal(await configuration.revokeKey('acme', made.id, 'test'), false);
});

test('the other processes find what is in force, with its secrets, for the node\'s user only', async () => {
  writeFileSync(join(folder, 'secret'), 'a secret of more than thirty-two bytes');
  write({ apps: [{ name: 'acme', services: ['shop'], jwt: { algorithm: 'HS256', secret: 'file:secret' } }] });
  const { inForce } = await load();
  assert.deepEqual(readConfigInForce(folder), JSON.parse(JSON.stringify(inForce)));
  assert.equal(readConfigInForce(folder)?.config.data_dir, join(folder, 'data'));
  assert.equal(statSync(join(folder, 'config-in-force.json')).mode & 0o777, 0o600);
  assert.ok(!readFileSync(join(folder, 'data', 'config', 'last.json'), 'utf8').includes('a secret'));
});

test('a diff never shows what a variable stands for, short text or long', async () => {
  process.env['TIDEGATE_TEST_SECRET'] = 'swordfish-1234567';
  try {
    const configuration = await load();
    const text = (padding: string): string => JSON.stringify({
      version: 1, listeners: { http: {} }, data_dir: './data', services: [SERVICE], apps: [{ name: 'acme', services: ['shop'], customer: `\${TIDEGATE_TEST_SECRET}${padding}` }],
    });
    for (const padding of ['', 'x'.repeat(5000)]) {
      const { changes, errors } = await configuration.diff(text(padding));
      assert.deepEqual(errors, []);
      assert.equal(changes.length, 1);
      const shown = JSON.stringify(changes);
      assert.ok(!shown.includes('swordfish'), shown.slice(0, 300));
      assert.ok(shown.includes('${TIDEGATE_TEST_SECRET}'));
    }
  } finally {
    delete process.env['TIDEGATE_TEST_SECRET'];
  }
});
