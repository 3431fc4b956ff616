import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { KINDS, METHODS, PROTOCOLS } from '../../gateway/events/event.js';
import { OUTCOMES, type OutcomeEntry } from '../../gateway/events/outcomes.js';
import { requires } from '../../test/harness/requires.js';
import { loadMigrations, migrate, splitStatements } from './migrate.js';
import { Store } from './store.js';

test('statements end at semicolons that are not inside strings, names or comments', () => {
  assert.deepEqual(splitStatements("SELECT ';', 'it''s; \\';'; -- a; comment\nSELECT \"a;b\", `c;d` /* e; */ FROM t;\n\n;SELECT 1 - 2 / 3"),
    ["SELECT ';', 'it''s; \\';'", 'SELECT "a;b", `c;d`  FROM t', 'SELECT 1 - 2 / 3']);
});

test('migrations bring a store to this version once, can be repeated, and refuse a newer store', { skip: requires('chdb') }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'tidegate-migrate-'));
  const store = await Store.open(join(directory, 'store'));
  t.after(async () => {
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const known = loadMigrations();
  assert.deepEqual(await migrate(store), known.map(({ version }) => version));
  assert.deepEqual(await migrate(store), []);
  // as after a kill between a migration's statements and its note
  await store.command('TRUNCATE TABLE tidegate.schema_migrations');
  assert.deepEqual(await migrate(store), known.map(({ version }) => version));
  const newer = { version: 9999, name: 'from_the_future', sql: '' };
  await migrate(store, [...known, newer]);
  await assert.rejects(migrate(store), (error: TidegateError) => error.code === 'store_version');

  await t.test('enums and flags of the events table are those of the gateway', async () => {
    const types = new Map((await store.query<{ name: string; type: string }>("SELECT name, type FROM system.columns WHERE database = 'tidegate' AND table = 'events'")).map(({ name, type }) => [name, type]));
    const enumOf = (values: readonly (readonly [string, number])[]): string => `Enum8(${values.map(([name, id]) => `'${name}' = ${id}`).join(', ')})`;
    const outcomes = Object.entries<OutcomeEntry>(OUTCOMES);
    assert.equal(types.get('method'), enumOf(Object.entries(METHODS)));
    assert.equal(types.get('protocol'), enumOf(Object.entries(PROTOCOLS)));
    assert.equal(types.get('kind'), enumOf(Object.entries(KINDS)));
    assert.equal(types.get('outcome'), enumOf(outcomes.map(([name, { id }]) => [name, id] as const).sort((a, b) => a[1] - b[1])));
    await store.command(`INSERT INTO tidegate.events (stream, seq, ordinal, time, outcome, status) SELECT 1, 1, 1, now64(3), arrayJoin([${outcomes.map(([, { id }]) => id).join()}]), arrayJoin([200, 503])`);
    const rows = await store.query<{ outcome: keyof typeof OUTCOMES; status: number; error: boolean; let_through: boolean }>('SELECT outcome, status, error, let_through FROM tidegate.events');
    assert.equal(rows.length, outcomes.length * 2);
    for (const row of rows) {
      const entry: OutcomeEntry = OUTCOMES[row.outcome];
      const byStatus = row.outcome === 'answered' || row.outcome === 'unframed';
      assert.deepEqual([row.let_through, row.error], [entry.letThrough, entry.error || (byStatus && row.status >= 500)], row.outcome);
    }
  });
});
