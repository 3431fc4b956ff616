/** How a list of calls leaves: a page as JSON or CSV, or as CSV all that match, streamed. */
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { csvCell, csvLine, csvTime } from '../reports/csv.js';
import type { Asker } from '../reports/report-store.js';
import { openList, requestList, streamedCalls, type Call, type RequestsHead, type RequestsQuery } from '../reports/request-list.js';
import { eventFields } from '../reports/requests.js';
import { behind, lines, TYPES, type RepliesDeps } from './report-replies.js';

const TIMES: ReadonlySet<string> = new Set(['time', 'stored_at']);

export async function sendRequests(deps: RepliesDeps, query: RequestsQuery, reply: FastifyReply, asker: Asker): Promise<FastifyReply> {
  if (query.format === 'json') return reply.send(await requestList(deps, query, asker));
  const fields = ['id', ...eventFields(asker.principal.kind === 'operator')];
  const cell = (call: Call, name: string): string => (TIMES.has(name) ? csvTime(String(call[name]), query.dates, query.selection.timeZone) : csvCell(call[name] as string | number));
  const line = (call: Call): string => csvLine(fields.map((name) => cell(call, name)));
  if (query.limit !== null) {
    const { rows, next, ...head } = await requestList(deps, query, asker);
    if (next !== null) void reply.header('x-tidegate-next', next);
    return describe(reply, head).send(csvLine(fields) + rows.map(line).join(''));
  }
  const end = deps.store.beginStream(asker.principal);
  let body: Readable | null = null;
  try {
    const opened = await openList(deps, query, asker);
    const calls = streamedCalls(deps, { ...opened, asker: { ...asker, streams: true } });
    // what is wrong with the question shows with the first call, while it can still be said
    const first = await calls.next();
    body = Readable.from(lines(csvLine(fields), line)(behind(first, calls)));
    body.once('close', end).once('error', (error) => { deps.failed(error, 'requests'); });
    describe(reply, opened.head);
  } finally {
    if (body === null) end();
  }
  return reply.send(body);
}

/** That much of what the JSON says of the whole list travels in header fields. */
function describe(reply: FastifyReply, head: RequestsHead): FastifyReply {
  return reply.type(TYPES.csv).headers({
    'content-disposition': 'attachment; filename="requests.csv"', 'x-tidegate-as-of': head.as_of, ...(head.clipped === true ? { 'x-tidegate-clipped': head.from } : {}), 'cache-control': 'private, no-cache',
  });
}
