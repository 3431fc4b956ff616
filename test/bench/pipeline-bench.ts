/** A whole node whose events go through Kafka: from a request's end to the report that shows it, at a steady rate of recorded events, and under HTTP. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { lagsToReport, REPORT_EVERY_MS, type Lags, type Shown } from '../harness/report-lags.js';
import { freePorts } from '../harness/tidegate.js';
import type { BenchKafka } from './bench-kafka.js';
import { smallGet } from './load.js';
import { startUpstream } from './peers/nginx.js';
import { nodeProgram } from './peers/node-proxies.js';
import { startNode, type BenchNode } from './peers/tidegate.js';
import { cpuSeconds, untilQuiet } from './proc-cpu.js';
import type { BenchProcess } from './processes.js';
import { CLIENT_CORE, PROXY_CORE, type RequestPathTools } from './request-path.js';
import type { ShapeName } from './spool-shapes.js';
import type { StoredEnds } from './stored-ends.js';
import { atMost, figure, grouped, markdownTable } from './table.js';
import { runWrk } from './wrk.js';

export const EVENTS_A_SECOND = 10_000;
const SHAPE: ShapeName = 'wide';
const MARK_P99_MS = 2000;
/** For the report to show what came last. */
const SHOWN_WITHIN_MS = 20_000;

export interface PipelineResult {
  readonly words: string;
  readonly events: number;
  readonly eventsASecond: number;
  /** Of all the node's processes. */
  readonly cpuSecondsASecond: number;
  /** ms. */
  readonly stored: Lags;
  readonly reported: Lags;
}

/** What makes the events; resolves with the seconds that it took. */
type Load = (node: BenchNode) => Promise<number>;

export async function benchPipeline(kafka: BenchKafka, folder: string, seconds: number, tools: RequestPathTools): Promise<PipelineResult[]> {
  const { processes, say } = tools;
  const own = join(folder, 'pipeline');
  mkdirSync(own);
  say(`recording ${grouped(EVENTS_A_SECOND)} events a second for ${seconds} s, through Kafka to the report`);
  const recorded = await measure('recorded', 'recorded beside the gateway', kafka, own, tools, async ({ dataDir }) => {
    const args = [join(dataDir, 'spool'), String(EVENTS_A_SECOND), String(seconds), SHAPE];
    return Number(await succeeded(processes.spawn('rate-recorder', process.execPath, [...nodeProgram(import.meta.url, 'rate-recorder'), ...args], { core: CLIENT_CORE })));
  });
  say('the same by HTTP, as fast as it goes');
  const http = await measure('http', 'by HTTP', kafka, own, tools, async (node) => {
    const { refused, broken, seconds: took } = await runWrk(processes, tools.wrk, { load: smallGet(node), seconds: seconds / 2, core: CLIENT_CORE });
    if (refused + broken > 0) throw new Error(`${refused + broken} requests failed`);
    return took;
  });
  return [recorded, http];
}

export function pipelineTable(results: readonly PipelineResult[]): string {
  const row = (words: string, of: (result: PipelineResult) => string): string[] => [words, ...results.map(of)];
  const lags = ({ p50, p99, worst }: Lags): string => [p50, p99, worst].map((ms) => figure(ms / 1000)).join(', ');
  return markdownTable(['a whole node, through Kafka', ...results.map(({ words }) => words)], [
    row('events', ({ events }) => grouped(events)),
    row('events/s', ({ eventsASecond }) => grouped(eventsASecond)),
    row('CPU of the node, cores', ({ cpuSecondsASecond }) => cpuSecondsASecond.toFixed(2)),
    row('end of a request to its insert, s: p50, p99, worst', ({ stored }) => lags(stored)),
    row('end of a request to the report that shows it, s: p50, p99, worst', ({ reported }) => lags(reported)),
  ]);
}

export function pipelineMark([recorded]: readonly PipelineResult[]): string {
  return recorded === undefined ? '' : `Mark: p99 from the end to the report at ${grouped(EVENTS_A_SECOND)} events/s at most ${MARK_P99_MS / 1000} s: ${atMost(recorded.reported.p99 / 1000, MARK_P99_MS / 1000)}.`;
}

async function measure(name: string, words: string, kafka: BenchKafka, folder: string, tools: RequestPathTools, load: Load): Promise<PipelineResult> {
  const { processes } = tools;
  const own = join(folder, name);
  mkdirSync(own);
  const [port, upstreamPort] = await freePorts(2) as [number, number];
  const upstream = await startUpstream({ processes, folder: own, port: upstreamPort, core: CLIENT_CORE });
  const event_log = { kafka: { brokers: kafka.broker, topic: `bench.${name}`, group: `bench.${name}` } };
  const node = await startNode('node', { processes, folder: own, upstream: new URL(upstream.url).origin, port, core: PROXY_CORE }, [], { event_log }, []);
  await untilQuiet(node.all, 8000);
  const shown: Shown[] = [];
  const watching = new AbortController();
  const watch = watchReport(node, shown, watching.signal);
  const cpuBefore = cpuSeconds(node.all());
  const seconds = await load(node);
  const cpuUsed = cpuSeconds(node.all()) - cpuBefore;
  await untilShown(shown);
  watching.abort();
  await watch;
  await node.stop();
  const file = join(own, 'ends.json');
  await succeeded(processes.spawn('stored-ends', process.execPath, [...nodeProgram(import.meta.url, 'stored-ends'), node.dataDir, file]));
  const { ends, stored } = JSON.parse(readFileSync(file, 'utf8')) as StoredEnds;
  const events = ends.reduce((sum, { ended }) => sum + ended, 0);
  if (events !== shown.at(-1)?.requests) throw new Error(`the report showed ${String(shown.at(-1)?.requests)} requests, and ${events} are stored`);
  return { words, events, eventsASecond: events / seconds, cpuSecondsASecond: cpuUsed / seconds, stored, reported: lagsToReport(ends, shown) };
}

/** Never rejects: a report that is not answered shows nothing. */
async function watchReport(node: BenchNode, shown: Shown[], until: AbortSignal): Promise<void> {
  const from = new Date(Date.now() - 600_000).toISOString();
  const path = `/v1/reports/traffic?from=${from}&to=${new Date(Date.now() + 3_600_000).toISOString()}&interval=total`;
  while (!until.aborted) {
    try {
      const { rows } = await node.control(path) as { readonly rows: readonly { readonly requests: number }[] };
      shown.push({ atMs: Date.now(), requests: rows.reduce((sum, { requests }) => sum + requests, 0) });
    } catch {
      // what it would have shown, a later one does
    }
    await pause(REPORT_EVERY_MS);
  }
}

/** Waits until the report has shown nothing new for a while. */
async function untilShown(shown: readonly Shown[]): Promise<void> {
  const deadline = performance.now() + SHOWN_WITHIN_MS;
  for (let before = -1, same = 0; same < 4 && performance.now() < deadline;) {
    await pause(1000);
    const requests = shown.at(-1)?.requests ?? 0;
    same = requests === before ? same + 1 : 0;
    before = requests;
  }
}

async function succeeded(child: BenchProcess): Promise<string> {
  const { code, output } = await child.ended;
  if (code !== 0) throw new Error(`${child.name} ended with exit code ${String(code)}:\n${output}`);
  return output;
}
