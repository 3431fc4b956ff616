/**
 * `npm run bench [-- --quick] [-- --only request|recording|scale|collector|kafka]`: Tidegate beside its peers, in one run, on one machine. Progress goes to stderr, the report
 * to stdout; a full run of the compiled program also writes it into docs/benchmarks.md. Ctrl-C ends all that it has started.
 * `npm run bench -- --against REVISION`: only this tree beside another revision of it.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePorts } from '../harness/tidegate.js';
import { programPath } from '../harness/requires.js';
import { kafkaMissing, startKafka } from './bench-kafka.js';
import { benchCollector, collectorMissing, collectorTable, type CollectorResult } from './collector-bench.js';
import { benchKafka, kafkaMarks, kafkaTable } from './kafka-bench.js';
import { describeMachine, describeVersions, loadAverage } from './machine.js';
import { packageRoot } from './package-root.js';
import { goPeer } from './peers/go.js';
import { nginxPeer, startUpstream } from './peers/nginx.js';
import { fastifyPeer, undiciPeer } from './peers/node-proxies.js';
import type { Peer } from './peers/peer.js';
import { recordingPeer, unrecordedPeer } from './peers/recording.js';
import { barePeer, revisionPeer, scalePeer, tidegatePeer } from './peers/tidegate.js';
import { benchPipeline, pipelineMark, pipelineTable } from './pipeline-bench.js';
import { Processes } from './processes.js';
import { writeReport } from './report-file.js';
import { CLIENT_CORE, CONNECTIONS, PROXY_CORE, runPairs, runRounds, startPeers, type Arm, type RequestPathTools, type RoundPlan } from './request-path.js';
import { againstTable, notes, peerMarks, peerTable, recordingTable, scaleTable } from './request-path-report.js';
import { buildRevision } from './revision.js';

const PEERS: readonly Peer[] = [tidegatePeer, barePeer, nginxPeer, goPeer, undiciPeer, fastifyPeer];
const PARTS = ['request', 'recording', 'scale', 'collector', 'kafka'] as const;
type Part = (typeof PARTS)[number];

interface Plan {
  readonly rounds: RoundPlan;
  readonly pairs: RoundPlan;
  readonly events: number;
  /** Of a steady rate through Kafka. */
  readonly steadySeconds: number;
}

const FULL: Plan = { rounds: { rounds: 5, seconds: 4 }, pairs: { rounds: 7, seconds: 2 }, events: 2_000_000, steadySeconds: 30 };
const QUICK: Plan = { rounds: { rounds: 3, seconds: 2 }, pairs: { rounds: 3, seconds: 1 }, events: 400_000, steadySeconds: 10 };
/** What two revisions differ by is mostly little. */
const AGAINST: RoundPlan = { rounds: 15, seconds: 2 };

/** More, and ratios hold better than figures: they are not kept. */
const QUIET_LOAD = 0.5;
const QUIET_WITHIN_MS = 3 * 60_000;
/** Nobody waits longer than this for a machine that cannot keep up. A full run takes under eight minutes where nothing else runs. */
const LONGEST_MS = 15 * 60_000;

const say = (line: string): void => { console.error(`[${(performance.now() / 1000).toFixed(0).padStart(4)} s] ${line}`); };

/** Waits for the load of what ran before, the build above all, to pass. False: others use this machine. */
async function isQuiet(): Promise<boolean> {
  const deadlineMs = performance.now() + QUIET_WITHIN_MS;
  for (let told = false; loadAverage() > QUIET_LOAD; told = true) {
    if (performance.now() > deadlineMs) return false;
    if (!told) say(`load average ${loadAverage().toFixed(1)}: it is waited for a quiet machine, ${QUIET_WITHIN_MS / 60_000} minutes at most`);
    await pause(1000);
  }
  return true;
}

function heading(): string {
  return `${new Date().toISOString().slice(0, 10)}, ${describeMachine()}. ${describeVersions()}. Load average when it began: ${loadAverage().toFixed(1)}.`;
}

async function benchAgainst(revision: string, plan: RoundPlan, processes: Processes, folder: string): Promise<string> {
  const other = join(folder, 'revision');
  say(`building ${revision}`);
  buildRevision(revision, other);
  const tools: RequestPathTools = { processes, wrk: programPath('wrk') ?? 'wrk', say };
  const [port] = await freePorts(1) as [number];
  const upstream = await startUpstream({ processes, folder, port, core: CLIENT_CORE });
  const context = { processes, folder, upstream: new URL(upstream.url).origin, core: PROXY_CORE };
  const { arms, leftOut } = await startPeers([tidegatePeer, revisionPeer(revision, other)], context, tools);
  const [own, before] = arms;
  if (own === undefined || before === undefined) throw new Error(notes(arms, leftOut).join('\n'));
  await runPairs(own, before, plan, tools);
  return `${[heading(), againstTable(own, before), ...notes(arms, leftOut)].join('\n\n')}\n`;
}

async function bench(plan: Plan, parts: readonly Part[], processes: Processes, folder: string): Promise<string> {
  const sections = [heading()];
  const tools: RequestPathTools = { processes, wrk: programPath('wrk') ?? 'wrk', say };
  for (const [part, run] of [['request', requestSections], ['recording', recordingSections], ['scale', scaleSections]] as const) {
    if (!parts.includes(part)) continue;
    const own = join(folder, part);
    mkdirSync(own);
    const [port] = await freePorts(1) as [number];
    const upstream = await startUpstream({ processes, folder: own, port, core: CLIENT_CORE });
    sections.push(...await run(plan, { processes, folder: own, upstream: new URL(upstream.url).origin, core: PROXY_CORE }, tools));
    // what one part has started would disturb the next
    await processes.stopAll();
  }
  if (parts.includes('collector')) {
    const missing = collectorMissing();
    sections.push(missing === null ? collectorTable(await collectorResults(plan, processes, folder)) : `Left out: the collector (${missing} is not installed).`);
  }
  if (parts.includes('kafka')) {
    const missing = [kafkaMissing(), collectorMissing()].filter((what) => what !== null);
    sections.push(...(missing.length === 0 ? await kafkaSections(plan, folder, tools) : [`Left out: Kafka (${missing.join(', ')} is not installed).`]));
    await processes.stopAll();
  }
  return `${sections.join('\n\n')}\n`;
}

type Context = Parameters<typeof startPeers>[1];

async function requestSections(plan: Plan, context: Context, tools: RequestPathTools): Promise<string[]> {
  const { arms, leftOut } = await startPeers(PEERS, context, tools);
  await runRounds(arms, plan.rounds, tools);
  const { rounds, seconds } = plan.rounds;
  return [
    `${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s each in turn, medians.`,
    peerTable(arms, [nginxPeer.name, goPeer.name]),
    peerMarks(arms, [nginxPeer.name, goPeer.name]),
    ...notes(arms, leftOut),
  ];
}

async function recordingSections(plan: Plan, context: Context, tools: RequestPathTools): Promise<string[]> {
  const { arms, leftOut } = await startPeers([recordingPeer, unrecordedPeer], context, tools);
  if (arms.length === 2) await runPairs(arms[0] as Arm, arms[1] as Arm, plan.pairs, tools);
  return [...(arms.length === 2 ? [recordingTable(arms[0] as Arm, arms[1] as Arm)] : []), ...notes(arms, leftOut)];
}

async function scaleSections(plan: Plan, context: Context, tools: RequestPathTools): Promise<string[]> {
  const { arms, leftOut } = await startPeers([scalePeer(10), scalePeer(10_000)], context, tools);
  const [few, many] = arms;
  if (few === undefined || many === undefined) return notes(arms, leftOut);
  await runPairs(many, few, plan.pairs, tools);
  const reloads = [await few.running.reload?.() ?? Number.NaN, await many.running.reload?.() ?? Number.NaN] as const;
  return [scaleTable(few, many, reloads), ...notes(arms, leftOut)];
}

async function collectorResults(plan: Plan, processes: Processes, folder: string): Promise<CollectorResult[]> {
  return [
    await benchCollector(processes, folder, 'wide', plan.events, say),
    // for its bytes on disk: an event of a small deployment holds less noise
    await benchCollector(processes, folder, 'narrow', plan.events / 4, say),
  ];
}

async function kafkaSections(plan: Plan, folder: string, tools: RequestPathTools): Promise<string[]> {
  const { processes } = tools;
  say('starting Kafka');
  const kafka = await startKafka(processes, folder);
  const results = [
    await benchKafka(kafka, processes, folder, 'wide', plan.events, say),
    await benchKafka(kafka, processes, folder, 'narrow', plan.events / 4, say),
  ];
  const pipeline = await benchPipeline(kafka, folder, plan.steadySeconds, tools);
  return [kafkaTable(results), kafkaMarks(results), pipelineTable(pipeline), pipelineMark(pipeline)];
}

/** What the bench itself cannot do without. */
function missingTools(parts: readonly Part[]): string[] {
  const programs = parts.some((part) => part !== 'collector') ? ['wrk', 'nginx', 'taskset'] : ['taskset'];
  return [
    ...programs.filter((name) => programPath(name) === null),
    ...(process.platform === 'linux' ? [] : ['Linux (it reads /proc)']),
    ...(os.cpus().length > PROXY_CORE ? [] : ['two cores']),
  ];
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string', multiple: true }, against: { type: 'string' } } });
  const parts = values.only === undefined ? PARTS : PARTS.filter((part) => values.only?.includes(part));
  const unknown = values.only?.filter((part) => !PARTS.some((known) => known === part)) ?? [];
  if (unknown.length > 0) {
    console.error(`--only takes ${PARTS.join(', ')}, not ${unknown.join(', ')}`);
    return 2;
  }
  const { against } = values;
  if (against !== undefined && values.only !== undefined) {
    console.error('--against measures the request path alone: leave --only away');
    return 2;
  }
  const missing = missingTools(parts);
  if (missing.length > 0) {
    console.error(`the bench needs ${missing.join(', ')}`);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));
  const processes = new Processes();
  const end = async (): Promise<void> => {
    await processes[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  let interrupted = false;
  const interrupt = (why: string, exitCode: number): void => {
    if (interrupted) return;
    interrupted = true;
    say(`${why}: ending all that was started`);
    void end().finally(() => { process.exit(exitCode); });
  };
  process.on('SIGINT', () => { interrupt('SIGINT', 130); });
  process.on('SIGTERM', () => { interrupt('SIGTERM', 143); });
  setTimeout(() => { interrupt(`not done within ${LONGEST_MS / 60_000} minutes`, 1); }, LONGEST_MS).unref();
  try {
    const quiet = await isQuiet();
    if (!quiet) say(`others use this machine (load average ${loadAverage().toFixed(1)}): ratios hold better than figures`);
    const report = against === undefined
      ? await bench(values.quick ? QUICK : FULL, parts, processes, folder)
      : await benchAgainst(against, values.quick ? QUICK.pairs : AGAINST, processes, folder);
    if (!interrupted) {
      console.log(report);
      const ofRecord = quiet && !values.quick && values.only === undefined && against === undefined && fileURLToPath(import.meta.url).endsWith('.js');
      if (ofRecord) writeReport(join(packageRoot(), 'docs/benchmarks.md'), report);
      else say('docs/benchmarks.md is left as it is: that takes a full run of the compiled program on a quiet machine');
    }
  } catch (error) {
    // what an interrupted run still stumbles over is not worth a word
    if (!interrupted) throw error;
  } finally {
    if (!interrupted) await end();
  }
  // interrupted: the process exits once everything has ended
  return interrupted ? new Promise<number>(() => {}) : 0;
}

process.exitCode = await main();
