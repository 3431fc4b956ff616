import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownerOf } from './file-owner.js';

test('a file has its owner\'s name, or number, or none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-owner-'));
  try {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const { uid } = statSync(file);
    const passwd = join(folder, 'passwd');
    writeFileSync(passwd, `other:x:${uid}1:0::/:/bin/sh\nanna:x:${uid}:0::/:/bin/sh\n`);
    assert.equal(ownerOf(file, passwd), 'anna');
    writeFileSync(passwd, '');
    assert.equal(ownerOf(file, passwd), String(uid));
    assert.equal(ownerOf(file, join(folder, 'absent')), String(uid));
    assert.equal(ownerOf(join(folder, 'absent'), passwd), '');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
