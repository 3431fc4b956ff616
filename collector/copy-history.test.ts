/** Before a history moves, nothing of it may be begun and not known to be stored: made again on the other side, it would count twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TidegateError } from '../errors/tidegate-error.js';
import { TestClickHouse } from '../test/harness/clickhouse-server.js';
import { eventually } from '../test/harness/deadline.js';
import { requires } from '../test/harness/requires.js';
import { nodeOn } from './copy-history.fixture.js';
import { RandomStream } from './log/random-events.fixture.js';
import { storedSums } from './log/stored-sums.fixture.js';
import { connection } from './store/stores.fixture.js';

test('a collector of the spool goes on at the server where it stopped in chDB: nothing of its last insert counts twice', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const node = nodeOn(t, server.url);
  await assert.rejects(node.copy(), (error: TidegateError) => error.code === 'store_copy_source');
  // it lives, so its segment stays in the spool with what of it is stored
  const stream = new RandomStream(node.spoolDir, 1, Date.now() - 60_000).write(3000);
  await (await node.collector()).stop();
  const running = await node.collector();
  await assert.rejects(node.copy(), (error: TidegateError) => error.code === 'data_dir_in_use');
  await running.stop();
  assert.equal((await node.copy()).tables.find(({ table }) => table === 'events')?.copiedRows, 3000);
  stream.write(500).seal();
  const collector = await node.collector({ clickhouse: connection(server.url) });
  try {
    await eventually('the rest is stored', () => (collector.status().stored >= 500 ? true : null), 60_000);
    const { raw, minutes, quarterHours } = await storedSums(collector.store);
    const { rows, ...rolled } = stream.sums;
    assert.deepEqual({ raw, minutes, quarterHours }, { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  } finally {
    await collector.stop();
  }
});
