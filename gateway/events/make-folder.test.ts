import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { makeFolder } from './make-folder.js';

test('a folder is made with those above it, and may be there', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-folder-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const path = join(folder, 'a', 'b', 'c');
  makeFolder(path);
  makeFolder(path);
  assert.ok(statSync(path).isDirectory());
  writeFileSync(join(folder, 'file'), '');
  assert.throws(() => { makeFolder(join(folder, 'file')); }, { code: 'EEXIST' });
  assert.throws(() => { makeFolder(join(folder, 'file', 'below')); }, { code: 'ENOTDIR' });
});

test('where none can be made, what the file system says is thrown', { skip: requires('linux') }, () => {
  assert.throws(() => { makeFolder('/proc/tidegate/data'); }, { code: 'ENOENT' });
});
