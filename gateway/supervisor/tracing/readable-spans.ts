/** A traced request as OpenTelemetry's exporter takes it: a server span, and a client span for each attempt, by the semantic conventions for HTTP (stable since 1.23). */
import { SpanKind, SpanStatusCode, TraceFlags, createTraceState, type Attributes, type HrTime, type SpanContext } from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import {
  ATTR_ERROR_TYPE, ATTR_HTTP_REQUEST_METHOD, ATTR_HTTP_REQUEST_METHOD_ORIGINAL, ATTR_HTTP_REQUEST_RESEND_COUNT, ATTR_HTTP_RESPONSE_STATUS_CODE, ATTR_HTTP_ROUTE,
  ATTR_NETWORK_PROTOCOL_VERSION, ATTR_SERVER_ADDRESS, ATTR_SERVER_PORT, ATTR_URL_FULL, ATTR_URL_PATH, ATTR_URL_SCHEME, ATTR_USER_AGENT_ORIGINAL,
} from '@opentelemetry/semantic-conventions';
import { OUTCOMES, type Outcome } from '../../events/outcomes.js';
import type { TracedAttempt, TracedRequest } from '../../tracing/traced-request.js';

/** Where spans come from: the process, and the part of it. */
export interface SpanSource {
  readonly resource: Resource;
  readonly instrumentationScope: InstrumentationScope;
}

/** What the conventions call known; others are `_OTHER`, or each client could make names of its own. */
const METHODS: ReadonlySet<string> = new Set(['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE']);

/** The server span first, then its attempts in their order. */
export function readableSpans(request: TracedRequest, source: SpanSource): ReadableSpan[] {
  const beganUs = request.endMs * 1000 - request.durationUs;
  const state = request.state === '' ? {} : { traceState: createTraceState(request.state) };
  const context = (spanId: string, isRemote = false): SpanContext => ({ traceId: request.traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote, ...state });
  const known = METHODS.has(request.method);
  const method: Attributes = { [ATTR_HTTP_REQUEST_METHOD]: known ? request.method : '_OTHER', ...(known ? {} : { [ATTR_HTTP_REQUEST_METHOD_ORIGINAL]: request.method }) };
  // the conventions: what is not known is called HTTP in a span's name
  const name = known ? request.method : 'HTTP';
  const server = span({
    source, name: request.pattern === '' ? name : `${name} ${request.pattern}`, kind: SpanKind.SERVER, context: context(request.spanId),
    parent: request.parentId === '' ? null : context(request.parentId, true), beganUs, durationUs: request.durationUs,
    attributes: { ...method, ...serverAttributes(request) }, error: serverError(request),
  });
  const attempts = request.attempts.map((attempt, i) => span({
    source, name, kind: SpanKind.CLIENT, context: context(attempt.spanId), parent: context(request.spanId), beganUs: beganUs + attempt.beganUs, durationUs: attempt.durationUs,
    attributes: { ...method, ...clientAttributes(request, attempt, i) }, error: attempt.failure !== '' ? attempt.failure : attempt.status >= 400 ? String(attempt.status) : '',
  }));
  return [server, ...attempts];
}

function serverAttributes(request: TracedRequest): Attributes {
  const { host, port } = hostAndPort(request.authority);
  return {
    [ATTR_URL_SCHEME]: request.scheme, [ATTR_NETWORK_PROTOCOL_VERSION]: request.protocolVersion,
    ...(request.path === '' ? {} : { [ATTR_URL_PATH]: request.path }),
    ...(request.pattern === '' ? {} : { [ATTR_HTTP_ROUTE]: request.pattern }),
    ...(host === '' ? {} : { [ATTR_SERVER_ADDRESS]: host }), ...(port === null ? {} : { [ATTR_SERVER_PORT]: port }),
    ...(request.userAgent === '' ? {} : { [ATTR_USER_AGENT_ORIGINAL]: request.userAgent }),
    ...(request.status === 0 ? {} : { [ATTR_HTTP_RESPONSE_STATUS_CODE]: request.status }),
    'tidegate.request_id': request.requestId, 'tidegate.outcome': request.outcome, 'tidegate.config_version': request.configVersion, 'tidegate.sampled_by': request.sampledBy,
    ...(request.service === '' ? {} : { 'tidegate.service': request.service, 'tidegate.route': request.route }),
    ...(request.app === '' ? {} : { 'tidegate.app': request.app }),
  };
}

/** The outcome where it is an error, else the status of 5xx: a client's fault is none of the server's. */
function serverError({ outcome, status }: TracedRequest): string {
  if (OUTCOMES[outcome as Outcome].error) return outcome;
  return status >= 500 ? String(status) : '';
}

function clientAttributes(request: TracedRequest, attempt: TracedAttempt, resends: number): Attributes {
  const url = new URL(attempt.target);
  return {
    [ATTR_SERVER_ADDRESS]: url.hostname.replace(/^\[(.*)\]$/, '$1'), [ATTR_SERVER_PORT]: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
    [ATTR_URL_FULL]: attempt.target, [ATTR_NETWORK_PROTOCOL_VERSION]: '1.1',
    ...(attempt.status === 0 ? {} : { [ATTR_HTTP_RESPONSE_STATUS_CODE]: attempt.status }),
    ...(resends === 0 ? {} : { [ATTR_HTTP_REQUEST_RESEND_COUNT]: resends }),
    ...(request.service === '' ? {} : { 'tidegate.service': request.service }),
  };
}

interface SpanParts {
  readonly source: SpanSource;
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: SpanContext;
  readonly parent: SpanContext | null;
  /** µs since the epoch. */
  readonly beganUs: number;
  readonly durationUs: number;
  readonly attributes: Attributes;
  /** error.type; '' for none. */
  readonly error: string;
}

function span({ source, name, kind, context, parent, beganUs, durationUs, attributes, error }: SpanParts): ReadableSpan {
  return {
    name, kind, spanContext: () => context, ...(parent === null ? {} : { parentSpanContext: parent }),
    startTime: hrTime(beganUs), endTime: hrTime(beganUs + durationUs), duration: hrTime(durationUs), ended: true,
    attributes: error === '' ? attributes : { ...attributes, [ATTR_ERROR_TYPE]: error }, status: { code: error === '' ? SpanStatusCode.UNSET : SpanStatusCode.ERROR },
    links: [], events: [], droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0, ...source,
  };
}

function hrTime(us: number): HrTime {
  return [Math.floor(us / 1e6), Math.round(us % 1e6) * 1000];
}

/** Of a Host field, whatever a client wrote there. */
function hostAndPort(authority: string): { readonly host: string; readonly port: number | null } {
  const match = /^(.*?)(?::(\d{1,5}))?$/s.exec(authority);
  return { host: (match?.[1] ?? '').replace(/^\[(.*)\]$/, '$1'), port: match?.[2] === undefined ? null : Number(match[2]) };
}
