/**
 * Header fields between the two sides (RFC 9110 7.6.1): what belongs to one hop only is dropped, whatever is named in Connection with
 * it, before our own fields are added, so that a client cannot have X-Forwarded-For or the identity fields stripped.
 */

/** Bits of `classifyField`. */
export const FIELD_PLAIN = 0;
export const FIELD_HOP = 1;
export const FIELD_HOST = 2;
export const FIELD_LENGTH = 3;
export const FIELD_TRANSFER_ENCODING = 4;
export const FIELD_EXPECT = 5;
export const FIELD_CONNECTION = 6;
export const FIELD_FORWARDED = 7;
export const FIELD_REQUEST_ID = 8;
export const FIELD_TRACEPARENT = 9;
export const FIELD_X_APP = 10;
export const FIELD_X_API_KEY = 11;
export const FIELD_AUTHORIZATION = 12;
export const FIELD_TE = 13;
export const FIELD_DATE = 14;
export const FIELD_TRACESTATE = 15;
export const FIELD_B3 = 16;
/** What a proxy says of the client beside the address: believed, and sent on, only from a trusted one. */
export const FIELD_OF_PROXY = 17;
export const FIELD_CLIENT_REQUEST_ID = 18;

const SPECIAL_NAMES: Readonly<Record<string, number>> = {
  'host': FIELD_HOST, 'content-length': FIELD_LENGTH, 'transfer-encoding': FIELD_TRANSFER_ENCODING, 'expect': FIELD_EXPECT,
  'connection': FIELD_CONNECTION, 'te': FIELD_TE, 'date': FIELD_DATE,
  'keep-alive': FIELD_HOP, 'proxy-connection': FIELD_HOP, 'upgrade': FIELD_HOP, 'http2-settings': FIELD_HOP,
  'proxy-authorization': FIELD_HOP, 'proxy-authenticate': FIELD_HOP, 'proxy-authentication-info': FIELD_HOP,
  'x-forwarded-for': FIELD_FORWARDED, 'x-forwarded-proto': FIELD_FORWARDED, 'x-forwarded-host': FIELD_FORWARDED, 'forwarded': FIELD_FORWARDED,
  'x-request-id': FIELD_REQUEST_ID, 'traceparent': FIELD_TRACEPARENT, 'tracestate': FIELD_TRACESTATE, 'x-app': FIELD_X_APP, 'x-api-key': FIELD_X_API_KEY,
  'authorization': FIELD_AUTHORIZATION, 'x-client-request-id': FIELD_CLIENT_REQUEST_ID,
  'x-real-ip': FIELD_OF_PROXY, 'x-original-url': FIELD_OF_PROXY, 'x-rewrite-url': FIELD_OF_PROXY, 'proxy': FIELD_OF_PROXY,
  'true-client-ip': FIELD_OF_PROXY, 'cf-connecting-ip': FIELD_OF_PROXY, 'x-client-ip': FIELD_OF_PROXY, 'fastly-client-ip': FIELD_OF_PROXY, 'x-cluster-client-ip': FIELD_OF_PROXY,
  'client-ip': FIELD_OF_PROXY, 'cf-connecting-ipv6': FIELD_OF_PROXY, 'fly-client-ip': FIELD_OF_PROXY, 'x-envoy-external-address': FIELD_OF_PROXY, 'x-original-forwarded-for': FIELD_OF_PROXY,
  'x-azure-clientip': FIELD_OF_PROXY, 'do-connecting-ip': FIELD_OF_PROXY, 'x-proxyuser-ip': FIELD_OF_PROXY,
  'b3': FIELD_B3, 'x-b3-traceid': FIELD_B3, 'x-b3-spanid': FIELD_B3, 'x-b3-parentspanid': FIELD_B3, 'x-b3-sampled': FIELD_B3, 'x-b3-flags': FIELD_B3,
};

/** Which name lengths may be special, and with which first letters: most fields are told plain by two look-ups, without lower-casing. */
const FIRST_LETTERS = new Uint8Array(32 * 32);
for (const name of Object.keys(SPECIAL_NAMES)) FIRST_LETTERS[name.length * 32 + (name.charCodeAt(0) & 31)] = 1;

/** Each name as clients mostly write it (`Content-Length`) and in lower case; other cases are found by lower-casing. */
const SPECIAL = new Map<string, number>(Object.entries(SPECIAL_NAMES).flatMap(([name, kind]) => [
  [name, kind], [name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()), kind],
]));

/** By character: 1 for letters and digits. CGI, WSGI and PHP read every other character of a name as `_`, the hyphen too. */
const ALPHANUMERIC = new Uint8Array(256);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789') ALPHANUMERIC[character.charCodeAt(0)] = 1;
const HYPHEN = 0x2d;
/** `x`, of either case, as FIRST_LETTERS counts. */
const LETTER_X = 24;
const FORWARDED = /^x-forwarded-./;
const FORWARDED_LENGTH = 'x-forwarded-'.length;

/** What a field is to the proxy. */
export function classifyField(name: string): number {
  const { length } = name;
  const first = name.charCodeAt(0) & 31;
  if (length <= 31 && FIRST_LETTERS[length * 32 + first] === 1) return SPECIAL.get(name) ?? SPECIAL.get(name.toLowerCase()) ?? rarerKind(name);
  // X-Forwarded-<anything>: third letter f
  return first === LETTER_X && length > FORWARDED_LENGTH && (name.charCodeAt(2) | 0x20) === 0x66 ? rarerKind(name) : FIELD_PLAIN;
}

/** An upstream behind CGI reads `X_App`, `X.App` and `X~App` as X-App: a twin of a special name goes no further. */
function rarerKind(name: string): number {
  const folded = foldFieldName(name);
  if (SPECIAL.has(folded)) return FIELD_HOP;
  if (!FORWARDED.test(folded)) return FIELD_PLAIN;
  return folded === name.toLowerCase() ? FIELD_OF_PROXY : FIELD_HOP;
}

/** The name as an upstream behind CGI tells names apart: lower case, `-` for every character that is no letter or digit. */
export function foldFieldName(name: string): string {
  let folded = name.toLowerCase();
  for (let i = 0; i < folded.length; i++) {
    const code = folded.charCodeAt(i);
    if (ALPHANUMERIC[code] !== 1 && code !== HYPHEN) folded = `${folded.slice(0, i)}-${folded.slice(i + 1)}`;
  }
  return folded;
}

/** Names listed by a Connection field beyond its own `close` and `keep-alive`, lower case; null: none. */
export function connectionOptions(value: string, into: Set<string> | null): Set<string> | null {
  if (value === 'keep-alive' || value === 'close') return into;
  let names = into;
  for (const part of value.split(',')) {
    const name = part.trim().toLowerCase();
    if (name !== '' && name !== 'close' && name !== 'keep-alive') (names ??= new Set()).add(name);
  }
  return names;
}

/** The answer's fields that go on to the client, and how its body is framed. */
export interface AnswerFields {
  /** Ready lines, each with its CRLF. */
  readonly lines: string;
  /** Declared length, -1 if none. */
  readonly contentLength: number;
  /** False: a transfer coding other than `chunked` alone, which is not understood here. */
  readonly understood: boolean;
  /** There is a Date (RFC 9110 6.6.1: one is added where there is none). */
  readonly dated: boolean;
  /** Fields that its Connection names, lower case: they end here, as trailers too; null: none. */
  readonly hopNames: ReadonlySet<string> | null;
}

/** Fields with, or without, the text that they were read from. */
export interface FieldLines {
  /** Names and values by turns. */
  readonly pairs: readonly string[];
  /** The head that they were read from, each line `Name: value` and its CRLF; '': it is not at hand. */
  readonly text: string;
  /** By field: in `text`, the beginning and end of its name, and of its value. They hold until the next message is read. */
  readonly places: Int32Array;
}

/**
 * Copies an upstream answer's fields but for the hop's own and our X-Request-Id, lines that stand together at once where the text is at hand. Content-Length is among
 * them, unless `withLength` is false (204: RFC 9110 8.6).
 */
export function answerLines(fields: FieldLines, withLength = true): AnswerFields {
  const { pairs, text, places } = fields;
  let lines = '';
  let contentLength = -1;
  let dated = false;
  let codings = 0;
  let understood = true;
  /** Of the lines of `text` that go on, and are not copied yet; -1: none. */
  let from = -1;
  for (let i = 0; i < pairs.length; i += 2) {
    const name = pairs[i] as string;
    const value = pairs[i + 1] as string;
    let goesOn = true;
    switch (classifyField(name)) {
      case FIELD_CONNECTION: {
        const options = connectionOptions(value, null);
        // Rare: what it names may stand before it, so the fields are gone through again without those.
        if (options !== null) return { ...answerLines({ pairs: withoutNamed(pairs, options), text: '', places }, withLength), hopNames: options };
        goesOn = false;
        break;
      }
      case FIELD_HOP:
      case FIELD_REQUEST_ID:
        goesOn = false;
        break;
      case FIELD_TRANSFER_ENCODING:
        understood = ++codings === 1 && value.toLowerCase() === 'chunked';
        goesOn = false;
        break;
      case FIELD_LENGTH:
        goesOn = withLength;
        if (withLength) contentLength = Number(value);
        break;
      case FIELD_DATE:
        dated = true;
        break;
    }
    if (text === '') {
      if (goesOn) lines += name + ': ' + value + '\r\n';
    } else if (goesOn) {
      if (from < 0) from = places[2 * i] as number;
    } else if (from >= 0) {
      lines += text.slice(from, places[2 * i]);
      from = -1;
    }
  }
  // the empty line stays behind
  if (from >= 0) lines += text.slice(from, text.length - 2);
  return { lines, contentLength, dated, understood, hopNames: null };
}

/** Fields but for Connection and what it names; those that frame the message stay whatever it says. */
function withoutNamed(pairs: readonly string[], options: Set<string>): string[] {
  const left: string[] = [];
  for (let i = 0; i < pairs.length; i += 2) {
    const name = (pairs[i] as string).toLowerCase();
    if (name === 'connection') {
      connectionOptions(pairs[i + 1] as string, options);
      continue;
    }
    left.push(pairs[i] as string, pairs[i + 1] as string);
  }
  return left.filter((_, i) => {
    const name = (left[i & ~1] as string).toLowerCase();
    const kind = classifyField(name);
    return !options.has(name) || kind === FIELD_LENGTH || kind === FIELD_TRANSFER_ENCODING;
  });
}

/**
 * The end of a chunked body (RFC 9112 7.1), with its trailers. Fields that a head is cleared of, framing, the hop's and those of identity,
 * may not come in behind it either (RFC 9110 6.5.1).
 * @param hopNames what the message's Connection names, lower case; null: none
 * @param identityFields folded names that go no further besides; null: none
 */
export function lastChunk(trailers: readonly string[] | null, hopNames: ReadonlySet<string> | null, identityFields: ReadonlySet<string> | null): string {
  if (trailers === null) return '0\r\n\r\n';
  let text = '0\r\n';
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] as string;
    if (classifyField(name) !== FIELD_PLAIN || hopNames?.has(name.toLowerCase()) === true || identityFields?.has(foldFieldName(name)) === true) continue;
    text += `${name}: ${trailers[i + 1] as string}\r\n`;
  }
  return text + '\r\n';
}
