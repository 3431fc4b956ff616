/**
 * What a copy notes in the store that it fills: where it comes from, and the partitions that are there whole. While it has not noted its end, no collector
 * takes the store (lacking, in migrate.ts): it would count on a coverage that is not there yet, and its views would count the copied rows again.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import { onCluster } from './cluster.js';
import type { Store } from './store.js';

const BEGUN = '';
const FINISHED = 'finished';
const TABLE = `CREATE TABLE IF NOT EXISTS tidegate.store_copies (source String, part String, rows UInt64, noted_at DateTime64(3, 'UTC') DEFAULT now64(3))
  ENGINE = ReplacingMergeTree(noted_at) ORDER BY (source, part) SETTINGS fsync_after_insert = 1`;

/** @throws store_copy_unfinished */
export async function refuseUnfinishedCopy(store: Store): Promise<void> {
  const there = await tablesOf(store);
  if (!there.has('store_copies')) return;
  const parts = new Set((await store.query<{ part: string }>('SELECT DISTINCT part FROM tidegate.store_copies')).map(({ part }) => part));
  if (!parts.has(FINISHED)) throw new TidegateError('store_copy_unfinished', 'a history is being copied into this store, and not all of it is there');
}

export class CopyNotes {
  readonly #store: Store;
  readonly #source: string;
  readonly #parts: Set<string>;

  private constructor(store: Store, source: string, parts: Set<string>) {
    this.#store = store;
    this.#source = source;
    this.#parts = parts;
  }

  /**
   * Takes the store for this copy, or takes the copy up again.
   * @param source names what is copied, as it stands
   * @throws store_copy_target: something else is there
   */
  static async open(store: Store, source: string, cluster: string | null): Promise<CopyNotes> {
    const there = await tablesOf(store);
    if (!there.has('store_copies')) {
      if (there.size > 0) throw new TidegateError('store_copy_target', 'a collector has used the database tidegate there already');
      await store.command(cluster === null ? 'CREATE DATABASE IF NOT EXISTS tidegate' : onCluster('CREATE DATABASE IF NOT EXISTS tidegate', cluster));
      await store.command(cluster === null ? TABLE : onCluster(TABLE, cluster));
    }
    const rows = await store.query<{ source: string; part: string }>('SELECT DISTINCT source, part FROM tidegate.store_copies');
    if (rows.some((row) => row.source !== source)) {
      throw new TidegateError('store_copy_target', rows.some(({ part }) => part === FINISHED) ? 'a history was copied there already, another or an earlier one' : 'the copy there was begun from another history, or from this one before something was added to it');
    }
    const notes = new CopyNotes(store, source, new Set(rows.map(({ part }) => part)));
    if (rows.length === 0) await notes.#note(BEGUN, 0);
    return notes;
  }

  get finished(): boolean {
    return this.#parts.has(FINISHED);
  }

  has(part: string): boolean {
    return this.#parts.has(part);
  }

  /** All of the part is there. */
  async copied(part: string, rows: number): Promise<void> {
    await this.#note(part, rows);
  }

  async finish(rows: number): Promise<void> {
    await this.#note(FINISHED, rows);
  }

  async #note(part: string, rows: number): Promise<void> {
    await this.#store.command('INSERT INTO tidegate.store_copies (source, part, rows) SELECT {source:String}, {part:String}, {rows:UInt64}', { source: this.#source, part, rows });
    this.#parts.add(part);
  }
}

async function tablesOf(store: Store): Promise<ReadonlySet<string>> {
  return new Set((await store.query<{ name: string }>("SELECT name FROM system.tables WHERE database = 'tidegate'")).map(({ name }) => name));
}
