/** What every store does, whichever engine stands behind it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from './chdb-store.js';
import { migrate } from './migrate.js';
import { BACKENDS, eachOnce, openBackend, stageRange, storedRows } from './stores.fixture.js';

const code = (wanted: string) => (error: TidegateError): boolean => error.code === wanted && error.cause instanceof Error;

for (const backend of BACKENDS) {
  test(`${backend}: values are bound, never read as SQL; errors carry a code`, { skip: requires('chdb') }, async () => {
    await using opened = await openBackend(backend);
    const { store } = opened;
    const nasty = "x' OR 1 = 1; DROP TABLE t -- \\ \n {a:String} \u{1f4a5}";
    assert.deepEqual(await store.query('SELECT {a:String} AS a, {n:Int64} AS n, {list:Array(String)} AS list, toUInt64(9007199254740991) AS big', { a: nasty, n: -1_763_600_000_000, list: [nasty, ''] }),
      [{ a: nasty, n: -1_763_600_000_000, list: [nasty, ''], big: Number.MAX_SAFE_INTEGER }]);
    await assert.rejects(store.query('SELECT nonsense FROM nowhere'), code('store_failed'));
    await assert.rejects(store.command('NONSENSE'), code('store_failed'));
    // a failure stops no one behind it
    assert.deepEqual(await store.query('SELECT 1 AS one'), [{ one: 1 }]);
  });

  test(`${backend}: while the engine works, the event loop goes on, and a query does not wait for a statement`, { skip: requires('chdb') }, async () => {
    await using opened = await openBackend(backend);
    const { store } = opened;
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

  test(`${backend}: a range is stored once however often it is inserted, without what is left out, and not after its deadline`, { skip: requires('chdb') }, async () => {
    await using opened = await openBackend(backend);
    const { store, folder } = opened;
    await migrate(store);
    const range = stageRange(folder, '00000000000000aa', 0, 3000);
    await assert.rejects(store.insertRows(range.plan, range.file, Date.now() - 5000), code('store_insert_late'));
    assert.deepEqual(await storedRows(store), eachOnce(0));
    for (let i = 0; i < 3; i++) await store.insertRows(range.plan, range.file, i === 1 ? undefined : Date.now() + 60_000);
    assert.deepEqual(await storedRows(store), eachOnce(3000));
    const [ends] = await store.query<object>("SELECT min(seq) AS first, max(seq) AS last, uniqExact(toString(app)) AS apps, any(node) AS node, max(ordinal) AS ordinal, any(toString(outcome)) AS outcome FROM tidegate.events");
    assert.deepEqual(ends, { first: 0, last: 2999, apps: 20, node: 'node-a', ordinal: 2999, outcome: 'answered' });
    // rows 2000 to 2999 came again with 1000 new ones
    const again = stageRange(folder, '00000000000000aa', 2000, 2000);
    const plan = { ...again.plan, leaveOut: [{ stream: '00000000000000aa', first: 2000, last: 2999 }] };
    for (let i = 0; i < 2; i++) await store.insertRows(plan, again.file);
    assert.deepEqual(await storedRows(store), eachOnce(4000));
  });
}

test('a directory that cannot be used is said', { skip: requires('chdb') }, async () => {
  await using opened = await openBackend('chDB');
  writeFileSync(join(opened.folder, 'file'), '');
  await assert.rejects(ChdbStore.open(join(opened.folder, 'file', 'store')), code('store_unavailable'));
});
