/**
 * The real collector in a process of its own. The log comes when it has started and rests, so that opening the store is not counted: a spool is moved under it, or
 * a topic of Kafka that was held is let go of when `DATA.ready` is there, and `DATA.go` says so.
 * Arguments: data folder DATA, events, and the folder of the made spool, or broker and topic. Prints its figures as one line of JSON.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Collector } from '../../collector/collector.js';
import { eventually } from '../harness/deadline.js';
import { settingsOf } from './bench-kafka.js';
import type { CollectorFigures } from './collector-bench.js';
import { cpuSeconds, rssBytes, untilQuiet } from './proc-cpu.js';
import { QUIET } from './quiet-log.js';

const DAY_MS = 86_400_000;
const [dataDir, wanted, source, topic] = [process.argv[2] as string, Number(process.argv[3]), process.argv[4] as string, process.argv[5]];
const own = [process.pid];
let joined = topic === undefined;

mkdirSync(dataDir, { recursive: true });
const retention = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };
const collector = await Collector.start({
  dataDir, retention, kafka: topic === undefined ? null : { settings: settingsOf(source, topic) },
  // it says nothing else of its partitions
  log: { ...QUIET, info: (fields) => { joined ||= 'partitions' in fields; } },
});
await eventually('the collector has joined its group', () => joined || null);
await untilQuiet(() => own, 5000);

if (topic !== undefined) {
  writeFileSync(`${dataDir}.ready`, '');
  await eventually('the log is let go of', () => existsSync(`${dataDir}.go`) || null, 60_000, 5);
}
const before = { cpu: cpuSeconds(own), ms: performance.now() };
if (topic === undefined) for (const stream of readdirSync(source)) renameSync(join(source, stream), join(dataDir, 'spool', stream));
await eventually(`${wanted} events in the store`, () => (collector.status().stored >= wanted ? true : null), 120_000, 10);
const after = { cpu: cpuSeconds(own), ms: performance.now() };
const rss = rssBytes(own);
await untilQuiet(() => own, 10_000);
const merged = cpuSeconds(own);

const { store } = collector;
const one = async (sql: string): Promise<number> => Number((await store.query<{ n: number }>(sql))[0]?.n ?? Number.NaN);
const counts = await Promise.all(['events', 'traffic_minute', 'traffic_quarter_hour'].map((table) => one(`SELECT sum(requests) AS n FROM tidegate.${table}`)));
if (counts.some((count) => count !== wanted)) throw new Error(`${wanted} events went in; raw, minutes and quarter hours hold ${counts.join(', ')}`);
const bytesOf = (table: string): Promise<number> => one(`SELECT sum(bytes_on_disk) AS n FROM system.parts WHERE database = 'tidegate' AND table = '${table}' AND active`);
for (const table of ['events', 'traffic_minute', 'traffic_quarter_hour', 'coverage']) await store.command(`OPTIMIZE TABLE tidegate.${table} FINAL`);
const figures: CollectorFigures = {
  events: wanted, wallSeconds: (after.ms - before.ms) / 1000, cpuSeconds: after.cpu - before.cpu, mergeCpuSeconds: merged - after.cpu,
  rawBytes: await bytesOf('events'), minuteBytes: await bytesOf('traffic_minute'), rssBytes: rss,
};
console.log(JSON.stringify(figures));
await collector.stop();
