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
import { ROLLUPS, type Rollup } from './rebuild-statements.js';

interface Swap { readonly format: 1; readonly rollup: Rollup; readonly partition: string }

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

  /** Nothing may be inserted meanwhile. @throws what the store throws: finish() goes on */
  async swap(rollup: Rollup, partition: string): Promise<void> {
    const fd = openSync(`${this.#path}.tmp`, 'w', 0o640);
    try {
      writeFileSync(fd, `${JSON.stringify({ format: 1, rollup, partition } satisfies Swap)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${this.#path}.tmp`, this.#path);
    flushDirectory(dirname(this.#path));
    await this.finish();
  }

  /** Makes the swap that is noted, if one is. Before anything else is stored. @throws what the store throws; data_dir_unusable */
  async finish(): Promise<void> {
    const noted = this.#read();
    if (noted === null) return;
    const [made] = await this.#store.query<{ rows: number }>(`SELECT count() AS rows FROM tidegate.${noted.rollup}_rebuilt WHERE _partition_id = '${noted.partition}'`);
    // nothing is there in a store that was put back to another time: what it holds stays
    if ((made?.rows ?? 0) > 0) await this.#store.command(`ALTER TABLE tidegate.${noted.rollup} REPLACE PARTITION ID '${noted.partition}' FROM tidegate.${noted.rollup}_rebuilt`);
    this.#log.info({ table: noted.rollup }, `the partition ${noted.partition} was swapped for the one made beside it`);
    rmSync(this.#path);
    flushDirectory(dirname(this.#path));
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

function parsed(text: string): Swap | null {
  try {
    const { format, rollup, partition } = JSON.parse(text) as Partial<Swap>;
    return format === 1 && ROLLUPS.some((name) => name === rollup) && /^\d{6}(\d\d)?$/.test(partition ?? '') ? JSON.parse(text) as Swap : null;
  } catch {
    return null;
  }
}
