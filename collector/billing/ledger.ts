/**
 * The ledger in the store: entries in numbered batches, only ever appended to. A batch is one insert whose token is its number, and which the store refuses where the
 * last batch is not the one before: of several collectors who have read batch n and write n + 1, one does, and the others begin anew with what it wrote. So an entry is always made of all the
 * entries before it (ADR 0032).
 */
import { randomBytes } from 'node:crypto';
import { TidegateError } from '../../errors/tidegate-error.js';
import { quoted } from '../store/insert-statement.js';
import type { QueryParams, Store } from '../store/store.js';
import type { LastDay, Terms } from './app-days.js';
import { entryChecksum } from './entry-checksum.js';
import type { BillingEntry, EntryKind, EntrySelection } from './entry.js';

/** What is kept beside what exports show. */
export interface LedgerEntry extends BillingEntry {
  readonly over: Terms['over'];
}

/** By what the entries of a batch were made. */
export interface BatchProof {
  /** ms since the epoch: up to then the log was stored. */
  readonly asOfMs: number;
  /** SHA-256 of what each stream of the day had come to; '': no day was counted. */
  readonly coverage: string;
}

/** What is billed so far of one day of one app. */
export interface BilledDay {
  readonly app: string;
  readonly forDay: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly quota: number;
  readonly over: Terms['over'];
  /** Of usage and adjustments. */
  readonly received: number;
  readonly refused: number;
  readonly counted: number;
  /** With credits, too. */
  readonly billable: number;
  readonly overQuota: number;
  readonly adjustments: number;
}

/** A statement is at most 256 KB. A reason may be 500 characters of four bytes, and a customer has no bound but this. */
const STATEMENT_BYTES = 120_000;
const STATEMENT_ROWS = 500;

/** Rows dealt out to statements, in their order. */
export function inStatements<Row>(rows: readonly Row[]): readonly (readonly Row[])[] {
  const statements: Row[][] = [];
  let bytes = 0;
  for (const row of rows) {
    const own = Buffer.byteLength(JSON.stringify(row));
    const last = statements.at(-1);
    if (last === undefined || last.length === STATEMENT_ROWS || bytes + own > STATEMENT_BYTES) {
      statements.push([row]);
      bytes = own;
    } else {
      last.push(row);
      bytes += own;
    }
  }
  return statements;
}

const PAGE = 1000;
/** Of one batch: each is spent only where the server was killed in the same place again. */
const MOST_TOKENS = 10;

const INSERT = `INSERT INTO tidegate.billing_days
  (batch, place, writer, entry_id, kind, customer, app, day, for_day, time_zone, day_start, day_end, received, refused, requests, billable, quota, over, over_quota, complete, reason, checksum, as_of, coverage)`;
const STRUCTURE = `place UInt32, entry_id String, kind String, customer String, app String, day Date, for_day Date, time_zone String, day_start Int64, day_end Int64,
  received Int64, refused Int64, requests Int64, billable Int64, quota UInt64, over String, over_quota Int64, complete Bool, reason String, checksum String`;

const COLUMNS = `entry_id, toString(kind) AS kind, customer, app, toString(day) AS day, toString(for_day) AS for_day, toString(time_zone) AS time_zone,
  toUnixTimestamp64Milli(day_start) AS start, toUnixTimestamp64Milli(day_end) AS end, received, refused, requests, billable, quota, over_quota, complete, reason, checksum`;
type EntryRow = Omit<BillingEntry, 'day_start' | 'day_end' | 'quota' | 'status'> & { readonly start: number; readonly end: number; readonly quota: number };

/** Usage before what changed it. */
const KIND_ORDER = "multiIf(t.kind = 'usage', 0, t.kind = 'adjustment', 1, 2)";

export class Ledger {
  readonly #store: Store;
  readonly #writer = randomBytes(8).toString('hex');

  constructor(store: Store) {
    this.#store = store;
  }

  /** Number of the last batch; 0: there is none. Read before whatever the next one is made of. */
  async lastBatch(): Promise<number> {
    const [row] = await this.#store.query<{ batch: number }>('SELECT max(batch) AS batch FROM tidegate.billing_days');
    return Number(row?.batch ?? 0);
  }

  /**
   * Writes a batch, all of it or nothing.
   * @param batch one more than lastBatch() said @param entries of one statement (inStatements)
   * @returns false: another wrote a batch of this number; read again
   * @throws what the store throws: nobody knows whether it was written; read again
   */
  async append(batch: number, entries: readonly LedgerEntry[], { asOfMs, coverage }: BatchProof): Promise<boolean> {
    const rows = entries.map((entry, place) => `(${[
      place, quoted(entry.entry_id), quoted(entry.kind), quoted(entry.customer), quoted(entry.app), quoted(entry.day), quoted(entry.for_day), quoted(entry.time_zone),
      Date.parse(entry.day_start), Date.parse(entry.day_end), entry.received, entry.refused, entry.requests, entry.billable, entry.quota ?? 0, quoted(entry.over), entry.over_quota,
      entry.complete, quoted(entry.reason), quoted(entry.checksum),
    ].join(', ')})`);
    const statement = (token: string): string => `${INSERT} SETTINGS insert_deduplication_token = '${token}', insert_deduplicate = 1, async_insert = 0
      SELECT ${batch}, place, ${quoted(this.#writer)}, entry_id, kind, customer, app, day, for_day, time_zone, fromUnixTimestamp64Milli(day_start, 'UTC'), fromUnixTimestamp64Milli(day_end, 'UTC'),
        received, refused, requests, billable, quota, over, over_quota, complete, reason, checksum, fromUnixTimestamp64Milli(toInt64(${asOfMs}), 'UTC'), ${quoted(coverage)}
      FROM values(${quoted(STRUCTURE)}, ${rows.join(', ')})
      WHERE (SELECT max(batch) FROM tidegate.billing_days) = ${batch - 1}`;
    for (let token = 1; ; token++) {
      await this.#store.command(statement(token === 1 ? `ledger-${batch}` : `ledger-${batch}-${token}`));
      const [written] = await this.#store.query<{ writer: string }>('SELECT any(writer) AS writer FROM tidegate.billing_days WHERE batch = {batch:UInt64}', { batch });
      if (written?.writer !== '') return written?.writer === this.#writer;
      if (token === MOST_TOKENS || !await this.#isTokenSpent(batch)) return false;
    }
  }

  /** A server killed in the midst of a batch can know its token and hold nothing of it (ADR 0043): nobody could write that batch any more. Of replicas the keeper knows the tokens, and one that lags may not have the batch yet. */
  async #isTokenSpent(batch: number): Promise<boolean> {
    const [row] = await this.#store.query<{ last: number; engine: string }>(
      "SELECT (SELECT max(batch) FROM tidegate.billing_days) AS last, engine FROM system.tables WHERE database = 'tidegate' AND name = 'billing_days'");
    return Number(row?.last) === batch - 1 && row?.engine === 'MergeTree';
  }

  /** The last closed day of each app. */
  async lastDays(): Promise<ReadonlyMap<string, LastDay>> {
    const rows = await this.#store.query<{ app: string; last: string; end: number }>(
      "SELECT app, toString(max(t.day)) AS last, toUnixTimestamp64Milli(argMax(t.day_end, t.day)) AS end FROM tidegate.billing_days AS t WHERE t.kind = 'usage' GROUP BY app");
    return new Map(rows.map(({ app, last, end }) => [app, { day: last, endMs: Number(end) }]));
  }

  /** Bounds that closed days have, from an instant on, ms since the epoch. */
  async bounds(fromMs: number): Promise<readonly (readonly [startMs: number, endMs: number])[]> {
    const rows = await this.#store.query<{ start: number; end: number }>(
      `SELECT DISTINCT toUnixTimestamp64Milli(t.day_start) AS start, toUnixTimestamp64Milli(t.day_end) AS end FROM tidegate.billing_days AS t
       WHERE t.kind = 'usage' AND t.day_start >= fromUnixTimestamp64Milli({from_ms:Int64}) ORDER BY start, end`, { from_ms: fromMs });
    return rows.map(({ start, end }) => [Number(start), Number(end)] as const);
  }

  /** The closed days with these bounds. */
  billedWithin(startMs: number, endMs: number): Promise<readonly BilledDay[]> {
    return this.#billed(`(t.app, t.for_day) IN (SELECT app, day FROM tidegate.billing_days WHERE kind = 'usage' AND day_start = fromUnixTimestamp64Milli({start:Int64}) AND day_end = fromUnixTimestamp64Milli({end:Int64}))`,
      { start: startMs, end: endMs });
  }

  /** Null: it is not closed. */
  async billedDay(app: string, day: string): Promise<BilledDay | null> {
    return (await this.#billed('t.app = {app:String} AND t.for_day = toDate({day:String})', { app, day }))[0] ?? null;
  }

  async #billed(where: string, params: QueryParams): Promise<readonly BilledDay[]> {
    const rows = await this.#store.query<Record<'start' | 'end' | 'n_quota' | 'n_received' | 'n_refused' | 'n_counted' | 'n_billable' | 'n_over' | 'adjustments', number> & { app: string; of_day: string; how: Terms['over'] }>(
      `SELECT app, toString(t.for_day) AS of_day, toUnixTimestamp64Milli(anyIf(t.day_start, t.kind = 'usage')) AS start, toUnixTimestamp64Milli(anyIf(t.day_end, t.kind = 'usage')) AS end,
         anyIf(t.quota, t.kind = 'usage') AS n_quota, anyIf(t.over, t.kind = 'usage') AS how, sumIf(t.received, t.kind != 'credit') AS n_received, sumIf(t.refused, t.kind != 'credit') AS n_refused,
         sumIf(t.billable, t.kind != 'credit') AS n_counted, sum(t.billable) AS n_billable, sum(t.over_quota) AS n_over, countIf(t.kind = 'adjustment') AS adjustments
       FROM tidegate.billing_days AS t WHERE ${where}
       GROUP BY app, t.for_day HAVING countIf(t.kind = 'usage') > 0 ORDER BY app, t.for_day`, params);
    return rows.map((row) => ({
      app: row.app, forDay: row.of_day, startMs: Number(row.start), endMs: Number(row.end), quota: Number(row.n_quota), over: row.how,
      received: Number(row.n_received), refused: Number(row.n_refused), counted: Number(row.n_counted), billable: Number(row.n_billable), overQuota: Number(row.n_over), adjustments: Number(row.adjustments),
    }));
  }

  /** The entry of that name; null: there is none. */
  async entry(entryId: string): Promise<BillingEntry | null> {
    const [row] = await this.#store.query<EntryRow>(`SELECT ${COLUMNS} FROM tidegate.billing_days AS t WHERE t.entry_id = {id:String} LIMIT 1`, { id: entryId });
    return row === undefined ? null : entryOf(row);
  }

  /** Entries of closed days. See ClosedEntries. @throws billing_damaged; what the store throws */
  async *closed({ fromDay, toDay, apps }: EntrySelection): AsyncGenerator<readonly BillingEntry[]> {
    const days = await this.#store.query<{ d: string }>('SELECT DISTINCT toString(t.day) AS d FROM tidegate.billing_days AS t WHERE t.day >= toDate({from:String}) AND t.day < toDate({to:String}) ORDER BY d', { from: fromDay, to: toDay });
    for (const { d } of days) {
      let after: readonly [app: string, order: number, id: string] | null = null;
      for (;;) {
        const page: readonly BillingEntry[] = await this.#page(d, apps, after);
        if (page.length > 0) yield page;
        const last = page.at(-1);
        if (last === undefined || page.length < PAGE) break;
        after = [last.app, ORDER_OF[last.kind], last.entry_id];
      }
    }
  }

  /** Credits on days that are not closed: they change nothing that was exported, and stand on the day they are noted for. */
  async waiting({ fromDay, toDay, apps }: EntrySelection): Promise<readonly BillingEntry[]> {
    const rows = await this.#store.query<EntryRow>(
      `SELECT ${COLUMNS} FROM tidegate.billing_days AS t
       WHERE t.kind = 'credit' AND t.day >= toDate({from:String}) AND t.day < toDate({to:String})${apps === null ? '' : ' AND t.app IN {apps:Array(String)}'}
         AND (t.app, t.day) NOT IN (SELECT app, day FROM tidegate.billing_days WHERE kind = 'usage')
       ORDER BY t.day, t.app, t.entry_id`, { from: fromDay, to: toDay, ...(apps === null ? {} : { apps }) });
    return rows.map(entryOf);
  }

  async #page(day: string, apps: readonly string[] | null, after: readonly [string, number, string] | null): Promise<readonly BillingEntry[]> {
    const rows = await this.#store.query<EntryRow>(
      `SELECT ${COLUMNS} FROM tidegate.billing_days AS t
       WHERE t.day = toDate({day:String})${apps === null ? '' : ' AND t.app IN {apps:Array(String)}'}
         AND (t.kind = 'usage' OR t.app IN (SELECT app FROM tidegate.billing_days WHERE kind = 'usage' AND day = toDate({day:String})))
         ${after === null ? '' : `AND (t.app, toUInt8(${KIND_ORDER}), t.entry_id) > ({after_app:String}, toUInt8({after_order:UInt8}), {after_id:String})`}
       ORDER BY t.app, ${KIND_ORDER}, t.entry_id LIMIT ${PAGE}`,
      { day, ...(apps === null ? {} : { apps }), ...(after === null ? {} : { after_app: after[0], after_order: after[1], after_id: after[2] }) });
    return rows.map(entryOf);
  }
}

const ORDER_OF: Readonly<Record<EntryKind, number>> = { usage: 0, adjustment: 1, credit: 2 };

/** @throws billing_damaged */
function entryOf({ start, end, quota, checksum, ...row }: EntryRow): BillingEntry {
  const unsigned: Omit<BillingEntry, 'checksum'> = {
    entry_id: row.entry_id, kind: row.kind, customer: row.customer, app: row.app, day: row.day, for_day: row.for_day, time_zone: row.time_zone,
    day_start: new Date(Number(start)).toISOString(), day_end: new Date(Number(end)).toISOString(),
    received: Number(row.received), refused: Number(row.refused), requests: Number(row.requests), billable: Number(row.billable),
    quota: Number(quota) === 0 ? null : Number(quota), over_quota: Number(row.over_quota), status: 'closed', complete: Boolean(row.complete), reason: row.reason,
  };
  const entry = { ...unsigned, checksum };
  if (entryChecksum(unsigned) !== checksum) throw new TidegateError('billing_damaged', `entry ${entry.entry_id} (${entry.app}, ${entry.day}) is not what was written`);
  return entry;
}
