import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { configFolder, hash, LISTENER } from './config-folder.fixture.js';
import { loadConfigAside } from './load-aside.js';
import { loadConfig } from './load.js';

it('a large configuration is read beside the event loop, with the same result', async (t) => {
  const apps = Array.from({ length: 1000 }, (_, i) => `  - { name: app${i}, keys: [{ id: k1, sha256: "${hash('a').slice(4)}${String(i).padStart(4, '0')}" }], limits: { qpd: 100 } }\n`);
  const { file, dir } = configFolder(t, `${LISTENER}apps:\n${apps.join('')}`);
  let turns = 0;
  let reading = true;
  const turn = (): void => {
    turns++;
    if (reading) setImmediate(turn);
  };
  turn();
  const result = await loadConfigAside(file);
  reading = false;
  assert.deepEqual(result, loadConfig(file));
  assert.equal(result.loaded?.config.apps.length, 1000);
  assert.ok(turns > 100, `${turns} turns`);
  assert.deepEqual((await loadConfigAside(join(dir, 'none.yaml'))).errors.map(({ code }) => code), ['config_unreadable']);
});
