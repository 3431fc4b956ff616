/** One run: load and faults for as long as asked, then everything is compared. */
import { setTimeout as pause } from 'node:timers/promises';
import { Auditor, type Audit } from './audit.js';
import type { FaultKind } from './fault.js';
import { Journal } from './journal.js';
import { Load } from './load.js';
import { companion } from './process-faults.js';
import { PublicApi } from './public-api.js';
import { schedule, type Step } from './schedule.js';
import type { SeededRandom } from './seeded-random.js';
import type { Shape } from './shape.js';
import { linesOf, type Line } from './table.js';

export interface RunOptions {
  readonly forMs: number;
  readonly perSecond: number;
  /** Names of faults; null: all of the shape's. */
  readonly only: readonly string[] | null;
  /** Between two comparisons of everything in the midst of the run. */
  readonly auditEveryMs: number;
  readonly log: (line: string) => void;
  /** Said before the run's time is over: it comes to its end at once. */
  readonly signal: AbortSignal;
}

export interface RunResult {
  readonly lines: readonly Line[];
  /** Null: the API did not answer. */
  readonly audit: Audit | null;
  /** What kept the run from its end, such as a node that did not come back; null: nothing. */
  readonly failure: string | null;
}

const READY_MS = 180_000;
const STORED_MS = 180_000;
/** Load goes on behind a fault that has been taken back. */
const AFTER_MS = 1000;

export async function run(shape: Shape, random: SeededRandom, options: RunOptions): Promise<RunResult> {
  const { log } = options;
  const journal = new Journal();
  const api = new PublicApi(() => shape.origin(), shape.token);
  await shape.whole(READY_MS);
  const auditor = new Auditor(api, journal, progress(log));
  const told = new Set<unknown>();
  const times = new Map<string, number>();
  const load = new Load({ ports: shape.ports, journal, keys: shape.keys, perSecond: options.perSecond }, random.fork('load'));
  const audit = async (): Promise<Audit> => {
    log('the load rests');
    await load.quiesce();
    await shape.whole(READY_MS);
    const result = await auditor.audit(STORED_MS);
    for (const request of result.told) told.add(request);
    return result;
  };
  const beganMs = performance.now();
  const over = (): boolean => options.signal.aborted || performance.now() - beganMs > options.forMs;
  const beat = setInterval(() => { log(`${Math.round((performance.now() - beganMs) / 1000)} s: ${journal.requests.length} begun, ${journal.answered} answered`); }, 8000);
  let failure: string | null = null;
  let auditedMs = beganMs;
  try {
    const kinds = chosen(shape.faults, options.only);
    for (const step of schedule(kinds, random.fork('faults'))) {
      await calm(step.calmMs, options.signal);
      if (over()) break;
      if (step.kind.missing !== null) {
        log(`#${step.number} ${step.kind.name}: left out, ${step.kind.missing}`);
        if (kinds.every(({ missing }) => missing !== null)) break;
        continue;
      }
      if (step.kind.damagesRaw === true) {
        const before = await audit();
        if (isWrong(before)) break;
      }
      journal.fault = step.kind.name;
      times.set(step.kind.name, (times.get(step.kind.name) ?? 0) + 1);
      await strike(step, shape, auditor, log);
      if (step.kind.damagesRaw === true || performance.now() - auditedMs > options.auditEveryMs) {
        const after = await audit();
        if (isWrong(after)) break;
        auditedMs = performance.now();
        load.resume();
      } else await calm(AFTER_MS, options.signal);
    }
  } catch (error) {
    failure = messageOf(error);
    log(`failed: ${failure}`);
  }
  log('the end: everything is compared');
  const last = await audit().catch((error: unknown) => {
    failure = [failure, messageOf(error)].filter((text) => text !== null).join('\n');
    return null;
  }).finally(() => { clearInterval(beat); });
  await load.end();
  return { lines: linesOf(journal, last?.verdict ?? null, (request) => told.has(request), times), audit: last, failure };
}

/** @throws Error: what was struck does not come back */
async function strike({ number, kind, fault, withCompanion, random }: Step, shape: Shape, auditor: Auditor, log: (line: string) => void): Promise<void> {
  const beside = withCompanion && kind.damagesRaw !== true ? companion(shape.nodes, random) : null;
  log(`#${number} ${kind.name}: ${fault.detail}${beside === null ? '' : ` ${beside.detail}`}`);
  const loss = { fromMs: kind.damagesRaw === true ? 0 : Date.now(), toMs: Number.POSITIVE_INFINITY };
  if (kind.mayLose === true) auditor.mayLose.push(loss);
  if (kind.damagesRaw === true) auditor.rawDamaged = true;
  await Promise.all([fault.run(), beside?.run()]);
  await shape.whole(READY_MS);
  loss.toMs = Date.now();
}

function chosen(faults: readonly FaultKind[], only: readonly string[] | null): readonly FaultKind[] {
  if (only === null) return faults;
  const unknown = only.filter((name) => !faults.some((kind) => kind.name === name));
  if (unknown.length > 0) throw new Error(`--faults: there is no ${unknown.join(', ')}; there are ${faults.map(({ name }) => name).join(', ')}`);
  return faults.filter(({ name }) => only.includes(name));
}

export function isWrong({ verdict, untold, sums }: Audit): boolean {
  return untold.length > 0 || verdict.twice.length > 0 || verdict.phantom.length > 0 || verdict.other.length > 0 || sums.length > 0;
}

async function calm(ms: number, signal: AbortSignal): Promise<void> {
  await pause(ms, undefined, { signal }).catch(() => undefined);
}

/** A line every few seconds. */
function progress(log: (line: string) => void): (line: string) => void {
  let saidMs = Number.NEGATIVE_INFINITY;
  return (line) => {
    if (performance.now() - saidMs < 4000) return;
    saidMs = performance.now();
    log(line);
  };
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${messageOf(error.cause)}`;
}
