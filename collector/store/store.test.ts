import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { requires } from '../../test/harness/requires.js';
import { Store } from './store.js';

test('values are bound, never read as SQL; errors carry a code; a directory that cannot be used is said', { skip: requires('chdb') }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tidegate-store-'));
  const store = await Store.open(join(directory, 'store'));
  t.after(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const nasty = "x' OR 1 = 1; DROP TABLE t -- \\ \n {a:String} \u{1f4a5}";
  assert.deepEqual(await store.query('SELECT {a:String} AS a, {n:Int64} AS n, {list:Array(String)} AS list', { a: nasty, n: -1_763_600_000_000, list: [nasty, ''] }),
    [{ a: nasty, n: -1_763_600_000_000, list: [nasty, ''] }]);
  await assert.rejects(store.query('SELECT nonsense FROM nowhere'), (error: TidegateError) => error.code === 'store_failed' && error.cause instanceof Error);
  await assert.rejects(store.command('NONSENSE'), (error: TidegateError) => error.code === 'store_failed');
  // a failure stops no one behind it
  assert.deepEqual(await store.query('SELECT 1 AS one'), [{ one: 1 }]);
  writeFileSync(join(directory, 'file'), '');
  await assert.rejects(Store.open(join(directory, 'file', 'store')), (error: TidegateError) => error.code === 'store_unavailable');
});

test('while the engine works, the event loop goes on, and a query does not wait for a statement', { skip: requires('chdb') }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tidegate-store-'));
  const store = await Store.open(join(directory, 'store'));
  t.after(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  let done = false;
  let turns = 0;
  const tick = (): void => {
    turns++;
    if (!done) setImmediate(tick);
  };
  const slow = store.command("CREATE TABLE slow ENGINE = MergeTree ORDER BY x AS SELECT sipHash64(number) AS x FROM numbers(6000000) SETTINGS max_threads = 1").then(() => { done = true; });
  tick();
  await store.query('SELECT 1');
  assert.equal(done, false, 'the query was answered first');
  await slow;
  assert.ok(turns > 100, `${turns} turns of the event loop`);
});
