/** A spool filled with random events by the real recorder, and the sums that must come out of the store. */
import { join } from 'node:path';
import { METHODS, PROTOCOLS, type EventFacts } from '../../gateway/events/event.js';
import { encodeLabels } from '../../gateway/events/labels.js';
import { OUTCOMES, wasLetThrough, type Outcome } from '../../gateway/events/outcomes.js';
import { NOT_REFUSED } from '../../gateway/events/refusals.js';
import { Recorder } from '../../gateway/events/recorder.js';
import { sealStream, updateMark } from '../../gateway/events/seal.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';

export interface Sums { rows: number; requests: number; errors: number; refused: number; bytes_in: number; bytes_out: number; duration_us: number; latencies: number }

export const noSums = (): Sums => ({ rows: 0, requests: 0, errors: 0, refused: 0, bytes_in: 0, bytes_out: 0, duration_us: 0, latencies: 0 });

export const silentLog: SpoolLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

const OUTCOME_NAMES = Object.keys(OUTCOMES) as Outcome[];
const HELD = { release: () => undefined };

/** One worker's life. */
export class RandomStream {
  readonly recorder: Recorder;
  readonly dir: string;
  /** Of what was written. */
  readonly sums = noSums();
  readonly #random: () => number;
  readonly #startMs: number;

  /** @param startMs time of the first events; they lie within 40 minutes after it */
  constructor(spoolDir: string, worker: number, startMs: number, segmentBytes = 64 * 1024 * 1024) {
    this.recorder = Recorder.open({ spoolDir, node: 'node-a', worker, segmentBytes, log: silentLog });
    this.dir = join(spoolDir, this.recorder.stream);
    this.#random = mulberry32(worker * 7919 + 1);
    this.#startMs = startMs;
  }

  write(rows: number, rowsATurn = 31): this {
    for (let i = 0; i < rows; i++) {
      const facts = this.#event();
      this.recorder.record(facts, HELD);
      this.#add(facts);
      if (i % rowsATurn === rowsATurn - 1) this.recorder.flushNow();
    }
    this.recorder.flushNow();
    return this;
  }

  /** As the supervisor does each second. */
  mark(): this {
    updateMark(this.dir, this.recorder.lastWrittenSeq);
    return this;
  }

  /** As if the worker had died. */
  seal(): this {
    sealStream(this.dir, silentLog, () => false);
    return this;
  }

  #event(): EventFacts {
    const random = this.#random;
    const outcome = random() < 0.8 ? 'answered' : OUTCOME_NAMES[Math.floor(random() * OUTCOME_NAMES.length)] as Outcome;
    const interim = random() < 0.02;
    const service = `service-${Math.floor(random() * 3)}`;
    const appName = random() < 0.05 ? '' : `app-${Math.floor(random() * 5)}`;
    const status = outcome === 'answered' || outcome === 'unframed' ? [200, 200, 200, 204, 301, 404, 500, 503][Math.floor(random() * 8)] as number : 429;
    return {
      ordinal: this.recorder.nextOrdinal(), timeMs: this.#startMs + Math.floor(random() * 2_400_000),
      durationUs: random() < 0.02 ? 0 : Math.floor(Math.exp(random() * 16)), upstreamUs: Math.floor(random() * 5000),
      bytesIn: Math.floor(random() * 1000), bytesOut: Math.floor(random() * 100_000), status, methodId: METHODS.GET, outcomeId: OUTCOMES[outcome].id,
      protocolId: PROTOCOLS['http/1.1'], kindId: interim ? 2 : 1, requests: interim ? 0 : 1, counted: 1, billable: 1, attempts: outcome === 'client_aborted' && random() < 0.5 ? 0 : 1,
      versionLabel: encodeLabels('0123456789ab'), routeLabel: encodeLabels(service, `route-${Math.floor(random() * 4)}`), appLabel: encodeLabels(appName), appName,
      targetLabel: encodeLabels('http://10.0.0.1:8080'), client: '10.1.0.0/16', recordedPath: '', traceId: '', refusalLabel: NOT_REFUSED,
    };
  }

  #add(facts: EventFacts): void {
    const [name, entry] = Object.entries(OUTCOMES).find(([, { id }]) => id === facts.outcomeId) as [Outcome, (typeof OUTCOMES)[Outcome]];
    const { sums } = this;
    sums.rows++;
    sums.requests += facts.requests;
    if (entry.error || ((name === 'answered' || name === 'unframed') && facts.status >= 500)) sums.errors += facts.requests;
    const letThrough = wasLetThrough(name, facts.attempts);
    if (!letThrough) sums.refused += facts.requests;
    sums.bytes_in += facts.bytesIn;
    sums.bytes_out += facts.bytesOut;
    if (letThrough && facts.requests === 1) {
      sums.duration_us += facts.durationUs;
      sums.latencies++;
    }
  }
}

export function addSums(a: Sums, b: Sums): Sums {
  const sums = noSums();
  for (const key of Object.keys(sums) as (keyof Sums)[]) sums[key] = a[key] + b[key];
  return sums;
}

/** The same numbers each run. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
