import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
    [{ event_log: { spool: { segment_bytes: '1MiB' } } }, 'event_log.spool.segment_bytes'], [{ store: { clickhouse: { url: 'http://127.0.0.1:8123' } } }, 'store.clickhouse']] as const) {
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

test('a listener address that is in use is refused by a reload, and the one in force stays', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
  const configuration = await load(({ config }) => trialListen(config.listeners.http.address));
  const { version } = configuration.inForce;
  write({ listeners: { http: { address } } });
  assert.deepEqual((await configuration.reload()).errors.map(({ code, path }) => [code, path]), [['address_in_use', 'listeners.http.address']]);
  assert.equal(configuration.inForce.version, version);
  other.close();
  await once(other, 'close');
  assert.equal((await configuration.reload()).result, 'applied');
});

test('a key for reports alone is a change like any other; a damaged keys.json changes nothing', async () => {
  const first = await load();
  const { version } = first.inForce;
  const made = await first.createKey('acme', { scopes: ['reports'], author: 'test' });
  assert.ok(made !== null);
  const shown = (configuration: Configuration): unknown => configuration.inForce.config.apps[0]?.keys;
  const expected = [{ id: made.id, sha256: hashKey(made.key), scopes: ['reports'] }];
  assert.deepEqual(shown(first), expected);
  assert.notEqual(first.inForce.version, version);
  assert.deepEqual(first.history(1).map(({ version: entered, author, diff }) => [entered, author, diff[0]?.path, diff[0]?.kind]),
    [[first.inForce.version, 'test', `apps[acme].keys[${made.id}]`, 'added']]);
  const path = KeyStore.pathIn(join(folder, 'data'));
  const content = readFileSync(path);
  writeFileSync(path, '{"format":1,');
  assert.equal((await first.reload()).result, 'rejected');
  assert.deepEqual(shown(first), expected);
  // a process that has never read it goes on with what was in force
  assert.deepEqual(shown(await load()), expected);
  writeFileSync(path, content);
  assert.equal((await first.reload()).result, 'unchanged');
  assert.equal(await first.revokeKey('acme', made.id, 'test'), 'revoked');
  assert.equal(first.history(1)[0]?.diff[0]?.kind, 'removed');
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
  assert.equal(await configuration.revokeKey('acme', made.id, 'test'), 'revoked');
  assert.deepEqual(applied.at(-1)?.config.apps[0]?.keys, []);
  assert.equal(await configuration.revokeKey('acme', made.id, 'test'), 'ended');
  assert.equal(await configuration.revokeKey('acme', 'k-never', 'test'), 'unknown');
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

const SECRET = 'open-sesame-9876';

/** The environment of the other processes too. */
async function withVariables(variables: Readonly<Record<string, string>>, work: () => Promise<void>): Promise<void> {
  Object.assign(process.env, variables);
  try {
    await work();
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
  }
}

test('what variables hold is in no diff, no history and no answer, whatever way it was written; names in force are told', async () => {
  await withVariables({ REV: SECRET, N: '4711', NAME: 'bazaar', TIDEGATE__apps__acme__customer: `${SECRET}-too` }, async () => {
    const with_ = (yaml: string): string => `version: 1\nlisteners: { http: {} }\ndata_dir: ./data\nservices: [${JSON.stringify(SERVICE)}]\n${yaml}`;
    const before = 'limits: { qps: "${N}" }\napps: [{ name: acme, services: [shop], jwt: { algorithm: HS256, secret: "${REV}${REV}" } }, { name: "${NAME}", ip: { allow: ["10.0.0.1"] } }]\n';
    writeFileSync(file(), with_(before));
    const configuration = await load();
    const again = 'limits: { qps: "${N}0" }\napps: [{ name: acme, services: [shop] }, { name: "\\x24{REV}", customer: "a\\\n  ${\\x52EV}" }]\ncontrol: { token: "${REV}" }\n';
    const { changes, errors, from, to } = await configuration.diff(with_(again));
    assert.deepEqual(errors, []);
    assert.notEqual(from, to);
    assert.deepEqual(changes.map(({ path, before: old, after }) => [path, old, after]), [
      ['apps[${NAME}]', (changes[0]?.before), undefined],
      ['apps[${REV}]', undefined, (changes[1]?.after)],
      ['apps[acme].jwt', { algorithm: 'HS256', secret: '***', leeway: '30s', claims: {} }, undefined],
      ['control.token', undefined, '${REV}'],
      ['limits.qps', '${N}', '${N}0'],
    ]);
    assert.equal((changes[1]?.after as { customer: string }).customer, 'a${REV}');
    assert.deepEqual(configuration.shown.apps.map(({ name, customer }) => [name, customer]), [['acme', '$TIDEGATE__apps__acme__customer'], ['bazaar', undefined]]);
    const shown = [changes, configuration.history(10), configuration.shown].map((value) => JSON.stringify(value)).concat(
      ['last.json', 'history.jsonl'].map((name) => readFileSync(join(folder, 'data', 'config', name), 'utf8')));
    for (const text of shown) assert.doesNotMatch(text, /open-sesame|4711/);
    // a variable's change is a change, though it is written the same
    process.env['N'] = '4712';
    assert.equal((await configuration.reload()).result, 'applied');
    assert.deepEqual(configuration.history(1)[0]?.diff, [{ path: 'limits.qps', kind: 'changed', before: '${N}', after: '${N}' }]);
  });
});

test('what a diff refuses for a variable\'s sake holds nothing of the variable; other errors are told in full', async () => {
  await withVariables({ REV: SECRET }, async () => {
    const configuration = await load();
    const refused = async (more: object): Promise<readonly string[]> => {
      const { errors } = await configuration.diff(JSON.stringify({ version: 1, listeners: { http: {} }, data_dir: './data', services: [SERVICE], ...more }));
      assert.doesNotMatch(JSON.stringify(errors), /sesame|9876/);
      return errors.map(({ path, code, message }) => `${path} ${code} ${message.replace(/ for what a variable .*/, ' untold')}`);
    };
    assert.deepEqual(await refused({ workers: 0, apps: [{ name: 'acme', services: ['${REV}'], time_zone: 'Nowhere' }, { name: 'other', services: ['shpo'] }] }), [
      'workers config_schema must be auto or a whole number from 1 to 256',
      'apps[0].services[0] config_reference is refused untold',
      'apps[0].time_zone config_value "Nowhere" is not an IANA time zone such as Asia/Kolkata',
      'apps[1].services[0] config_reference there is no service "shpo"; did you mean shop?',
    ]);
    const regexp = [{ ...SERVICE, routes: [{ name: 'all', match: { path: '~^/(${REV}' } }] }];
    assert.deepEqual((await refused({ services: regexp })).map((told) => told.replace(/^\S* /, '')), ['config_regexp is refused untold']);
    assert.deepEqual(await refused({ data_dir: '${REV}' }), ['data_dir config_value cannot change while the node runs: stop it, and start it again']);
  });
});

test('a diff touches nothing outside: no name is resolved, no address bound, no token made', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  try {
    const configuration = await load();
    for (const address of [`127.0.0.1:${(other.address() as AddressInfo).port}`, 'no-such-host.invalid:80']) {
      const { errors, changes } = await configuration.diff(JSON.stringify({ version: 1, listeners: { http: { address } }, data_dir: './data', services: [SERVICE], apps: [{ name: 'acme', services: ['shop'] }] }));
      assert.deepEqual([errors, changes.map(({ path }) => path)], [[], ['listeners.http.address']]);
    }
    assert.ok(!existsSync(join(folder, 'data', 'control.token')));
  } finally {
    other.close();
  }
});

test('diffs are made one at a time beside the supervisor; who comes when enough wait is sent away, and who leaves makes room', async () => {
  const configuration = await load();
  const text = readFileSync(file(), 'utf8');
  const leaving = new AbortController();
  const first = configuration.diff(text, leaving.signal);
  const waiting = Array.from({ length: 4 }, () => configuration.diff(text));
  await assert.rejects(configuration.diff(text), { code: 'config_busy' });
  leaving.abort();
  assert.match((await first).errors[0]?.message ?? '', /nobody waits for it any more/);
  for (const { changes, errors } of await Promise.all(waiting)) assert.deepEqual([changes, errors], [[], []]);
});

test('what was kept by a version that did not keep what was written is not used', async () => {
  await load();
  const path = join(folder, 'config-in-force.json');
  const { written: _, ...older } = JSON.parse(readFileSync(path, 'utf8')) as ConfigInForce;
  writeFileSync(path, JSON.stringify(older));
  write({ wrong: 1 });
  await assert.rejects(load(), ConfigRejectedError);
  const last = join(folder, 'data', 'config', 'last.json');
  writeFileSync(last, JSON.stringify({ version: older.version, config: older.config }));
  write({ workers: 3 });
  assert.deepEqual((await load()).history(1)[0]?.diff.map(({ path: at }) => at), ['']);
});
