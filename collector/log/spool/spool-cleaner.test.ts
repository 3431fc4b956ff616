/** What the store is told of streams before their directories go. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../../test/harness/requires.js';
import { migrate } from '../../store/migrate.js';
import { BACKENDS, openBackend } from '../../store/stores.fixture.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { SpoolEventLog } from './spool-event-log.js';

for (const backend of BACKENDS) {
  test(`a clock that is set back while a stream lives does not lose its seal, on ${backend}`, { skip: requires('chdb') }, async (t) => {
    const opened = await openBackend(backend);
    t.after(() => opened[Symbol.asyncDispose]());
    const { store, folder } = opened;
    await migrate(store);
    const stream = new RandomStream(join(folder, 'spool'), 1, Date.now() - 2_500_000).write(31).mark();
    const log = await SpoolEventLog.open({ spoolDir: join(folder, 'spool'), collectorDir: join(folder, 'collector'), store, log: silentLog });
    await log.step();
    await log.tidy();
    await store.command('INSERT INTO tidegate.streams SELECT * REPLACE (noted_at + INTERVAL 1 HOUR AS noted_at) FROM tidegate.streams');
    await stream.recorder.close();
    stream.seal();
    await log.step();
    await log.tidy();
    assert.deepEqual(await store.query('SELECT last_seq, sealed_at IS NOT NULL AS sealed FROM tidegate.streams FINAL'), [{ last_seq: 30, sealed: 1 }]);
  });
}
