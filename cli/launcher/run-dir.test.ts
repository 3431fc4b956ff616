import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { newRunDir } from './run-dir.js';

test('what a dead launcher left is removed at the next start; a living one\'s and anybody else\'s stays', () => {
  const parent = mkdtempSync(join(tmpdir(), 'tidegate-run-'));
  try {
    const living = newRunDir(parent);
    assert.equal(statSync(living).mode & 0o777, 0o700);
    const dead = newRunDir(parent);
    const identity = JSON.parse(readFileSync(join(dead, 'launcher.json'), 'utf8')) as { pidStart: number };
    writeFileSync(join(dead, 'launcher.json'), JSON.stringify({ ...identity, pidStart: identity.pidStart - 1 }));
    writeFileSync(join(dead, 'config-in-force.json'), 'secrets');
    mkdirSync(join(parent, 'tidegate-abcdef'));
    mkdirSync(join(parent, 'tidegate-other-thing'));
    const next = newRunDir(parent);
    assert.deepEqual([living, dead, next, join(parent, 'tidegate-abcdef'), join(parent, 'tidegate-other-thing')].map((path) => existsSync(path)), [true, false, true, true, true]);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});
