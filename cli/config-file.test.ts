import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { configFile, findConfigFile } from './config-file.js';

test('the configuration that nobody names is that of this folder, else that of the service, if it may be read', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-config-file-'));
  const before = process.cwd();
  process.chdir(folder);
  t.after(() => {
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });
  const ofService = join(folder, 'service.yaml');
  assert.equal(findConfigFile(ofService), null);
  writeFileSync(ofService, 'version: 1\n');
  assert.equal(findConfigFile(ofService), ofService);
  assert.equal(findConfigFile(null), null, 'for a node that is asked by its URL');
  // root reads what nobody may
  if (process.getuid?.() !== 0) {
    chmodSync(ofService, 0);
    assert.equal(findConfigFile(ofService), null);
  }
  writeFileSync('tidegate.yaml', 'version: 1\n');
  assert.equal(findConfigFile(ofService), 'tidegate.yaml');
  assert.equal(configFile(undefined), 'tidegate.yaml');
  assert.equal(configFile('other.yaml'), 'other.yaml');
});

test('where there is none, the error names the places that were looked at', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-config-file-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const absent = join(folder, 'absent.yaml');
  assert.throws(() => configFile(undefined, absent), { code: 'config_unreadable', message: `there is neither tidegate.yaml in this folder nor ${absent} that can be read; -c FILE names another one` });
});
