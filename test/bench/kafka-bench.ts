/** What Kafka adds: a spool shipped to it, and collected from it, each on one core; the broker has the other. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../harness/deadline.js';
import type { BenchKafka } from './bench-kafka.js';
import type { CollectorFigures } from './collector-bench.js';
import { holdLog } from './held-log.js';
import { nodeProgram } from './peers/node-proxies.js';
import type { BenchProcess, Processes } from './processes.js';
import { PROXY_CORE } from './request-path.js';
import { SHAPES, type ShapeName } from './spool-shapes.js';
import { atLeast, atMost, figure, grouped, markdownTable } from './table.js';

const MARK_BYTES = 25;
const MARK_COLLECTED = 200_000;

export interface ShipperFigures {
  readonly events: number;
  /** From the spool's appearance until all of it was acknowledged and gone. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

export interface KafkaResult {
  readonly shape: ShapeName;
  readonly events: number;
  readonly shipper: ShipperFigures;
  readonly logBytes: number;
  readonly collector: CollectorFigures;
}

export async function benchKafka(kafka: BenchKafka, processes: Processes, folder: string, shape: ShapeName, events: number, say: (line: string) => void): Promise<KafkaResult> {
  const own = join(folder, `kafka-${shape}`);
  const made = join(own, 'made');
  const topic = `bench.${shape}`;
  mkdirSync(made, { recursive: true });
  const start = (program: string, args: readonly string[]): BenchProcess =>
    processes.spawn(program, process.execPath, [...nodeProgram(import.meta.url, program), ...args], { core: PROXY_CORE });
  say(`making a spool of ${grouped(events)} events, ${SHAPES[shape].words}`);
  await lastLine(start('spool-maker', [made, String(events), shape]));
  const letGo = await holdLog(kafka.broker, topic);
  say('shipping it to Kafka');
  const shipper = JSON.parse(await lastLine(start('shipper-run', [join(own, 'spool'), made, kafka.broker, topic]))) as ShipperFigures;
  const logBytes = kafka.logBytes(topic);
  say('collecting it from Kafka');
  const data = join(own, 'data');
  const collecting = start('collector-run', [data, String(events), kafka.broker, topic]);
  await collecting.until(eventually('the collector rests', () => existsSync(`${data}.ready`) || null));
  writeFileSync(`${data}.go`, '');
  await letGo();
  const collector = JSON.parse(await lastLine(collecting)) as CollectorFigures;
  rmSync(own, { recursive: true, force: true });
  return { shape, events, shipper, logBytes, collector };
}

export function kafkaTable(results: readonly KafkaResult[]): string {
  const row = (words: string, of: (result: KafkaResult) => string): string[] => [words, ...results.map(of)];
  return markdownTable(['through Kafka', ...results.map(({ shape }) => SHAPES[shape].words)], [
    row('events', ({ events }) => grouped(events)),
    row('shipped/s on one core, until Kafka has acknowledged them', ({ events, shipper }) => grouped(events / shipper.wallSeconds)),
    row('shipped per second of CPU', ({ events, shipper }) => grouped(events / shipper.cpuSeconds)),
    row('RSS of the shipper, MB', ({ shipper }) => figure(shipper.rssBytes / 1e6)),
    row('bytes an event in Kafka', ({ events, logBytes }) => figure(logBytes / events)),
    row('collected/s on one core, until every rollup holds them', ({ events, collector }) => grouped(events / collector.wallSeconds)),
    row('collected per second of CPU', ({ events, collector }) => grouped(events / collector.cpuSeconds)),
    row('RSS of the collector, MB', ({ collector }) => figure(collector.rssBytes / 1e6)),
  ]);
}

export function kafkaMarks(results: readonly KafkaResult[]): string {
  const each = (of: (result: KafkaResult) => string): string => results.map((result) => `${of(result)} (${SHAPES[result.shape].words})`).join('; ');
  return `Marks: at most ${MARK_BYTES} bytes an event: ${each(({ events, logBytes }) => atMost(logBytes / events, MARK_BYTES))}. `
    + `At least ${grouped(MARK_COLLECTED)} collected/s: ${each(({ events, collector }) => atLeast(events / collector.wallSeconds, MARK_COLLECTED))}.`;
}

async function lastLine(child: BenchProcess): Promise<string> {
  const { code, output } = await child.ended;
  if (code !== 0) throw new Error(`${child.name} ended with exit code ${String(code)}:\n${output}`);
  return output.trim().split('\n').at(-1) ?? '';
}
