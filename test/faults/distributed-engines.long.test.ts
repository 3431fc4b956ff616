/**
 * Kafka, ClickHouse and Redis, the network to them, what lies in the log, and the nodes' clocks go wrong under load, one after the other and at last, in the
 * full form, all at once, processes too, on the distributed topology: every request is matched one by one between its client, the upstream and the store, and no client notices (but for a late ledger:
 * sizes.ts, lateShare). Then losses are made on purpose: each is told, to the event. TEST_FAULTS=full: more of them,
 * each three times, and longer.
 */
import { after, before, test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import type { TestNode } from '../harness/tidegate.js';
import { clockFaults } from './distributed/clock-faults.js';
import { clickhouseFaults, kafkaDiskFaults, redisFaults } from './distributed/engine-faults.js';
import { Engines } from './distributed/engines.js';
import { inRounds } from './distributed/fault-run.js';
import { logFaults } from './distributed/log-faults.js';
import { networkFaults } from './distributed/network-faults.js';
import { FULL_FORM } from './distributed/sizes.js';
import { storm } from './distributed/storm.js';
import { ToldLosses } from './distributed/told-losses.js';

const skip = requires('kafka', 'redis', 'chdb', 'linux');
let engines: Engines;
before(async () => {
  if (skip === false) engines = await Engines.start('faults of engines, networks, the log and clocks', requires('root') === false, requires('faketime') === false);
});
after(async () => {
  if (skip === false) await engines[Symbol.asyncDispose]();
});

test('engines, networks, the log and clocks go wrong under load: every request is stored once, and no client notices', { skip, timeout: 7_200_000 }, async (t) => {
  const faults = [...clickhouseFaults(engines), ...networkFaults(engines), ...redisFaults(engines), ...logFaults(engines), ...clockFaults(engines), ...kafkaDiskFaults(engines)];
  for (const fault of [...inRounds(faults), ...(FULL_FORM ? [storm(engines)] : [])]) await t.test(fault.name, () => engines.topology.fault(fault));
});

test('no room for events while Kafka is away, and parts of the spool gone: what is not stored is told, to the event', { skip, timeout: 900_000 }, async () => {
  await engines.topology.whole();
  const [one, two] = engines.topology.gateways as [TestNode, TestNode];
  const losses = new ToldLosses(engines);
  try {
    // of one node a shorter test says the same: e2e/kafka-shipping
    if (FULL_FORM) await losses.dropped('the spool at its bound', two, () => boundSpool(two, '8MiB'), () => boundSpool(two, '64MiB'));
    const disk = engines.disks?.gateway;
    if (disk !== undefined) await losses.dropped('the disk under the spool full', one, () => { disk.fill(); }, () => { disk.makeRoom(); });
    await losses.gaps(two);
  } finally {
    console.log(losses.table());
  }
});

async function boundSpool(node: TestNode, maxBytes: `${number}MiB`): Promise<void> {
  node.rewriteConfig((file) => { (file['event_log'] as { spool: object }).spool = { ...(file['event_log'] as { spool: object }).spool, max_bytes: maxBytes }; });
  await eventually('the bound is in force', async () => {
    const { spool } = await node.control<{ spool: { max_bytes: number } }>('/v1/status');
    return spool.max_bytes === Number.parseInt(maxBytes, 10) * 1024 * 1024 ? true : null;
  }, 60_000, 250);
}
