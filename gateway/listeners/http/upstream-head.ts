/** The head that goes upstream: the client's fields but for the hop's and the identity's, then ours. */
import type { ApiKeys } from '../../policies/api-key.js';
import type { TargetAddress } from '../../upstream/target-address.js';
import {
  classifyField, FIELD_AUTHORIZATION, FIELD_CLIENT_REQUEST_ID, FIELD_CONNECTION, FIELD_EXPECT, FIELD_FORWARDED, FIELD_HOP, FIELD_HOST, FIELD_LENGTH,
  FIELD_OF_PROXY, FIELD_REQUEST_ID, FIELD_TE, FIELD_B3, FIELD_TRACEPARENT, FIELD_TRACESTATE, FIELD_TRANSFER_ENCODING, FIELD_X_API_KEY, FIELD_X_APP, FIELD_PLAIN,
  foldFieldName,
} from '../../http1/fields.js';
import { isSampled, joinedState, validTraceparent } from '../../tracing/trace-context.js';
import type { HttpExchange } from './http-exchange.js';

/** The scheme and what divides it from the bearer: an upstream may take a tab where authentication does not. */
const BEARER = /^bearer[ \t]+/i;
const VISIBLE = /^[\x21-\x7e]{1,200}$/;

/** Lines for the upstream, ending with the empty one. */
export function buildUpstreamHead(exchange: HttpExchange, address: TargetAddress): string {
  const { route, rawHeaders, snapshot, hopNames, trace } = exchange;
  const { identityFields, apiKeys } = snapshot;
  const { hostPolicy } = route.service;
  let path = exchange.path;
  if (hasPrefix(path, route.stripPrefix)) {
    path = path.slice(route.stripPrefix.length);
    if (path.charCodeAt(0) !== 0x2f) path = '/' + path;
  }
  const host = hostPolicy === null ? (exchange.authority === '' ? address.authority : exchange.authority) : hostPolicy === '' ? address.authority : hostPolicy;
  let head = `${exchange.method} ${address.basePath}${route.addPrefix}${path}${exchange.query} HTTP/1.1\r\nHost: ${host}\r\n`;
  let forwardedFor = '';
  let forwardedProto = '';
  let forwardedHost = '';
  let traceparent = '';
  let tracestate = '';
  let clientRequestId = '';
  /** As a trusted proxy told it: what it sends as X-Request-Id may be its own. */
  let toldRequestId = '';
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    const kind = classifyField(name);
    if (hopNames !== null && kind !== FIELD_LENGTH && kind !== FIELD_TE && hopNames.has(name.toLowerCase())) continue;
    switch (kind) {
      case FIELD_PLAIN:
        if (identityFields.size > 0 && identityFields.has(foldFieldName(name))) continue;
        break;
      case FIELD_AUTHORIZATION:
        if (exchange.credential !== 'jwt' && isBearerTakenOff(value, exchange.credential, apiKeys)) continue;
        break;
      case FIELD_TE:
        if (value.toLowerCase() !== 'trailers') continue;
        break;
      case FIELD_FORWARDED:
        if (!exchange.peerTrusted) continue;
        switch (name.length) {
          case 15: forwardedFor += (forwardedFor === '' ? '' : ', ') + value; continue;
          case 17: forwardedProto = value; continue;
          case 16: forwardedHost = value; continue;
        }
        break;
      case FIELD_TRACEPARENT:
        traceparent = traceparent === '' ? value : 'twice';
        continue;
      case FIELD_TRACESTATE:
        tracestate = joinedState(tracestate, value);
        continue;
      case FIELD_B3:
        if (trace !== null && trace.writesB3) continue;
        break;
      case FIELD_REQUEST_ID:
        clientRequestId = value;
        continue;
      case FIELD_CLIENT_REQUEST_ID:
        if (exchange.peerTrusted) toldRequestId = value;
        continue;
      case FIELD_OF_PROXY:
        if (!exchange.peerTrusted || (identityFields.size > 0 && identityFields.has(foldFieldName(name)))) continue;
        break;
      case FIELD_LENGTH:
        break;
      case FIELD_HOST:
      case FIELD_HOP:
      case FIELD_CONNECTION:
      case FIELD_EXPECT:
      case FIELD_TRANSFER_ENCODING:
      case FIELD_X_API_KEY:
      case FIELD_X_APP:
        continue;
    }
    head += name + ': ' + value + '\r\n';
  }
  if (exchange.chunkedUpstream) head += 'Transfer-Encoding: chunked\r\n';
  const peer = exchange.peerAddress;
  head += 'X-Forwarded-For: ' + (forwardedFor === '' ? peer : forwardedFor + ', ' + peer)
    + '\r\nX-Forwarded-Proto: ' + (forwardedProto === '' ? 'http' : forwardedProto)
    + '\r\nX-Forwarded-Host: ' + (forwardedHost === '' ? exchange.authority : forwardedHost)
    + '\r\nX-Request-Id: ' + exchange.requestId
    + '\r\n' + (trace === null ? passedTrace(exchange, traceparent, tracestate) : trace.upstreamFields())
    + 'Via: 1.1 tidegate\r\n';
  if (toldRequestId !== '') clientRequestId = toldRequestId;
  if (clientRequestId !== '' && VISIBLE.test(clientRequestId)) head += 'X-Client-Request-Id: ' + clientRequestId + '\r\n';
  if (exchange.app !== null) head += 'X-App: ' + exchange.app.name + '\r\n';
  const claims = exchange.claimHeaders;
  if (claims !== null) for (let i = 0; i < claims.length; i += 2) head += `${claims[i] as string}: ${claims[i + 1] as string}\r\n`;
  return head + '\r\n';
}

/**
 * A key is the gateway's secret, on an open route too: one of any app, however it is spelled, or one that `tidegate keys new` made, in force
 * or not. Where a key has let the request in, no bearer goes on: it is that key, or a token that nobody has checked. On an open route a
 * token may be for the upstream.
 */
function isBearerTakenOff(authorization: string, credential: 'none' | 'api_key', apiKeys: ApiKeys): boolean {
  const scheme = BEARER.exec(authorization);
  if (scheme === null) return authorization.startsWith('tg_');
  const bearer = authorization.slice(scheme[0].length);
  return credential === 'api_key' || bearer.startsWith('tg_') || apiKeys.isKey(bearer);
}

/** `prefix` stands at the start of `path` and ends with a segment; '' is none. */
function hasPrefix(path: string, prefix: string): boolean {
  return prefix !== '' && path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 0x2f);
}

/** No spans are made here: the client's trace goes on as it is (and its event carries its id if it is sampled); one that is none, or not valid, is begun. */
function passedTrace(exchange: HttpExchange, sent: string, tracestate: string): string {
  const traceparent = sent === '' ? '' : validTraceparent(sent);
  if (traceparent === '') return `traceparent: ${newTraceparent(exchange.pipeline.recorder.stream, exchange.ordinal)}\r\n`;
  if (isSampled(traceparent)) exchange.traceId = traceparent.slice(3, 35);
  return `traceparent: ${traceparent}\r\n${tracestate === '' ? '' : `tracestate: ${tracestate}\r\n`}`;
}

/**
 * W3C trace context for a request that came without: not sampled; the trace's id is the stream and the ordinal, unique and found again
 * from the request's id without looking anything up.
 */
function newTraceparent(stream: string, ordinal: number): string {
  const low = ordinal.toString(16).padStart(15, '0');
  return `00-${stream}0${low}-1${low}-00`;
}
