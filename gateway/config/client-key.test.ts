import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { clientKey } from './client-key.js';
import { loadConfigText, type LoadedConfig } from './load.js';
import { redactConfig } from './redact.js';

const LISTENER = 'version: 1\nlisteners: { http: { address: "127.0.0.1:0" } }\n';

function loadIn(folder: string, yaml: string): ReturnType<typeof loadConfigText> {
  return loadConfigText(`${LISTENER}${yaml}`, join(folder, 'tidegate.yaml'), { KEY: 'sixteen characters and more' });
}

test('the key of hashed clients is the one that is given, or the data directory\'s own, readable by its owner only; where nothing is hashed none is made', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-client-key-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  const keyOf = (yaml: string): string | null => {
    const { loaded, errors } = loadIn(folder, `${yaml}\n`);
    assert.deepEqual(errors, []);
    return clientKey({ ...loaded as LoadedConfig, dataDir: folder });
  };
  const path = join(folder, 'client.key');
  assert.equal(keyOf(''), null);
  assert.throws(() => statSync(path));
  const own = keyOf('privacy: { client: hash }');
  assert.equal(own, readFileSync(path, 'utf8').trim());
  assert.match(own ?? '', /^[\w-]{43}$/);
  chmodSync(path, 0o644);
  assert.equal(keyOf('privacy: { client: hash, key: "" }'), own, 'the same the next time');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  writeFileSync(join(folder, 'key'), 'in a file of its own\n');
  assert.equal(keyOf('privacy: { client: hash, key: "file:key" }'), 'in a file of its own');
  assert.equal(keyOf('privacy: { client: hash, key: "${KEY}" }'), 'sixteen characters and more');
  writeFileSync(path, 'short\n');
  assert.throws(() => keyOf('privacy: { client: hash }'), (error: TidegateError) => error.code === 'data_dir_unusable' && error.message.includes('client.key'));
});

test('a key that can be guessed is refused, wherever it stands; several nodes with keys of their own are doubted; no key is shown', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-client-key-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  writeFileSync(join(folder, 'short'), 'fifteen letters\n');
  for (const key of ['fifteen letters', 'file:short']) assert.deepEqual(loadIn(folder, `privacy: { client: hash, key: "${key}" }\n`).errors.map(({ code, path }) => `${code} ${path}`), ['config_value privacy.key']);
  assert.deepEqual(loadIn(folder, 'privacy: { client: hash, key: "file:absent" }\n').errors.map(({ code }) => code), ['config_file']);
  assert.deepEqual(loadIn(folder, 'privacy: { client: address }\n').errors.map(({ code, path }) => `${code} ${path}`), ['config_schema privacy.client']);
  const doubts = (yaml: string): string[] => loadIn(folder, `node: a\nnodes: [a, b]\n${yaml}`).warnings.map(({ path }) => path);
  assert.deepEqual([doubts('privacy: { client: hash }\n'), doubts('privacy: { client: hash, key: "sixteen characters and more" }\n')], [['privacy.client'], []]);
  const { loaded } = loadIn(folder, 'privacy: { client: hash, key: "sixteen characters and more" }\n');
  assert.deepEqual(redactConfig((loaded as LoadedConfig).config).privacy, { client: 'hash', key: '***' });
});
