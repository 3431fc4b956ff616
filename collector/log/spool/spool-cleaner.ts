/**
 * Lets go of what is stored: notes every stream's life and drops in the store, deletes segments that are wholly stored, and at last the stream's
 * directory.
 *
 * A segment of a live stream goes when the supervisor has marked its last seq: what lies beyond the mark the ledger may still have to count,
 * should the worker die. A sealed stream is settled with the ledger before it is sealed.
 */
import { unlinkSync } from 'node:fs';
import { readDrops } from '../../../gateway/events/drop-page.js';
import { IMPORT_WORKER } from '../../../gateway/events/event.js';
import { readSegment } from '../../../gateway/events/read-segment.js';
import type { SegmentFile } from '../../../gateway/events/segment.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import { removeStream, type SpooledStream } from '../../../gateway/events/spool.js';
import type { Store } from '../../store/store.js';
import type { Collect } from './collect.js';

export class SpoolCleaner {
  readonly #spoolDir: string;
  readonly #store: Store;
  readonly #collect: Collect;
  readonly #log: SpoolLog;
  /** What the store has been told of each stream. */
  readonly #noted = new Map<string, string>();

  constructor(spoolDir: string, store: Store, collect: Collect, log: SpoolLog) {
    this.#spoolDir = spoolDir;
    this.#store = store;
    this.#collect = collect;
    this.#log = log;
  }

  async clean(streams: readonly SpooledStream[]): Promise<void> {
    for (const source of streams) {
      const { stream, state } = source;
      if (state === null) continue;
      await this.#note(source);
      if (state.seal !== null && this.#collect.finished.has(stream)) {
        if (state.worker === IMPORT_WORKER) this.#collect.leave(stream);
        removeStream(this.#spoolDir, stream);
        this.#collect.forget(stream);
        this.#noted.delete(stream);
        this.#log.info({ stream, last_seq: state.lastSeq }, 'a stream is stored to its end; its directory was removed');
      } else {
        this.#deleteSegments(source, state.seal === null ? state.lastSeq : Number.POSITIVE_INFINITY);
      }
    }
  }

  async #note({ stream, dir, state }: SpooledStream): Promise<void> {
    if (state === null) return;
    const drops = readDrops(dir);
    const facts = JSON.stringify([state.seal, drops?.rows]);
    if (this.#noted.get(stream) === facts) return;
    const { seal } = state;
    await this.#store.command(
      `INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven, noted_at)
       SELECT 0x${stream}, {node:String}, {worker:UInt16}, fromUnixTimestamp64Milli({opened:Int64}), ${seal === null ? 'NULL' : 'fromUnixTimestamp64Milli({sealed:Int64})'}, {last:Int64}, {proven:Bool}, ${after('streams', stream)}`,
      {
        node: state.node, worker: state.worker, opened: Date.parse(state.openedAt), sealed: seal === null ? 0 : Date.parse(seal.sealedAt),
        last: seal?.lastSeq ?? state.lastSeq, proven: seal?.proven ?? true,
      });
    for (const { app, rows, firstMs, lastMs } of drops?.apps ?? []) {
      await this.#store.command(
        `INSERT INTO tidegate.drops (stream, app, count, first, last, noted_at)
         SELECT 0x${stream}, {app:String}, {rows:UInt64}, fromUnixTimestamp64Milli({first:Int64}), fromUnixTimestamp64Milli({last:Int64}), ${after('drops', stream)}`,
        { app: app ?? '(others)', rows, first: firstMs, last: lastMs });
    }
    this.#noted.set(stream, facts);
  }

  /** Those before the one that is being read, up to `marked`. */
  #deleteSegments(source: SpooledStream, marked: number): void {
    const reading = this.#collect.place(source.stream).segment;
    for (const [i, file] of source.segments.entries()) {
      const next = source.segments[i + 1];
      if (next === undefined || file.index >= reading || firstSeqOf(next, source.stream) - 1 > marked) return;
      unlinkSync(file.path);
    }
  }
}

/** The latest note counts, and the clock may be set back: a seal must not be behind what was noted while the stream lived. */
const after = (table: 'streams' | 'drops', stream: string): string =>
  `greatest(now64(3, 'UTC'), (SELECT max(noted_at) FROM tidegate.${table} WHERE stream = 0x${stream}) + INTERVAL 1 MILLISECOND)`;

/** Infinity: no frame in it yet. */
function firstSeqOf(file: SegmentFile, stream: string): number {
  for (const item of readSegment(file, stream, 0, false)) if (item.kind === 'frame') return item.firstSeq;
  return Number.POSITIVE_INFINITY;
}
