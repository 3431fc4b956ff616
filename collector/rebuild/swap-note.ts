/**
 * A partition of a rollup is swapped for the one that was made beside it, and a kill in the middle is no third state: what is to be swapped is noted durably before, and
 * swapped again by whoever starts next, before anything else is stored. Made again it changes nothing (the engine's REPLACE is not one step on disk).
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { flushDirectory } from '../../gateway/events/stream-state.js';
import type { Store } from '../store/store.js';
import { ROLLUPS, type Rollup } from '../store/rollup-statement.js';

/** `rows`: of raw events of that time, when it was noted. */
interface Swap { readonly format: 1; readonly rollup: Rollup; readonly partition: string; readonly rows: number }

export class SwapNote {
  readonly #path: string;
  readonly #store: Store;
  readonly #log: SpoolLog;

  /** @param collectorDir data_dir/collector */
  constructor(collectorDir: string, store: Store, log: SpoolLog) {
    this.#path = join(collectorDir, 'swap.json');
    this.#store = store;
    this.#log = log;
  }

  /** Nothing may be inserted meanwhile. @throws what the store throws: where it does not say no, finish() goes on */
  async swap(rollup: Rollup, partition: string): Promise<void> {
    const rows = await this.#rawRows(partition);
    const fd = openSync(`${this.#path}.tmp`, 'w', 0o640);
    try {
      writeFileSync(fd, `${JSON.stringify({ format: 1, rollup, partition, rows } satisfies Swap)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${this.#path}.tmp`, this.#path);
    flushDirectory(dirname(this.#path));
    const noted = this.#read();
    if (noted !== null) await this.#carryOut(noted);
  }

  /**
   * Makes the swap that is noted, if one is. Before anything else is stored. One that the store refuses is given up, or nothing would ever be stored again.
   * @throws what the store throws where it does not say no; data_dir_unusable
   */
  async finish(): Promise<void> {
    const noted = this.#read();
    if (noted === null) return;
    try {
      await this.#carryOut(noted);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#log.error({ err: error, table: noted.rollup }, `the partition ${noted.partition} cannot be swapped, and stays as it is`);
    }
  }

  /** @throws what the store throws; where it said no, what was noted is forgotten: the engine swaps all or nothing */
  async #carryOut({ rollup, partition, rows }: Swap): Promise<void> {
    try {
      const [made] = await this.#store.query<{ rows: number }>(`SELECT count() AS rows FROM tidegate.${rollup}_rebuilt WHERE _partition_id = '${partition}'`);
      // neither in a store that was put back to another time, nor in one into which another collector has stored since: what it holds stays
      const swaps = (made?.rows ?? 0) > 0 && await this.#rawRows(partition) === rows;
      if (swaps) await this.#store.command(`ALTER TABLE tidegate.${rollup} REPLACE PARTITION ID '${partition}' FROM tidegate.${rollup}_rebuilt`);
      if (swaps) this.#log.info({ table: rollup }, `the partition ${partition} was swapped for the one made beside it`);
      else this.#log.warn({ table: rollup }, `the partition ${partition} was to be swapped, and the store is another by now: it stays as it is`);
    } catch (error) {
      if (isRefusal(error)) this.#forget();
      throw error;
    }
    this.#forget();
  }

  #forget(): void {
    rmSync(this.#path, { force: true });
    flushDirectory(dirname(this.#path));
  }

  /** Of the day, or the month. */
  async #rawRows(partition: string): Promise<number> {
    const [row] = await this.#store.query<{ rows: number }>(`SELECT count() AS rows FROM tidegate.events WHERE startsWith(_partition_id, '${partition}')`);
    return Number(row?.rows ?? 0);
  }

  #read(): Swap | null {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    const swap = parsed(text);
    if (swap === null) throw new TidegateError('data_dir_unusable', `${this.#path} cannot be read as a note of this version`);
    return swap;
  }
}

/** The engine answered, and did nothing. What broke off may have been done. */
function isRefusal(error: unknown): boolean {
  return error instanceof TidegateError && (error.code === 'store_failed' || error.code === 'store_access');
}

function parsed(text: string): Swap | null {
  try {
    const { format, rollup, partition, rows } = JSON.parse(text) as Partial<Swap>;
    return format === 1 && typeof rows === 'number' && ROLLUPS.some((name) => name === rollup) && /^\d{6}(\d\d)?$/.test(partition ?? '') ? JSON.parse(text) as Swap : null;
  } catch {
    return null;
  }
}
