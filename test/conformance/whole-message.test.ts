/**
 * The usual message is read by our own reader, every other by llhttp: whichever it is, the same is told. Made messages, most of them good or nearly good, go both ways,
 * in pieces cut at random and one behind the other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerLines } from '../../gateway/http1/fields.js';
import { MessageParser, type MessageHandler, type MessageHead, type ParserError } from '../../gateway/http1/message-parser.js';
import { SeededRandom } from '../bench/seeded-random.js';

type Kind = 'request' | 'response';
const MAX_HEAD = 16 * 1024;

/** What a handler was told, in one line an item; pieces of a body are put together. */
class Told implements MessageHandler {
  readonly said: string[] = [];
  whole = 0;

  onMessageBegin(): void { this.said.push('begin'); }

  onHead(head: MessageHead): boolean {
    const { text, places, ...said } = head;
    // of the usual message the text is at hand, and has the same lines
    if (text !== '') {
      const lines = said.pairs.map((part, i) => (i % 2 === 0 ? `${part}: ` : `${part}\r\n`)).join('');
      assert.equal(text.slice(places[0], text.length - 2), said.pairs.length === 0 ? text.slice(0, -2) : lines);
      for (const withLength of [true, false]) assert.deepEqual(answerLines(head, withLength), answerLines({ ...head, text: '' }, withLength));
    }
    this.said.push(JSON.stringify(said));
    return false;
  }

  onBody(chunk: Buffer | string): void {
    const text = chunk.toString('latin1' as never);
    const last = this.said.length - 1;
    if (this.said[last]?.startsWith('body ') === true) this.said[last] += text;
    else this.said.push(`body ${text}`);
  }

  onMessageComplete(trailers: string[] | null): void { this.said.push(`complete ${JSON.stringify(trailers)}`); }
}

/** Tells `pieces` as a connection does. @param ownReader false: llhttp alone */
function tell(kind: Kind, pieces: readonly Buffer[], ownReader: boolean): Told {
  const told = new Told();
  const parser = new MessageParser(kind, told, MAX_HEAD);
  // read over, as a socket's buffer is
  const buffer = Buffer.alloc(MAX_HEAD);
  for (const piece of pieces) {
    const bytes = buffer.subarray(0, piece.copy(buffer));
    let at = 0;
    for (let taken = 1; ownReader && taken > 0 && at < bytes.length;) {
      taken = parser.takeWhole(bytes, at, bytes.length);
      if (taken > 0) told.whole++;
      at += taken;
    }
    if (at === bytes.length) continue;
    const result: number | ParserError = parser.execute(bytes.subarray(at));
    if (typeof result === 'number' && result === bytes.length - at) continue;
    told.said.push(typeof result === 'number' ? 'stopped' : `${result.code} ${result.reason}`);
    break;
  }
  parser.close();
  return told;
}

/** Messages of a kind, each good or with something changed. */
class Maker {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** One to four messages, some of them cut or changed in one byte. */
  messages(kind: Kind): Buffer {
    const random = this.#random;
    const made: string[] = [];
    do made.push(kind === 'request' ? this.#request() : this.#answer()); while (made.length < 4 && random.next() < 0.4);
    const bytes = Buffer.from(made.join(''), 'latin1');
    const change = random.next();
    if (change < 0.15) bytes[random.below(bytes.length)] = random.below(256);
    else if (change < 0.25) bytes[random.below(bytes.length)] = this.#oneOf([0, 9, 10, 13, 32, 35, 58, 92, 127, 255]);
    return change > 0.95 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
  }

  /** At most one cut a message or so, many of them behind a head or a message. */
  cut(bytes: Buffer): Buffer[] {
    const random = this.#random;
    const pieces: Buffer[] = [];
    let from = 0;
    while (from < bytes.length) {
      const where = random.next();
      const line = where < 0.2 ? bytes.indexOf('\r\n\r\n', from) : -1;
      const to = line >= 0 ? line + 4 : where < 0.7 ? bytes.length : from + 1 + random.below(bytes.length - from);
      pieces.push(bytes.subarray(from, to));
      from = to;
    }
    return pieces;
  }

  #request(): string {
    const method = this.#mostly('GET', ['HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'get', 'GETS', 'SOURCE', 'PROPFIND']);
    const target = this.#mostly('/v1/products/17', ['/', '/a?b=c&d=%20', '/%e4', '/x#y', '*', 'http://a/b', '/"<>^`{|}', '//a', '/../b', '/a b', '', '/\xe4', `/${'x'.repeat(300)}`]);
    const version = this.#mostly('HTTP/1.1', ['HTTP/1.0', 'HTTP/2.0', 'HTTP/1.2', 'RTSP/1.0', 'http/1.1', '']);
    const [fields, body] = this.#rest(0.3);
    return `${this.#rarely('\r\n')}${method}${this.#space()}${target}${this.#space()}${version}${this.#end()}Host: a.example${this.#end()}${fields}${this.#end()}${body}`;
  }

  #answer(): string {
    const status = this.#mostly('200', ['204', '304', '100', '103', '101', '404', '599', '600', '99', '2000', '20x']);
    const reason = this.#mostly('OK', ['', 'Not Found', ' two', 'trailing ', '\xe4', 'a\tb']);
    const version = this.#mostly('HTTP/1.1', ['HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'ICY']);
    const [fields, body] = this.#rest(0.95);
    return `${this.#rarely('\r\n')}${version}${this.#space()}${status}${this.#space()}${reason}${this.#end()}${fields}${this.#end()}${body}`;
  }

  #rest(framed: number): readonly [fields: string, body: string] {
    const random = this.#random;
    let fields = '';
    let body = '';
    const field = (name: string, value: string): void => { fields += `${name}:${this.#mostly(' ', ['', '  ', '\t', ' \t '])}${value}${this.#end()}`; };
    const plain = (): void => {
      for (let count = random.below(random.next() < 0.03 ? 70 : 6); count > 0; count--) {
        field(this.#mostly('X-Field', ['accept', 'USER-AGENT', 'x', 'Te', 'Trailer', 'Expect', 'Keep-Alive', 'Date', 'X-Request-Id', 'Server', 'a b', '', 'x:y', 'n'.repeat(70), 'X_Y', '(', '\xe4']),
          this.#mostly('some value', ['', 'v', 'a;b="c"', 'trailing ', 'tab\there', '\xe4', '\x01', 'x'.repeat(500), 'a\r\n b']));
      }
    };
    plain();
    if (random.next() < 0.15) field(this.#mostly('Connection', ['connection', 'CONNECTION', 'Proxy-Connection']), this.#mostly('keep-alive', ['Keep-Alive', 'close', 'Close', 'upgrade', 'keep-alive, x', 'x', '']));
    if (random.next() < 0.03) field('Upgrade', 'websocket');
    if (random.next() < 0.1) {
      field(this.#mostly('Transfer-Encoding', ['transfer-encoding']), this.#mostly('chunked', ['gzip, chunked', 'identity']));
      const trailer = random.next() < 0.5 ? this.#oneOf(['X: y\r\n', 'Connection: close\r\n', 'connection: keep-alive, close\r\n', 'Transfer-Encoding: identity\r\n', 'Upgrade: x\r\n']) : '';
      body = `3\r\nabc\r\n0\r\n${trailer}\r\n`;
    }
    if (random.next() < framed) {
      const length = this.#oneOf([0, 0, 1, 5, 80, 300, 5000]);
      field(this.#mostly('Content-Length', ['content-length', 'CONTENT-LENGTH', 'Content_Length']), this.#mostly(String(length), [`0${length}`, `+${length}`, `${length} `, '', 'x', '-1', '1'.repeat(16), '18446744073709551616', '1'.repeat(30)]));
      if (random.next() < 0.03) field('Content-Length', String(length));
      if (body === '') body = 'b'.repeat(length);
    }
    plain();
    return [fields, body];
  }

  #space(): string { return this.#mostly(' ', ['  ', '\t', '']); }
  #end(): string { return this.#random.next() < 0.995 ? '\r\n' : this.#oneOf(['\n', '\r', '\r\r\n', '']); }
  #rarely(text: string): string { return this.#random.next() < 0.02 ? text : ''; }
  /** One of `others` now and then. */
  #mostly(usual: string, others: readonly string[]): string { return this.#random.next() < 0.97 ? usual : this.#oneOf(others); }
  #oneOf<T>(all: readonly T[]): T { return all[this.#random.below(all.length)] as T; }
}

for (const kind of ['request', 'response'] as const) {
  test(`${kind}s: what our own reader takes is told as llhttp tells it, whatever comes before, behind and in between`, () => {
    const maker = new Maker(kind === 'request' ? 11 : 12);
    let taken = 0;
    for (let n = 0; n < 20_000; n++) {
      const bytes = maker.messages(kind);
      const pieces = maker.cut(bytes);
      const [own, native] = [tell(kind, pieces, true), tell(kind, pieces, false)];
      assert.deepEqual(own.said, native.said, JSON.stringify(pieces.map((piece) => piece.toString('latin1'))));
      taken += own.whole;
    }
    assert.ok(taken > 5000, `only ${taken} messages were usual ones`);
  });
}

const USUAL: readonly (readonly [kind: Kind, text: string])[] = [
  ['request', 'GET /v1/products/17?x=%20 HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n'],
  ['request', 'DELETE / HTTP/1.1\r\nhost: a\r\n\r\n'],
  ['request', `POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`],
  ['response', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  ['response', 'HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n'],
  ['response', 'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n'],
  ['response', `HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n${'x'.repeat(6000)}`],
];

test('the usual messages are taken, once they are there to the last byte', () => {
  for (const [kind, text] of USUAL) {
    const bytes = Buffer.from(text, 'latin1');
    for (let length = 0; length <= bytes.length; length++) {
      const parser = new MessageParser(kind, new Told(), MAX_HEAD);
      assert.equal(parser.takeWhole(bytes, 0, length), length === bytes.length ? length : 0, JSON.stringify(text.slice(0, length)));
      parser.close();
    }
    for (let at = 1; at < bytes.length; at++) {
      const pieces = [bytes.subarray(0, at), bytes.subarray(at), bytes];
      assert.deepEqual(tell(kind, pieces, true).said, tell(kind, pieces, false).said);
    }
  }
});

const OTHERS: readonly (readonly [kind: Kind, text: string])[] = [
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n'],
  ['request', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx'],
  ['request', 'GET /#x HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['request', 'GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['request', 'OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['request', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n'],
  ['request', `GET / HTTP/1.1\r\n${'X: y\r\n'.repeat(65)}\r\n`],
  ['request', `GET / HTTP/1.1\r\nX: ${'y'.repeat(8192)}\r\n\r\n`],
  ['request', 'GET / HTTP/1.1\r\nHost:a\r\n\r\n'],
  ['request', 'GET / HTTP/1.1\r\nHost: a\r\nEmpty: \r\n\r\n'],
  ['response', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['response', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ['response', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'],
  ['response', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 18446744073709551616\r\n\r\n'],
  ['response', 'HTTP/1.1 204 No Content\r\nContent-Length: 18446744073709551618\r\n\r\n'],
];

test('what needs more than a usual message is left to llhttp, whole', () => {
  for (const [kind, text] of OTHERS) {
    const told = new Told();
    const parser = new MessageParser(kind, told, MAX_HEAD);
    assert.equal(parser.takeWhole(Buffer.from(text, 'latin1'), 0, text.length), 0, text);
    assert.deepEqual(told.said, []);
    parser.close();
  }
});

test('behind a message that is the last of its connection nothing is taken', () => {
  for (const [first, next] of [
    ['GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'], ['GET / HTTP/1.0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ] as const) {
    const parser = new MessageParser('request', new Told(), MAX_HEAD);
    parser.execute(Buffer.from(first));
    assert.equal(parser.takeWhole(Buffer.from(next), 0, next.length), 0);
    parser.close();
  }
});

test('behind trailers that say close nothing is taken, requests and answers alike; behind others llhttp takes one, and then its turn is over', () => {
  for (const [kind, start, next] of [
    ['request', 'POST / HTTP/1.1\r\nHost: a\r\n', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'], ['response', 'HTTP/1.1 200 OK\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ] as const) {
    for (const trailer of ['Connection: close', 'connection: x, close', 'X: y', 'Connection: keep-alive']) {
      const first = `${start}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${trailer}\r\n\r\n`;
      const pieces = [first, next, next].map((text) => Buffer.from(text));
      assert.deepEqual(tell(kind, pieces, true).said, tell(kind, pieces, false).said, `${kind} ${trailer}`);
    }
  }
});

test('behind what llhttp refused nothing is taken', () => {
  const parser = new MessageParser('request', new Told(), MAX_HEAD);
  const usual = Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const closed = Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n');
  assert.equal(parser.execute(closed), closed.length);
  assert.equal((parser.execute(usual) as ParserError).code, 'HPE_CLOSED_CONNECTION');
  assert.equal(parser.takeWhole(usual, 0, usual.length), 0);
  parser.close();
});

test('a parser that is closed by what it tells tells nothing more', () => {
  const said: string[] = [];
  const parser: MessageParser = new MessageParser('response', {
    onMessageBegin: () => { said.push('begin'); },
    onHead: () => { said.push('head'); parser.close(); return false; },
    onBody: () => { said.push('body'); },
    onMessageComplete: () => { said.push('complete'); },
  }, MAX_HEAD);
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  parser.takeWhole(answer, 0, answer.length);
  assert.deepEqual(said, ['begin', 'head']);
});
