/**
 * The comparison itself, of what clients know with what the public API shows:
 *
 *     answers completely received ⊆ rows, each once ⊆ requests begun
 */
import type { BegunRequest, Journal } from './journal.js';
import type { Row } from './public-api.js';

export interface Verdict {
  /** Answered, and without a row under the answer's id. */
  readonly lost: readonly BegunRequest[];
  /** More rows than one of one request; a sentence each. */
  readonly twice: readonly Finding[];
  /** Rows that no begun request explains. */
  readonly phantom: readonly Finding[];
  /** Stored otherwise than the client was answered. */
  readonly other: readonly Finding[];
  /** Requests with a row. */
  readonly stored: ReadonlySet<BegunRequest>;
}

export interface Finding {
  readonly id: string;
  readonly text: string;
  /** Null: it belongs to none that was begun. */
  readonly request: BegunRequest | null;
}

/** All rows that pages have shown, by id; a list of several is one id in several rows. */
export type Rows = ReadonlyMap<string, readonly Row[]>;

export function verdictOf(journal: Journal, rows: Rows): Verdict {
  const idsOf = new Map<BegunRequest, string[]>();
  const twice: Finding[] = [];
  const phantom: Finding[] = [];
  const other: Finding[] = [];
  const nameless: Row[] = [];
  for (const [id, of] of rows) {
    const [row] = of as readonly [Row, ...Row[]];
    const request = journal.byId(id) ?? journal.byPath(row.path);
    if (of.length > 1) twice.push({ id, text: `${of.length} rows of one id`, request });
    if (request !== null) {
      idsOf.set(request, [...idsOf.get(request) ?? [], id]);
      const difference = differenceOf(request, id, row);
      if (difference !== null) other.push({ id, text: difference, request });
    } else if (row.path === '') nameless.push(row);
    else phantom.push({ id, text: `a row of ${row.method} ${row.path}, which was never begun`, request });
  }
  for (const [request, ids] of idsOf) if (ids.length > 1) twice.push({ id: ids.join(' '), text: `${ids.length} ids of one request, ${request.path}`, request });
  for (const id of journal.sharedIds) twice.push({ id, text: 'two requests were answered with this id', request: journal.byId(id) });
  // a request that was never routed, because its client left first, has a row without a path: of these only how many there may be is known
  const explained = journal.requests.filter((request) => request.answer === null && !idsOf.has(request)).length;
  for (const row of nameless.slice(explained)) {
    phantom.push({ id: row.id, text: `a row without a path, ${row.method} ${row.outcome} ${row.status} at ${row.time}, and only ${explained} requests were left unanswered and have no other`, request: null });
  }
  const lost = journal.requests.filter(({ answer }) => answer !== null && (answer.id === null || !rows.has(answer.id)));
  return { lost, twice, phantom, other, stored: new Set(idsOf.keys()) };
}

const LATER_ROWS_MS = 9500;

function differenceOf({ answer, path, method, long, beganMs }: BegunRequest, id: string, row: Row): string | null {
  if (path !== null && row.path !== path) return `the row's path is ${row.path}, the request's ${path}`;
  if (answer === null) return null;
  if (answer.id !== id) return `answered under ${answer.id}`;
  if (row.method !== method) return `stored as ${row.method}, sent as ${method}`;
  if (row.status !== answer.status) return `stored with ${row.status}, answered with ${answer.status}`;
  // a response of more than 10 s has its later bytes in later rows; one that stood still for so long, too
  const hasLaterRows = (long || answer.atMs - beganMs > LATER_ROWS_MS) && row.bytes_out < answer.bytes;
  if (!hasLaterRows && row.bytes_out !== answer.bytes) return `stored with ${row.bytes_out} bytes, answered with ${answer.bytes}`;
  return null;
}
