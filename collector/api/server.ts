/**
 * The collector's own HTTP server, on a Unix socket in the node's run directory: reports, completeness, requests. The supervisor alone
 * reaches it (the directory is the operator's), checks who asks, and says so in x-tidegate-principal.
 */
import { chmodSync, rmSync } from 'node:fs';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { ERROR_CODES, type ErrorCode } from '../../errors/codes.js';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { problem } from '../../errors/problem.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ERASED } from '../../gateway/events/event.js';
import { WhatifQuestion } from '../../gateway/whatif/rules.js';
import type { Collector } from '../collector.js';
import { ExportParameters, parseExportQuery } from '../billing/export-query.js';
import { Receipts, ReceiptsBody } from '../billing/receipts.js';
import { LiveCounters } from '../counters/live-counters.js';
import { APP_TABLES, appRows } from '../erasure/app-data.js';
import type { ErasureLine } from '../erasure/erasure.js';
import type { Quarantine } from '../log/quarantined.js';
import type { RebuildLine } from '../rebuild/rebuild.js';
import type { RecoverLine } from '../recover/recover.js';
import type { Span } from '../completeness/completeness.js';
import { CompletenessAnswers, type Judged } from '../reports/completeness-answers.js';
import { CountedQuestion, countedRequests } from '../reports/counted.js';
import { isTimeZone } from '../reports/calendar.js';
import { liveEvent, liveReport } from '../reports/live.js';
import { parsePrincipal, PRINCIPAL_FIELD, TIME_ZONE_FIELD, type Principal } from '../reports/principal.js';
import { ReportStore, type Asker, type QueryStore } from '../reports/report-store.js';
import { parseRequestsQuery, RequestsParameters } from '../reports/request-list.js';
import { requestEvent } from '../reports/requests.js';
import type { TrafficDeps } from '../reports/traffic.js';
import { LatencyParameters, parseTrafficQuery, TrafficParameters, type TrafficQuery } from '../reports/traffic-query.js';
import { registerBillingDays, type Days } from './billing-days.js';
import { CompletenessParameters, completenessReply } from './completeness-reply.js';
import { whatif } from '../reports/whatif.js';
import { sendLatency, sendRows, sendTraffic, type RepliesDeps } from './report-replies.js';
import { sendRequests } from './request-replies.js';
import { sendSteps } from './step-lines.js';
import { sendExport, type BillingDeps } from './export-replies.js';

export interface CollectorApiDeps {
  readonly store: QueryStore;
  /** ms since the epoch; everything recorded before it is stored. */
  asOfMs(): number;
  /** See collector/completeness: of each of these times, which follow each other. Reads the store; asked when the line of reports has come to it. */
  completeness(spans: readonly Span[]): Promise<readonly Judged[]>;
  kept: TrafficDeps['kept'];
  /** See collector/log/quarantined.ts. */
  readonly quarantine: Pick<Quarantine, 'list' | 'replay'>;
  /** What changes the record; absent: there are no such endpoints. */
  readonly records?: Pick<Collector, 'rebuild' | 'recover' | 'erase'>;
  /** What answers of days, and takes an operator's word on them; absent: there are no such endpoints. */
  readonly days?: Days;
  /** What is closed, and where is kept what was exported of it. Absent: no ledger is kept here. */
  readonly billing?: BillingDeps;
  /** The collector's own state, for the supervisor's status and metrics. */
  status(): unknown;
  nowMs?: () => number;
  readonly log: Readonly<Record<'debug' | 'warn' | 'error', (fields: Readonly<Record<string, unknown>>, message: string) => void>>;
}

const LiveParameters = Type.Object({ time_zone: Type.Optional(Type.String()) }, { additionalProperties: false });
const AppDataParameters = Type.Object({ table: Type.Optional(Type.Enum([...APP_TABLES])) }, { additionalProperties: false });
const RebuildParameters = Type.Object({ swap: Type.Optional(Type.Boolean()) }, { additionalProperties: false });
const RecoverParameters = Type.Object({ put_back: Type.Optional(Type.Boolean()) }, { additionalProperties: false });
const NoParameters = Type.Object({}, { additionalProperties: false });

/** 100,000 streams. */
const COUNTED_LIMIT_BYTES = 8 * 1024 * 1024;
/** As what the control origin takes. */
const WHATIF_LIMIT_BYTES = 16 * 1024 * 1024;
const LIVE_EVERY_MS = 1000;
/** Then its reader asks anew, as event sources do by themselves, and shows a credential that is still good. */
const LIVE_FOR_MS = 900_000;
/** A request's head and (absent) body must be here within this. */
const REQUEST_TIMEOUT_MS = 10_000;

export function createCollectorApi(deps: CollectorApiDeps): FastifyInstance {
  const nowMs = deps.nowMs ?? Date.now;
  const store = new ReportStore(deps.store);
  const counters = new LiveCounters({ store, asOfMs: () => deps.asOfMs(), nowMs });
  const completeness = new CompletenessAnswers({ line: store, nowMs, asOfMs: () => deps.asOfMs(), judge: (spans) => deps.completeness(spans) });
  const traffic: RepliesDeps = {
    store, nowMs, kept: () => deps.kept(), asOfMs: () => deps.asOfMs(), completeness: (fromMs, toMs, asker) => completeness.of(fromMs, toMs, asker),
    failed: (error, report) => { deps.log.error({ err: error, report }, 'a report broke off while it was sent'); },
  };
  const server = Fastify({
    requestTimeout: REQUEST_TIMEOUT_MS, connectionTimeout: 0, forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: 'array', removeAdditional: false } },
  });
  server.setErrorHandler((error: FastifyError | TidegateError, request, reply) => sendError(deps, error, request, reply));
  server.setNotFoundHandler((request, reply) => reply.code(404).type('application/problem+json').send(problem('not_found', `${request.method} ${request.url.split('?')[0]}`)));

  // the supervisor's own questions: never forwarded for anybody
  server.get('/status', { schema: { querystring: NoParameters } }, () => deps.status());
  server.post<{ Body: CountedQuestion }>('/counted', { schema: { body: CountedQuestion }, bodyLimit: COUNTED_LIMIT_BYTES }, (request) => countedRequests(deps.store, request.body));

  const asked = (request: FastifyRequest<{ Querystring: TrafficParameters }>): TrafficQuery => parseTrafficQuery(request.query, {
    nowMs: nowMs(), principal: principalOf(request), defaultTimeZone: defaultZone(request), accept: request.headers.accept ?? '',
  });
  server.get<{ Querystring: TrafficParameters }>('/v1/reports/traffic', { schema: { querystring: TrafficParameters } }, async (request, reply) => {
    return sendTraffic(traffic, asked(request), request, reply, goneSignal(reply));
  });

  server.get<{ Querystring: LatencyParameters }>('/v1/reports/latency', { schema: { querystring: LatencyParameters } }, async (request, reply) => {
    return sendLatency(traffic, asked(request), request, reply, goneSignal(reply));
  });

  server.get<{ Querystring: Static<typeof LiveParameters> }>('/v1/reports/live', { schema: { querystring: LiveParameters } }, async (request, reply) => {
    const principal = principalOf(request);
    const timeZone = zone(request.query.time_zone, request);
    const read = () => liveReport(counters, principal, timeZone);
    if (!/\btext\/event-stream\b/i.test(request.headers.accept ?? '')) return read();
    return streamLive(reply, await read(), read);
  });

  server.get<{ Querystring: RequestsParameters }>('/v1/requests', { schema: { querystring: RequestsParameters } }, (request, reply) => {
    const principal = principalOf(request);
    const query = parseRequestsQuery(request.query, { nowMs: nowMs(), principal, defaultTimeZone: defaultZone(request), accept: request.headers.accept ?? '' });
    return sendRequests(traffic, query, reply, { principal, signal: goneSignal(reply) });
  });

  server.get<{ Params: { id: string } }>('/v1/requests/:id', { schema: { querystring: NoParameters } }, (request, reply) =>
    requestEvent(store, request.params.id, { principal: principalOf(request), signal: goneSignal(reply) }));

  server.get<{ Querystring: CompletenessParameters }>('/v1/completeness', { schema: { querystring: CompletenessParameters } }, (request, reply) =>
    completenessReply(completeness, request.query, { nowMs: nowMs(), timeZone: zone(request.query.time_zone, request) }, { principal: principalOf(request), signal: goneSignal(reply) }));

  if (deps.days !== undefined) registerBillingDays(server, { days: deps.days, line: store, nowMs, asOfMs: () => deps.asOfMs(), principalOf, mustBeOperator, goneSignal, defaultZone });
  server.post<{ Body: WhatifQuestion }>('/v1/whatif', { schema: { querystring: NoParameters, body: WhatifQuestion }, bodyLimit: WHATIF_LIMIT_BYTES }, (request, reply) => {
    mustBeOperator(request);
    return whatif(traffic, request.body, { principal: principalOf(request), signal: goneSignal(reply) });
  });

  server.get('/v1/quarantine', { schema: { querystring: NoParameters } }, async (request) => {
    mustBeOperator(request, OF_ANY_APP);
    return { items: await deps.quarantine.list() };
  });

  const { records } = deps;
  if (records !== undefined) {
    server.post<{ Querystring: Static<typeof RebuildParameters> }>('/v1/rebuild', { schema: { querystring: RebuildParameters } }, (request, reply) => {
      mustBeOperator(request);
      const swap = request.query.swap ?? false;
      return sendSteps<RebuildLine>(deps.log, (signal, tell) => records.rebuild({ swap, signal, tell }), reply, goneSignal(reply));
    });
    server.post<{ Querystring: Static<typeof RecoverParameters> }>('/v1/recover', { schema: { querystring: RecoverParameters } }, (request, reply) => {
      mustBeOperator(request);
      const putBack = request.query.put_back ?? false;
      return sendSteps<RecoverLine>(deps.log, (signal, tell) => records.recover({ putBack, signal, tell }), reply, goneSignal(reply));
    });
    server.post<{ Params: { name: string } }>('/v1/apps/:name/erase', { schema: { querystring: NoParameters } }, (request, reply) => {
      mustBeOperator(request);
      const { name } = request.params;
      if (name === ERASED) throw new InvalidParameterError('name', 'what is erased has no app any more');
      return sendSteps<ErasureLine>(deps.log, (signal, tell) => records.erase(name, { signal, tell }), reply, goneSignal(reply));
    });
  }

  server.get<{ Params: { name: string }; Querystring: Static<typeof AppDataParameters> }>('/v1/apps/:name/data', { schema: { querystring: AppDataParameters } }, (request, reply) => {
    mustBeOperator(request);
    const asker: Asker = { principal: principalOf(request), signal: goneSignal(reply), streams: true };
    return sendRows(appRows(store, request.params.name, request.query.table ?? 'events', asker), reply, (error) => { deps.log.error({ err: error }, 'an app\'s data broke off while it was sent'); });
  });

  server.post<{ Params: { id: string } }>('/v1/quarantine/:id/replay', { schema: { querystring: NoParameters } }, (request) => {
    mustBeOperator(request, OF_ANY_APP);
    return deps.quarantine.replay(request.params.id);
  });

  server.get<{ Querystring: ExportParameters }>('/v1/billing/export', { schema: { querystring: ExportParameters } }, async (request, reply) => {
    const query = parseExportQuery(request.query, { principal: principalOf(request), accept: request.headers.accept ?? '', clock: { nowMs: nowMs(), timeZone: defaultZone(request) } });
    const failed = (error: Error, report: string): void => { deps.log.error({ err: error, report }, 'an export broke off while it was sent'); };
    return sendExport({ ...billingOf(deps), line: store, nowMs, failed }, query, reply, goneSignal(reply));
  });

  server.post<{ Body: ReceiptsBody }>('/v1/billing/receipts', { schema: { body: ReceiptsBody, querystring: NoParameters } }, (request) => {
    mustBeOperator(request);
    return new Receipts(billingOf(deps).store, nowMs).note(request.body);
  });
  return server;
}

/** Listens on a Unix socket; what a dead collector left at its path is removed. */
export async function listenCollectorApi(server: FastifyInstance, socketPath: string): Promise<void> {
  rmSync(socketPath, { force: true });
  await server.listen({ path: socketPath });
  chmodSync(socketPath, 0o600);
}

/** @throws unauthenticated: nothing but the supervisor asks here, and it always says who */
function principalOf(request: FastifyRequest): Principal {
  const principal = parsePrincipal(request.headers[PRINCIPAL_FIELD]);
  if (principal === null) throw new TidegateError('unauthenticated', `${PRINCIPAL_FIELD} is missing or not valid`);
  return principal;
}

/** @throws not_found: this collector has no ledger */
function billingOf({ billing }: CollectorApiDeps): BillingDeps {
  if (billing === undefined) throw new TidegateError('not_found', 'No ledger of closed days is kept here.');
  return billing;
}

/** @throws operator_only */
function mustBeOperator(request: FastifyRequest, why = 'It is of all apps.'): void {
  if (principalOf(request).kind !== 'operator') throw new TidegateError('operator_only', why);
}

const OF_ANY_APP = 'What could not be read may be of any app.';

function defaultZone(request: FastifyRequest): string {
  const given = request.headers[TIME_ZONE_FIELD];
  return typeof given === 'string' && isTimeZone(given) ? given : 'UTC';
}

function zone(asked: string | undefined, request: FastifyRequest): string {
  if (asked !== undefined && !isTimeZone(asked)) throw new InvalidParameterError('time_zone', 'must be an IANA name such as Asia/Kolkata');
  return asked ?? defaultZone(request);
}

/** Aborts when the asker has left before its answer. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => { if (!reply.raw.writableFinished) gone.abort(new TidegateError('report_busy', 'the asker has left')); });
  return gone.signal;
}

/** One event a second until the reader leaves, or its time is over; a reader that takes nothing gets no more until it does. */
async function streamLive(reply: FastifyReply, first: Awaited<ReturnType<typeof liveReport>>, read: () => ReturnType<typeof liveReport>): Promise<FastifyReply> {
  reply.hijack();
  const out = reply.raw;
  out.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
  out.write(liveEvent(first));
  let busy = false;
  const timer = setInterval(() => {
    if (busy || out.writableNeedDrain) return;
    busy = true;
    // a second without numbers is a comment line: the reader knows that the stream lives
    read().then((live) => out.write(liveEvent(live)), () => out.write(': no numbers\n\n')).finally(() => { busy = false; });
  }, LIVE_EVERY_MS);
  const end = setTimeout(() => out.end(), LIVE_FOR_MS);
  out.once('close', () => {
    clearInterval(timer);
    clearTimeout(end);
  });
  return reply;
}

function sendError(deps: CollectorApiDeps, error: FastifyError | TidegateError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const said = toTidegateError(error);
  const status = said === null ? 500 : ERROR_CODES[said.code].status;
  const url = request.url.split('?')[0];
  // nobody is there to be told
  if (reply.raw.destroyed) deps.log.debug({ url }, 'a report was given up: the asker has left');
  // nothing is broken: the asker is told to come back
  else if (said?.code === 'report_busy') deps.log.warn({ code: said.code, url }, `a report was not made: ${said.message}`);
  else if (said === null || status === 0 || status >= 500) deps.log.error({ err: error, url }, 'a report failed');
  // what the store says of itself is for the log only
  if (said === null || status === 0) return reply.code(500).type('application/problem+json').send(problem('internal_error', 'The report failed; the collector\'s log says why.'));
  const members = said instanceof InvalidParameterError ? { parameter: said.parameter, ...(said.allowed === null ? {} : { allowed: said.allowed }) } : {};
  return reply.code(status).type('application/problem+json').send(problem(said.code, said.message, members));
}

/** Foreign errors become ours here; null: a fault of this program. */
function toTidegateError(error: FastifyError | TidegateError): TidegateError | null {
  if (error instanceof TidegateError) return error;
  const [found] = error.validation ?? [];
  if (found !== undefined) {
    if (found.keyword === 'additionalProperties') return new InvalidParameterError(String(found.params['additionalProperty']), 'there is no such parameter');
    const missing = found.params['missingProperty'];
    const name = found.instancePath.split('/')[1] ?? (typeof missing === 'string' ? missing : 'body');
    const allowed = found.params['allowedValues'];
    return new InvalidParameterError(name, found.message ?? 'not valid', Array.isArray(allowed) ? allowed as string[] : null);
  }
  const status = error.statusCode ?? 500;
  const code: ErrorCode = status === 405 ? 'method_not_allowed' : 'malformed_request';
  return status >= 400 && status < 500 ? new TidegateError(code, error.message) : null;
}
