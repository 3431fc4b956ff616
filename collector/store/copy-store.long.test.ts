/** A history copied from chDB to a server: each row once, whatever the server does meanwhile, and no collector on a half of it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from './chdb-store.js';
import { ClickHouseStore } from './clickhouse-store.js';
import { copyStore, type CopyResult } from './copy-store.js';
import { insertEvents } from './insert-events.fixture.js';
import { migrate } from './migrate.js';
import { openStore } from './open-store.js';
import { connection, stageRange, storedRows } from './stores.fixture.js';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
const coded = (code: string) => (error: TidegateError): boolean => error.code === code;
const DAY_MS = 86_400_000;

interface Move extends AsyncDisposable {
  readonly source: ChdbStore;
  readonly target: ClickHouseStore;
  readonly server: TestClickHouse;
  readonly folder: string;
  copy(options?: { readonly signal?: AbortSignal; readonly progress?: (done: number, rows: number, what: string) => void }): Promise<CopyResult>;
  /** As a collector opens the server. */
  collect(): Promise<void>;
}

/** A chDB store with several days and streams, parts that are not merged, and every kind of note; and a server that is empty. */
async function aMove(): Promise<Move> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-copy-'));
  const source = await ChdbStore.open(join(folder, 'store'));
  await migrate(source);
  for (const table of ['events', 'traffic_minute', 'coverage']) await source.command(`SYSTEM STOP MERGES tidegate.${table}`);
  for (const stream of ['0123456789abcdef', 'fedcba9876543210']) for (const first of [0, 500, 1000]) {
    const { plan, file } = stageRange(folder, stream, first, 500);
    await source.insertRows(plan, file);
  }
  await insertEvents(source, Array.from({ length: 3 }, (_, seq) => ({ stream: 'a', seq, ordinal: seq, timeMs: Date.UTC(2026, 9, 30) + seq * DAY_MS, app: "a'b\\c\n", service: 's', bytesIn: 2 ** 40, traceId: '\u0000\n' })));
  for (const last of [5, 6]) {
    await source.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven, log) SELECT 0x0123456789abcdef, 'n''x', 1, now64(3), ${last === 6 ? 'now64(3)' : 'NULL'}, ${last}, true, 't/0'`);
  }
  await source.command("INSERT INTO tidegate.streams (stream, node, worker, opened_at, last_seq, proven) SELECT 10, 'n', 1, now64(3), -1, false");
  await source.command("INSERT INTO tidegate.drops (stream, app, count, first, last) SELECT 1, 'a', 3, now64(3), now64(3)");
  await source.command("INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file) SELECT 1, 2, 3, 4, 'checksum', 'f'");
  await source.command('INSERT INTO tidegate.repeats (stream, first_seq, last_seq, range) SELECT 1, 2, 3, 4');
  const server = await TestClickHouse.start();
  const target = new ClickHouseStore(connection(server.url));
  return {
    source, target, server, folder,
    copy: ({ signal = new AbortController().signal, progress = () => undefined } = {}) =>
      copyStore({ source, target, file: join(folder, 'copy.rows'), log: quiet, signal, progress, rowsAnInsert: 400 }),
    collect: async () => { await (await openStore({ dataDir: folder, clickhouse: connection(server.url), log: quiet })).close(); },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([source.close(), target.close()]);
      await server[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const whole = (result: CopyResult): void => {
  assert.equal(result.already, false);
  assert.deepEqual(result.tables.filter(({ rows, copiedRows, differing }) => differing.length > 0 || rows !== copiedRows), []);
};

test('every table arrives whole, once, through a server that fails, is killed and stopped in the middle; then a collector goes on there', { skip: requires('chdb') }, async () => {
  await using move = await aMove();
  const { source, target, server } = move;
  // stored and not said so, refused half way, an answer of something in between: the same insert again
  await server.faults({ kind: 'status', status: 502, at: 'after', statement: '^INSERT INTO tidegate.events', times: 2 }, { kind: 'status', status: 500, at: 'before', statement: '^INSERT INTO tidegate.traffic_minute', times: 1 });
  // Ctrl-C in the midst of the events
  const stopped = new AbortController();
  await assert.rejects(move.copy({ signal: stopped.signal, progress: (_, __, what) => { if (what.startsWith('events/202611')) stopped.abort(); } }), { name: 'AbortError' });
  await assert.rejects(move.collect(), coded('store_copy_unfinished'));
  // killed after it had stored, and away for longer than the copy asks again
  await server.faults({ kind: 'kill', at: 'after', statement: '^INSERT INTO tidegate.traffic_minute', times: 1 });
  await assert.rejects(move.copy(), coded('store_unavailable'));
  await server.restart();
  await assert.rejects(move.collect(), coded('store_copy_unfinished'));
  const result = await move.copy();
  whole(result);
  assert.deepEqual(Object.fromEntries(result.tables.map(({ table, copiedRows }) => [table, copiedRows]).filter(([table]) => ['events', 'streams', 'drops', 'quarantine', 'repeats'].includes(table as string))),
    { events: 3003, streams: 2, drops: 1, quarantine: 1, repeats: 1 });
  assert.deepEqual(await storedRows(target), await storedRows(source));
  const note = 'SELECT * FROM tidegate.streams FINAL ORDER BY stream';
  assert.deepEqual(await target.query(note), await source.query(note));
  assert.equal((await move.copy()).already, true);

  // the views are there, and count what comes from now on, once
  await move.collect();
  const { plan, file } = stageRange(move.folder, '0123456789abcdef', 1500, 100);
  await target.insertRows(plan, file);
  const before = await storedRows(source);
  const after = await storedRows(target);
  assert.deepEqual([after.rows, after.minutes, after.quarters], [before.rows + 100, before.minutes + 100, before.quarters + 100]);
});

test('what differs at the end is told, and no collector takes it', { skip: requires('chdb') }, async () => {
  await using move = await aMove();
  const stopped = new AbortController();
  await assert.rejects(move.copy({ signal: stopped.signal, progress: (_, __, what) => { if (what.startsWith('traffic_minute/')) stopped.abort(); } }), { name: 'AbortError' });
  await move.target.command("ALTER TABLE tidegate.drops UPDATE count = count + 1 WHERE app = 'a' SETTINGS mutations_sync = 1");
  const result = await move.copy();
  assert.deepEqual(result.tables.filter(({ differing }) => differing.length > 0), [{ table: 'drops', rows: 1, copiedRows: 1, differing: ['all'] }]);
  await assert.rejects(move.collect(), coded('store_copy_unfinished'));
});

test('a history goes only into an empty store, and only as it stood when it was begun', { skip: requires('chdb') }, async () => {
  await using move = await aMove();
  await move.collect();
  await assert.rejects(move.copy(), coded('store_copy_target'));
  await move.target.command('DROP DATABASE tidegate');
  const stopped = new AbortController();
  await assert.rejects(move.copy({ signal: stopped.signal, progress: (_, __, what) => { if (what.startsWith('events/')) stopped.abort(); } }), { name: 'AbortError' });
  await insertEvents(move.source, [{ stream: 'a', seq: 3, ordinal: 3, timeMs: Date.UTC(2026, 9, 30) }]);
  await assert.rejects(move.copy(), coded('store_copy_target'));
});
