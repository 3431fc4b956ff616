/**
 * What llhttp lets pass and we don't (RFC 9112 3.2, 6.1, 6.3; the cases of request smuggling): decided here, on a complete head, before
 * anything else sees the request. Answers the refusal, or null and the head taken apart.
 */
import { isIPv6 } from 'node:net';
import { connectionOptions, classifyField, FIELD_CONNECTION, FIELD_EXPECT, FIELD_HOST, FIELD_LENGTH, FIELD_TRANSFER_ENCODING } from '../../http1/fields.js';
import type { MessageHead } from '../../http1/message-parser.js';
import { normalisePath } from '../../routing/normalise-path.js';
import { refusal, type Refusal } from '../../exchange.js';
import type { ErrorCode } from '../../../errors/codes.js';

const malformed = (code: ErrorCode, detail: string): Refusal => refusal(code, 'malformed_request', detail);

export const VERSION = malformed('version_not_supported', 'only HTTP/1.0 and HTTP/1.1 are understood here');
const TOO_MANY_FIELDS = malformed('head_too_large', 'too many header fields');
const TARGET_TOO_LONG = malformed('uri_too_long', 'the request target is too long');
const NO_HOST = malformed('bad_host', 'the Host field is missing');
const TWO_HOSTS = malformed('bad_host', 'there is more than one Host field');
const BAD_HOST = malformed('bad_host', 'the Host field is not a valid host and port');
const OTHER_HOST = malformed('bad_host', 'the request target names another host than the Host field');
const BAD_TARGET = malformed('malformed_request', 'the request target is neither a path nor an absolute http URL');
const FRAGMENT = malformed('malformed_request', 'the request target holds a fragment');
const BAD_PATH = malformed('bad_path', 'the path holds an encoded slash, a backslash, a control character, overlong UTF-8, or climbs above its root');
const BAD_CODING = malformed('malformed_request', 'Transfer-Encoding must be `chunked` and nothing else');
const OLD_CODING = malformed('malformed_request', 'HTTP/1.0 has no Transfer-Encoding');
const TWO_LENGTHS = malformed('malformed_request', 'there is more than one Content-Length field');
const TRACE_BODY = malformed('malformed_request', 'TRACE has no body (RFC 9110 9.3.8)');
const BAD_EXPECT = malformed('expectation_failed', 'only 100-continue can be expected');
const ASTERISK = malformed('upgrade_not_supported', 'the asterisk form (OPTIONS *) is not supported');
const CONNECT = malformed('upgrade_not_supported', 'CONNECT is not supported');

export interface HeadLimits {
  readonly fields: number;
  readonly targetBytes: number;
}

/** A host of labels of letters, digits, `-_~`, the root's dot behind them or not, or something in brackets; and a port. RFC 1035 2.3.4: the label's length. */
const HOST_FORM = /^(?:([A-Za-z0-9_~-]{1,63}(?:\.[A-Za-z0-9_~-]{1,63}){0,126})\.?|\[([0-9A-Fa-f:.]{2,45})\])(?::([0-9]{1,5}))?$/;
/** A name without the root's dot (RFC 1035 2.3.4: 255 octets on the wire). */
const NAME_CHARACTERS = 253;
/** The root's dot, behind the host of an authority. */
const ROOT_DOT = /\.(?=:|$)/;

/** The parts of a request's head; one object a connection, overwritten by the next request. */
export class RequestHead {
  path = '';
  query = '';
  /** Host field as received; '' for an HTTP/1.0 request without one. */
  authority = '';
  /** Lower case, without port. */
  host = '';
  /** -1: none. */
  contentLength = -1;
  chunked = false;
  expectContinue = false;
  /** Fields named by Connection, lower case; null: none. */
  hopNames: Set<string> | null = null;
  #lastAuthority = '';
  #lastHost: string | null = null;
  /** The last one as it is sent on. */
  #lastSent = '';

  /** Reads `head`; the refusal if it is not acceptable. */
  read(head: MessageHead, limits: HeadLimits): Refusal | null {
    this.path = '';
    this.query = '';
    this.authority = '';
    this.host = '';
    this.contentLength = -1;
    this.chunked = false;
    this.expectContinue = false;
    this.hopNames = null;
    if (head.major !== 1 || head.minor > 1) return VERSION;
    if (head.pairs.length > limits.fields * 2) return TOO_MANY_FIELDS;
    if (head.target.length > limits.targetBytes) return TARGET_TOO_LONG;
    if (head.method === 'CONNECT') return CONNECT;
    // llhttp knows these methods of RTSP only
    if (head.method === '') return VERSION;
    const refusal = this.#readFields(head) ?? this.#readTarget(head.target);
    // after the target was read: absolute-form is compared with the Host as it came
    if (this.authority === this.#lastAuthority) this.authority = this.#lastSent;
    return refusal;
  }

  /** It has been taken over; a piece of it would keep the whole head as long as the connection. */
  forgetTarget(): void {
    this.path = '';
    this.query = '';
    this.hopNames = null;
  }

  #readFields(head: MessageHead): Refusal | null {
    const { pairs } = head;
    let hosts = 0;
    for (let i = 0; i < pairs.length; i += 2) {
      const value = pairs[i + 1] as string;
      switch (classifyField(pairs[i] as string)) {
        case FIELD_HOST:
          hosts++;
          this.authority = value;
          break;
        case FIELD_LENGTH:
          if (this.contentLength >= 0) return TWO_LENGTHS;
          this.contentLength = Number(value);
          break;
        case FIELD_TRANSFER_ENCODING:
          if (head.minor === 0) return OLD_CODING;
          if (this.chunked || value.toLowerCase() !== 'chunked') return BAD_CODING;
          this.chunked = true;
          break;
        case FIELD_CONNECTION:
          this.hopNames = connectionOptions(value, this.hopNames);
          break;
        case FIELD_EXPECT:
          if (value.toLowerCase() !== '100-continue') return BAD_EXPECT;
          // RFC 9110 10.1.1: an expectation of HTTP/1.0 is ignored.
          this.expectContinue = head.minor === 1;
          break;
      }
    }
    // its answer is the request itself: a body would be one more thing to have reflected
    if (head.method === 'TRACE' && (this.chunked || this.contentLength > 0)) return TRACE_BODY;
    if (hosts > 1) return TWO_HOSTS;
    if (hosts === 0) return head.minor === 0 ? null : NO_HOST;
    const host = this.#hostOf(this.authority);
    if (host === null) return BAD_HOST;
    this.host = host;
    return null;
  }

  #readTarget(received: string): Refusal | null {
    let target = received;
    if (target.charCodeAt(0) !== 0x2f) {
      if (target === '*') return ASTERISK;
      const form = /^http:\/\/([^/?#]*)([/?].*)?$/i.exec(target);
      if (form === null) return BAD_TARGET;
      const authority = form[1] as string;
      if (this.authority === '') {
        const host = this.#hostOf(authority);
        if (host === null) return BAD_HOST;
        this.authority = authority;
        this.host = host;
      } else if (authority.toLowerCase() !== this.authority.toLowerCase()) return OTHER_HOST;
      const rest = form[2] ?? '/';
      target = rest.startsWith('?') ? '/' + rest : rest;
    }
    if (target.includes('#')) return FRAGMENT;
    const mark = target.indexOf('?');
    const path = normalisePath(mark < 0 ? target : target.slice(0, mark));
    if (path === null) return BAD_PATH;
    this.path = path;
    this.query = mark < 0 ? '' : target.slice(mark);
    return null;
  }

  /** A connection's requests mostly name one host: the last one is remembered. */
  #hostOf(authority: string): string | null {
    if (authority === this.#lastAuthority) return this.#lastHost;
    // A copy of its own: a slice of a request's head would keep the whole head, 8 KB, as long as the connection.
    const own = Buffer.from(authority, 'latin1').latin1Slice();
    this.#lastAuthority = own;
    this.#lastSent = own.replace(ROOT_DOT, '');
    // `a.example.` is the same host as `a.example`: matched and sent on as one.
    this.#lastHost = hostIn(own);
    return this.#lastHost;
  }
}

/** Lower case, without port and root's dot, an address in its brackets; null: not valid. */
function hostIn(authority: string): string | null {
  const form = HOST_FORM.exec(authority);
  if (form === null) return null;
  const [, name, address, port] = form;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return null;
  if (name !== undefined) return name.length > NAME_CHARACTERS ? null : name.toLowerCase();
  return address !== undefined && isIPv6(address) ? `[${address.toLowerCase()}]` : null;
}

/** What a parser's complaint means to the client. */
export function refusalOfParserError(code: string, reason: string): Refusal {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW': return malformed('head_too_large', 'the request head is too large');
    case 'HPE_PAUSED_H2_UPGRADE': return VERSION;
    default: return malformed('malformed_request', reason);
  }
}

export const TOO_MANY_TRAILERS = malformed('head_too_large', 'too many trailer fields');
export const BODY_TOO_LARGE = malformed('body_too_large', 'the body is larger than this listener takes');
