/** How an export of closed days leaves: streamed, and the same bytes each time; or what it is, as a manifest. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { problem } from '../../errors/problem.js';
import type { BillingEntry, ClosedEntries, EntrySelection } from '../billing/entry.js';
import { EXPORT_TYPES, exportPieces, summed, type EntrySums, type ExportPieces } from '../billing/export-format.js';
import { isToCome, type ExportQuery } from '../billing/export-query.js';
import { KeptFiles, selectionKey } from '../billing/kept-files.js';
import type { ReportStore } from '../reports/report-store.js';
import type { Store } from '../store/store.js';
import { behind } from './report-replies.js';

export interface BillingDeps {
  /** The ledger's closed days. */
  readonly entries: ClosedEntries;
  /** Where files and receipts are kept. */
  readonly store: Pick<Store, 'command' | 'query'>;
}

export interface ExportDeps extends BillingDeps {
  /** Whose bound on what is streamed at a time holds here too. */
  readonly line: Pick<ReportStore, 'beginStream'>;
  nowMs(): number;
  /** Told of an export that broke off while it was sent. */
  failed(error: Error, what: string): void;
}

/** What `manifest=true` answers; of the file `name`, as the API names it. */
export interface ExportManifest {
  readonly from: string;
  readonly to: string;
  /** Null: all. */
  readonly apps: readonly string[] | null;
  readonly format: string;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  readonly rows: number;
  readonly sums: Omit<EntrySums, 'rows'>;
}

/** Days that are counted, and those of them that are named. */
const MOST_COUNTED = 1000;
const MOST_NAMED = 20;

/** @param signal aborts when the asker has left. @throws report_busy, and what the ledger throws */
export async function sendExport(deps: ExportDeps, query: ExportQuery, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
  const { selection, format, name, principal } = query;
  const end = deps.line.beginStream(principal);
  let body: Readable | null = null;
  try {
    const refused = await refuseOpenDays(deps, query, reply);
    if (refused !== null) return refused;
    const sums: EntrySums = { rows: 0, received: 0, refused: 0, requests: 0, billable: 0, over_quota: 0 };
    const pieces = await filePieces(deps, query, sums);
    const file = `${name}.${EXPORT_TYPES[format].extension}`;
    if (query.manifest) {
      const { bytes, sha256 } = await digested(pieces, signal);
      const { rows, ...rest } = sums;
      const manifest: ExportManifest = { from: selection.fromDay, to: selection.toDay, apps: selection.apps, format, files: [{ name: file, bytes, sha256 }], rows, sums: rest };
      return await reply.header('cache-control', 'private, no-cache').send(manifest);
    }
    // what is wrong shows with the first piece, while it can still be said
    const first = await pieces.next();
    body = Readable.from(behind(first, pieces));
    body.once('close', end).once('error', (error) => { deps.failed(error, 'billing'); });
    void reply.type(EXPORT_TYPES[format].type).headers({ 'content-disposition': `attachment; filename="${file}"`, 'cache-control': 'private, no-cache' });
  } finally {
    if (body === null) end();
  }
  return reply.send(body);
}

/** An open day is refused by its name: what is exported is never added to. Why it is open names nodes and streams, and is not for apps. */
async function refuseOpenDays(deps: ExportDeps, { selection, principal }: ExportQuery, reply: FastifyReply): Promise<FastifyReply | null> {
  const open = await deps.entries.unclosed(selection, MOST_COUNTED);
  if (open.length === 0 && !isToCome(selection, deps.nowMs())) return null;
  const named = open.slice(0, MOST_NAMED).map(({ app, day, status, reasons }) => ({ app, day, status, ...(principal.kind === 'app' ? {} : { reasons }) }));
  const most = open.length >= MOST_COUNTED ? `${MOST_COUNTED} days or more` : `${open.length} ${open.length === 1 ? 'day' : 'days'}`;
  const more = open.length > named.length ? ', …' : '';
  const detail = open.length === 0 ? `The days before ${selection.toDay} are not over.` : `Not closed: ${most} of the selection: ${named.map(({ app, day, status }) => `${app} ${day} (${status})`).join(', ')}${more}.`;
  return reply.code(409).type('application/problem+json').send(problem('billing_days_open', detail, { open: open.length, days: named }));
}

/** The file, and its sums once it has been read to its end. */
async function filePieces({ entries, store }: BillingDeps, { selection, format, kept }: ExportQuery, sums: EntrySums): Promise<ExportPieces> {
  if (format !== 'parquet' || !kept) return exportPieces(format, selection, summed(entries.closed(selection), sums));
  const key = await selectionKey(summed(entries.closed(selection), sums));
  return new KeptFiles(store).file(key, () => exportPieces(format, selection, unchanged(entries, selection, key)));
}

/** The entries once more, which are those that `key` is of, or the file would be kept under a name that is not its own. */
async function* unchanged(entries: ClosedEntries, selection: EntrySelection, key: string): AsyncGenerator<readonly BillingEntry[]> {
  const pages = entries.closed(selection);
  const hash = createHash('sha256');
  for await (const page of pages) {
    for (const { checksum } of page) hash.update(`${checksum}\n`);
    yield page;
  }
  if (hash.digest('hex') !== key) throw new Error('closed days have changed while they were read');
}

async function digested(pieces: ExportPieces, signal: AbortSignal): Promise<{ readonly bytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of pieces) {
    signal.throwIfAborted();
    hash.update(piece);
    bytes += Buffer.byteLength(piece);
  }
  return { bytes, sha256: hash.digest('hex') };
}
