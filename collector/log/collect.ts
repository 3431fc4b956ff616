/**
 * From the spool to the store, one range at a time, each event exactly once:
 *
 *   pick -> staging file -> manifest (durable) -> INSERT, one block, with the range's token -> places advance -> staging file goes
 *
 * A crash anywhere: with the manifest written, that very insert is made again (the token makes it exact, and completes what a kill left half done);
 * without it, the range is picked anew. It is made again always, never because something looks missing.
 */
import { mkdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { scanStreams, type SpooledStream } from '../../gateway/events/spool.js';
import { INSERT_SETTINGS, insertStatement, ROW_STRUCTURE } from '../store/insert-statement.js';
import type { Store } from '../store/store.js';
import { pickRange, readAgain, START, type PickedRange, type RangeLimits } from './log-reader.js';
import { readManifest, writeManifest, type Manifest, type Place } from './manifest.js';
import { quarantine } from './quarantine.js';
import { SeqSet } from './seq-set.js';
import { isStaged, writeStaging } from './staging.js';

export interface CollectOptions {
  readonly spoolDir: string;
  /** data_dir/collector */
  readonly collectorDir: string;
  readonly store: Store;
  readonly log: SpoolLog;
  readonly limits?: RangeLimits;
}

/** 200,000 rows: larger ranges made the insert no cheaper a row, and took more memory. */
const DEFAULT_LIMITS: RangeLimits = { rows: 200_000, bytes: 64 * 1024 * 1024 };

export interface StepResult {
  readonly rows: number;
  /** False: there is more to take at once. */
  readonly caughtUp: boolean;
}

export class Collect {
  readonly #options: CollectOptions;
  readonly #manifestPath: string;
  readonly #stagingDir: string;
  readonly #places = new Map<string, Place>();
  readonly #stored = new Map<string, SeqSet>();
  /** Sealed, and read to their end. */
  readonly finished = new Set<string>();
  #range = 0;
  /** Durable, and not known to be inserted. */
  #intent: { readonly manifest: Manifest; readonly picked: PickedRange | null } | null = null;
  /** Since this process began. */
  readonly totals = { storedRows: 0, repeatedRows: 0, quarantined: 0, ranges: 0 };

  private constructor(options: CollectOptions) {
    this.#options = options;
    this.#manifestPath = join(options.collectorDir, 'manifest.json');
    this.#stagingDir = join(options.collectorDir, 'staging');
  }

  /**
   * Takes up where the last process left off, and makes its last insert again.
   * @throws store_without_manifest; store_behind_manifest; store_failed; what the file system says
   */
  static async open(options: CollectOptions): Promise<Collect> {
    const collect = new Collect(options);
    mkdirSync(collect.#stagingDir, { recursive: true, mode: 0o750 });
    const manifest = readManifest(collect.#manifestPath);
    await collect.#loadStored();
    if (manifest === null) {
      if (collect.#stored.size > 0) throw new TidegateError('store_without_manifest', `the store holds rows of ${collect.#stored.size} streams, and ${collect.#manifestPath} is missing`);
    } else {
      await collect.#resume(manifest);
    }
    collect.#clearStaging();
    return collect;
  }

  /** The place up to which a stream is stored. */
  place(stream: string): Place {
    return this.#places.get(stream) ?? START;
  }

  /** Seqs of a stream that are stored. */
  stored(stream: string): SeqSet {
    let set = this.#stored.get(stream);
    if (set === undefined) this.#stored.set(stream, set = new SeqSet());
    return set;
  }

  /** Forgets a stream whose directory has gone. */
  forget(stream: string): void {
    this.#places.delete(stream);
    this.#stored.delete(stream);
    this.finished.delete(stream);
  }

  /**
   * Stores what can be stored now, at most one range.
   * @throws store_failed and what the file system says: call again later; what was begun is done first then
   */
  async step(streams: readonly SpooledStream[] = scanStreams(this.#options.spoolDir)): Promise<StepResult> {
    if (this.#intent !== null) await this.#finishIntent(this.#intent.manifest, this.#intent.picked);
    const picked = await pickRange(streams, (stream) => this.place(stream), (stream) => this.stored(stream), this.#options.limits ?? DEFAULT_LIMITS);
    if (picked.rows === 0 && picked.unreadable.length === 0 && picked.repeats.length === 0) {
      for (const { stream, to } of picked.spans) this.#places.set(stream, to);
      for (const stream of picked.finished) this.finished.add(stream);
      return { rows: 0, caughtUp: picked.caughtUp };
    }
    const { store, log } = this.#options;
    for (const { source, item } of picked.unreadable) await quarantine(join(this.#options.collectorDir, 'quarantine'), store, log, source, item);
    this.totals.quarantined += picked.unreadable.length;
    await this.#noteRepeats(picked);
    const range = this.#range + 1;
    const staged = await writeStaging(this.#stagingFile(range), picked.pieces);
    const plan = { token: `range-${range}-${this.#firstSpanName(picked)}`, structure: ROW_STRUCTURE, settings: INSERT_SETTINGS, paces: picked.paces, leaveOut: picked.leaveOut };
    const manifest: Manifest = { format: 1, range, plan, spans: picked.spans, repeats: picked.repeats, rows: picked.rows, ...staged };
    writeManifest(this.#manifestPath, manifest);
    this.#range = range;
    this.#intent = { manifest, picked };
    await this.#finishIntent(manifest, picked);
    for (const stream of picked.finished) this.finished.add(stream);
    return { rows: picked.rows, caughtUp: picked.caughtUp };
  }

  /** Inserts, then advances. */
  async #finishIntent(manifest: Manifest, picked: PickedRange | null): Promise<void> {
    const file = this.#stagingFile(manifest.range);
    if (manifest.rows > 0) await this.#options.store.command(insertStatement(manifest.plan, file));
    for (const { stream, to } of manifest.spans) this.#places.set(stream, to);
    for (const { stream, first, last } of picked?.runs ?? []) this.stored(stream).add(first, last);
    this.totals.storedRows += picked?.runs.reduce((sum, run) => sum + run.last - run.first + 1, 0) ?? 0;
    this.totals.ranges++;
    this.#intent = null;
    unlinkSync(file);
  }

  async #resume(manifest: Manifest): Promise<void> {
    for (const { stream, from } of manifest.spans) this.#mustHold(stream, from.seq, manifest);
    this.#range = manifest.range;
    if (manifest.rows > 0 && await this.#stageAgain(manifest)) {
      await this.#finishIntent(manifest, null);
      await this.#loadStored();
      this.#options.log.info({ range: manifest.range, rows: manifest.rows }, 'the last insert was made again');
    }
    for (const { stream, to } of manifest.spans) {
      this.#mustHold(stream, to.seq, manifest);
      this.#places.set(stream, to);
    }
  }

  /** False: the spool does not hold the range any more. It goes only after the insert has returned, so nothing is left to do. */
  async #stageAgain(manifest: Manifest): Promise<boolean> {
    const file = this.#stagingFile(manifest.range);
    if (isStaged(file, manifest)) return true;
    const spans = manifest.spans.filter(({ from, to }) => from.segment !== to.segment || from.offset !== to.offset);
    const pieces = spans.map((span) => readAgain(join(this.#options.spoolDir, span.stream), span, manifest.repeats));
    if (pieces.includes(null)) return false;
    await writeStaging(file, pieces.flatMap((some) => some ?? []));
    return isStaged(file, manifest);
  }

  #mustHold(stream: string, seq: number, manifest: Manifest): void {
    const { end } = this.stored(stream);
    if (end >= seq) return;
    throw new TidegateError('store_behind_manifest', `stream ${stream} is stored up to seq ${end}, but range ${manifest.range} says ${seq}`);
  }

  async #loadStored(): Promise<void> {
    this.#stored.clear();
    const edges = await this.#options.store.query<{ stream: string; edge: number; delta: number }>(
      `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, edge, sum(delta) AS delta FROM tidegate.coverage AS coverage
       GROUP BY coverage.stream, edge HAVING delta != 0 ORDER BY coverage.stream, edge`);
    let open = 0;
    let first = 0;
    for (const { stream, edge, delta } of edges) {
      if (open === 0) first = edge;
      open += delta;
      if (open === 0) this.stored(stream).add(first, edge - 1);
    }
  }

  async #noteRepeats(picked: PickedRange): Promise<void> {
    for (const { stream, first, last } of [...picked.repeats, ...picked.leaveOut]) {
      this.totals.repeatedRows += last - first + 1;
      this.#options.log.warn({ stream, first, last }, 'rows that are stored already were left out');
      await this.#options.store.command(
        `INSERT INTO tidegate.repeats (stream, first_seq, last_seq, range) SELECT 0x${stream}, {first:UInt64}, {last:UInt64}, {range:UInt64}`,
        { first, last, range: this.#range + 1 });
    }
  }

  #stagingFile(range: number): string {
    return join(this.#stagingDir, `${range}.rows`);
  }

  /** Of a range that had no manifest yet. */
  #clearStaging(): void {
    rmSync(this.#stagingDir, { recursive: true, force: true });
    mkdirSync(this.#stagingDir, { mode: 0o750 });
  }

  /** Makes the token name what is in the range, not its number only. */
  #firstSpanName(picked: PickedRange): string {
    return picked.runs.map(({ stream, first, last }) => `${stream}:${first}-${last}`).join('+').slice(0, 200);
  }
}
