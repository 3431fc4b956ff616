import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { configFolder, hash, LISTENER } from './config-folder.fixture.js';
import { hashKey, KeyStore, newKey } from './keys.js';
import { parseConfig } from './load.js';
import type { TidegateError } from '../../errors/tidegate-error.js';

const code = (wanted: string) => (error: unknown): boolean => (error as TidegateError).code === wanted;

describe('a new key', () => {
  it('is tg_ and 28 letters and digits, each as likely as the others', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 5000; i++) {
      const key = newKey();
      assert.match(key, /^tg_[0-9A-Za-z]{28}$/);
      for (const character of key.slice(3)) counts.set(character, (counts.get(character) ?? 0) + 1);
    }
    // 140,000 draws of 62: 2258 each, deviation 47; six deviations
    assert.equal(counts.size, 62);
    for (const count of counts.values()) assert.ok(Math.abs(count - 2258) < 285, `${count}`);
  });
});

describe('the store of keys', () => {
  it('keeps hashes only, in a file of its owner, written whole', (t) => {
    const { dir } = configFolder(t);
    const store = KeyStore.open(join(dir, 'data'));
    const { key, stored } = store.add({ app: 'acme', author: 'me', scopes: ['traffic'], now: new Date('2026-11-21T00:00:00Z') });
    assert.deepEqual(stored, { app: 'acme', id: stored.id, sha256: hashKey(key), created_at: '2026-11-21T00:00:00.000Z', author: 'me', scopes: ['traffic'] });
    assert.ok(!readFileSync(store.path, 'utf8').includes(key));
    assert.equal(statSync(store.path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(join(dir, 'data')), ['keys.json']);
    assert.deepEqual(KeyStore.open(join(dir, 'data')).keys, [stored]);
  });

  it('ends keys, also those of the YAML, and says when there is none', (t) => {
    const { dir } = configFolder(t);
    const { config } = parseConfig(`${LISTENER}apps: [{ name: acme, keys: [{ id: k1, sha256: ${hash('a')} }] }]`, join(dir, 'tidegate.yaml'), {});
    const store = KeyStore.open(dir);
    const { stored } = store.add({ app: 'acme', author: 'me', scopes: ['traffic'] });
    const keys = (): string[] | undefined => KeyStore.open(dir).merge(config).apps[0]?.keys.map(({ id }) => id);
    assert.deepEqual(keys(), ['k1', stored.id]);
    assert.equal(store.revoke({ app: 'acme', id: 'none', author: 'me', config }), 'unknown');
    assert.equal(store.revoke({ app: 'other', id: 'k1', author: 'me', config }), 'unknown');
    assert.equal(store.revoke({ app: 'acme', id: 'k1', author: 'me' }), 'unknown');
    assert.equal(store.revoke({ app: 'acme', id: 'k1', author: 'me', config }), 'revoked');
    assert.deepEqual(keys(), [stored.id]);
    assert.equal(store.revoke({ app: 'acme', id: stored.id, author: 'me' }), 'revoked');
    assert.equal(store.revoke({ app: 'acme', id: stored.id, author: 'me' }), 'ended');
    assert.deepEqual(keys(), []);
    assert.deepEqual(config.apps[0]?.keys.length, 1);
  });

  it('merges keys of every scope, but those of apps that are gone and what the YAML has already', (t) => {
    const { dir } = configFolder(t);
    const store = KeyStore.open(dir);
    store.add({ app: 'gone', author: 'me', scopes: ['traffic'] });
    const reports = store.add({ app: 'acme', author: 'me', scopes: ['reports'] }).stored;
    const { stored } = store.add({ app: 'acme', author: 'me', scopes: ['traffic'] });
    const { config } = parseConfig(`${LISTENER}data_dir: ./none\napps: [{ name: acme, keys: [{ id: copied, sha256: ${stored.sha256} }] }]`, join(dir, 'tidegate.yaml'), {});
    assert.deepEqual(store.merge(config).apps[0]?.keys, [
      { id: 'copied', sha256: stored.sha256, scopes: ['traffic', 'reports'] }, { id: reports.id, sha256: reports.sha256, scopes: ['reports'] },
    ]);
  });

  it('refuses a file that is damaged or of a newer version', (t) => {
    const { dir, write } = configFolder(t);
    for (const content of ['', '{', '[]', '{"format":2,"keys":[],"revoked":[]}', '{"format":1,"keys":[{}],"revoked":[]}']) {
      write('keys.json', content);
      assert.throws(() => KeyStore.open(dir), code('config_file'), content);
    }
  });

  it('keeps what it had when it cannot write', (t) => {
    const { dir } = configFolder(t);
    const store = KeyStore.open(dir);
    const { stored } = store.add({ app: 'acme', author: 'me', scopes: ['traffic'] });
    // a folder in the file's place stops root too, whom permissions would not
    rmSync(store.path);
    mkdirSync(store.path);
    assert.throws(() => store.add({ app: 'acme', author: 'me', scopes: ['traffic'] }), code('data_dir_unusable'));
    assert.deepEqual(store.keys, [stored]);
  });
});
