/** How a traffic or latency report leaves: at once with an ETag, in pages, or streamed. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { LATENCY_CSV_HEAD, latencyCsv, latencyReport, latencyRows, type LatencyRow } from '../reports/latency.js';
import { openReport, streamedRows, trafficReport, type OpenedReport, type TrafficDeps, type TrafficHead, type TrafficRow } from '../reports/traffic.js';
import { csvHead, csvRow, ndjsonLine, trafficJson } from '../reports/traffic-format.js';
import type { Format, TrafficQuery } from '../reports/traffic-query.js';

const TYPES: Readonly<Record<Format, string>> = { json: 'application/json; charset=utf-8', csv: 'text/csv; charset=utf-8; header=present', ndjson: 'application/x-ndjson; charset=utf-8' };
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
  const line = query.format === 'csv' ? (row: TrafficRow) => csvRow(row, query) : ndjsonLine;
  const head = query.format === 'csv' ? csvHead(query) : '';
  if (query.limit !== null) {
    const report = await trafficReport(deps, query, signal);
    if (typeof report.next === 'string') void reply.header('x-tidegate-next', report.next);
    return describe(reply, report, query.format, 'traffic').send([head, ...report.rows.map(line)].join(''));
  }
  return stream(deps, query, reply, signal, query.format, 'traffic', head, streamedRows, line);
}

/** @param signal aborts when the asker has left */
export async function sendLatency(deps: RepliesDeps, query: TrafficQuery, request: FastifyRequest, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
  if (query.format === 'json') {
    const report = await latencyReport(deps, query, signal);
    return sendJson(report, JSON.stringify(report), request, reply);
  }
  const line = query.format === 'csv' ? latencyCsv : (row: LatencyRow) => `${JSON.stringify(row)}\n`;
  return stream(deps, query, reply, signal, query.format, 'latency', query.format === 'csv' ? LATENCY_CSV_HEAD : '', latencyRows, line);
}

/** A row a line, with nothing said of the whole. */
export async function sendRows(rows: AsyncGenerator<object>, reply: FastifyReply, failed: (error: Error) => void): Promise<FastifyReply> {
  // what is wrong with the question shows with the first row, while it can still be said
  const first = await rows.next();
  const body = Readable.from(pieces('', first, rows, (row) => `${JSON.stringify(row)}\n`)).once('error', failed);
  return reply.type(TYPES.ndjson).header('cache-control', 'no-store').send(body);
}

async function stream<Item>(
  deps: RepliesDeps, query: TrafficQuery, reply: FastifyReply, signal: AbortSignal, format: Exclude<Format, 'json'>, name: string,
  head: string, rowsOf: (opened: OpenedReport) => AsyncGenerator<Item>, line: (item: Item) => string,
): Promise<FastifyReply> {
  const end = deps.store.beginStream(query.principal);
  let body: Readable | null = null;
  try {
    const opened = await openReport(deps, query, signal);
    const { reading } = opened;
    const rows = rowsOf({ ...opened, reading: { ...reading, asker: { ...reading.asker, streams: true } } });
    // what is wrong with the question shows with the first row, while it can still be said
    const first = await rows.next();
    body = Readable.from(pieces(head, first, rows, line));
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
    'content-disposition': `attachment; filename="${name}.${format}"`, 'x-tidegate-as-of': head.as_of, 'x-tidegate-complete': String(head.complete), 'cache-control': 'private, no-cache',
  });
}

async function* pieces<Item>(head: string, first: IteratorResult<Item, unknown>, rest: AsyncGenerator<Item>, line: (item: Item) => string): AsyncGenerator<string> {
  let piece = head;
  for (let next = first; next.done !== true; next = await rest.next()) {
    piece += line(next.value);
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}
