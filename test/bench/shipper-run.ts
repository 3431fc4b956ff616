/**
 * The real shipper in a process of its own, on a spool that is moved under it once it is connected. Ends when all of it is acknowledged and gone.
 * Arguments: spool folder, folder of the made spool, broker, topic. Prints its figures as one line of JSON.
 */
import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { KafkaSender } from '../../gateway/events/shipper/kafka-sender.js';
import { Shipper } from '../../gateway/events/shipper/shipper.js';
import { scanStreams } from '../../gateway/events/spool.js';
import { eventually } from '../harness/deadline.js';
import { settingsOf } from './bench-kafka.js';
import type { ShipperFigures } from './kafka-bench.js';
import { cpuSeconds, rssBytes, untilQuiet } from './proc-cpu.js';
import { QUIET } from './quiet-log.js';

const [spoolDir, madeSpool, broker, topic] = process.argv.slice(2) as [string, string, string, string];
const own = [process.pid];
let connected = false;

mkdirSync(spoolDir, { recursive: true });
const shipper = new Shipper({
  spoolDir, instance: '0'.repeat(32), settings: settingsOf(broker, topic), log: QUIET,
  connect: async (settings, log) => {
    const sender = await KafkaSender.connect(settings, log);
    connected = true;
    return sender;
  },
});
shipper.start();
await eventually('the shipper is connected', () => connected || null);
await untilQuiet(() => own, 5000);

const before = { cpu: cpuSeconds(own), ms: performance.now() };
for (const stream of readdirSync(madeSpool)) renameSync(join(madeSpool, stream), join(spoolDir, stream));
await eventually('all is shipped', () => scanStreams(spoolDir).length === 0 || null, 120_000, 10);
const figures: ShipperFigures = { events: shipper.status().shipped, wallSeconds: (performance.now() - before.ms) / 1000, cpuSeconds: cpuSeconds(own) - before.cpu, rssBytes: rssBytes(own) };
await shipper.stop(5000);
console.log(JSON.stringify(figures));
