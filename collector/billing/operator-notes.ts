/** What operators note on entries for themselves. Apart from the ledger: an entry says what its customer may read, and its fields are in checksums and exports that never change. */
import { quoted } from '../store/insert-statement.js';
import type { Store } from '../store/store.js';
import { MAX_ROWS } from '../reports/report-store.js';
import type { EntrySelection } from './entry.js';
import { inStatements } from './ledger.js';

export interface OperatorNote {
  readonly entry_id: string;
  /** RFC 3339 in UTC. */
  readonly at: string;
  readonly note: string;
}

export class OperatorNotes {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Before the entries are written, or a crash could leave them without it. The same words again, on the same entry, are the same note; other words in the same millisecond are a note of
   * the next: the table keeps one of an entry and a time.
   */
  async add(entryIds: readonly string[], note: string, atMs: number): Promise<void> {
    for (const ids of inStatements(entryIds)) {
      await this.#store.command(`INSERT INTO tidegate.billing_notes (entry_id, at, note)
        SELECT v.entry_id, fromUnixTimestamp64Milli(greatest(toInt64(${atMs}), n.last_ms + 1), 'UTC'), ${quoted(note)} FROM values('entry_id String', ${ids.map((id) => `(${quoted(id)})`).join(', ')}) AS v
        LEFT JOIN (SELECT entry_id, toUnixTimestamp64Milli(max(at)) AS last_ms FROM tidegate.billing_notes GROUP BY entry_id) AS n ON n.entry_id = v.entry_id
        WHERE v.entry_id NOT IN (SELECT entry_id FROM tidegate.billing_notes FINAL WHERE note = ${quoted(note)})`);
    }
  }

  /** Of entries that are there, in the order in which they were noted. */
  async of({ fromDay, toDay, apps }: EntrySelection): Promise<readonly OperatorNote[]> {
    const rows = await this.#store.query<{ entry_id: string; at_ms: number; note: string }>(
      `SELECT n.entry_id AS entry_id, toUnixTimestamp64Milli(n.at) AS at_ms, n.note AS note FROM tidegate.billing_notes AS n FINAL
       WHERE n.entry_id IN (SELECT entry_id FROM tidegate.billing_days AS t WHERE t.day >= toDate({from:String}) AND t.day < toDate({to:String})${apps === null ? '' : ' AND t.app IN {apps:Array(String)}'})
       ORDER BY n.at, n.entry_id LIMIT ${MAX_ROWS}`, { from: fromDay, to: toDay, ...(apps === null ? {} : { apps }) });
    return rows.map(({ entry_id, at_ms: atMs, note }) => ({ entry_id, at: new Date(Number(atMs)).toISOString(), note }));
  }
}
