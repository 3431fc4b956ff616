import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { configFolder } from './config-folder.fixture.js';
import { appendHistory, readHistory } from './history.js';
import type { Change } from './diff.js';

const entry = (n: number, diff: readonly Change[] = []) =>
  ({ version: String(n).padStart(12, '0'), time: new Date(n * 1000).toISOString(), source: 'file', author: 'me', diff });
const numbers = (dir: string, limit?: number): number[] => readHistory(dir, limit).map(({ version }) => Number(version));

describe('the history', () => {
  it('is read newest first, as many as asked for', (t) => {
    const { dir } = configFolder(t);
    assert.deepEqual(readHistory(dir), []);
    for (let n = 1; n <= 5; n++) appendHistory(dir, entry(n, [{ path: 'workers', kind: 'changed', before: 1, after: n }]));
    assert.deepEqual(numbers(dir), [5, 4, 3, 2, 1]);
    assert.deepEqual(numbers(dir, 2), [5, 4]);
    assert.deepEqual(readHistory(dir, 1)[0], { ...entry(5, [{ path: 'workers', kind: 'changed', before: 1, after: 5 }]), more: 0 });
  });

  it('survives a last line cut anywhere, and goes on after it', (t) => {
    const { dir } = configFolder(t);
    const file = join(dir, 'config', 'history.jsonl');
    appendHistory(dir, entry(1));
    const whole = readFileSync(file).length;
    for (let cut = 1; cut <= 60; cut++) {
      appendHistory(dir, entry(2));
      truncateSync(file, whole + cut);
      assert.deepEqual(numbers(dir), [1]);
      appendHistory(dir, entry(3));
      assert.deepEqual(numbers(dir), [3, 1]);
      truncateSync(file, whole);
    }
    appendFileSync(file, '\n\nnull\n{"version":7}\n');
    assert.deepEqual(numbers(dir), [1]);
  });

  it('reads lines longer than a block, of any letters', (t) => {
    const { dir } = configFolder(t);
    const diff = Array.from({ length: 100 }, (_, i): Change => ({ path: `p${i}`, kind: 'added', after: 'é'.repeat(1500) }));
    appendHistory(dir, entry(1, diff));
    appendHistory(dir, entry(2));
    appendHistory(dir, entry(3, diff));
    assert.deepEqual(numbers(dir), [3, 2, 1]);
    assert.deepEqual(readHistory(dir)[2]?.diff, diff);
  });

  it('bounds what one change may write', (t) => {
    const { dir } = configFolder(t);
    appendHistory(dir, entry(1, Array.from({ length: 700 }, (_, i) => ({ path: `p${i}`, kind: 'added' as const, after: 'x'.repeat(10_000) }))));
    const [read] = readHistory(dir);
    assert.equal(read?.diff.length, 500);
    assert.equal(read?.more, 200);
    assert.ok(String(read?.diff[0]?.after).length < 2010);
  });
});
