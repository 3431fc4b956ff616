/**
 * The access event: the contract between the gateway, which writes one a request, and the collector, which stores it. The row's
 * bytes are ClickHouse's RowBinary in the order of EVENT_COLUMNS, so nobody downstream rebuilds it.
 */
import type { Label } from './labels.js';
import { OUTCOMES, type Outcome } from './outcomes.js';

/** Column name and ClickHouse type, in the row's order. `stored_at` is the store's own. */
export const EVENT_COLUMNS = [
  // the same for every row of a stream
  ['stream', 'UInt64'], ['node', 'String'], ['worker', 'UInt16'],
  // the row's own numbers, fixed width
  ['seq', 'UInt64'], ['ordinal', 'UInt64'], ['time', "DateTime64(3, 'UTC')"],
  ['duration_us', 'UInt64'], ['upstream_us', 'UInt64'], ['bytes_in', 'UInt64'], ['bytes_out', 'UInt64'],
  ['status', 'UInt16'], ['method', 'Enum8'], ['outcome', 'Enum8'], ['protocol', 'Enum8'], ['kind', 'Enum8'],
  ['requests', 'UInt8'], ['counted', 'UInt8'], ['billable', 'UInt8'], ['attempts', 'UInt8'],
  // labels
  ['config_version', 'String'], ['service', 'String'], ['route', 'String'], ['app', 'String'], ['target', 'String'],
  ['client', 'String'], ['path', 'String'], ['trace_id', 'String'],
  // label: why it was refused; both '' where it was not (refusals.ts)
  ['refused_by', 'String'], ['reason', 'String'],
] as const;

/**
 * Of a row, of the frame that it lies in, and of an insert that was begun with it. A row says nothing of its form, so each version has the columns of the one before it and more Strings at
 * the end: an older row becomes one of today by empty Strings (older-rows.ts).
 */
export type RowVersion = 1 | 2;
export const ROW_VERSION: RowVersion = 2;
export const ROW_VERSIONS: readonly RowVersion[] = [1, 2];
const COLUMNS_OF: Readonly<Record<RowVersion, number>> = { 1: EVENT_COLUMNS.length - 2, 2: EVENT_COLUMNS.length };

export const columnsOf = (version: RowVersion): readonly (typeof EVENT_COLUMNS)[number][] => EVENT_COLUMNS.slice(0, COLUMNS_OF[version]);

/** Enum8 values; never reused, never changed. `other` stands for methods outside the list. */
export const METHODS = {
  other: 0, GET: 1, HEAD: 2, POST: 3, PUT: 4, DELETE: 5, PATCH: 6, OPTIONS: 7, TRACE: 8, CONNECT: 9, PROPFIND: 10, PROPPATCH: 11, MKCOL: 12,
  COPY: 13, MOVE: 14, LOCK: 15, UNLOCK: 16, REPORT: 17, SEARCH: 18, PURGE: 19, QUERY: 20,
} as const;
export type Method = keyof typeof METHODS;

export const PROTOCOLS = { 'http/1.0': 1, 'http/1.1': 2, 'h2': 3, 'websocket': 4, 'grpc': 5, 'tcp': 6 } as const;
export type Protocol = keyof typeof PROTOCOLS;

/** `request`: the request's one row; `interim`: a later row of a long connection (requests = 0); `import`: from an existing log. */
export const KINDS = { request: 1, interim: 2, import: 3 } as const;
export type Kind = keyof typeof KINDS;

/** In place of a worker's slot: the stream is that of an imported log (docs/decisions/0030-imported-logs.md). Its rows have times of their own, whenever they were written. */
export const IMPORT_WORKER = 65_535;
/** In place of a worker's slot: no worker wrote the stream, it stands for a gap in the record (gap-stream.ts). */
export const GAP_WORKER = 65_534;

export const outcomeId = (name: Outcome): number => OUTCOMES[name].id;

/**
 * What the encoder reads from a finished request. The exchange itself has this shape, so nothing is copied. Labels are made once, by
 * `encodeLabels`, when the configuration is compiled.
 */
export interface EventFacts {
  readonly ordinal: number;
  /** Moment of admission, ms since the epoch, inside the day of the quota lease that admitted it. */
  readonly timeMs: number;
  readonly durationUs: number;
  readonly upstreamUs: number;
  /** Body bytes received from the client, and sent to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** The status sent; 0 if none was. */
  readonly status: number;
  readonly methodId: number;
  readonly outcomeId: number;
  readonly protocolId: number;
  readonly kindId: number;
  /** 1, or 0 for the interim rows of a long connection. */
  readonly requests: 0 | 1;
  readonly counted: 0 | 1;
  readonly billable: 0 | 1;
  /** Upstream attempts made. */
  readonly attempts: number;
  /** encodeLabels(config_version) */
  readonly versionLabel: Label;
  /** encodeLabels(service, route); empty names where no route matched. */
  readonly routeLabel: Label;
  /** encodeLabels(app) */
  readonly appLabel: Label;
  /** The app's name ('' if none): for the tally of dropped events. */
  readonly appName: string;
  /** encodeLabels(target) */
  readonly targetLabel: Label;
  /** The client's address as the privacy setting keeps it. */
  readonly client: string;
  /** The path as the service's record_path keeps it. */
  readonly recordedPath: string;
  readonly traceId: string;
  /** encodeLabels(refused_by, reason); NOT_REFUSED of refusals.ts where it was let through. */
  readonly refusalLabel: Label;
}

/** In place of an app's name in what is stored, once the app was erased. No app can be called so: names have no parentheses. */
export const ERASED = '(erased)';
