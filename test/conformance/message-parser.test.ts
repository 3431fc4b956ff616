/**
 * What gateway/http1/message-parser.ts relies on of node's llhttp binding, which is no documented interface: callbacks, their order and
 * arguments, ends, errors, strictness. A version of Node that fails here cannot run the gateway.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { MessageParser, PARSER_METHODS, type MessageHandler, type MessageHead } from '../../gateway/http1/message-parser.js';

type Kind = 'request' | 'response';
interface Binding {
  [slot: number]: unknown;
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void;
  execute(bytes: Buffer): number | Error;
  finish(): Error | number | undefined;
  close(): void;
}
interface Constants {
  new (): Binding;
  readonly REQUEST: number;
  readonly RESPONSE: number;
  readonly kOnMessageBegin: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
  readonly kOnBody: number;
  readonly kOnMessageComplete: number;
  readonly kLenientNone: number;
}
const { HTTPParser } = createRequire(import.meta.url)('_http_common') as { HTTPParser: Constants };

const MAX_HEAD = 16 * 1024;
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const CHUNKED_POST = 'POST /p HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n';
const METHOD = { GET: PARSER_METHODS.indexOf('GET'), POST: PARSER_METHODS.indexOf('POST'), CONNECT: PARSER_METHODS.indexOf('CONNECT') };

/** The binding itself, every callback noted with its arguments. */
function bare(kind: Kind, noBody = false): { native: Binding; calls: unknown[][] } {
  const native = new HTTPParser();
  const calls: unknown[][] = [];
  native.initialize(kind === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, MAX_HEAD, HTTPParser.kLenientNone);
  const note = (name: string, result: unknown) => function noted(this: unknown, ...args: unknown[]): unknown {
    assert.equal(this, native, '`this` is the native parser');
    calls.push([name, ...args.map((value) => (Buffer.isBuffer(value) ? value.toString('latin1') : value))]);
    return result;
  };
  native[HTTPParser.kOnMessageBegin | 0] = note('begin', undefined);
  native[HTTPParser.kOnHeaders | 0] = note('fields', undefined);
  native[HTTPParser.kOnHeadersComplete | 0] = note('head', noBody ? 1 : 0);
  native[HTTPParser.kOnBody | 0] = note('body', undefined);
  native[HTTPParser.kOnMessageComplete | 0] = note('complete', undefined);
  return { native, calls };
}

const NONE = undefined;
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => [`X-${i}`, String(i)]).flat();
const lines = (pairs: readonly string[]): string => pairs.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');

const CALLS: readonly (readonly [name: string, kind: Kind, text: string, calls: readonly (readonly unknown[])[], understood: number | null])[] = [
  ['a request', 'request', 'GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n', [['begin'], ['head', 1, 1, ['Host', 'a'], METHOD.GET, '/a?b', NONE, NONE, false, true], ['complete']], null],
  ['a request of HTTP/1.0, which does not stay', 'request', 'GET / HTTP/1.0\r\n\r\n', [['begin'], ['head', 1, 0, [], METHOD.GET, '/', NONE, NONE, false, false], ['complete']], null],
  ['an answer', 'response', 'HTTP/1.1 200 All right\r\nContent-Length: 2\r\n\r\nok', [['begin'], ['head', 1, 1, ['Content-Length', '2'], NONE, NONE, 200, 'All right', false, true], ['body', 'ok'], ['complete']], null],
  ['an answer without a reason', 'response', 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n', [['begin'], ['head', 1, 1, ['Content-Length', '0'], NONE, NONE, 200, '', false, true], ['complete']], null],
  ['1xx is a message of its own', 'response', 'HTTP/1.1 103 E\r\n\r\nHTTP/1.1 204 N\r\n\r\n', [
    ['begin'], ['head', 1, 1, [], NONE, NONE, 103, 'E', false, true], ['complete'], ['begin'], ['head', 1, 1, [], NONE, NONE, 204, 'N', false, true], ['complete'],
  ], null],
  ['two messages in one piece, the second begun only', 'request', 'POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b', [
    ['begin'], ['head', 1, 1, ['Content-Length', '3'], METHOD.POST, '/', NONE, NONE, false, true], ['body', 'abc'], ['complete'], ['begin'],
  ], null],
  ['chunks, their extensions dropped, and trailers', 'request', `${CHUNKED_POST}3;x=y;z="q"\r\nabc\r\n0;last\r\nX: 1\r\nY: 2\r\n\r\n`, [
    ['begin'], ['head', 1, 1, ['Transfer-Encoding', 'chunked'], METHOD.POST, '/p', NONE, NONE, false, true], ['body', 'abc'], ['fields', ['X', '1', 'Y', '2'], '/p'], ['complete'],
  ], null],
  ['more fields than 31: flushed in parts, and told nowhere else', 'request', `GET /a HTTP/1.1\r\n${lines(numbered(40))}\r\n`, [
    ['begin'], ['fields', numbered(31), '/a'], ['fields', numbered(40).slice(62), ''], ['head', 1, 1, NONE, METHOD.GET, NONE, NONE, NONE, false, true], ['complete'],
  ], null],
  ['an upgrade stops with what follows unread', 'request', 'GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw', [
    ['begin'], ['head', 1, 1, ['Connection', 'Upgrade', 'Upgrade', 'x'], METHOD.GET, '/', NONE, NONE, true, true], ['complete'],
  ], 51],
  ['RTSP, which cannot be told from HTTP/1.0 here', 'request', 'GET /a RTSP/1.0\r\n\r\n', [['begin'], ['head', 1, 0, [], METHOD.GET, '/a', NONE, NONE, false, false], ['complete']], null],
  ['CONNECT stops with what follows unread', 'request', 'CONNECT a:1 HTTP/1.1\r\n\r\nraw', [['begin'], ['head', 1, 1, [], METHOD.CONNECT, 'a:1', NONE, NONE, true, true], ['complete']], 24],
  ['101 stops with what follows unread', 'response', 'HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw', [
    ['begin'], ['head', 1, 1, ['Connection', 'Upgrade', 'Upgrade', 'x'], NONE, NONE, 101, 'S', true, true], ['complete'],
  ], 51],
];

for (const [name, kind, text, calls, understood] of CALLS) {
  test(`the callbacks of ${name}`, () => {
    const parser = bare(kind);
    assert.equal(parser.native.execute(bytes(text)), understood ?? text.length);
    assert.deepEqual(parser.calls, calls);
    parser.native.close();
  });
}

test('a head answered with 1 has no body, whatever it says; the next message follows', () => {
  const { native, calls } = bare('response', true);
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  assert.equal(native.execute(bytes(text)), text.length);
  assert.deepEqual(calls.map(([call]) => call), ['begin', 'head', 'complete', 'begin', 'head', 'complete']);
  native.close();
});

// -- through our own class ----------------------------------------------------------------------------------------

class Kept implements MessageHandler {
  readonly heads: MessageHead[] = [];
  readonly bodies: string[] = [];
  readonly trailers: (string[] | null)[] = [];
  begun = 0;
  parser: MessageParser | null = null;
  closeAt = '';

  onMessageBegin(): void { this.begun++; this.#maybeClose('begin'); }
  onHead(head: MessageHead): boolean {
    this.heads.push({ ...head });
    this.#maybeClose('head');
    return false;
  }
  onBody(chunk: Buffer): void {
    this.bodies.push(chunk.toString('latin1'));
    this.#maybeClose('body');
  }
  onMessageComplete(trailers: string[] | null): void {
    this.trailers.push(trailers);
    this.#maybeClose('complete');
  }
  #maybeClose(at: string): void {
    if (this.closeAt === at) this.parser?.close();
  }
}

function kept(kind: Kind, closeAt = ''): { parser: MessageParser; seen: Kept } {
  const seen = new Kept();
  const parser = new MessageParser(kind, seen, MAX_HEAD);
  seen.parser = parser;
  seen.closeAt = closeAt;
  return { parser, seen };
}

for (const count of [0, 1, 30, 31, 32, 33, 62, 63, 64, 100, 500]) {
  test(`${count} fields arrive, in order, with the target; then a message with few`, () => {
    const { parser, seen } = kept('request');
    const pairs = numbered(count);
    parser.execute(bytes(`GET /long/target HTTP/1.1\r\n${lines(pairs)}\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n`));
    assert.deepEqual(seen.heads.map((head) => [head.target, head.pairs]), [['/long/target', pairs], ['/b', ['Host', 'b']]]);
    parser.close();
  });
}

test('split at every byte, a message is the same: target, fields, body and trailers', () => {
  const text = `POST /a/long/target HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${lines(numbered(35))}\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\nLong: value\r\n\r\n`;
  for (let step = 1; step < 8; step++) {
    const { parser, seen } = kept('request');
    const all = bytes(text);
    for (let at = 0; at < all.length; at += step) assert.equal(parser.execute(all.subarray(at, at + step)), Math.min(step, all.length - at));
    const [head] = seen.heads;
    assert.deepEqual([head?.target, head?.method, head?.pairs], ['/a/long/target', 'POST', ['Transfer-Encoding', 'chunked', ...numbered(35)]]);
    assert.equal(seen.bodies.join(''), 'abcde');
    assert.deepEqual(seen.trailers, [['X', '1', 'Long', 'value']]);
    parser.close();
  }
});

test('trailers are of their message only: more than 31 of them, then a message with none, then a head with many fields', () => {
  const { parser, seen } = kept('request');
  parser.execute(bytes(`${CHUNKED_POST}0\r\n${lines(numbered(70))}\r\n${CHUNKED_POST}0\r\n\r\nGET /c HTTP/1.1\r\n${lines(numbered(33))}\r\n`));
  assert.deepEqual(seen.trailers, [numbered(70), null, null]);
  assert.deepEqual(seen.heads.map((head) => [head.target, head.pairs.length]), [['/p', 2], ['/p', 2], ['/c', 66]]);
  parser.close();
});

test('values are bytes, one character each; leading and trailing blanks are taken off', () => {
  const { parser, seen } = kept('request');
  parser.execute(bytes('GET / HTTP/1.1\r\nX: \xff\xc3\xa4\r\nY:  \t b c \t \r\nEmpty:\r\n\r\n'));
  assert.deepEqual(seen.heads[0]?.pairs, ['X', '\xff\xc3\xa4', 'Y', 'b c', 'Empty', '']);
  parser.close();
});

test('a piece of a body outlives the buffer it came in', () => {
  const given = bytes('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
  let piece: Buffer | string | null = null;
  const parser = new MessageParser('response', { onMessageBegin() {}, onHead: () => false, onBody: (chunk) => { piece = chunk; }, onMessageComplete() {} }, MAX_HEAD);
  parser.execute(given);
  const view = piece as Buffer | string | null;
  assert.ok(view !== null);
  given.fill(0);
  assert.equal(view.toString(), 'hello');
  parser.close();
});

const KEEP_ALIVE: readonly (readonly [head: string, keepAlive: boolean])[] = [
  ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', true],
  ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', false],
  ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', false],
  ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n', true],
  ['HTTP/1.1 200 OK\r\nX: its end is by closing\r\n\r\n', false],
  ['HTTP/1.1 204 No\r\n\r\n', true],
];

test('whether the connection may go on is told with the head', () => {
  for (const [text, keepAlive] of KEEP_ALIVE) {
    const { parser, seen } = kept('response');
    parser.execute(bytes(text));
    assert.equal(seen.heads[0]?.keepAlive, keepAlive, text);
    parser.close();
  }
});

const ENDS: readonly (readonly [name: string, kind: Kind, text: string, error: string | null, completed: number])[] = [
  ['nothing', 'response', '', null, 0],
  ['a whole answer', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', null, 1],
  ['an answer whose end is the closing', 'response', 'HTTP/1.1 200 OK\r\n\r\nabc', null, 1],
  ['half a head', 'response', 'HTTP/1.1 200 OK\r\nX: ', 'HPE_INVALID_EOF_STATE', 0],
  ['half of Content-Length', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', 'HPE_INVALID_EOF_STATE', 0],
  ['half a chunk', 'response', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc', 'HPE_INVALID_EOF_STATE', 0],
  ['chunks without the last', 'response', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'HPE_INVALID_EOF_STATE', 0],
  ['half a request\'s body', 'request', 'POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc', 'HPE_INVALID_EOF_STATE', 0],
];

for (const [name, kind, text, error, completed] of ENDS) {
  test(`the peer ends after ${name}: ${error ?? 'a proper end'}`, () => {
    const { parser, seen } = kept(kind);
    parser.execute(bytes(text));
    const result = parser.finish();
    assert.equal(result === null ? null : result.code, error);
    assert.equal(seen.trailers.length, completed);
    parser.close();
  });
}

for (const at of ['begin', 'head', 'body', 'complete']) {
  test(`closed inside the callback of ${at}: nothing more is told, and nothing breaks`, () => {
    for (let i = 0; i < 50; i++) {
      const { parser, seen } = kept('request', at);
      parser.execute(bytes(`${CHUNKED_POST}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n`));
      parser.close();
      assert.deepEqual([seen.begun, seen.heads.length, seen.bodies.length, seen.trailers.length], { begin: [1, 0, 0, 0], head: [1, 1, 0, 0], body: [1, 1, 1, 0], complete: [1, 1, 2, 1] }[at]);
    }
  });
}

test('closed inside the callback that an end by closing brings', () => {
  const { parser, seen } = kept('response', 'complete');
  parser.execute(bytes('HTTP/1.1 200 OK\r\n\r\nabc'));
  assert.equal(parser.finish(), null);
  assert.equal(seen.trailers.length, 1);
});

const ERRORS: readonly (readonly [name: string, kind: Kind, text: string, code: string, reason: RegExp])[] = [
  ['a field name with a space', 'request', 'GET / HTTP/1.1\r\nBad Field: x\r\n\r\n', 'HPE_INVALID_HEADER_TOKEN', /Invalid header token/],
  ['a space before the colon', 'request', 'GET / HTTP/1.1\r\nHost : x\r\n\r\n', 'HPE_INVALID_HEADER_TOKEN', /./],
  ['a NUL in a value', 'request', 'GET / HTTP/1.1\r\nX: a\0b\r\n\r\n', 'HPE_INVALID_HEADER_TOKEN', /./],
  ['a head too large', 'request', `GET / HTTP/1.1\r\nX: ${'a'.repeat(MAX_HEAD)}\r\n\r\n`, 'HPE_HEADER_OVERFLOW', /Header overflow/],
  ['a target too large', 'request', `GET /${'a'.repeat(MAX_HEAD)} HTTP/1.1\r\n\r\n`, 'HPE_HEADER_OVERFLOW', /./],
  ['trailers too large', 'request', `${CHUNKED_POST}0\r\nX: ${'a'.repeat(MAX_HEAD)}\r\n\r\n`, 'HPE_HEADER_OVERFLOW', /./],
  ['chunk extensions too large', 'request', `${CHUNKED_POST}1;${'a'.repeat(MAX_HEAD + 1)}\r\na\r\n`, 'HPE_CHUNK_EXTENSIONS_OVERFLOW', /./],
  ['HTTP/2', 'request', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'HPE_PAUSED_H2_UPGRADE', /./],
  ['data after Connection: close', 'request', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n', 'HPE_CLOSED_CONNECTION', /./],
  ['both lengths', 'request', 'POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n', 'HPE_INVALID_TRANSFER_ENCODING', /Transfer-Encoding/],
  ['both lengths the other way', 'request', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n', 'HPE_INVALID_CONTENT_LENGTH', /./],
  ['both lengths in an answer', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n', 'HPE_INVALID_TRANSFER_ENCODING', /./],
  ['two lengths', 'request', 'POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n', 'HPE_UNEXPECTED_CONTENT_LENGTH', /./],
  ['a length that is no number', 'response', 'HTTP/1.1 200 OK\r\nContent-Length: 3a\r\n\r\n', 'HPE_INVALID_CONTENT_LENGTH', /./],
  ['a length past 64 bits', 'request', 'POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n', 'HPE_INVALID_CONTENT_LENGTH', /./],
  ['a chunk size that is no number', 'request', `${CHUNKED_POST}zz\r\n`, 'HPE_INVALID_CHUNK_SIZE', /./],
  ['a chunk size past 64 bits', 'request', `${CHUNKED_POST}${'f'.repeat(17)}\r\n`, 'HPE_INVALID_CHUNK_SIZE', /./],
  ['a chunk longer than its size', 'request', `${CHUNKED_POST}3\r\nabcd\r\n`, 'HPE_STRICT', /./],
  ['a chunk size ended by a bare LF', 'request', `${CHUNKED_POST}3\nabc\r\n`, 'HPE_CR_EXPECTED', /./],
  ['a chunk extension ended by a bare LF', 'request', `${CHUNKED_POST}3;x\nabc\r\n`, 'HPE_CR_EXPECTED', /./],
  ['a folded line', 'request', 'GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n', 'HPE_INVALID_HEADER_TOKEN', /./],
  ['a bare LF after the request line', 'request', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 'HPE_INVALID_VERSION', /./],
  ['a bare LF after a field', 'request', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 'HPE_CR_EXPECTED', /./],
  ['a bare CR in a value', 'request', 'GET / HTTP/1.1\r\nX: a\rb\r\n\r\n', 'HPE_LF_EXPECTED', /./],
  ['an unknown method', 'request', 'FROB / HTTP/1.1\r\n\r\n', 'HPE_INVALID_METHOD', /./],
  ['a method in small letters', 'request', 'get / HTTP/1.1\r\n\r\n', 'HPE_INVALID_METHOD', /./],
  ['an unknown version', 'request', 'GET / HTTP/1.2\r\n\r\n', 'HPE_INVALID_VERSION', /./],
  ['another protocol', 'request', 'GET / SIP/2.0\r\n\r\n', 'HPE_INVALID_CONSTANT', /./],
  ['an answer that is no HTTP', 'response', 'SSH-2.0-x\r\n', 'HPE_INVALID_CONSTANT', /./],
  ['an answer of an unknown version', 'response', 'HTTP/3.0 200 OK\r\n\r\n', 'HPE_INVALID_VERSION', /./],
];

for (const [name, kind, text, code, reason] of ERRORS) {
  test(`refused in one piece and byte by byte: ${name}`, () => {
    const whole = kept(kind);
    const error = whole.parser.execute(bytes(text));
    assert.ok(typeof error !== 'number', 'understood');
    assert.equal(error.code, code);
    assert.match(error.reason, reason);
    assert.equal(typeof error.bytesParsed, 'number');
    assert.ok(error instanceof Error);
    whole.parser.close();
    const single = kept(kind);
    const codes = new Set<string>();
    for (const byte of bytes(text)) {
      const result = single.parser.execute(Buffer.of(byte));
      if (typeof result !== 'number') codes.add(result.code);
    }
    assert.deepEqual([...codes], [code], 'the same, and the parser stays at it');
    single.parser.close();
  });
}

test('methods by llhttp\'s number: every one that events name but `QUERY` is known', () => {
  for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT', 'PROPFIND', 'PURGE', 'SEARCH']) {
    const { parser, seen } = kept('request');
    assert.ok(PARSER_METHODS.includes(method));
    if (method === 'CONNECT') continue;
    parser.execute(bytes(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`));
    assert.equal(seen.heads[0]?.method, method);
    parser.close();
  }
});
