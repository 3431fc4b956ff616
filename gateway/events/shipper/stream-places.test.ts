/** A stream goes to one partition, whatever happens to the machine, and to none before its place is on disk. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../../../test/harness/deadline.js';
import { requires } from '../../../test/harness/requires.js';
import { SmallDisk } from '../../../test/harness/small-disk.js';
import { KeptLog } from '../event-samples.fixture.js';
import { listSegments } from '../segment.js';
import { FakeKafka, FAKE_SETTINGS } from './fake-sender.fixture.js';
import { SHIPPED_FILE } from './ship-note.js';
import { PLACE_FILE, readPlace, writePlace } from './ship-place.js';
import { Shipper } from './shipper.js';
import { SpooledEvents } from './spooled-events.fixture.js';

const needsDisk = requires('root', 'linux');
let folder = '';
let kafka = new FakeKafka();
let log = new KeptLog();
const open: (() => Promise<void>)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-places-'));
  kafka = new FakeKafka();
  log = new KeptLog();
});
afterEach(async () => {
  for (const close of open.splice(0)) await close();
  rmSync(folder, { recursive: true });
});

function spool(spoolDir = folder, segmentBytes?: number): SpooledEvents {
  const events = new SpooledEvents(spoolDir, segmentBytes);
  open.push(() => events.recorder.close());
  return events;
}

function ship(spoolDir = folder): Shipper {
  const shipper = new Shipper({ spoolDir, instance: 'i'.repeat(32), settings: FAKE_SETTINGS, log, connect: kafka.connect });
  open.unshift(() => shipper.stop(0));
  shipper.start();
  return shipper;
}

const arrived = (events: SpooledEvents): Promise<true> =>
  eventually('all events', () => (new Set(kafka.seqs(events.stream)).size === events.lastSeq + 1 ? true : null));
const partitionsOf = ({ stream }: SpooledEvents): number[] => [...new Set(kafka.sent.filter(({ key }) => key === stream).map(({ partition }) => partition))];
const told = (): number => log.lines.filter(({ fields }) => (fields as { code?: string }).code === 'ship_place_failed').length;

test('a power cut that takes what was not flushed moves no stream, also where partitions were added', async () => {
  const events = spool().record(20, 10);
  const first = ship();
  await arrived(events);
  await first.stop(0);
  const before = partitionsOf(events);
  assert.equal(before.length, 1);
  // what a rename that was not flushed may leave
  writeFileSync(join(events.dir, SHIPPED_FILE), '');
  kafka.rounds.length = 0;
  kafka.partitions = 13 * 7;
  ship();
  await arrived(events);
  assert.deepEqual(partitionsOf(events), before);
});

test('a stream whose place is damaged waits and says so; others go', async () => {
  const damaged = spool().record(5, 10);
  const sound = spool().record(5, 10);
  writePlace(damaged.dir, { cluster: 'c', topic: FAKE_SETTINGS.topic, partition: 11 });
  const path = join(damaged.dir, PLACE_FILE);
  const text = readFileSync(path, 'latin1');
  writeFileSync(path, text.replace('"partition":11', '"partition":10'));
  const shipper = ship();
  await arrived(sound);
  const { failing, behindBytes } = shipper.status();
  assert.deepEqual([failing?.code, behindBytes > 0], ['ship_place_failed', true]);
  assert.match(failing?.detail ?? '', /partition\.json is damaged: remove it/);
  await eventually('it is tried again', () => ((shipper.failures.find(([code]) => code === 'ship_place_failed')?.[1] ?? 0) >= 2 ? true : null));
  assert.deepEqual([partitionsOf(damaged), told()], [[], 1], 'nothing is sent, and it is told once');
  writeFileSync(path, text);
  await arrived(damaged);
  assert.deepEqual(partitionsOf(damaged), [11]);
  assert.equal(shipper.status().failing, null);
});

test('on a disk that cannot be written nothing is sent of a new stream, until it can', { skip: needsDisk }, async () => {
  using disk = SmallDisk.mount(join(folder, 'disk'), 8);
  const events = spool(disk.path).record(5, 10);
  await events.recorder.close();
  disk.makeReadOnly();
  const shipper = ship(disk.path);
  const failing = await eventually('it is told', () => shipper.status().failing);
  assert.match(`${failing.code} ${failing.detail}`, /^ship_place_failed .*EROFS/);
  await eventually('it is tried again', () => ((shipper.failures[0]?.[1] ?? 0) >= 2 ? true : null));
  assert.deepEqual([kafka.sent.length, told()], [0, 1]);
  disk.makeWritable();
  await arrived(events);
  assert.deepEqual(partitionsOf(events), [readPlace(events.dir)?.partition]);
  await shipper.stop(0);
});

test('a spool that filled the disk while Kafka was away is shipped, and makes room', { skip: needsDisk }, async () => {
  using disk = SmallDisk.mount(join(folder, 'disk'), 8);
  const events = spool(disk.path, 4096).record(60, 5).mark();
  const files = listSegments(events.dir).length;
  disk.fill();
  assert.throws(() => { writeFileSync(join(disk.path, 'more'), 'x'); }, { code: 'ENOSPC' });
  rmSync(join(disk.path, 'more'), { force: true });
  const shipper = ship(disk.path);
  await arrived(events);
  await eventually('segments go', () => (listSegments(events.dir).length < files ? true : null));
  assert.deepEqual(partitionsOf(events), [readPlace(events.dir)?.partition]);
  assert.equal(existsSync(join(events.dir, `${PLACE_FILE}.tmp`)), false);
  await events.recorder.close();
  await shipper.stop(0);
});
