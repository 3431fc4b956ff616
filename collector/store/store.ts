/**
 * The store as the rest of the collector knows it. Which engine stands behind it is decided in one place (open-store.ts); statements, settings and
 * results are the same.
 *
 * Settings stand in the statement, never beside it: chDB keeps what is given beside a statement for the rest of the session, and a token kept so
 * swallows the next insert.
 */
import type { InsertPlan } from './insert-statement.js';

/** Values of `{name:Type}` in a statement: bound by the engine, never put into the text. */
export type QueryParams = Readonly<Record<string, string | number | boolean | readonly string[] | readonly number[]>>;

/**
 * What each method throws, as codes: `store_failed` the engine said no; `store_part_unreadable` (chDB) it met a damaged part, which is seen to: ask again; `store_access` it does not let this user; `store_unavailable` it could not be
 * reached, and did nothing. Over HTTP also `store_unknown`: nobody knows whether it was done, so the same is to be asked again. Who asks again, and
 * when, is the caller's business: no method here repeats what changes something.
 */
export interface Store {
  /** Runs a statement that changes something. */
  command(statement: string, params?: QueryParams): Promise<void>;

  /** Runs a statement that creates or alters a database or a table, and can be repeated: chDB needs it told apart (table-definitions.ts). Absent: `command` does. */
  define?(statement: string): Promise<void>;

  /** The rows of a SELECT, as objects. UInt64 comes as a number: exact below 2^53, so select a stream as `lower(hex(stream))`. */
  query<Row>(select: string, params?: QueryParams): Promise<Row[]>;

  /**
   * Brings a staging file's rows into `events`, as the plan says. Whatever it throws, the same plan is to be inserted again, until it returns: the
   * engine may have written a part of it.
   * @param file absolute path
   * @param notAfterMs ms since the epoch: begun later than this by the store's own clock, nothing is stored
   * @param begunMs it is made again, and was begun first then, ms since the epoch, by a clock that is within a minute of the store's: what a crash of the engine took of it, although
   * the engine says that it is stored, is put back (ADR 0043)
   * @throws also store_insert_late
   */
  insertRows(plan: InsertPlan, file: string, notAfterMs?: number, begunMs?: number): Promise<void>;

  /**
   * Brings those rows of a staging file that are of one day (UTC) into `events_mended`, which no view reads.
   * @param file absolute path @param day partition, such as 20261121 @param token of this insert, in place of the plan's
   */
  insertBeside(plan: InsertPlan, file: string, day: string, token: string): Promise<void>;

  /** Parts of raw events that background merges could not read are set aside (unreadable-parts.ts). Absent: a server's parts are its operator's. */
  setAsideUnreadable?(): Promise<void>;

  /** Waits for what is running, then lets the store go. */
  close(): Promise<void>;
}
