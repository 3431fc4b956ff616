/** A server that refuses, stalls, breaks off, dies and denies: each is told apart, because the caller does different things. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ErrorCode } from '../../errors/codes.js';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TEST_USERS, TestClickHouse, type Fault } from '../../test/harness/clickhouse-server.js';
import { eventually } from '../../test/harness/deadline.js';
import { requires } from '../../test/harness/requires.js';
import { freePorts } from '../../test/harness/tidegate.js';
import { ClickHouseStore } from './clickhouse-store.js';
import { migrate } from './migrate.js';
import { connection, eachOnce, folderOf, stageRange, storedRows } from './stores.fixture.js';

const code = (wanted: ErrorCode) => (error: TidegateError): boolean => error.code === wanted;
const STREAM = '00000000000000bb';
const INSERT = '^INSERT INTO tidegate\\.events';

test('each way an insert fails has its code, and made again it is stored once', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const [store, hasty] = [new ClickHouseStore(connection(server.url)), new ClickHouseStore(connection(server.url, { timeoutMs: 500 }))];
  t.after(() => Promise.all([store.close(), hasty.close()]));
  const folder = folderOf(t);
  await migrate(store);
  const cases: readonly (readonly [Fault, ErrorCode])[] = [
    [{ kind: 'exception', code: 252 }, 'store_failed'],
    [{ kind: 'exception', code: 242 }, 'store_failed'],
    [{ kind: 'exception', code: 319, at: 'after' }, 'store_unknown'],
    [{ kind: 'exception', code: 241, at: 'after' }, 'store_failed'],
    [{ kind: 'status', status: 500 }, 'store_unknown'],
    [{ kind: 'status', status: 502, at: 'after' }, 'store_unknown'],
    [{ kind: 'cut' }, 'store_unknown'],
    [{ kind: 'cut', at: 'after' }, 'store_unknown'],
    [{ kind: 'stall', ms: 2500 }, 'store_unknown'],
    [{ kind: 'stall', ms: 2500, at: 'after' }, 'store_unknown'],
  ];
  let rows = 0;
  for (const [fault, expected] of cases) {
    await server.faults({ ...fault, statement: INSERT, times: 1 });
    const range = stageRange(folder, STREAM, rows, 200);
    await assert.rejects((fault.kind === 'stall' ? hasty : store).insertRows(range.plan, range.file), code(expected), JSON.stringify(fault));
    // who did not wait for the answer may ask before the server has come as far
    await eventually(`${JSON.stringify(fault)} has struck`, async () => (await server.hits())[0] === 1 || null, 30_000);
    await store.insertRows(range.plan, range.file);
    assert.deepEqual(await storedRows(store), eachOnce(rows += 200), JSON.stringify(fault));
  }
});

test('rows that cannot be opened, or read, fail the insert: they ended the process', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const store = new ClickHouseStore(connection(server.url, { timeoutMs: 5000 }));
  t.after(() => store.close());
  const folder = folderOf(t);
  await migrate(store);
  const range = stageRange(folder, STREAM, 0, 200);
  await assert.rejects(store.insertRows(range.plan, join(folder, 'gone.rows')), { code: 'ENOENT', syscall: 'open' });
  await assert.rejects(store.insertRows(range.plan, folder), code('store_unknown'));
  await store.insertRows(range.plan, range.file);
  assert.deepEqual(await storedRows(store), eachOnce(200));
});

test('one insert is asked for once: the store itself repeats nothing that changes something', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const store = new ClickHouseStore(connection([server.url, `http://127.0.0.1:${server.port}`]));
  t.after(() => store.close());
  await store.command('CREATE TABLE counted (a UInt8) ENGINE = MergeTree ORDER BY a');
  await server.faults({ kind: 'cut', at: 'after', statement: '^INSERT' });
  await assert.rejects(store.command('INSERT INTO counted SELECT 1'), code('store_unknown'));
  assert.deepEqual(await server.hits(), [1]);
  // what only reads is asked of the next host
  await server.faults({ kind: 'cut', statement: '^SELECT', times: 1 });
  assert.deepEqual(await store.query('SELECT count() AS n FROM counted'), [{ n: 1 }]);
});

test('an insert made again while the first still runs is stored once', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const store = new ClickHouseStore(connection(server.url));
  t.after(() => store.close());
  const folder = folderOf(t);
  await migrate(store);
  for (let i = 0; i < 10; i++) {
    const range = stageRange(folder, STREAM, i * 2000, 2000);
    await Promise.all([1, 2, 3].map(() => store.insertRows(range.plan, range.file)));
    assert.deepEqual(await storedRows(store), eachOnce((i + 1) * 2000));
  }
});

test('a host that refuses is passed over, and comes back; with none left it is said which were tried', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const [dead] = await freePorts(1) as [number];
  const store = new ClickHouseStore(connection([`http://127.0.0.1:${dead}`, server.url]));
  t.after(() => store.close());
  // a change too: the first was never reached
  await store.command('CREATE TABLE here (a UInt8) ENGINE = MergeTree ORDER BY a');
  assert.deepEqual(await store.query('SELECT count() AS n FROM here'), [{ n: 0 }]);
  await server.refuse();
  await assert.rejects(store.command('INSERT INTO here SELECT 1'), (error: TidegateError) =>
    error.code === 'store_unavailable' && error.message.includes(String(dead)) && error.message.includes(String(server.port)));
  await server.accept();
  await store.command('INSERT INTO here SELECT 1');
  assert.deepEqual(await store.query('SELECT count() AS n FROM here'), [{ n: 1 }]);
});

test('wrong credentials and missing rights are no outage: they say what is missing', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const opened: ClickHouseStore[] = [];
  t.after(() => Promise.all(opened.map((store) => store.close())));
  const as = (user: string, password: string): ClickHouseStore => {
    const store = new ClickHouseStore(connection(server.url, { user, password }));
    opened.push(store);
    return store;
  };
  await assert.rejects(as('owner', 'wrong').query('SELECT 1'), code('store_access'));
  await assert.rejects(as('unknown', '').query('SELECT 1'), code('store_access'));
  await as(TEST_USERS.owner.name, TEST_USERS.owner.password).command('CREATE DATABASE IF NOT EXISTS tidegate');
  await assert.rejects(as(TEST_USERS.writer.name, TEST_USERS.writer.password).command('CREATE TABLE tidegate.x (a UInt8) ENGINE = MergeTree ORDER BY a'),
    (error: TidegateError) => error.code === 'store_access' && error.message.includes('CREATE TABLE'));
  await assert.rejects(as(TEST_USERS.reader.name, TEST_USERS.reader.password).command('INSERT INTO tidegate.x SELECT 1'), code('store_access'));
});

test('TLS: a server is believed by its authority\'s certificate only', { skip: requires('chdb', 'openssl') }, async (t) => {
  const folder = folderOf(t);
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=store', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], { encoding: 'utf8' });
  assert.equal(made.status, 0, made.stderr);
  await using server = await TestClickHouse.start({ tls: { cert, key } });
  const { name: user, password } = TEST_USERS.owner;
  const trusting = new ClickHouseStore(connection(server.url, { user, password, ca: readFileSync(cert, 'utf8') }));
  const others = new ClickHouseStore(connection(server.url, { user, password }));
  t.after(() => Promise.all([trusting.close(), others.close()]));
  assert.deepEqual(await trusting.query('SELECT 1 AS one'), [{ one: 1 }]);
  const range = stageRange(folder, STREAM, 0, 3000);
  await migrate(trusting);
  await trusting.insertRows(range.plan, range.file);
  assert.deepEqual(await storedRows(trusting), eachOnce(3000));
  await assert.rejects(others.query('SELECT 1'), code('store_unavailable'));
  await assert.rejects(others.insertRows(range.plan, range.file), code('store_unavailable'), 'nothing was sent to a server that is not believed');
});

test('without compression the same rows arrive, and several statements run at once', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const store = new ClickHouseStore(connection(server.url, { compression: false }));
  t.after(() => store.close());
  const folder = folderOf(t);
  await migrate(store);
  const ranges = Array.from({ length: 8 }, (_, i) => stageRange(folder, STREAM, i * 1000, 1000));
  await Promise.all([...ranges.map(({ plan, file }) => store.insertRows(plan, file)), ...ranges.map(() => store.query('SELECT count() AS n FROM tidegate.events'))]);
  assert.deepEqual(await storedRows(store), eachOnce(8000));
});
