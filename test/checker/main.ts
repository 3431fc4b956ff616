/**
 * The fault checker: `node dist/test/checker/main.js --shape one|many --for 10m --seed N`. An independent reader that shares no code with what it checks: it starts
 * the product by its command line, loads it, breaks what can break, and compares what clients know with what the public API shows. CONTRIBUTING.md says how to read it.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Audit } from './audit.js';
import { snapshotOf } from './processes.js';
import { run, type RunResult } from './run.js';
import { SeededRandom } from './seeded-random.js';
import { startMany } from './shape-many.js';
import { startOne } from './shape-one.js';
import { tableOf } from './table.js';

const USAGE = `node dist/test/checker/main.js [--shape one|many] [--for 10m] [--seed N]
  --shape one|many   one machine, or gateways and collectors with Kafka, Redis and the engine by HTTP (default: one)
  --for 90s|10m|1h   load and faults for so long; the comparison at the end comes on top (default: 10m)
  --seed N           the faults of an earlier run again (default: a new one, printed)
  --rate N           requests a second (default: 150)
  --faults A,B       only these; an unknown name lists all
  --audit 5m         everything is compared so often in the midst of the run, too (default: 5m)
  --keep             the folder stays, also when nothing was found`;
/** Sentences of one kind that are printed; all are in the folder. */
const PRINTED = 20;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      shape: { type: 'string', default: 'one' }, for: { type: 'string', default: '10m' }, seed: { type: 'string' }, rate: { type: 'string', default: '150' },
      faults: { type: 'string' }, audit: { type: 'string', default: '5m' }, keep: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (values.shape !== 'one' && values.shape !== 'many') throw new Error(`--shape ${values.shape}: one or many`);
  const perSecond = Number(values.rate);
  if (!(perSecond > 0)) throw new Error(`--rate ${values.rate}: requests a second`);
  const [forMs, auditEveryMs] = [duration('--for', values.for), duration('--audit', values.audit)];
  const seed = values.seed ?? String(randomInt(1_000_000_000));
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-checker-'));
  const log = (line: string): void => { console.log(`${new Date().toISOString().slice(11, 19)} ${line}`); };
  const interrupted = new AbortController();
  // a terminal sends it to every process of its group, npm passes it on once more: those within a second are one
  let interruptedMs = 0;
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => {
    if (interrupted.signal.aborted && Date.now() - interruptedMs > 1000) process.exit(130);
    if (!interrupted.signal.aborted) log('interrupted: the run comes to its end; once more: at once');
    interruptedMs = interrupted.signal.aborted ? interruptedMs : Date.now();
    interrupted.abort();
  });
  log(`seed ${seed} (again: --shape ${values.shape} --for ${values.for} --seed ${seed}${values.faults === undefined ? '' : ` --faults '${values.faults}'`}), ${perSecond} requests a second, in ${folder}`);
  const random = new SeededRandom(`${seed}/${values.shape}`);
  const shape = await (values.shape === 'one' ? startOne : startMany)(folder, random.fork('shape'), forMs / 60_000);
  let result: RunResult | null = null;
  let code = 1;
  try {
    result = await run(shape, random, { forMs, perSecond, only: values.faults?.split(',').map((name) => name.trim()) ?? null, auditEveryMs, log, signal: interrupted.signal });
    code = report(result, folder, seed);
  } finally {
    const keep = values.keep || code !== 0;
    // what each process stands at, before it is ended
    if (keep) writeFileSync(join(folder, 'processes.txt'), shape.nodes.flatMap(({ launcherPid }) => (launcherPid === null ? [] : snapshotOf(launcherPid))).join('\n'));
    await shape.end(keep ? join(folder, 'kept') : null);
    if (keep) console.log(`kept: ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
  return code;
}

function report({ lines, audit, failure }: RunResult, folder: string, seed: string): number {
  console.log(`\n${tableOf(lines)}\n\nseed ${seed}`);
  for (const [day, { complete, reasons }] of audit?.days ?? []) console.log(`${day}: complete ${complete}${reasons.slice(0, PRINTED).map((reason) => `\n  ${reason}`).join('')}`);
  const found = [...audit === null ? [] : findingsOf(audit), ...(failure === null ? [] : [`failed: ${failure}`])];
  if (found.length === 0) {
    console.log('nothing lost in silence, nothing twice, no phantom');
    return 0;
  }
  writeFileSync(join(folder, 'findings.txt'), `${found.join('\n')}\n`);
  for (const line of found.slice(0, PRINTED)) console.log(line);
  console.log(`${found.length} findings: ${join(folder, 'findings.txt')}`);
  return 1;
}

function findingsOf({ verdict, untold, sums }: Audit): string[] {
  return [
    ...untold.map(({ path, fault, answer, beganMs }) => `lost: ${answer?.id ?? '(no id)'} ${path ?? '(no path)'}, answered ${answer?.status} at ${iso(answer?.atMs)}, begun ${iso(beganMs)} (${fault})`),
    ...(['twice', 'phantom', 'other'] as const).flatMap((name) => verdict[name].map(({ id, text, request }) => `${name}: ${id} ${text} (${request?.fault ?? 'no request'})`)),
    ...sums.map((text) => `sums: ${text}`),
  ];
}

/** @returns ms */
function duration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text);
  if (match === null) throw new Error(`${option} ${text}: a duration such as 90s, 10m or 1h`);
  return Number(match[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[match[2] as 's' | 'm' | 'h'];
}

const iso = (ms: number | undefined): string => (ms === undefined ? '-' : new Date(ms).toISOString());

main().then((code) => { process.exitCode = code; }, (error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
