/**
 * A machine that moves to Kafka while an insert of its spool's collector is half done, by kill -9: nothing of the spool is shipped before that insert has been
 * made again. Shipped at once, another collector of the group would find the range missing in the coverage and store it a second time, and the segments
 * would be gone that the insert may need.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FakeKafka, FAKE_SETTINGS } from '../../../gateway/events/shipper/fake-sender.fixture.js';
import { Shipper } from '../../../gateway/events/shipper/shipper.js';
import { checkSpoolFinished } from '../../../gateway/events/shipper/unfinished-spool.js';
import { eventually } from '../../../test/harness/deadline.js';
import { requires } from '../../../test/harness/requires.js';
import { ChdbStore } from '../../store/chdb-store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { disagreements, storedSums } from '../stored-sums.fixture.js';
import { finishSpool } from './collect.js';

const CHILD = fileURLToPath(new URL(`./collector-to-kill.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

test('what a killed collector left half stored is finished before the spool goes to Kafka', { timeout: 300_000, skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-finish-'));
  const spoolDir = join(dataDir, 'spool');
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000, 200_000);
  stream.write(2500).mark();
  const child = spawn(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, dataDir, '1000', 'between-raw-and-rollup', '0'], { stdio: ['ignore', 'inherit', 'inherit'] });
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL']);

  const kafka = new FakeKafka();
  const shipper = new Shipper({ spoolDir, instance: 'i'.repeat(32), settings: FAKE_SETTINGS, log: silentLog, connect: kafka.connect, mayBegin: () => { checkSpoolFinished(dataDir); } });
  shipper.start();
  const store = await ChdbStore.open(join(dataDir, 'store'));
  t.after(async () => {
    await shipper.stop(0);
    await stream.recorder.close();
    await store.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const half = await storedSums(store);
  assert.ok(half.raw.requests > half.minutes.requests, 'raw events without their rollup');
  await eventually('it waits', () => (shipper.failing?.code === 'ship_spool_unfinished' ? true : null), 60_000);
  assert.deepEqual([kafka.connections, kafka.sent.length], [0, 0]);

  await finishSpool({ spoolDir, collectorDir: join(dataDir, 'collector'), store, log: silentLog });
  const { raw: { rows, ...raw }, minutes } = await storedSums(store);
  assert.deepEqual([raw, rows], [minutes, half.raw.rows], 'the same rows, and their rollups');
  assert.deepEqual(await disagreements(store), []);
  const last = stream.recorder.lastWrittenSeq;
  await eventually('all of the spool is shipped', () => (new Set(kafka.seqs(stream.recorder.stream)).size === last + 1 ? true : null), 60_000);
  assert.equal(shipper.failing, null);
});
