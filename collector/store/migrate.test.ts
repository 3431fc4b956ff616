import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { KINDS, METHODS, PROTOCOLS } from '../../gateway/events/event.js';
import { OUTCOMES, wasLetThrough, type Outcome, type OutcomeEntry } from '../../gateway/events/outcomes.js';
import { requires } from '../../test/harness/requires.js';
import { insertEvents, type MadeEvent } from './insert-events.fixture.js';
import { loadMigrations, migrate, splitStatements } from './migrate.js';
import { BACKENDS, openBackend } from './stores.fixture.js';

test('statements end at semicolons that are not inside strings, names or comments', () => {
  assert.deepEqual(splitStatements("SELECT ';', 'it''s; \\';'; -- a; comment\nSELECT \"a;b\", `c;d` /* e; */ FROM t;\n\n;SELECT 1 - 2 / 3"),
    ["SELECT ';', 'it''s; \\';'", 'SELECT "a;b", `c;d`  FROM t', 'SELECT 1 - 2 / 3']);
});

for (const backend of BACKENDS) test(`${backend}: migrations bring a store to this version once, can be repeated, and refuse a newer store`, { skip: requires('chdb') }, async (t) => {
  await using opened = await openBackend(backend);
  const { store } = opened;
  const known = loadMigrations();
  assert.deepEqual(await migrate(store), known.map(({ version }) => version));
  assert.deepEqual(await migrate(store), []);
  // as after a kill between a migration's statements and its note
  await store.command('TRUNCATE TABLE tidegate.schema_migrations');
  assert.deepEqual(await migrate(store), known.map(({ version }) => version));
  const newer = { version: 9999, name: 'from_the_future', sql: '' };
  await migrate(store, [...known, newer]);
  await assert.rejects(migrate(store), (error: TidegateError) => error.code === 'store_version');

  await t.test('every number and name comes back as it went in, whatever the pace said', async () => {
    const made: MadeEvent = {
      stream: 'fedcba9876543210', ordinal: 2 ** 40, durationUs: 123_456_789, upstreamUs: 23_456_789, bytesIn: 255, bytesOut: 2 ** 40 + 257, status: 65_535, method: 'QUERY', outcome: 'unframed',
      protocol: 'tcp', kind: 'import', requests: 0, counted: 1, billable: 0, attempts: 255, app: 'a 1', client: '10.0.0.0/24', service: 's', route: '7', target: 'http://h:1', traceId: 'x',
    };
    const events: MadeEvent[] = [
      // ends long before and long after its place; more upstream than all; nothing known
      { ...made, seq: 0 }, { ...made, seq: 2 ** 50 }, { ...made, seq: 7, ordinal: 7, durationUs: 2 ** 50, upstreamUs: 2 ** 51 }, { stream: '1', seq: 3, ordinal: 9, status: 0, attempts: 0, requests: 1, counted: 0, billable: 1 },
    ];
    for (const rowsASecond of [0, 1, 1500, 1_000_000]) {
      await store.command('TRUNCATE TABLE tidegate.events');
      await insertEvents(store, events, [{ stream: made.stream as string, rowsASecond }]);
      const rows = await store.query<unknown[]>(`SELECT seq, ordinal, duration_us, upstream_us, bytes_in, bytes_out, status, toString(method) AS method, toString(outcome) AS outcome, toString(protocol) AS protocol,
        toString(kind) AS kind, requests, counted, billable, attempts, toString(app) AS app, toString(client) AS client, toString(service) AS service, toString(route) AS route, toString(target) AS target FROM tidegate.events ORDER BY seq`);
      const expected = [...events].sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0)).map((e) => ({
        seq: e.seq, ordinal: e.ordinal, duration_us: e.durationUs ?? 0, upstream_us: e.upstreamUs ?? 0, bytes_in: e.bytesIn ?? 0, bytes_out: e.bytesOut ?? 0, status: e.status, method: e.method ?? 'GET', outcome: e.outcome ?? 'answered',
        protocol: e.protocol ?? 'http/1.1', kind: e.kind ?? 'request', requests: e.requests, counted: e.counted, billable: e.billable, attempts: e.attempts, app: e.app ?? '', client: e.client ?? '', service: e.service ?? '', route: e.route ?? '', target: e.target ?? '',
      }));
      assert.deepEqual(rows, expected, `${rowsASecond} rows a second`);
    }
    await store.command('TRUNCATE TABLE tidegate.events');
  });

  await t.test('enums and flags of the events table are those of the gateway', async () => {
    const types = new Map((await store.query<{ name: string; type: string }>("SELECT name, type FROM system.columns WHERE database = 'tidegate' AND table = 'events'")).map(({ name, type }) => [name, type]));
    const enumOf = (values: readonly (readonly [string, number])[]): string => `Enum8(${values.map(([name, id]) => `'${name}' = ${id}`).join(', ')})`;
    const outcomes = Object.entries<OutcomeEntry>(OUTCOMES);
    assert.equal(types.get('method'), enumOf(Object.entries(METHODS)));
    assert.equal(types.get('protocol'), enumOf(Object.entries(PROTOCOLS)));
    assert.equal(types.get('kind'), enumOf(Object.entries(KINDS)));
    assert.equal(types.get('outcome'), enumOf(outcomes.map(([name, { id }]) => [name, id] as const).sort((a, b) => a[1] - b[1])));
    await insertEvents(store, (Object.keys(OUTCOMES) as Outcome[]).flatMap((outcome) => [200, 503].flatMap((status) => [0, 1].map((attempts) => ({ outcome, status, attempts })))));
    const rows = await store.query<{ outcome: keyof typeof OUTCOMES; status: number; attempts: number; error: boolean; let_through: boolean }>('SELECT outcome, status, attempts, error, let_through FROM tidegate.events');
    assert.equal(rows.length, outcomes.length * 4);
    for (const row of rows) {
      const entry: OutcomeEntry = OUTCOMES[row.outcome];
      const byStatus = row.outcome === 'answered' || row.outcome === 'unframed';
      assert.deepEqual([row.let_through, row.error], [wasLetThrough(row.outcome, row.attempts), entry.error || (byStatus && row.status >= 500)], `${row.outcome}, ${row.attempts} attempts`);
    }
    const gone = rows.filter(({ outcome }) => outcome === 'client_aborted').map(({ attempts, let_through: letThrough }) => [attempts, letThrough]);
    assert.deepEqual(gone.sort(), [[0, false], [0, false], [1, true], [1, true]], 'a client that left before an upstream was tried stands in no percentile');
  });
});
