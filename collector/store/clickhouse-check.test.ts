/** Several urls without a cluster: ways to one server are taken, two servers are not. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { requires } from '../../test/harness/requires.js';
import { silentLog } from '../log/random-events.fixture.js';
import { openStore } from './open-store.js';
import { connection } from './stores.fixture.js';

test('two servers that are no cluster are refused before anything is stored, and two names of one server are not', { skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-check-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const [one, two] = [await TestClickHouse.start(), await TestClickHouse.start()];
  t.after(() => Promise.all([one, two].map((server) => server[Symbol.asyncDispose]())));
  const open = async (...urls: readonly string[]): Promise<void> => (await openStore({ dataDir, clickhouse: connection(urls), log: silentLog })).close();
  await open(one.url);
  await open(one.url, one.url.replace('127.0.0.1', 'localhost'));
  await assert.rejects(open(one.url, two.url), (error: TidegateError) => error.code === 'store_cluster' && error.message.includes('names 2 servers'));
  await open(two.url);
  await assert.rejects(open(two.url, one.url), (error: TidegateError) => error.code === 'store_cluster', 'with tables on both');
});

test('one of several urls that does not answer leaves it open whether they are one server: storing waits', { skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-check-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const server = await TestClickHouse.start();
  t.after(() => server[Symbol.asyncDispose]());
  await assert.rejects(openStore({ dataDir, clickhouse: connection([server.url, 'http://127.0.0.1:1']), log: silentLog }), (error: TidegateError) => error.code === 'store_unavailable');
});
