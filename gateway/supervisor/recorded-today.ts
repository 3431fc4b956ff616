/**
 * What was recorded of some apps' days: for a ledger that has lost its journal, or meets an app's quota for the first time. Each row is
 * counted once, although rows move from the spool to the store meanwhile: the spool is read first, and of a stream found there the store
 * is asked only for what came before the first row found. A segment goes from the spool only when it is stored and marked.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Pool } from 'undici';
import { TidegateError } from '../../errors/tidegate-error.js';
import { readDrops } from '../events/drop-page.js';
import { IMPORT_WORKER } from '../events/event.js';
import { readStreamEvents } from '../events/read-rows.js';
import { scanStreams } from '../events/spool.js';
import type { AppsOfDay, RecordedDay, RecordedToday } from './ledger/recorded-use.js';
import type { RecordedUse } from './quota-use/quota-use.js';
import { spoolDirOf } from './run-files.js';

/** Asked of the collector: counted requests of the day, of every stream, but of those named only rows with seq below `before`. */
export interface CountedQuestion {
  readonly days: readonly { readonly startMs: number; readonly endMs: number }[];
  readonly streams: readonly { readonly stream: string; readonly before: number }[];
  /** Only these; default: all. */
  readonly apps?: readonly string[];
}
/** `day`: position in the question. */
export interface CountedAnswer {
  readonly counts: readonly { readonly day: number; readonly app: string; readonly stream: string; readonly count: number }[];
}

const COUNTED_PATH = '/counted';
/** Rows read before the event loop gets its turn. */
const ROWS_A_TURN = 5000;
const WITHIN_MS = 30_000;

/** @param collectorSocket where the store under `dataDir` is asked, if there is one; null: no collector runs here */
export function recordedToday(dataDir: string, collectorSocket: string | null): RecordedToday {
  const spoolDir = spoolDirOf(dataDir);
  return async (days) => {
    const tally = new Tally(days);
    // of imported logs nothing counts, and they can be long
    const streams = scanStreams(spoolDir).filter(({ state }) => state?.worker !== IMPORT_WORKER);
    const open: { stream: string; lastSeq: number }[] = [];
    const befores: { stream: string; before: number }[] = [];
    for (const { stream, dir, state } of streams) {
      let first = -1;
      // before the rows: what was dropped later belongs to a worker that lives, and tells what it used
      const drops = readDrops(dir);
      for (const { app, counted, firstMs, lastMs } of drops?.apps ?? []) if (app !== null) tally.addDrops(app, firstMs, lastMs, stream, counted);
      let last = Math.max(state?.lastSeq ?? -1, drops?.reachedSeq ?? -1);
      let rows = 0;
      for (const row of readStreamEvents(dir, 0)) {
        if (first === -1) first = row.seq;
        last = Math.max(last, row.seq);
        if (row.counted === 1 && row.requests === 1) tally.addRow(row.app, row.timeMs, stream);
        if (++rows % ROWS_A_TURN === 0) await nextTurn();
      }
      befores.push({ stream, before: first === -1 ? last + 1 : first });
      if (state === null || state.seal === null) open.push({ stream, lastSeq: last });
    }
    if (collectorSocket !== null && existsSync(join(dataDir, 'store'))) {
      const { counts } = await askStore(collectorSocket, { days: days.map(({ startMs, endMs }) => ({ startMs, endMs })), streams: befores });
      // a stream that was opened meanwhile begins with nothing
      const known = new Set(streams.map(({ stream }) => stream));
      const newer = new Set(scanStreams(spoolDir).map(({ stream }) => stream).filter((stream) => !known.has(stream)));
      for (const { day, app, stream, count } of counts) if (!newer.has(stream)) tally.addCount(day, app, stream, count);
    }
    return { open, counts: tally.counts };
  };
}

/** What the store alone has of some apps' days. Rejects while the collector does not answer. */
export function recordedUse(collectorSocket: string): RecordedUse {
  return async (days) => {
    const { counts } = await askStore(collectorSocket, { days: days.map(({ startMs, endMs }) => ({ startMs, endMs })), streams: [], apps: days.flatMap(({ apps }) => apps) });
    const used = new Map<string, number>();
    for (const { day, app, count } of counts) if (days[day]?.apps.includes(app) === true) used.set(app, (used.get(app) ?? 0) + count);
    return used;
  };
}

async function askStore(socketPath: string, question: CountedQuestion): Promise<CountedAnswer> {
  const pool = new Pool('http://collector', { socketPath, headersTimeout: WITHIN_MS, bodyTimeout: WITHIN_MS });
  try {
    const answer = await pool.request({ method: 'POST', path: COUNTED_PATH, headers: { 'content-type': 'application/json' }, body: JSON.stringify(question) });
    if (answer.statusCode !== 200) throw new TidegateError('collector_unavailable', `the collector answered ${answer.statusCode}: ${await answer.body.text()}`);
    return await answer.body.json() as CountedAnswer;
  } catch (error) {
    // it is starting, or starting again
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') throw new TidegateError('collector_unavailable', `the collector does not listen: ${message}`, { cause: error });
    throw error;
  } finally {
    await pool.destroy();
  }
}

class Tally {
  readonly #days: readonly AppsOfDay[];
  readonly #apps: readonly ReadonlySet<string>[];
  readonly #counts = new Map<string, { readonly app: string; readonly stream: string; count: number }>();

  constructor(days: readonly AppsOfDay[]) {
    this.#days = days;
    this.#apps = days.map(({ apps }) => new Set(apps));
  }

  get counts(): RecordedDay['counts'] { return [...this.#counts.values()]; }

  addRow(app: string, timeMs: number, stream: string): void {
    this.#days.forEach(({ startMs, endMs }, day) => {
      if (timeMs >= startMs && timeMs < endMs) this.addCount(day, app, stream, 1);
    });
  }

  /** Of a tally that spans two days it is not known which: both. */
  addDrops(app: string, firstMs: number, lastMs: number, stream: string, counted: number): void {
    if (counted === 0) return;
    this.#days.forEach(({ startMs, endMs }, day) => {
      if (lastMs >= startMs && firstMs < endMs) this.addCount(day, app, stream, counted);
    });
  }

  addCount(day: number, app: string, stream: string, count: number): void {
    if (this.#apps[day]?.has(app) !== true) return;
    const key = `${app}\n${stream}`;
    const entry = this.#counts.get(key);
    if (entry === undefined) this.#counts.set(key, { app, stream, count });
    else entry.count += count;
  }
}
