/** The control origin: health, metrics, status, configuration, keys; reports are forwarded to the collector. And the apps' own listener, for their reports alone. Bearer tokens. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import Fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { ERROR_CODES, type ErrorCode } from '../../errors/codes.js';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { problem } from '../../errors/problem.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ConfigProblem } from '../config/config-problem.js';
import type { KeyScope } from '../config/keys.js';
import { LOG_LEVELS, type LogLevel } from '../config/log-level.js';
import { durationMs } from '../config/units.js';
import { LEVEL_FOR_MS, MOST_LEVEL_FOR_MS } from '../supervisor/log-settings.js';
import { admit, identifyPrincipal, isLocal, takeQuery } from './access.js';
import { ConnectionBounds } from './connection-bounds.js';
import type { ControlDeps, Principal } from './control-deps.js';
import { BodyRoom, discardRest, parseBodies } from './bodies.js';
import { ENDPOINTS, endpointsAt, MAY_USE, type Endpoint, type EndpointName, type Origin } from './endpoints.js';
import { CollectorForward } from './forward.js';
import { openApi } from './openapi.js';
import { ScrapesUnderWay } from './scrapes-under-way.js';
import { WrongTokensLimitedError } from './wrong-tokens.js';

/** A request must be here whole within this; answers may take longer. */
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_TIMEOUT_MS = 30_000;
/** Of one origin, which strangers may reach: a flood of them must leave the supervisor room for its workers. */
const MAX_CONNECTIONS = 1000;
/** Of a name in a path, in characters. */
const MAX_NAME_LENGTH = 200;

const SECURITY_FIELDS = {
  'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
};

/** Codes of refusals that leave a body unread. */
const REFUSED_BODY: ReadonlySet<ErrorCode> = new Set(['body_too_large', 'bodies_busy', 'malformed_request']);

type Handler = (request: FastifyRequest, reply: FastifyReply, principal: Principal | null) => unknown;

/** @param version of the program, for /openapi.json */
export function createControlServer(deps: ControlDeps, version: string): FastifyInstance {
  return createServer(deps, 'control', openApi(version));
}

/** Of `reports.address`. */
export function createReportsServer(deps: ControlDeps): FastifyInstance {
  return createServer(deps, 'reports', null);
}

/** @param description for /openapi.json */
function createServer(deps: ControlDeps, origin: Origin, description: unknown): FastifyInstance {
  const server = Fastify({
    requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS, forceCloseConnections: true,
    exposeHeadRoutes: false, routerOptions: { maxParamLength: MAX_NAME_LENGTH },
    ajv: { customOptions: { coerceTypes: 'array', removeAdditional: false } },
    clientErrorHandler: sendClientError,
    // what the router refuses comes neither to the hooks nor to the error handler
    frameworkErrors: (error, request, reply) => { sendError(deps, error, request, reply.headers(SECURITY_FIELDS)); },
  });
  const forward = new CollectorForward(deps);
  server.addHook('onClose', () => forward.close());
  server.addHook('onRequest', (request, reply, done) => {
    reply.headers(SECURITY_FIELDS);
    if (!request.is404) return done();
    // before its body is read, and without reading it: anybody may ask for what is not there
    if (request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined) void reply.header('connection', 'close');
    sendNotFound(origin, request, reply);
  });
  new ConnectionBounds({
    // those of the operator's own machine and tools are bounded together alone
    most: MAX_CONNECTIONS, perClient: origin === 'reports' ? () => deps.connectionsPerClient() : () => Number.POSITIVE_INFINITY, trustedProxies: () => deps.trustedProxies(), log: deps.log,
  }).watch(server.server);
  parseBodies(server);
  const room = new BodyRoom();
  server.setErrorHandler((error: FastifyError | TidegateError, request, reply) => sendError(deps, error, request, reply));
  server.setNotFoundHandler((request, reply) => sendNotFound(origin, request, reply));

  const handlers = createHandlers(deps, forward, description);
  const principals = new WeakMap<FastifyRequest, Principal | null>();
  for (const [name, endpoint] of endpointsAt(origin)) {
    server.route({
      method: endpoint.method, url: endpoint.path, schema: schemaOf(endpoint), config: { endpoint },
      // before the body is read: who may not ask cannot make the server take one
      onRequest: async (request, reply) => {
        const access = name === 'metrics' && deps.metricsOpen() ? 'open' : endpoint.access;
        const principal = await admit(deps, origin, access, request);
        if (principal !== null && endpoint.forwarded === true) takeQuery(deps, principal, request, reply);
        principals.set(request, principal);
        room.take(endpoint, request, reply);
      },
      handler: (request, reply) => handlers[name](request, reply, principals.get(request) ?? null),
    });
  }
  return server;
}

/** Prometheus, and what scrapes as it does, says how long it waits; each of them is known by its address and its name. */
function scraperOf({ headers, socket }: FastifyRequest): string | null {
  return headers['x-prometheus-scrape-timeout-seconds'] === undefined ? null : `${socket.remoteAddress ?? ''} ${headers['user-agent'] ?? ''}`;
}

function schemaOf(endpoint: Endpoint): Record<string, unknown> {
  // the collector checks the queries it answers
  if (endpoint.forwarded === true) return {};
  const querystring = { type: 'object', properties: endpoint.query ?? {}, additionalProperties: false };
  return endpoint.body?.types.includes('application/json') === true ? { querystring, body: { anyOf: [endpoint.body.schema, { type: 'null' }] } } : { querystring };
}

function createHandlers(deps: ControlDeps, forward: CollectorForward, description: unknown): Readonly<Record<EndpointName, Handler>> {
  const forwarded = (endpoint: Endpoint, answer: 'answer' | 'answerLive' = 'answer'): Handler => (request, reply, principal) => {
    if (principal === null) throw new TidegateError('unauthenticated', 'Nobody asks.');
    // from the table, not as received: what was matched here is what is asked there
    const parameters = request.params as Readonly<Record<string, string>>;
    const path = endpoint.path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(parameters[name] ?? ''));
    return forward[answer](path, principal, request, reply, endpoint.answerTimeoutMs);
  };
  const scrapes = new ScrapesUnderWay();
  return {
    healthz: () => ({ status: 'ok' }),
    readyz: async (request, reply) => {
      const { ready, reasons } = deps.readiness();
      const told = isLocal(deps, request) || MAY_USE.read.control.includes((await known(deps, request))?.kind ?? 'nobody');
      return reply.code(ready ? 200 : 503).send({ ready, ...(told ? { reasons } : {}) });
    },
    metrics: async (request, reply) => {
      scrapes.enter(reply.raw, request.raw.socket);
      const { contentType, body } = await deps.metrics({ accept: request.headers.accept ?? '', scraper: scraperOf(request) });
      return reply.type(contentType).send(body);
    },
    openapi: () => description,
    status: () => deps.status(),
    reload: async (_request, reply) => {
      const { result, version: inForce, errors } = await deps.reload();
      return result === 'rejected' ? sendRejected(reply, errors, { version: inForce }) : { result, version: inForce };
    },
    restart: (_request, reply) => {
      const number = deps.restart();
      deps.log.info({}, 'a restart was asked for');
      return reply.code(202).send({ number });
    },
    declareGap: (request) => {
      const { from, to } = (request.body ?? {}) as { readonly from?: string; readonly to?: string };
      if (from === undefined) throw new InvalidParameterError('from', 'is missing: when the snapshot was made, RFC 3339');
      return deps.declareGap(instant('from', from), to === undefined ? null : instant('to', to));
    },
    logLevel: () => deps.logLevel(),
    setLogLevel: (request) => {
      const { level, for: duration } = (request.body ?? {}) as { readonly level?: LogLevel; readonly for?: string };
      if (level === undefined) throw new InvalidParameterError('level', 'is missing', LOG_LEVELS);
      const forMs = duration === undefined ? LEVEL_FOR_MS : durationMs(duration);
      if (!(forMs >= 1000 && forMs <= MOST_LEVEL_FOR_MS)) throw new InvalidParameterError('for', `${duration ?? ''} is not between 1s and 7d; what is to stay belongs into the configuration (log.level)`);
      const status = deps.setLogLevel(level, forMs);
      deps.log.warn({ log_level: status.level, until: status.until }, 'the level of the log was changed for a while');
      return status;
    },
    resetLogLevel: () => {
      const status = deps.resetLogLevel();
      deps.log.warn({ log_level: status.level }, 'the level of the log is the configured one again');
      return status;
    },
    services: () => ({ services: deps.services() }),
    service: (request) => named(deps.services(), request, 'service'),
    apps: () => ({ apps: deps.apps() }),
    app: (request) => named(deps.apps(), request, 'app'),
    createKey: async (request, reply) => {
      const { name } = request.params as { name: string };
      const { scopes = ['traffic', 'reports'] } = (request.body ?? {}) as { scopes?: readonly KeyScope[] };
      const made = await deps.createKey(name, { scopes, author: 'operator' });
      if (made === null) throw new TidegateError('not_found', `There is no app ${name}.`);
      deps.log.info({ app: made.app, key_id: made.id }, 'a key was made');
      return reply.code(201).send(made);
    },
    revokeKey: async (request, reply) => {
      const { name, id } = request.params as { name: string; id: string };
      const done = await deps.revokeKey(name, id, 'operator');
      if (done !== 'revoked') throw new TidegateError('not_found', done === 'ended' ? `The key ${id} of ${name} is revoked already.` : `The app ${name} has no key ${id}.`);
      deps.log.info({ app: name, key_id: id }, 'a key was revoked');
      return reply.code(204).send();
    },
    history: async (request) => ({ entries: await deps.history((request.query as { limit: number }).limit) }),
    diff: async (request, reply) => {
      if (typeof request.body !== 'string' || request.body === '') throw new TidegateError('malformed_request', 'The body must be the YAML text, as application/yaml.');
      const left = new AbortController();
      reply.raw.once('close', () => { left.abort(); });
      const { errors, ...difference } = await deps.diff(request.body, left.signal);
      return errors.length > 0 ? sendRejected(reply, errors, { version: difference.from }) : difference;
    },
    trafficReport: forwarded(ENDPOINTS.trafficReport), latencyReport: forwarded(ENDPOINTS.latencyReport), liveReport: forwarded(ENDPOINTS.liveReport, 'answerLive'),
    completeness: forwarded(ENDPOINTS.completeness), requests: forwarded(ENDPOINTS.requests), request: forwarded(ENDPOINTS.request),
    billingDays: forwarded(ENDPOINTS.billingDays), billingExport: forwarded(ENDPOINTS.billingExport), billingReceipts: forwarded(ENDPOINTS.billingReceipts),
    closeDay: forwarded(ENDPOINTS.closeDay), adjustDay: forwarded(ENDPOINTS.adjustDay),
    whatif: forwarded(ENDPOINTS.whatif), quarantine: forwarded(ENDPOINTS.quarantine), replayQuarantine: forwarded(ENDPOINTS.replayQuarantine), rebuild: forwarded(ENDPOINTS.rebuild), recover: forwarded(ENDPOINTS.recover),
    appData: forwarded(ENDPOINTS.appData), eraseApp: forwarded(ENDPOINTS.eraseApp),
  };
}

/** Whoever may show nothing more for now is nobody to an endpoint that is open to all. */
async function known(deps: ControlDeps, request: FastifyRequest): Promise<Principal | null> {
  try {
    return await identifyPrincipal(deps, 'control', request);
  } catch (error) {
    if (error instanceof WrongTokensLimitedError) return null;
    throw error;
  }
}

/** @throws invalid_parameter: a second that only some minutes have */
function instant(parameter: string, text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new InvalidParameterError(parameter, 'must be an RFC 3339 instant such as 2026-11-21T00:00:00Z');
  return ms;
}

function named<T extends { readonly name: string }>(all: readonly T[], request: FastifyRequest, what: string): T {
  const { name } = request.params as { name: string };
  const found = all.find((candidate) => candidate.name === name);
  if (found === undefined) throw new TidegateError('not_found', `There is no ${what} ${name}.`);
  return found;
}

function sendRejected(reply: FastifyReply, errors: readonly ConfigProblem[], members: Readonly<Record<string, unknown>>): FastifyReply {
  const { status } = ERROR_CODES.config_rejected;
  const detail = `${errors.length} ${errors.length === 1 ? 'error' : 'errors'}; the configuration in force is unchanged.`;
  return reply.code(status).type('application/problem+json').send(problem('config_rejected', detail, { ...members, errors }));
}

function sendNotFound(origin: Origin, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const path = request.url.split('?', 1)[0] as string;
  const allowed = endpointsAt(origin).filter(([, endpoint]) => new RegExp(`^${endpoint.path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`).test(path));
  if (allowed.length === 0) return reply.code(404).type('application/problem+json').send(problem('not_found', `There is nothing at ${path}; ${origin === 'control' ? 'see /openapi.json' : 'docs/reports.md says what there is'}.`));
  const methods = allowed.map(([, endpoint]) => endpoint.method).join(', ');
  return reply.code(405).header('allow', methods).type('application/problem+json').send(problem('method_not_allowed', `Allowed here: ${methods}.`));
}

function sendError(deps: ControlDeps, error: FastifyError | TidegateError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const said = toTidegateError(error);
  const status = said === null ? 0 : ERROR_CODES[said.code].status;
  if (said === null || status === 0) {
    deps.log.error({ err: error, url: request.url.split('?', 1)[0] }, 'the control origin failed');
    return reply.code(500).type('application/problem+json').send(problem('internal_error', 'The supervisor\'s log says why.'));
  }
  if (status === 401) void reply.header('www-authenticate', 'Bearer realm="tidegate"');
  if (said instanceof WrongTokensLimitedError) void reply.header('retry-after', String(said.retryAfterSeconds));
  if (said.code === 'metrics_busy' || said.code === 'bodies_busy') void reply.header('retry-after', '1');
  if (!request.raw.complete && REFUSED_BODY.has(said.code)) discardRest(request, reply);
  const members = said instanceof InvalidParameterError ? { parameter: said.parameter, ...(said.allowed === null ? {} : { allowed: said.allowed }) } : {};
  return reply.code(status).type('application/problem+json').send(problem(said.code, said.message, members));
}

/** What is no request for node:http: bytes that are not HTTP, a head past its limit, one that does not come. No reply exists yet. */
function sendClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = error.code === 'HPE_HEADER_OVERFLOW' ? 'head_too_large' : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'request_timeout' : 'malformed_request';
  const body = JSON.stringify(problem(code));
  const { status } = ERROR_CODES[code];
  const fields = { ...SECURITY_FIELDS, 'content-type': 'application/problem+json', 'content-length': String(Buffer.byteLength(body)), connection: 'close' };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  // whatever it still sends, it is not read
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}\r\n${body}`, () => { socket.destroy(); });
}

/** Foreign errors become ours here; null: a fault of this program. */
function toTidegateError(error: FastifyError | TidegateError): TidegateError | null {
  if (error instanceof TidegateError) return error;
  const [found] = error.validation ?? [];
  if (found !== undefined) {
    const extra = found.params['additionalProperty'];
    const allowed = found.params['allowedValues'];
    return new InvalidParameterError(typeof extra === 'string' ? extra : found.instancePath.split('/')[1] ?? '', found.message ?? 'not valid', Array.isArray(allowed) ? allowed as string[] : null);
  }
  if (error.code === 'FST_ERR_BAD_URL') return new TidegateError('bad_path', 'The path has a % that two hexadecimal digits do not follow, or bytes that are no UTF-8.');
  if (error.statusCode === 414) return new TidegateError('uri_too_long', `A name in the path has more than ${MAX_NAME_LENGTH} characters.`);
  if (error.statusCode === 413) return new TidegateError('body_too_large', error.message);
  return error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500 ? new TidegateError('malformed_request', error.message) : null;
}
