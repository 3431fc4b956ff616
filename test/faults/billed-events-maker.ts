/**
 * Four days of two workers' events as the real recorder writes them, on clocks of their own, and what they come to. Arguments: spool folder, folder of what comes late, events,
 * the first day's start (ms since the epoch). Some frames lie in the log twice, one is damaged. Prints the sums as JSON: MadeDays.
 */
import { appendFileSync, openSync, readFileSync, statSync, writeSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KINDS, METHODS, outcomeId, PROTOCOLS } from '../../gateway/events/event.js';
import { NOTHING_HELD } from '../../gateway/events/event-samples.fixture.js';
import { encodeLabels } from '../../gateway/events/labels.js';
import type { Outcome } from '../../gateway/events/outcomes.js';
import { NOT_REFUSED } from '../../gateway/events/refusals.js';
import { Recorder } from '../../gateway/events/recorder.js';
import { sealStream } from '../../gateway/events/seal.js';
import { listSegments, SEGMENT_HEADER_BYTES } from '../../gateway/events/segment.js';
import { SeededRandom } from '../bench/seeded-random.js';
import { APPS, DAYS, GAP_DAY, LATE_DAY, type MadeDays } from './billed-days.js';

const DAY_MS = 86_400_000;
const QUARTER_MS = 900_000;
const ROWS_A_TURN = 31;

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const OUTCOMES: readonly (readonly [outcome: Outcome, status: number, letThrough: boolean, billable: 0 | 1, attempts: number])[] = [
  ['answered', 200, true, 1, 1], ['answered', 200, true, 1, 1], ['answered', 404, true, 1, 1], ['answered', 503, true, 1, 2], ['rate_limited', 429, false, 0, 0], ['upstream_timeout', 504, true, 0, 1],
  ['client_aborted', 0, true, 1, 1], ['quota_exhausted', 429, false, 0, 0],
];

class Made {
  readonly sums: Record<string, [number, number, number]> = {};
  count = 0;

  add(app: number, timeMs: number, [, status, letThrough, billable]: (typeof OUTCOMES)[number]): void {
    const key = `${app} ${Math.floor(timeMs / QUARTER_MS)} ${status}`;
    const sums = this.sums[key] ??= [0, 0, 0];
    sums[0]++;
    if (!letThrough) sums[1]++;
    sums[2] += billable;
    this.count++;
  }
}

/** What `new Date()` and Date.now() say here. */
let nowMs = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given: readonly unknown[]) {
    super(...(given.length === 0 ? [nowMs] : given) as [number]);
  }

  static override now(): number { return nowMs; }
} as DateConstructor;

const [spoolDir, lateDir, wanted, startMs] = [process.argv[2] as string, process.argv[3] as string, Number(process.argv[4]), Number(process.argv[5])];
const random = new SeededRandom(6);
const [prompt, late, lost] = [new Made(), new Made(), new Made()];
let twice = 0;
const version = encodeLabels('3f2a9c01b7de');
const target = encodeLabels('http://10.0.0.1:9000');
const routes = Array.from({ length: 20 }, (_, i) => encodeLabels(`service-${i % 4}`, `route-${i}`));
const apps = Array.from({ length: APPS }, (_, i) => encodeLabels(`app-${i}`));

function write(recorder: Recorder, timeMs: number, made: readonly Made[]): void {
  const app = random.below(APPS);
  const outcome = OUTCOMES[random.below(OUTCOMES.length)] as (typeof OUTCOMES)[number];
  recorder.record({
    ordinal: recorder.nextOrdinal(), timeMs, durationUs: random.lognormal(9000, 1), upstreamUs: 0, bytesIn: 0, bytesOut: random.below(10_000), status: outcome[1], methodId: METHODS.GET, outcomeId: outcomeId(outcome[0]),
    protocolId: PROTOCOLS['http/1.1'], kindId: KINDS.request, requests: 1, counted: outcome[3], billable: outcome[3], attempts: outcome[4], versionLabel: version, routeLabel: routes[random.below(20)] as typeof version,
    appLabel: apps[app] as typeof version, appName: `app-${app}`, targetLabel: target, client: '203.0.113.0', recordedPath: '', traceId: '', refusalLabel: NOT_REFUSED,
  }, NOTHING_HELD);
  for (const each of made) each.add(app, timeMs, outcome);
}

/** One worker's day. */
async function makeDay(folder: string, worker: number, dayMs: number, rows: number, into: Made, damaged: boolean): Promise<void> {
  nowMs = dayMs;
  const recorder = Recorder.open({ spoolDir: folder, node: folder === lateDir ? 'node-b' : 'node-a', worker, segmentBytes: 64 * 1024 * 1024, log });
  const streamDir = join(folder, recorder.stream);
  let hurt: { readonly path: string; readonly at: number } | null = null;
  for (let row = 0; row < rows; row += ROWS_A_TURN) {
    const turn = Math.min(ROWS_A_TURN, rows - row);
    const hurts = damaged && hurt === null && row >= rows / 2;
    const path = listSegments(streamDir).at(-1)?.path;
    if (hurts && path !== undefined) hurt = { path, at: statSync(path).size };
    for (let i = 0; i < turn; i++) {
      nowMs = dayMs + Math.floor((row + i) / rows * DAY_MS);
      write(recorder, nowMs, hurts ? [into, lost] : [into]);
    }
    recorder.flushNow();
    if (row % (ROWS_A_TURN * 500) === 0) await nextTurn();
  }
  await recorder.close();
  const last = listSegments(streamDir).at(-1)?.path ?? '';
  if (!damaged && into === prompt) {
    // as a spool restored over a newer one has it
    const again = readFileSync(last).subarray(SEGMENT_HEADER_BYTES);
    appendFileSync(last, again);
    twice++;
  }
  if (hurt !== null) {
    const file = openSync(hurt.path, 'r+');
    writeSync(file, Buffer.from([0x55, 0xaa, 0x55]), 0, 3, hurt.at + 200);
    closeSync(file);
  }
  nowMs = dayMs + DAY_MS;
  sealStream(streamDir, log, () => false);
}

for (let day = 0; day < DAYS; day++) {
  for (const worker of [1, 2]) await makeDay(spoolDir, worker, startMs + day * DAY_MS, Math.floor(wanted / DAYS / 2), prompt, day === GAP_DAY && worker === 1);
}
await makeDay(lateDir, 1, startMs + LATE_DAY * DAY_MS, Math.floor(wanted / 100), late, false);
const days: MadeDays = { prompt: prompt.sums, late: late.sums, lost: lost.sums, counts: { prompt: prompt.count, late: late.count, lost: lost.count, twice } };
process.stdout.write(JSON.stringify(days));
