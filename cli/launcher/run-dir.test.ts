import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { newRunDir } from './run-dir.js';

function parentFolder(t: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'tidegate-run-'));
  t.after(() => {
    chmodSync(parent, 0o700);
    rmSync(parent, { recursive: true, force: true });
  });
  return parent;
}

/** As one whose launcher is dead leaves it: the pid is another process's now. */
function deadRunDir(parent: string, more: object = {}): string {
  const dead = newRunDir(parent);
  const identity = JSON.parse(readFileSync(join(dead, 'launcher.json'), 'utf8')) as { pidStart: number };
  writeFileSync(join(dead, 'launcher.json'), JSON.stringify({ ...identity, pidStart: identity.pidStart - 1, ...more }));
  writeFileSync(join(dead, 'config-in-force.json'), 'secrets');
  return dead;
}

const LINUX = { skip: process.platform === 'linux' ? false : 'needs /proc' };

test('what a dead launcher left is removed at the next start; a living one\'s and anybody else\'s stays', LINUX, (t) => {
  const parent = parentFolder(t);
  const living = newRunDir(parent);
  assert.equal(statSync(living).mode & 0o777, 0o700);
  mkdirSync(join(parent, 'tidegate-abcdef'));
  mkdirSync(join(parent, 'tidegate-other-thing'));
  const dead = deadRunDir(parent);
  const next = newRunDir(parent);
  assert.deepEqual([living, dead, next, join(parent, 'tidegate-abcdef'), join(parent, 'tidegate-other-thing')].map((path) => existsSync(path)), [true, false, true, true, true]);
});

test('what another user\'s dead launcher left stays', LINUX, (t) => {
  const parent = parentFolder(t);
  const dead = deadRunDir(parent);
  newRunDir(parent, (process.getuid?.() ?? 0) + 1);
  assert.ok(existsSync(dead));
});

test('of a launcher in another container that shares the folder nothing is known: what is its stays', LINUX, (t) => {
  const parent = parentFolder(t);
  const other = deadRunDir(parent, { pidNamespace: 'pid:[1]' });
  newRunDir(parent);
  assert.ok(existsSync(other));
});

test('a folder whose maker died before it put its name in is removed after an hour', (t) => {
  const parent = parentFolder(t);
  const [old, young, torn] = ['tidegate-oldold', 'tidegate-youngy', 'tidegate-tornto'].map((name) => join(parent, name)) as [string, string, string];
  for (const path of [old, young, torn]) mkdirSync(path);
  writeFileSync(join(torn, 'launcher.json'), '{"pid":');
  const longAgo = Date.now() / 1000 - 3700;
  for (const path of [old, torn]) utimesSync(path, longAgo, longAgo);
  newRunDir(parent);
  assert.deepEqual([old, young, torn].map((path) => existsSync(path)), [false, true, false]);
});

test('a folder that cannot be listed takes a run directory all the same', (t) => {
  const parent = parentFolder(t);
  chmodSync(parent, 0o300);
  // root lists every folder
  const NOBODY = 65_534;
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    chownSync(parent, NOBODY, NOBODY);
    process.seteuid?.(NOBODY);
  }
  try {
    assert.throws(() => readdirSync(parent), { code: 'EACCES' });
    assert.ok(existsSync(newRunDir(parent)));
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});
