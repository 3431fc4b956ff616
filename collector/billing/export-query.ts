/** What may be asked of `GET /v1/billing/export`: the schema of its query string, and the typed value made of it. */
import Type, { type Static } from 'typebox';
import type { Principal } from '../reports/principal.js';
import type { EntrySelection } from './entry.js';
import type { Clock } from '../reports/time-text.js';
import { parseSelection, SELECTION } from './selection.js';

export const EXPORT_FORMATS = ['csv', 'json', 'ndjson', 'parquet', 'cloudevents'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

export const ExportParameters = Type.Object({
  ...SELECTION,
  format: Type.Optional(Type.Enum([...EXPORT_FORMATS], { description: 'Default: as Accept says, else json.' })),
  manifest: Type.Optional(Type.Boolean({ description: 'In place of the file what it is: name, bytes, SHA-256, rows, sums.' })),
}, { additionalProperties: false });
export type ExportParameters = Static<typeof ExportParameters>;

export interface ExportQuery {
  readonly selection: EntrySelection;
  readonly format: ExportFormat;
  readonly manifest: boolean;
  /** Its Parquet file is kept: of a month, of one app or all. There are few of these, where there are very many ranges. */
  readonly kept: boolean;
  /** Of the file, without an extension: `billing-2026-11`. */
  readonly name: string;
  readonly principal: Principal;
}

/** @throws invalid_parameter; operator_only: another app's */
export function parseExportQuery(parameters: ExportParameters, context: { readonly principal: Principal; readonly accept: string; readonly clock: Clock }): ExportQuery {
  const { principal, accept } = context;
  const { format = acceptedFormat(accept), manifest = false, ...selected } = parameters;
  const selection = parseSelection(selected, principal, null, context.clock);
  const { month } = selected;
  return { selection, format, manifest, principal, kept: month !== undefined && (selection.apps === null || selection.apps.length === 1), name: month === undefined ? `billing-${selection.fromDay}-to-${selection.toDay}` : `billing-${month}` };
}

/**
 * True while a day of the selection may not be over. Of all apps: in any zone, the last of which is 12 h behind UTC, for an app that is named now may be there. Of apps that are
 * named: in the first, Kiritimati's, 14 h ahead; of the others the ledger knows.
 */
export const isToCome = ({ toDay, apps }: EntrySelection, nowMs: number): boolean => nowMs < Date.parse(`${toDay}T00:00:00Z`) + (apps === null ? 12 : -14) * 3_600_000;

function acceptedFormat(accept: string): ExportFormat {
  if (/^\s*text\/csv\b/i.test(accept)) return 'csv';
  if (/^\s*application\/vnd\.apache\.parquet\b/i.test(accept)) return 'parquet';
  if (/^\s*application\/cloudevents-batch\+json/i.test(accept)) return 'cloudevents';
  return /^\s*application\/(x-)?(ndjson|jsonl)\b/i.test(accept) ? 'ndjson' : 'json';
}
