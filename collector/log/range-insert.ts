/** What both logs do with the rows of a range: stage them, insert them, note what was left out. */
import { mkdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { INSERT_SETTINGS, ROW_STRUCTURES, type InsertPlan } from '../store/insert-statement.js';
import type { Store } from '../store/store.js';
import type { LogTotals } from './event-log.js';
import { InsertCounts } from './insert-counts.js';
import type { PickedRows, SeqRunOfStream } from './picked-rows.js';
import { SeqSet } from './seq-set.js';
import { writeStaging, type StagedRows } from './staging.js';

export class RangeInsert {
  readonly #store: Store;
  readonly #stagingDir: string;
  readonly #log: SpoolLog;
  /** Name -> when its insert was begun first, and it is not known to be done. */
  readonly #begunMs = new Map<string, number>();
  readonly totals: LogTotals = { storedRows: 0, repeatedRows: 0, quarantined: 0, ranges: 0, inserts: new InsertCounts() };

  /** @param collectorDir data_dir/collector */
  constructor(store: Store, collectorDir: string, log: SpoolLog) {
    this.#store = store;
    this.#stagingDir = join(collectorDir, 'staging');
    this.#log = log;
    mkdirSync(this.#stagingDir, { recursive: true, mode: 0o750 });
  }

  file(name: string): string {
    return join(this.#stagingDir, `${name}.rows`);
  }

  /** @param durable true: on disk when it resolves */
  stage(name: string, { pieces }: Pick<PickedRows, 'pieces'>, durable: boolean): Promise<StagedRows> {
    return writeStaging(this.file(name), pieces, durable);
  }

  plan(token: string, { version, paces, leaveOut }: PickedRows): InsertPlan {
    return { token, structure: ROW_STRUCTURES[version], settings: INSERT_SETTINGS, paces, leaveOut };
  }

  /**
   * @param rows of the staging file
   * @param foundMs it was found begun, by another process or owner, at that time, ms since the epoch; null: it was not
   * @param notAfterMs begun later by the store's clock, nothing is stored
   * @throws what Store.insertRows throws
   */
  async insert(plan: InsertPlan, name: string, rows: number, foundMs: number | null = null, notAfterMs?: number): Promise<void> {
    const begunMs = foundMs ?? this.#begunMs.get(name);
    this.#begunMs.set(name, begunMs ?? Date.now());
    await this.totals.inserts.count(rows - rowsIn(plan.leaveOut), () => this.#store.insertRows(plan, this.file(name), notAfterMs, begunMs));
  }

  /**
   * The range is done, and only now counted: what fails is picked, and put aside, again.
   * @param name null: nothing was staged
   * @param picked null: an insert made again of a range that an earlier process had picked
   */
  finished(name: string | null, picked: PickedRows | null, quarantined: number): void {
    this.totals.storedRows += rowsIn(picked?.runs ?? []);
    this.totals.repeatedRows += rowsIn(picked === null ? [] : metAgain(picked));
    this.totals.quarantined += quarantined;
    this.totals.ranges++;
    if (name === null) return;
    this.#begunMs.delete(name);
    unlinkSync(this.file(name));
  }

  /**
   * Notes which days imported rows are of, before they are inserted: what they are in is kept from then on (retention.ts), and reports of days older than
   * what is kept know that they may be asked (collector/reports/imported-days.ts).
   */
  async noteImports({ imports }: PickedRows): Promise<void> {
    const values = imports.flatMap(({ stream, days }) => days.map((day) => `(toUInt64(0x${stream}), toUInt16(${day}))`));
    if (values.length > 0) await this.#store.command(`INSERT INTO tidegate.imports (stream, day) SELECT row.1, toDate(row.2) FROM (SELECT arrayJoin([${values.join(', ')}]) AS row)`);
  }

  /** @param range the range's number, or offset: noted again, it is the same row */
  async noteRepeats(picked: PickedRows, range: number): Promise<void> {
    for (const { stream, first, last } of joined(metAgain(picked))) {
      this.#log.warn({ stream, first, last }, 'rows that are stored already were left out');
      await this.#store.command(
        `INSERT INTO tidegate.repeats (stream, first_seq, last_seq, range) SELECT 0x${stream}, {first:UInt64}, {last:UInt64}, {range:UInt64}`,
        { first, last, range });
    }
  }

  /** Throws away what is staged: of ranges that nobody knows any more. */
  clear(): void {
    this.#begunMs.clear();
    rmSync(this.#stagingDir, { recursive: true, force: true });
    mkdirSync(this.#stagingDir, { mode: 0o750 });
  }
}

/** What was in the log although it is stored. An imported log may be read again, after a kill: its rows come again by design, and alarm nobody. */
export function metAgain({ repeats, leaveOut, imports }: PickedRows): SeqRunOfStream[] {
  const imported = new Set(imports.map(({ stream }) => stream));
  return [...repeats, ...leaveOut].filter(({ stream }) => !imported.has(stream));
}
const rowsIn = (runs: readonly SeqRunOfStream[]): number => runs.reduce((sum, run) => sum + run.last - run.first + 1, 0);

/** Runs that touch as one. */
function joined(runs: readonly SeqRunOfStream[]): SeqRunOfStream[] {
  const sets = new Map<string, SeqSet>();
  for (const { stream, first, last } of runs) sets.set(stream, sets.get(stream) ?? new SeqSet()).get(stream)?.add(first, last);
  return [...sets].flatMap(([stream, set]) => set.runs.map((run) => ({ stream, ...run })));
}
