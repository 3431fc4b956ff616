/**
 * Raw events that were stored and lost, put back from the log where it still has them:
 *
 *   days that lack rows, by stream ─► the seqs that are lacking ─► the log is read again ─► those rows, in pieces ─► events ─► days compared once more
 *
 * A piece is put back between two ranges of the collector (BetweenRanges); the log is read beside them. What is lacking is judged by the store alone, each time anew, so it can end anywhere
 * and be run again.
 */
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ChunkFrame } from '../../gateway/events/columns/pack-frames.js';
import { decodeRow, RowCursor } from '../../gateway/events/read-rows.js';
import type { DaysCompared, StoredDays } from '../completeness/stored-days.js';
import type { EventLog } from '../log/event-log.js';
import { SeqSet } from '../log/seq-set.js';
import type { BetweenRanges } from '../rebuild/rebuild.js';
import { clearMended } from '../store/mended-partitions.js';
import type { Store } from '../store/store.js';
import { missingSeqs } from './missing-seqs.js';
import { putRows, type LostRow } from './put-rows.js';

/** A line of the answer. Days as `2026-11-23`, UTC. */
export type RecoverLine =
  | { readonly type: 'progress'; readonly done: number; readonly all: number; readonly what: string }
  /** Of a stream's rows of a day: how many were missing, and how many of these the log still has. `put_back`: they are in the store again. */
  | { readonly type: 'rows'; readonly day: string; readonly stream: string; readonly missing: number; readonly in_log: number; readonly put_back: number }
  /** The store does not hold what was stored of the day, as it is now. */
  | { readonly type: 'not_whole'; readonly day: string; readonly reasons: readonly string[] }
  | { readonly type: 'end'; readonly days: number; readonly missing: number; readonly in_log: number; readonly put_back: number; readonly not_whole: number };

export interface RecoverOptions {
  readonly store: Store;
  readonly log: Pick<EventLog, 'keepsStored' | 'readAgain'>;
  readonly days: Pick<StoredDays, 'compare'>;
  readonly between: BetweenRanges;
  /** data_dir/collector */
  readonly collectorDir: string;
  /** False: nothing is changed. */
  readonly putBack: boolean;
  readonly signal: AbortSignal;
  readonly tell: (line: RecoverLine) => void;
  /** Rows in one piece. */
  readonly rowsAPiece?: number;
}

/** A stream's rows of a day. */
interface Loss {
  /** As the engine names its partition: 20261121. */
  readonly id: string;
  readonly stream: string;
  readonly missing: number;
  inLog: number;
  putBack: number;
}

const DAY_MS = 86_400_000;
/** Storing stands still while a piece is put back: about a second. */
const ROWS_A_PIECE = 200_000;
const BYTES_A_PIECE = 64 * 1024 * 1024;

/** @throws events_not_kept; what the store, the log and the signal throw; what is put back by then stays, and the same again goes on */
export async function recover(options: RecoverOptions): Promise<void> {
  const { store, log, between, signal, tell, putBack } = options;
  tell({ type: 'progress', done: 0, all: 0, what: 'waiting for what is being stored' });
  const ids = (await store.query<{ id: string }>('SELECT DISTINCT t._partition_id AS id FROM tidegate.stored_days AS t ORDER BY id')).map(({ id }) => id).filter((id) => /^\d{8}$/.test(id));
  if (putBack) await between(async () => { for (const id of ids) await clearMended(store, 'events', id); });
  const compared = new Map<string, DaysCompared>();
  for (const [number, id] of ids.entries()) {
    signal.throwIfAborted();
    tell({ type: 'progress', done: number, all: ids.length, what: `comparing ${dashed(id)} with what was stored` });
    compared.set(id, await compare(options, id));
  }
  const losses = [...compared].flatMap(([id, { faults }]) => faults.filter(({ missing }) => missing > 0).map(({ stream, missing }): Loss => ({ id, stream, missing, inLog: 0, putBack: 0 })));
  const missing = sum(losses, 'missing');
  if (missing > 0) {
    if (!log.keepsStored) throw new TidegateError('events_not_kept', `${missing} rows of ${[...new Set(losses.map(({ id }) => dashed(id)))].join(', ')} (UTC) are missing, and the spool lets go of events once they are stored`);
    await readLog(options, losses);
  }
  for (const { id, stream, missing: rows, inLog, putBack: put } of losses) tell({ type: 'rows', day: dashed(id), stream, missing: rows, in_log: inLog, put_back: put });
  let notWhole = 0;
  for (const [id, before] of compared) {
    const { reasons } = before.reasons.length > 0 && putBack ? await compare(options, id) : before;
    if (reasons.length === 0) continue;
    notWhole++;
    tell({ type: 'not_whole', day: dashed(id), reasons });
  }
  tell({ type: 'end', days: ids.length, missing, in_log: sum(losses, 'inLog'), put_back: sum(losses, 'putBack'), not_whole: notWhole });
}

function compare({ days, between }: RecoverOptions, id: string): Promise<DaysCompared> {
  const startMs = Date.parse(dashed(id));
  return between(() => days.compare(startMs, startMs + DAY_MS, true));
}

async function readLog(options: RecoverOptions, losses: readonly Loss[]): Promise<void> {
  const { log, between, signal, tell } = options;
  const streams = [...new Set(losses.map(({ stream }) => stream))];
  const missing = new Map<string, SeqSet>();
  for (const stream of streams) {
    signal.throwIfAborted();
    missing.set(stream, await between(() => missingSeqs(options.store, stream)));
  }
  const found = new FoundRows(options, losses, missing);
  await log.readAgain({
    streams, signal, sinceMs: Math.min(...losses.map(({ id }) => Date.parse(dashed(id)))),
    take: (stream, frames) => found.take(stream, frames),
    progress: (done, all) => { tell({ type: 'progress', done, all, what: found.told }); },
  });
  await found.flush();
}

/** Rows of the log that the store lacks, gathered into pieces. */
class FoundRows {
  readonly #options: RecoverOptions;
  readonly #losses: ReadonlyMap<string, Loss>;
  /** By stream: what is lacking and was not met yet. */
  readonly #missing: ReadonlyMap<string, SeqSet>;
  readonly #met = new Map<string, SeqSet>();
  readonly #wanted: number;
  #piece: { readonly loss: Loss; readonly row: LostRow }[] = [];
  #bytes = 0;
  #found = 0;

  constructor(options: RecoverOptions, losses: readonly Loss[], missing: ReadonlyMap<string, SeqSet>) {
    this.#options = options;
    this.#losses = new Map(losses.map((loss) => [`${loss.id} ${loss.stream}`, loss]));
    this.#missing = missing;
    this.#wanted = sum(losses, 'missing');
  }

  get told(): string {
    return `${this.#found} of ${this.#wanted} rows found`;
  }

  /** False: all are found. */
  async take(stream: string, frames: readonly ChunkFrame[]): Promise<boolean> {
    for (const frame of frames) this.#takeFrame(stream, frame);
    if (this.#piece.length >= (this.#options.rowsAPiece ?? ROWS_A_PIECE) || this.#bytes >= BYTES_A_PIECE) await this.flush();
    return this.#found < this.#wanted;
  }

  async flush(): Promise<void> {
    const piece = this.#piece;
    this.#piece = [];
    this.#bytes = 0;
    const { putBack, between, store, collectorDir } = this.#options;
    if (!putBack || piece.length === 0) return;
    for (const id of new Set(piece.map(({ loss }) => loss.id))) {
      const own = piece.filter(({ loss }) => loss.id === id);
      await between(() => putRows(store, id, own.map(({ row }) => row), join(collectorDir, 'staging', 'recover.rows')));
      for (const { loss } of own) loss.putBack++;
    }
  }

  #takeFrame(stream: string, { firstSeq, count, rows }: ChunkFrame): void {
    const last = firstSeq + count - 1;
    const missing = this.#missing.get(stream)?.within(firstSeq, last) ?? [];
    if (missing.length === 0) return;
    let met = this.#met.get(stream);
    if (met === undefined) this.#met.set(stream, met = new SeqSet());
    const before = met.within(firstSeq, last);
    const isIn = (runs: typeof missing, seq: number): boolean => runs.some((run) => run.first <= seq && seq <= run.last);
    const cursor = new RowCursor(rows);
    while (!cursor.done) {
      const at = cursor.at;
      const { seq, timeMs } = decodeRow(cursor);
      const loss = this.#losses.get(`${idOf(timeMs)} ${stream}`);
      // a row of a day that was dropped is lacking too, and by right
      if (loss === undefined || !isIn(missing, seq) || isIn(before, seq)) continue;
      loss.inLog++;
      this.#found++;
      if (!this.#options.putBack) continue;
      this.#piece.push({ loss, row: { stream, seq, bytes: rows.subarray(at, cursor.at) } });
      this.#bytes += cursor.at - at;
    }
    met.add(firstSeq, last);
  }
}

const sum = (losses: readonly Loss[], of: 'missing' | 'inLog' | 'putBack'): number => losses.reduce((all, loss) => all + loss[of], 0);
const dashed = (id: string): string => `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6)}`;
const idOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
