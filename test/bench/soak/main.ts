/**
 * `node dist/test/bench/soak/main.js [--minutes N]`: Tidegate with everything on under wrk, aborts, slow and idle clients and a reload every 15 s. Is its memory flat, and is no socket left when they have gone?
 * Progress goes to stderr, the report to stdout. Ctrl-C ends all that it has started.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { programPath } from '../../harness/requires.js';
import { smallGet } from '../load.js';
import { describeMachine, describeVersions, loadAverage } from '../machine.js';
import { AREA } from '../peers/peer.js';
import { tidegatePeer } from '../peers/tidegate.js';
import { descriptorsOf, rssBytes, untilQuiet } from '../proc-cpu.js';
import { Processes } from '../processes.js';
import { CLIENT_CORE, proxyContext } from '../request-path.js';
import { spreadOf } from '../statistics.js';
import { figure, grouped, markdownTable } from '../table.js';
import { freePorts } from '../../harness/tidegate.js';
import { runWrk } from '../wrk.js';
import { TroubledClients, type TroubledCounts } from './troubled-clients.js';

const RELOAD_EVERY_MS = 15_000;
const SAMPLE_EVERY_MS = 15_000;
const WRK_SECONDS = 20;
const CONNECTIONS = 32;
/** After the load: connections that are kept close by their time. */
const RESTS_WITHIN_MS = 90_000;

interface Sample {
  readonly atMs: number;
  readonly workerBytes: number;
  readonly nodeBytes: number;
  readonly descriptors: number;
}

const say = (line: string): void => { console.error(`[${(performance.now() / 1000).toFixed(0).padStart(4)} s] ${line}`); };

async function soak(minutes: number, processes: Processes, folder: string): Promise<string> {
  const tools = { processes, wrk: programPath('wrk') ?? 'wrk', say };
  const context = await proxyContext(folder, tools);
  const [port] = await freePorts(1) as [number];
  const node = await tidegatePeer.start({ ...context, port });
  await untilQuiet(node.all, 8000);
  const sample = (): Sample => ({ atMs: performance.now(), workerBytes: rssBytes(node.own()), nodeBytes: rssBytes(node.all()), descriptors: descriptorsOf(node.own()) });
  const before = sample();
  const samples: Sample[] = [];
  const endMs = performance.now() + minutes * 60_000;
  const goesOn = (): boolean => performance.now() < endMs;
  let requests = 0;
  let reloads = 0;
  let counts: TroubledCounts;
  {
    using clients = new TroubledClients(port, AREA, node.headers);
    const every = async (ms: number, act: () => unknown): Promise<void> => {
      for (await pause(Math.min(ms, endMs - performance.now())); goesOn(); await pause(ms)) await act();
    };
    await Promise.all([
      (async () => { while (goesOn()) requests += (await runWrk(processes, tools.wrk, { load: { ...smallGet(node), connections: CONNECTIONS }, seconds: WRK_SECONDS, core: CLIENT_CORE })).requests; })(),
      every(RELOAD_EVERY_MS, async () => {
        await node.reload?.();
        reloads++;
      }),
      every(SAMPLE_EVERY_MS, () => {
        const now = sample();
        samples.push(now);
        say(`worker ${figure(now.workerBytes / 1e6)} MB, node ${figure(now.nodeBytes / 1e6)} MB, ${now.descriptors} descriptors, ${grouped(requests)} requests, ${reloads} reloads`);
      }),
    ]);
    ({ counts } = clients);
  }
  say('waiting for what is left to close');
  const restsUntilMs = performance.now() + RESTS_WITHIN_MS;
  let after = sample();
  // those to the upstream are kept, and no more of them than there were clients
  while (after.descriptors > before.descriptors && performance.now() < restsUntilMs) {
    await pause(1000);
    after = sample();
  }
  return report(minutes, { before, samples, after }, { requests, reloads, ...counts });
}

/** The middle of each quarter of the time, so that a slope shows. */
function report(minutes: number, { before, samples, after }: { before: Sample; samples: readonly Sample[]; after: Sample }, did: Readonly<Record<string, number>>): string {
  const quarter = Math.max(1, Math.floor(samples.length / 4));
  const median = (of: readonly Sample[], what: (sample: Sample) => number): number => spreadOf(of.map(what)).median;
  const row = (words: string, of: readonly Sample[]): string[] => [
    words, figure(median(of, (s) => s.workerBytes) / 1e6), figure(median(of, (s) => s.nodeBytes) / 1e6), String(median(of, (s) => s.descriptors)),
  ];
  const quarters = [0, 1, 2, 3].map((n) => samples.slice(n * quarter, n === 3 ? undefined : (n + 1) * quarter)).filter((part) => part.length > 0);
  return [
    `${new Date().toISOString().slice(0, 10)}, ${describeMachine()}. ${describeVersions()}.`,
    '',
    `${minutes} minutes: ${Object.entries(did).map(([what, count]) => `${grouped(count)} ${what}`).join(', ')}.`,
    '',
    markdownTable(['', 'worker, MB', 'whole node, MB', 'the worker\'s descriptors'], [
      row('before', [before]), ...quarters.map((part, n) => row(`quarter ${n + 1}, median`, part)), row('after', [after]),
    ]),
  ].join('\n');
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '60' } } });
  const minutes = Number(values.minutes);
  if (!(minutes > 0)) {
    console.error(`--minutes takes a number above 0, not ${values.minutes}`);
    return 2;
  }
  const missing = ['wrk', 'nginx', 'taskset'].filter((name) => programPath(name) === null);
  if (missing.length > 0) {
    console.error(`the soak needs ${missing.join(', ')}`);
    return 2;
  }
  say(`load average ${loadAverage().toFixed(1)}`);
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-soak-'));
  const processes = new Processes();
  let ending: Promise<void> | null = null;
  const end = (): Promise<void> => ending ??= processes[Symbol.asyncDispose]().then(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) process.on(signal, () => { void end().finally(() => { process.exit(code); }); });
  try {
    console.log(await soak(minutes, processes, folder));
  } finally {
    await end();
  }
  return 0;
}

process.exitCode = await main();
