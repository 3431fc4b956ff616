/** What could not be read: listed, and put into the log again. */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Store } from '../store/store.js';
import type { EventLog, QuarantinedItem } from './event-log.js';

/** More are not shown at once, newest first. */
const MOST = 1000;
const ID = /^([0-9a-f]{16})-(\d{1,10})-(\d{1,16})$/;

const COLUMNS = `concat(leftPad(lower(hex(q.stream)), 16, '0'), '-', toString(q.segment), '-', toString(q.from_offset)) AS id, log, leftPad(lower(hex(q.stream)), 16, '0') AS stream, segment, from_offset, to_offset,
  reason, file, formatDateTime(q.noted_at, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS noted_at, if(q.replayed_at IS NULL, NULL, formatDateTime(q.replayed_at, '%Y-%m-%dT%H:%i:%SZ', 'UTC')) AS replayed_at`;

export class Quarantine {
  readonly #store: Store;
  readonly #log: EventLog;

  constructor(store: Store, log: EventLog) {
    this.#store = store;
    this.#log = log;
  }

  /** Newest first. @throws store_failed */
  list(): Promise<readonly QuarantinedItem[]> {
    return this.#store.query<QuarantinedItem>(`SELECT ${COLUMNS} FROM tidegate.quarantine AS q FINAL ORDER BY q.noted_at DESC, id LIMIT ${MOST}`);
  }

  /** How many pieces lie there and were not replayed. @throws store_failed */
  async waiting(): Promise<number> {
    const [row] = await this.#store.query<{ n: number }>('SELECT count() AS n FROM tidegate.quarantine FINAL WHERE replayed_at IS NULL');
    return row?.n ?? 0;
  }

  /** Puts it into the log again; what of it is stored is recognised there. @throws not_found; quarantine_gone; what the log and the store throw */
  async replay(id: string): Promise<QuarantinedItem> {
    const [, stream, segment, offset] = ID.exec(id) ?? [];
    if (stream === undefined) throw new TidegateError('not_found', `${id} is no id of quarantine`);
    const where = { segment: Number(segment), offset: Number(offset) };
    const [item] = await this.#store.query<QuarantinedItem>(
      `SELECT ${COLUMNS} FROM tidegate.quarantine AS q FINAL WHERE q.stream = 0x${stream} AND q.segment = {segment:UInt32} AND q.from_offset = {offset:UInt64}`, where);
    if (item === undefined) throw new TidegateError('not_found', `nothing in quarantine has the id ${id}`);
    await this.#log.replay(item);
    await this.#store.command(
      `INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file, log, noted_at, replayed_at)
       SELECT stream, segment, from_offset, to_offset, reason, file, log, noted_at + INTERVAL 1 MILLISECOND, now64(3) FROM tidegate.quarantine AS q FINAL
       WHERE q.stream = 0x${stream} AND q.segment = {segment:UInt32} AND q.from_offset = {offset:UInt64}`, where);
    return item;
  }
}
