/**
 * The trace that a request belongs to, as it travels in header fields: W3C Trace Context (https://www.w3.org/TR/trace-context-2/) and B3
 * (https://github.com/openzipkin/b3-propagation), its single field and its several. What clients send of it is read strictly: what does not
 * parse is no context, and goes no further.
 */
import { classifyField, FIELD_B3, FIELD_TRACEPARENT, FIELD_TRACESTATE } from '../http1/fields.js';

/** Whose a request is, as its sender says. */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits; '': the sender decided on sampling alone (`b3: 0`). */
  readonly traceId: string;
  /** The sender's span: 16 digits; '' with an empty trace id. */
  readonly spanId: string;
  /** Null: the sender left it to who comes next (B3). */
  readonly sampled: boolean | null;
  /** B3: sampled whatever anyone thinks of it. */
  readonly debug: boolean;
  /** The tracestate that goes on; '' for none. */
  readonly state: string;
}

/** Which of them are read. */
export interface TraceFormats {
  readonly w3c: boolean;
  readonly b3: boolean;
}

/**
 *   version - trace id - parent id - flags
 *
 * Ids of zeros are none, and version ff is none. A version to come may have more behind the flags, divided from them by `-`; of version 00 that is malformed.
 */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?=-|$)/;
const TRACEPARENT_LENGTH = 55;
/** What W3C asks everyone to carry of it; vendors' members beyond are cut off whole, the oldest first. Characters. */
const MAX_STATE = 512;

/** The valid part of a traceparent, in the form of version 00; '': it is malformed. */
export function validTraceparent(text: string): string {
  if (text.length < TRACEPARENT_LENGTH || !TRACEPARENT.test(text)) return '';
  if (text.length === TRACEPARENT_LENGTH) return text.startsWith('00') ? text : `00${text.slice(2)}`;
  return text.startsWith('00') ? '' : `00${text.slice(2, TRACEPARENT_LENGTH)}`;
}

/** @param traceparent valid */
export function isSampled(traceparent: string): boolean {
  return (Number.parseInt(traceparent.slice(53), 16) & 1) === 1;
}

/** Several tracestate fields are one list (RFC 9110 5.3). */
export function joinedState(state: string, more: string): string {
  return state === '' ? more : `${state},${more}`;
}

/** Newer members stand first, so it is cut at the end. */
function keptState(state: string): string {
  return state.length <= MAX_STATE ? state : state.slice(0, Math.max(0, state.lastIndexOf(',', MAX_STATE)));
}

/**
 * The context that a request's fields hold, or null. A valid traceparent comes before B3, and B3's single field before its several; a
 * field that stands there twice is malformed.
 * @param hopNames what Connection names: fields that were meant for us alone; null: none
 */
export function readContext(rawHeaders: readonly string[], hopNames: ReadonlySet<string> | null, { w3c, b3 }: TraceFormats): TraceContext | null {
  let traceparent = '';
  let state = '';
  let fields: Map<string, string> | null = null;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const kind = classifyField(name);
    if (kind !== FIELD_TRACEPARENT && kind !== FIELD_TRACESTATE && kind !== FIELD_B3) continue;
    const lower = name.toLowerCase();
    if (hopNames !== null && hopNames.has(lower)) continue;
    const value = rawHeaders[i + 1] as string;
    if (kind === FIELD_TRACEPARENT) traceparent = traceparent === '' ? value : 'twice';
    else if (kind === FIELD_TRACESTATE) state = joinedState(state, value);
    else if (b3) (fields ??= new Map()).set(lower, fields.has(lower) ? 'twice' : value);
  }
  const valid = w3c && traceparent !== '' ? validTraceparent(traceparent) : '';
  if (valid !== '') return { traceId: valid.slice(3, 35), spanId: valid.slice(36, 52), sampled: isSampled(valid), debug: false, state: keptState(state) };
  return fields === null ? null : singleB3(fields.get('b3')) ?? severalB3(fields);
}

/** `{trace id}-{span id}[-{0, 1 or d}[-{parent span id}]]`, or the third alone. */
const B3 = /^([0-9a-f]{16}|[0-9a-f]{32})-([0-9a-f]{16})(?:-([01d])(?:-[0-9a-f]{16})?)?$/;
const ZEROS = /^0+$/;

function singleB3(text: string | undefined): TraceContext | null {
  if (text === undefined) return null;
  if (text === '0' || text === '1' || text === 'd') return b3Context('', '', text);
  const parts = B3.exec(text);
  return parts === null ? null : b3Context(parts[1] ?? '', parts[2] ?? '', parts[3]);
}

const TRACE_ID = /^(?:[0-9a-f]{16}|[0-9a-f]{32})$/;
const SPAN_ID = /^[0-9a-f]{16}$/;

function severalB3(fields: ReadonlyMap<string, string>): TraceContext | null {
  const decision = fields.get('x-b3-flags') === '1' ? 'd' : DECISIONS.get(fields.get('x-b3-sampled') ?? '');
  const [traceId = '', spanId = ''] = [fields.get('x-b3-traceid'), fields.get('x-b3-spanid')];
  if (TRACE_ID.test(traceId) && SPAN_ID.test(spanId)) return b3Context(traceId, spanId, decision);
  // ids that are malformed spoil what stands beside them
  return traceId === '' && spanId === '' && decision !== undefined ? b3Context('', '', decision) : null;
}

/** Early senders wrote it out. */
const DECISIONS: ReadonlyMap<string, string> = new Map([['0', '0'], ['1', '1'], ['false', '0'], ['true', '1']]);

function b3Context(traceId: string, spanId: string, decision: string | undefined): TraceContext | null {
  if (traceId !== '' && (ZEROS.test(traceId) || ZEROS.test(spanId))) return null;
  return { traceId: traceId.length === 16 ? traceId.padStart(32, '0') : traceId, spanId, sampled: decision === undefined ? null : decision !== '0', debug: decision === 'd', state: '' };
}
