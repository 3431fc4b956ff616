import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { configFolder, hash, LISTENER } from './config-folder.fixture.js';
import { loadConfigAside, loadTextAside } from './load-aside.js';
import { loadConfig } from './load.js';

it('a large configuration is read beside the event loop, file or text, with the same result', async (t) => {
  const apps = Array.from({ length: 1000 }, (_, i) => `  - { name: app${i}, keys: [{ id: k1, sha256: "${hash('a').slice(4)}${String(i).padStart(4, '0')}" }], limits: { qpd: 100 } }\n`);
  const text = `${LISTENER}apps:\n${apps.join('')}`;
  const { file, dir } = configFolder(t, text);
  const expected = loadConfig(file);
  assert.equal(expected.loaded?.config.apps.length, 1000);
  for (const load of [() => loadConfigAside(file), () => loadTextAside(text, file)]) {
    let turns = 0;
    let reading = true;
    const turn = (): void => {
      turns++;
      if (reading) setImmediate(turn);
    };
    turn();
    const result = await load();
    reading = false;
    assert.deepEqual(result, expected);
    assert.ok(turns > 100, `${turns} turns`);
  }
  assert.deepEqual((await loadConfigAside(join(dir, 'none.yaml'))).errors.map(({ code }) => code), ['config_unreadable']);
});
