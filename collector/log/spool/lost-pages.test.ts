/** A disk that loses all that was not flushed to it, as in a power cut: the manifest never outlives the rows that it is about. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeptLog, NOTHING_HELD, sampleFacts } from '../../../gateway/events/event-samples.fixture.js';
import { Recorder } from '../../../gateway/events/recorder.js';
import { removeElsewhere } from '../../../gateway/events/tally-elsewhere.js';
import { FailingDisk } from '../../../test/harness/failing-disk.js';
import { requires } from '../../../test/harness/requires.js';
import { Collect } from './collect.js';
import { migrate } from '../../store/migrate.js';
import { openBackend, storedRows } from '../../store/stores.fixture.js';
import type { Store } from '../../store/store.js';

test('rows that were about to be inserted are stored after the disk has lost what was not flushed to it', { skip: requires('loop', 'chdb') }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-lost-'));
  await using opened = await openBackend('chDB');
  const { store } = opened;
  await migrate(store);
  try {
    using disk = FailingDisk.mount(join(folder, 'disk'), 32);
    const [spoolDir, collectorDir] = [join(disk.path, 'spool'), join(disk.path, 'collector')];
    mkdirSync(collectorDir);
    const log = new KeptLog();
    const recorder = Recorder.open({ spoolDir, node: 'n', worker: 1, segmentBytes: 1 << 20, log });
    for (let i = 0; i < 100; i++) recorder.record(sampleFacts(recorder.nextOrdinal()), NOTHING_HELD);
    recorder.flushNow();
    const atTheInsert: Store = {
      query: (...asked) => store.query(...asked), command: (...asked) => store.command(...asked), insertBeside: (...asked) => store.insertBeside(...asked), close: () => store.close(),
      insertRows: () => {
        disk.abort();
        return Promise.reject(new Error('the disk failed'));
      },
    };
    const collect = await Collect.open({ spoolDir, collectorDir, store: atTheInsert, log });
    await assert.rejects(collect.step());
    await recorder.close();
    // no supervisor runs here to bring it back
    removeElsewhere(recorder.stream);
    disk.mountAgain();
    await Collect.open({ spoolDir, collectorDir, store, log });
    assert.deepEqual((await storedRows(store)).rows, 100);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
