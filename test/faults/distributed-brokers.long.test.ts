/**
 * The distributed topology on three brokers, of which one at a time goes wrong under load: two of three take events, so no client and no count may notice.
 * Each request is matched one by one, as in distributed-engines.long.test.ts. In the full form only (TEST_FAULTS=full): of either end by itself shorter tests say the
 * same, kafka-leader.long.test.ts and collector/log/kafka/kafka-brokers.long.test.ts.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../harness/requires.js';
import { brokerFaults } from './distributed/broker-faults.js';
import { inRounds } from './distributed/fault-run.js';
import { FULL_FORM } from './distributed/sizes.js';
import { Topology } from './distributed/topology.js';

if (FULL_FORM) test('one of three brokers dies, or stands still, under load: every request is stored once, and no client notices', { skip: requires('kafka', 'redis', 'chdb', 'linux'), timeout: 3_600_000 }, async (t) => {
  await using topology = await Topology.start({ title: 'faults of brokers', kafka: { brokers: 3 } });
  for (const fault of inRounds(brokerFaults(topology))) await t.test(fault.name, () => topology.fault(fault));
  await t.test('the day is complete, asked of either collector', () => topology.complete());
});
else test('the shorter tests that stand for it are there', () => {
  const extension = extname(fileURLToPath(import.meta.url));
  for (const name of ['./kafka-leader.long.test', '../../collector/log/kafka/kafka-brokers.long.test']) assert.ok(existsSync(new URL(`${name}${extension}`, import.meta.url)), name);
});
