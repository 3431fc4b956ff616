/** The files that are made of closed days: the same bytes of the same entries, whenever they are made. No time of making is in them. */
import { csvCell, csvLine } from '../reports/csv.js';
import { parquetPieces, type ParquetColumn } from '../reports/parquet.js';
import { cloudEvent } from './cloud-event.js';
import { ENTRY_FIELDS, type BillingEntry, type EntrySelection } from './entry.js';
import type { ExportFormat } from './export-query.js';

/** Pieces of the file, entries some at a time in memory. */
export type ExportPieces = AsyncGenerator<string | Buffer>;

export const EXPORT_TYPES: Readonly<Record<ExportFormat, { readonly type: string; readonly extension: string }>> = {
  csv: { type: 'text/csv; charset=utf-8; header=present', extension: 'csv' },
  json: { type: 'application/json; charset=utf-8', extension: 'json' },
  ndjson: { type: 'application/x-ndjson; charset=utf-8', extension: 'ndjson' },
  parquet: { type: 'application/vnd.apache.parquet', extension: 'parquet' },
  cloudevents: { type: 'application/cloudevents-batch+json; charset=utf-8', extension: 'cloudevents.json' },
};

export function exportPieces(format: ExportFormat, selection: EntrySelection, pages: AsyncIterable<readonly BillingEntry[]>): ExportPieces {
  switch (format) {
    case 'csv': return lines(csvLine(ENTRY_FIELDS), pages, csvEntry, '', '');
    case 'ndjson': return lines('', pages, (entry) => `${jsonEntry(entry)}\n`, '', '');
    case 'json': return lines(`{"from":"${selection.fromDay}","to":"${selection.toDay}","entries":[`, pages, jsonEntry, ',\n', ']}\n');
    case 'cloudevents': return lines('[', pages, (entry) => JSON.stringify(cloudEvent(ordered(entry))), ',\n', ']\n');
    case 'parquet': return parquetPieces(COLUMNS, entriesOf(pages));
  }
}

/** What a manifest says of the entries. */
export interface EntrySums { rows: number; received: number; refused: number; requests: number; billable: number; over_quota: number }

/** The pages as they are; `sums` grows with them. */
export async function* summed(pages: AsyncIterable<readonly BillingEntry[]>, sums: EntrySums): AsyncGenerator<readonly BillingEntry[]> {
  for await (const page of pages) {
    for (const entry of page) {
      sums.rows += 1;
      for (const name of ['received', 'refused', 'requests', 'billable', 'over_quota'] as const) sums[name] += entry[name];
    }
    yield page;
  }
}

/** Fields in their order, whatever order the entry was made in. */
const ordered = (entry: BillingEntry): BillingEntry => Object.fromEntries(ENTRY_FIELDS.map((name) => [name, entry[name]])) as unknown as BillingEntry;
const jsonEntry = (entry: BillingEntry): string => JSON.stringify(ordered(entry));

/** What was never known is an empty cell; a credit is a negative number, and stays one. */
const csvEntry = (entry: BillingEntry): string => csvLine(ENTRY_FIELDS.map((name) => {
  const value = entry[name];
  return value === null ? '' : typeof value === 'boolean' ? value : csvCell(value);
}));

/** By a field's type, so that a field that is added is written too. */
const NUMBERS: ReadonlySet<string> = new Set(['received', 'refused', 'requests', 'billable', 'quota', 'over_quota']);
const COLUMNS: readonly ParquetColumn<BillingEntry>[] = ENTRY_FIELDS.map((name) => ({
  name, type: NUMBERS.has(name) ? 'integer' : name === 'complete' ? 'boolean' : 'text', of: (entry) => entry[name], ...(name === 'quota' ? { nullable: true } : {}),
}));

async function* entriesOf(pages: AsyncIterable<readonly BillingEntry[]>): AsyncGenerator<BillingEntry> {
  for await (const page of pages) yield* page;
}

async function* lines(head: string, pages: AsyncIterable<readonly BillingEntry[]>, line: (entry: BillingEntry) => string, between: string, end: string): ExportPieces {
  let first = true;
  if (head !== '') yield head;
  for await (const page of pages) {
    if (page.length === 0) continue;
    yield `${first ? '' : between}${page.map(line).join(between)}`;
    first = false;
  }
  if (end !== '') yield end;
}
