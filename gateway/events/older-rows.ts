/**
 * Rows of an older version as rows of today: each gets the Strings that it lacks, empty. Whoever reads a log does it at once (read-segment.ts, chunk.ts), so that nothing behind
 * knows of versions; but an insert that an older program had begun is made again with the rows that it had (docs/decisions/0052-why-a-request-was-refused.md).
 */
import { passString } from './columns/row-bytes.js';
import { columnsOf, ROW_VERSION, type RowVersion } from './event.js';
import { FIXED_BYTES, STRINGS } from './rows-fit.js';

/** @returns null: the bytes are not `count` rows of that version */
export function todaysRows(rows: Buffer, count: number, version: RowVersion): Buffer | null {
  if (version === ROW_VERSION) return rows;
  const lacks = columnsOf(ROW_VERSION).length - columnsOf(version).length;
  const strings = STRINGS[version];
  // an empty String is a 0
  const made = Buffer.alloc(rows.length + lacks * count);
  let at = 0;
  let to = 0;
  for (let i = 0; i < count; i++) {
    // stream, node and worker
    let end = passString(rows, at + 8) + 2 + FIXED_BYTES;
    for (let string = 0; string < strings; string++) end = passString(rows, end);
    if (end > rows.length) return null;
    to += rows.copy(made, to, at, end) + lacks;
    at = end;
  }
  return at === rows.length ? made : null;
}
