/** How a traffic or latency report leaves: at once with an ETag, in pages, or streamed. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LATENCY_CSV_HEAD, LATENCY_PARQUET, latencyCells, latencyCsv, latencyReport, latencyRows, type LatencyRow } from '../reports/latency.js';
import { parquetPieces } from '../reports/parquet.js';
import { openReport, streamedRows, trafficReport, type OpenedReport, type TrafficDeps, type TrafficHead, type TrafficRow } from '../reports/traffic.js';
import { csvHead, csvRow, ndjsonLine, parquetColumns, trafficJson } from '../reports/traffic-format.js';
import type { Format, TrafficQuery } from '../reports/traffic-query.js';

export const TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json; charset=utf-8', csv: 'text/csv; charset=utf-8; header=present', ndjson: 'application/x-ndjson; charset=utf-8', parquet: 'application/vnd.apache.parquet',
};

export interface RepliesDeps extends TrafficDeps {
  /** Told of a report that broke off while it was sent: its reader sees no end, and cannot be told why. */
  failed(error: Error, report: string): void;
}

/** Of lines that leave together. */
const PIECE_CHARACTERS = 64 * 1024;

/** @param signal aborts when the asker has left */
export async function sendTraffic(deps: RepliesDeps, query: TrafficQuery, request: FastifyRequest, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
  if (query.format === 'json') {
    const report = await trafficReport(deps, query, signal);
    return sendJson(report, trafficJson(report), request, reply);
  }
  const encode = query.format === 'parquet' ? (rows: AsyncIterable<TrafficRow>) => parquetPieces(parquetColumns(query), rows)
    : query.format === 'csv' ? lines(csvHead(query), (row: TrafficRow) => csvRow(row, query)) : lines('', ndjsonLine);
  if (query.limit !== null) {
    const report = await trafficReport(deps, query, signal);
    if (typeof report.next === 'string') void reply.header('x-tidegate-next', report.next);
    return describe(reply, report, query.format, 'traffic').send(Readable.from(encode(each(report.rows))));
  }
  return stream(deps, query, reply, signal, query.format, 'traffic', streamedRows, encode);
}

/** @param signal aborts when the asker has left */
export async function sendLatency(deps: RepliesDeps, query: TrafficQuery, request: FastifyRequest, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
  if (query.format === 'json') {
    const report = await latencyReport(deps, query, signal);
    return sendJson(report, JSON.stringify(report), request, reply);
  }
  const encode = query.format === 'parquet' ? (rows: AsyncIterable<LatencyRow>) => parquetPieces(LATENCY_PARQUET, latencyCells(rows))
    : query.format === 'csv' ? lines(LATENCY_CSV_HEAD, (row: LatencyRow) => latencyCsv(row, query)) : lines('', (row: LatencyRow) => `${JSON.stringify(row)}\n`);
  return stream(deps, query, reply, signal, query.format, 'latency', latencyRows, encode);
}

/** A row a line, with nothing said of the whole. */
export async function sendRows(rows: AsyncGenerator<object>, reply: FastifyReply, failed: (error: Error) => void): Promise<FastifyReply> {
  // what is wrong with the question shows with the first row, while it can still be said
  const first = await rows.next();
  const body = Readable.from(lines('', (row: object) => `${JSON.stringify(row)}\n`)(behind(first, rows))).once('error', failed);
  return reply.type(TYPES.ndjson).header('cache-control', 'no-store').send(body);
}

async function stream<Item>(
  deps: RepliesDeps, query: TrafficQuery, reply: FastifyReply, signal: AbortSignal, format: Exclude<Format, 'json'>, name: string,
  rowsOf: (opened: OpenedReport) => AsyncGenerator<Item>, encode: (rows: AsyncIterable<Item>) => AsyncIterable<string | Buffer>,
): Promise<FastifyReply> {
  const end = deps.store.beginStream(query.principal);
  let body: Readable | null = null;
  try {
    const opened = await openReport(deps, query, signal);
    const { reading } = opened;
    const rows = rowsOf({ ...opened, reading: { ...reading, asker: { ...reading.asker, streams: true } } });
    // what is wrong with the question shows with the first row, while it can still be said
    const first = await rows.next();
    body = Readable.from(encode(behind(first, rows)));
    body.once('close', end).once('error', (error) => { deps.failed(error, name); });
    describe(reply, opened.head, format, name);
  } finally {
    if (body === null) end();
  }
  return reply.send(body);
}

/**
 * The ETag is of what the report says, without as_of: the same question with the same answer keeps it however often it is asked. It is a weak one (RFC 9110
 * 8.8.1) for that.
 */
function sendJson(report: TrafficHead, text: string, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const tag = `W/"${createHash('sha256').update(text.replace(`"as_of":"${report.as_of}"`, '')).digest('base64url').slice(0, 22)}"`;
  void reply.headers({ etag: tag, 'cache-control': 'private, no-cache', vary: 'accept, authorization' });
  const known = request.headers['if-none-match']?.split(',').map((one) => one.trim()) ?? [];
  if (known.includes(tag)) return reply.code(304).send();
  return reply.type(TYPES.json).send(text);
}

/** That much of what the JSON says of the whole report travels in header fields. */
function describe(reply: FastifyReply, head: TrafficHead, format: Exclude<Format, 'json'>, name: string): FastifyReply {
  return reply.type(TYPES[format]).headers({
    'content-disposition': `attachment; filename="${name}.${format}"`, 'x-tidegate-as-of': head.as_of, 'x-tidegate-complete': String(head.complete),
    ...(head.clipped === true ? { 'x-tidegate-clipped': head.from } : {}), ...(head.recorded === false ? { 'x-tidegate-recorded': 'false' } : {}), 'cache-control': 'private, no-cache',
  });
}

/** What is left of the rows, the first one in front. */
export async function* behind<Item>(first: IteratorResult<Item, unknown>, rest: AsyncGenerator<Item>): AsyncGenerator<Item> {
  try {
    if (first.done !== true) yield first.value;
    yield* rest;
  } finally {
    // it may be left before it has come to them
    await rest.return(undefined);
  }
}

async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}

/** Text, a piece of many lines at a time. */
export function lines<Item>(head: string, line: (item: Item) => string): (items: AsyncIterable<Item>) => AsyncGenerator<string> {
  return async function* (items) {
    let piece = head;
    for await (const item of items) {
      piece += line(item);
      if (piece.length < PIECE_CHARACTERS) continue;
      yield piece;
      piece = '';
    }
    if (piece !== '') yield piece;
  };
}
