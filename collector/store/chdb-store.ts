/**
 * The store in this process: chDB, the ClickHouse engine, through @clickhouse/client. One process a directory, one directory a process.
 *
 * Two handles on it, because statements on one handle wait for each other: a report must not wait for an insert, nor an insert for a
 * report. The engine works on the thread pool: while an insert of 200,000 rows runs, the event loop is never blocked for more than
 * a few ms (tried; store.test.ts).
 */
import { mkdirSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClickHouseClient, createClient } from '@clickhouse/client';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { insertDayFromFile, insertFromFile, type InsertPlan } from './insert-statement.js';
import type { QueryParams, Store } from './store.js';
import { storeError } from './store-error.js';
import { cutDefinitions, keepDefinitions, restoreDefinitions } from './table-definitions.js';
import { takeBackUnfinished } from './unfinished-inserts.js';
import { UnreadableParts } from './unreadable-parts.js';

/** Not a literal in the import, so that the project compiles where the optional dependency is absent. */
const CHDB: string = 'chdb/connection';
type ClientOptions = NonNullable<Parameters<typeof createClient>[0]>;
interface Chdb { createChdbConnection(options: { readonly path: string }): NonNullable<ClientOptions['connection']> }

export class ChdbStore implements Store {
  readonly #path: string;
  readonly #writer: ClickHouseClient;
  readonly #reader: ClickHouseClient;
  #lastWrite: Promise<unknown> = Promise.resolve();
  #lastRead: Promise<unknown> = Promise.resolve();
  /** Where the tables remember the tokens of their inserts; null: not asked for yet. */
  #tokenDirs: readonly string[] | null = null;
  readonly #unreadable: UnreadableParts | null;

  private constructor(path: string, writer: ClickHouseClient, reader: ClickHouseClient, log: SpoolLog | null) {
    this.#path = path;
    this.#writer = writer;
    this.#reader = reader;
    this.#unreadable = log === null ? null : new UnreadableParts({ command: (statement) => this.#command(statement, {}), query: (select, params) => this.#query(select, params ?? {}) }, log);
  }

  /**
   * @param path the store's directory, absolute; made if absent
   * @param log of the collector, which sets aside parts that cannot be read; null: they stay
   * @throws store_unavailable: chDB is not installed, or cannot open the directory
   */
  static async open(path: string, log: SpoolLog | null = null): Promise<ChdbStore> {
    try {
      // loaded here only, so that a node without chDB can run all that needs no store
      const [{ createClient }, chdb] = await Promise.all([import('@clickhouse/client'), import(CHDB) as Promise<Chdb>]);
      mkdirSync(path, { recursive: true, mode: 0o750 });
      restoreDefinitions(path);
      takeBackUnfinished(path);
      const connect = (): ClickHouseClient => createClient({ connection: chdb.createChdbConnection({ path }) });
      const store = new ChdbStore(path, connect(), connect(), log);
      await Promise.all([store.command('SELECT 1'), store.query('SELECT 1')]);
      return store;
    } catch (cause) {
      throw new TidegateError('store_unavailable', `${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
  }

  async command(statement: string, params: QueryParams = {}): Promise<void> {
    await this.#translated(this.#command(statement, params), statement);
  }

  async define(statement: string): Promise<void> {
    try {
      keepDefinitions(this.#path);
    } catch (cause) {
      throw new TidegateError('store_failed', `the tables' definitions cannot be copied, so none is changed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    await this.command(statement);
    const cut = cutDefinitions(this.#path);
    if (cut.length > 0) throw new TidegateError('store_failed', `the disk has no room for ${cut.join(', ')}: the engine wrote less than the whole definition, which becomes what it was at the next start`);
  }

  async query<Row>(select: string, params: QueryParams = {}): Promise<Row[]> {
    return this.#translated(this.#query<Row>(select, params), select);
  }

  /** @throws what the store throws */
  async setAsideUnreadable(): Promise<void> {
    await this.#unreadable?.look();
  }

  /** The engine reads the file itself: bodies that come through the client are taken as text, which mangles RowBinary. */
  async insertRows(plan: InsertPlan, file: string, notAfterMs?: number): Promise<void> {
    await this.command(insertFromFile(plan, file, notAfterMs));
    await this.#translated(this.#flushTokens(), 'the tokens of inserts, to disk');
  }

  async insertBeside(plan: InsertPlan, file: string, day: string, token: string): Promise<void> {
    await this.command(insertDayFromFile(plan, file, day, token));
  }

  /**
   * The engine flushes the rows to disk (fsync_after_insert), and not the token that it knows them by: after a power cut the insert that is made again would be
   * stored a second time. Once this has returned it is known.
   */
  async #flushTokens(): Promise<void> {
    this.#tokenDirs ??= (await this.query<{ path: string }>("SELECT arrayJoin(data_paths) AS path FROM system.tables WHERE database = 'tidegate'"))
      .map(({ path }) => join(path, 'deduplication_logs'));
    await Promise.all(this.#tokenDirs.map(flushFiles));
  }

  /** They run one after the other. */
  #command(statement: string, params: QueryParams): Promise<void> {
    const run = this.#lastWrite.then(async () => { await this.#writer.command({ query: statement, query_params: { ...params } }); });
    this.#lastWrite = run.catch(() => undefined);
    return run;
  }

  #query<Row>(select: string, params: QueryParams): Promise<Row[]> {
    const run = this.#lastRead.then(async () => {
      const result = await this.#reader.query({ query: select, query_params: { ...params }, format: 'JSONEachRow' });
      return result.json<Row>();
    });
    this.#lastRead = run.catch(() => undefined);
    return run;
  }

  async #translated<T>(run: Promise<T>, statement: string): Promise<T> {
    try {
      return await run;
    } catch (cause) {
      throw await this.#unreadable?.after(cause) ?? storeError(cause, statement, 'store_failed');
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#lastWrite, this.#lastRead]);
    await Promise.all([this.#writer.close(), this.#reader.close()]);
  }
}

/** Those of a folder, to disk. A table that remembers no tokens has none. */
async function flushFiles(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) {
    // one that was rotated away meanwhile is not needed any more
    const file = await open(join(folder, name), 'r').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    });
    if (file === null) continue;
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  }
}
