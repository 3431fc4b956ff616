/**
 * From the spool to the store, one range at a time, each event exactly once:
 *
 *   pick -> staging file -> manifest (durable) -> INSERT, one block, with the range's token -> places advance -> staging file goes
 *
 * A crash anywhere: with the manifest written, that very insert is made again (the token makes it exact, and completes what a kill left half done);
 * without it, the range is picked anew. It is made again always, never because something looks missing.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import { scanStreams, type SpooledStream } from '../../../gateway/events/spool.js';
import { rowVersionOf } from '../../store/insert-statement.js';
import type { Store } from '../../store/store.js';
import type { LogTotals } from '../event-log.js';
import { DEFAULT_LIMITS, type RangeLimits } from '../picked-rows.js';
import { RangeInsert } from '../range-insert.js';
import type { SeqSet } from '../seq-set.js';
import { isStaged } from '../staging.js';
import { StoredSeqs } from '../stored-seqs.js';
import { pickRange, readAgain, START, type PickedRange } from './log-reader.js';
import { readManifest, writeManifest, type Manifest, type Place } from './manifest.js';
import { quarantine } from './quarantine.js';

export interface CollectOptions {
  readonly spoolDir: string;
  /** data_dir/collector */
  readonly collectorDir: string;
  readonly store: Store;
  readonly log: SpoolLog;
  readonly limits?: RangeLimits;
}

/**
 * Finishes what a collector of the spool had begun, once, before its events come by another way: half an insert is not in the coverage, and would be stored again.
 * The places stay noted, so that a collector of the spool can be started again.
 * @throws as Collect.open
 */
export async function finishSpool(options: CollectOptions): Promise<void> {
  const path = join(options.collectorDir, 'manifest.json');
  const manifest = readManifest(path);
  if (manifest === null || manifest.rows === 0) return;
  await Collect.open(options);
  writeManifest(path, { ...manifest, rows: 0 });
}

interface CollectResult {
  readonly rows: number;
  /** False: there is more to take at once. */
  readonly caughtUp: boolean;
}

export class Collect {
  readonly #options: CollectOptions;
  readonly #manifestPath: string;
  readonly #inserts: RangeInsert;
  readonly #places = new Map<string, Place>();
  readonly #stored = new StoredSeqs();
  /** Sealed, and read to their end. */
  readonly finished = new Set<string>();
  #range = 0;
  /** Durable, and not known to be inserted. */
  #intent: { readonly manifest: Manifest; readonly picked: PickedRange | null } | null = null;

  private constructor(options: CollectOptions) {
    this.#options = options;
    this.#manifestPath = join(options.collectorDir, 'manifest.json');
    this.#inserts = new RangeInsert(options.store, options.collectorDir, options.log);
  }

  /**
   * Takes up where the last process left off, and makes its last insert again.
   * @throws store_without_manifest; store_behind_manifest; store_failed; what the file system says
   */
  static async open(options: CollectOptions): Promise<Collect> {
    const collect = new Collect(options);
    const manifest = readManifest(collect.#manifestPath);
    await collect.#stored.loadAll(options.store);
    if (manifest === null) {
      if (collect.#stored.streams > 0) throw new TidegateError('store_without_manifest', `the store holds rows of ${collect.#stored.streams} streams, and ${collect.#manifestPath} is missing`);
    } else {
      await collect.#resume(manifest);
    }
    collect.#inserts.clear();
    return collect;
  }

  /** The place up to which a stream is stored. */
  place(stream: string): Place {
    return this.#places.get(stream) ?? START;
  }

  get totals(): LogTotals {
    return this.#inserts.totals;
  }

  /** Seqs of a stream that are stored. */
  stored(stream: string): SeqSet {
    return this.#stored.of(stream);
  }

  /**
   * Before the directory of a stream goes that may come again, an imported log's: its places are of files that go with it. What the manifest says was inserted. A kill
   * before the directory has gone has it read from its start, and all of it left out.
   */
  leave(stream: string): void {
    const manifest = readManifest(this.#manifestPath);
    if (manifest === null || !manifest.spans.some((span) => span.stream === stream)) return;
    writeManifest(this.#manifestPath, { ...manifest, rows: 0, spans: manifest.spans.filter((span) => span.stream !== stream) });
  }

  /** Notes that the last insert was made, so that nobody makes it again. @returns false: one was begun, and is not known to be made */
  settle(): boolean {
    if (this.#intent !== null) return false;
    const manifest = readManifest(this.#manifestPath);
    if (manifest !== null && manifest.rows > 0) writeManifest(this.#manifestPath, { ...manifest, rows: 0 });
    return true;
  }

  /** Forgets a stream whose directory has gone. */
  forget(stream: string): void {
    this.#places.delete(stream);
    this.#stored.forget(stream);
    this.finished.delete(stream);
  }

  /**
   * Stores what can be stored now, at most one range.
   * @throws store_failed and what the file system says: call again later; what was begun is done first then
   */
  async step(streams: readonly SpooledStream[] = scanStreams(this.#options.spoolDir)): Promise<CollectResult> {
    if (this.#intent !== null) await this.#finishIntent(this.#intent.manifest, this.#intent.picked);
    // a stream that was stored to its end and forgotten can come again: the rest of a log that was imported before
    await this.#stored.meet(this.#options.store, streams.map(({ stream }) => stream));
    const picked = await pickRange(streams, (stream) => this.place(stream), (stream) => this.stored(stream), this.#options.limits ?? DEFAULT_LIMITS);
    if (picked.rows === 0 && picked.unreadable.length === 0 && picked.repeats.length === 0) {
      for (const { stream, to } of picked.spans) this.#places.set(stream, to);
      for (const stream of picked.finished) this.finished.add(stream);
      return { rows: 0, caughtUp: picked.caughtUp };
    }
    const { store, log } = this.#options;
    for (const { source, item } of picked.unreadable) await quarantine(join(this.#options.collectorDir, 'quarantine'), store, log, source, item);
    const range = this.#range + 1;
    await this.#inserts.noteRepeats(picked, range);
    await this.#inserts.noteImports(picked);
    const staged = await this.#inserts.stage(String(range), picked, true);
    const plan = this.#inserts.plan(`range-${range}-${this.#firstSpanName(picked)}`, picked);
    const manifest: Manifest = { format: 1, range, plan, spans: picked.spans, repeats: picked.repeats, rows: picked.rows, ...staged };
    writeManifest(this.#manifestPath, manifest);
    this.#range = range;
    this.#intent = { manifest, picked };
    await this.#finishIntent(manifest, picked);
    for (const stream of picked.finished) this.finished.add(stream);
    return { rows: picked.rows, caughtUp: picked.caughtUp };
  }

  /** Inserts, then advances. @param foundMs when it was begun by an earlier process; null: by this one */
  async #finishIntent(manifest: Manifest, picked: PickedRange | null, foundMs: number | null = null): Promise<void> {
    const name = String(manifest.range);
    if (manifest.rows > 0) await this.#inserts.insert(manifest.plan, name, manifest.rows, foundMs);
    for (const { stream, to } of manifest.spans) this.#places.set(stream, to);
    this.#stored.add(picked?.runs ?? []);
    this.#intent = null;
    this.#inserts.finished(name, picked, picked?.unreadable.length ?? 0);
  }

  async #resume(manifest: Manifest): Promise<void> {
    for (const { stream, from } of manifest.spans) this.#mustHold(stream, from.seq, manifest);
    this.#range = manifest.range;
    if (manifest.rows > 0 && await this.#stageAgain(manifest)) {
      await this.#finishIntent(manifest, null, statSync(this.#manifestPath).mtimeMs);
      await this.#stored.loadAll(this.#options.store);
      this.#options.log.info({ range: manifest.range, rows: manifest.rows }, 'the last insert was made again');
    }
    for (const { stream, to } of manifest.spans) {
      this.#mustHold(stream, to.seq, manifest);
      this.#places.set(stream, to);
    }
  }

  /** False: the spool does not hold the range any more. It goes only after the insert has returned, so nothing is left to do. */
  async #stageAgain(manifest: Manifest): Promise<boolean> {
    const name = String(manifest.range);
    const file = this.#inserts.file(name);
    if (isStaged(file, manifest)) return true;
    const spans = manifest.spans.filter(({ from, to }) => from.segment !== to.segment || from.offset !== to.offset);
    const pieces = spans.map((span) => readAgain(join(this.#options.spoolDir, span.stream), span, manifest.repeats, rowVersionOf(manifest.plan)));
    if (pieces.includes(null)) return false;
    await this.#inserts.stage(name, { pieces: pieces.flatMap((some) => some ?? []) }, true);
    return isStaged(file, manifest);
  }

  #mustHold(stream: string, seq: number, manifest: Manifest): void {
    const { end } = this.stored(stream);
    if (end >= seq) return;
    throw new TidegateError('store_behind_manifest', `stream ${stream} is stored up to seq ${end}, but range ${manifest.range} says ${seq}`);
  }

  /** Makes the token name what is in the range, not its number only. */
  #firstSpanName(picked: PickedRange): string {
    return picked.runs.map(({ stream, first, last }) => `${stream}:${first}-${last}`).join('+').slice(0, 200);
  }
}
