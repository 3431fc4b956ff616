import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hashKey, KeyStore } from '../config/keys.js';
import { Configuration } from './configuration.js';
import { Identities } from './identities.js';

const LOG = { info: () => {}, warn: () => {}, error: () => {} };

test('a key reads reports if it is for them, and while keys.json is damaged nobody may more than before', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-identities-'));
  const file = join(folder, 'tidegate.yaml');
  const apps = [{ name: 'acme', services: [], keys: [{ id: 'declared', sha256: hashKey('a-key-of-the-file') }] }];
  writeFileSync(file, JSON.stringify({ version: 1, listeners: { http: {} }, data_dir: './data', services: [], apps }));
  const open: Configuration[] = [];
  const load = async (): Promise<{ configuration: Configuration; find: (bearer: string) => Promise<string | null> }> => {
    let identities: Identities | null = null;
    const configuration = await Configuration.load({
      file, runDir: folder, log: LOG, trial: () => {}, apply: (inForce) => { identities?.replace(inForce); }, onReload: () => {},
    });
    open.push(configuration);
    configuration.begin();
    const made = identities = new Identities(configuration.inForce, LOG);
    return { configuration, find: (bearer) => made.find(bearer) };
  };
  try {
    const first = await load();
    const make = async (scope: 'traffic' | 'reports'): Promise<string> => (await first.configuration.createKey('acme', { scopes: [scope], author: 'test' }))?.key ?? '';
    const [traffic, reports] = [await make('traffic'), await make('reports')];
    const asked = [traffic, reports, 'a-key-of-the-file', 'nobody', 'no.valid.token'];
    const expected = [null, 'acme', 'acme', null, null];
    assert.deepEqual(await Promise.all(asked.map(first.find)), expected);
    writeFileSync(KeyStore.pathIn(join(folder, 'data')), 'damaged');
    await first.configuration.reload();
    assert.deepEqual(await Promise.all(asked.map(first.find)), expected);
    // the next supervisor of this run goes on with what was in force
    const second = await load();
    assert.deepEqual(await Promise.all(asked.map(second.find)), expected);
  } finally {
    for (const one of open) one.close();
    rmSync(folder, { recursive: true });
  }
});
