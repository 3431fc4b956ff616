/** SECURITY.md's "Requests": what must not pass, sent as bytes. Each is answered with its status, recorded, and nothing of it reaches the upstream. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestUpstream } from '../harness/upstream.js';
import { answerEach, oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const post = (fields: string, body: string): string => `POST /p HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;
const get = (fields: string, target = '/'): string => `GET ${target} HTTP/1.1\r\n${fields}\r\n\r\n`;

const REFUSED: readonly (readonly [name: string, request: string, status: number, code: string])[] = [
  ['Content-Length with Transfer-Encoding', post('Content-Length: 5\r\nTransfer-Encoding: chunked', '0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'), 400, 'malformed_request'],
  ['Transfer-Encoding with Content-Length', post('Transfer-Encoding: chunked\r\nContent-Length: 5', '0\r\n\r\n'), 400, 'malformed_request'],
  ['two different Content-Lengths', post('Content-Length: 5\r\nContent-Length: 6', 'abcdef'), 400, 'malformed_request'],
  ['two equal Content-Lengths', post('Content-Length: 5\r\nContent-Length: 5', 'abcde'), 400, 'malformed_request'],
  ['a list in Content-Length', post('Content-Length: 5, 5', 'abcde'), 400, 'malformed_request'],
  ['a signed Content-Length', post('Content-Length: +5', 'abcde'), 400, 'malformed_request'],
  ['a hexadecimal Content-Length', post('Content-Length: 0x5', 'abcde'), 400, 'malformed_request'],
  ['Transfer-Encoding: xchunked', post('Transfer-Encoding: xchunked', '0\r\n\r\n'), 400, 'malformed_request'],
  ['Transfer-Encoding: gzip, chunked', post('Transfer-Encoding: gzip, chunked', '0\r\n\r\n'), 400, 'malformed_request'],
  ['Transfer-Encoding: chunked, chunked', post('Transfer-Encoding: chunked, chunked', '0\r\n\r\n'), 400, 'malformed_request'],
  ['two Transfer-Encodings', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'), 400, 'malformed_request'],
  ['Transfer-Encoding: identity', post('Transfer-Encoding: identity', 'abc'), 400, 'malformed_request'],
  ['Transfer-Encoding with HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400, 'malformed_request'],
  ['a chunk extension ended by a bare LF', post('Transfer-Encoding: chunked', '3;x\nabc\r\n0\r\n\r\n'), 400, 'malformed_request'],
  ['a chunk size that is no number', post('Transfer-Encoding: chunked', 'zz\r\nabc\r\n0\r\n\r\n'), 400, 'malformed_request'],
  ['a chunk longer than its size', post('Transfer-Encoding: chunked', '3\r\nabcd\r\n0\r\n\r\n'), 400, 'malformed_request'],
  ['bare LF line ends', 'GET / HTTP/1.1\nHost: a\n\n', 400, 'malformed_request'],
  ['a bare LF inside the head', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400, 'malformed_request'],
  ['a bare CR inside a value', get('Host: a\r\nX: b\rc'), 400, 'malformed_request'],
  ['a NUL inside a value', get('Host: a\r\nX: b\0c'), 400, 'malformed_request'],
  ['a space before the colon', get('Host : a'), 400, 'malformed_request'],
  ['a field name with a space', get('Host: a\r\nX Y: b'), 400, 'malformed_request'],
  ['an empty field name', get('Host: a\r\n: b'), 400, 'malformed_request'],
  ['a folded line', get('Host: a\r\nX: b\r\n c'), 400, 'malformed_request'],
  ['a line before the first field that begins with a space', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400, 'malformed_request'],
  ['no Host', get('X: a'), 400, 'bad_host'],
  ['two Hosts', get('Host: a\r\nHost: b'), 400, 'bad_host'],
  ['two equal Hosts', get('Host: a\r\nHost: a'), 400, 'bad_host'],
  ['an empty Host', get('Host: '), 400, 'bad_host'],
  ['a Host with user information', get('Host: a@b'), 400, 'bad_host'],
  ['a Host with a path', get('Host: a/b'), 400, 'bad_host'],
  ['a Host with a comma', get('Host: a, b'), 400, 'bad_host'],
  ['a label of 64 characters', get(`Host: ${'a'.repeat(64)}.example.com`), 400, 'bad_host'],
  ['a name of 254 characters', get(`Host: ${'a.'.repeat(126)}aa`), 400, 'bad_host'],
  ['dots in brackets', get('Host: [....]'), 400, 'bad_host'],
  ['brackets around no address', get('Host: [::1.]'), 400, 'bad_host'],
  ['brackets around an IPv4 address', get('Host: [127.0.0.1]'), 400, 'bad_host'],
  ['port 0', get('Host: a:0'), 400, 'bad_host'],
  ['port 65536', get('Host: a:65536'), 400, 'bad_host'],
  ['port 99999 behind an address', get('Host: [::1]:99999'), 400, 'bad_host'],
  ['absolute-form to another host', get('Host: a', 'http://b/'), 400, 'bad_host'],
  ['absolute-form of another scheme', get('Host: a', 'https://a/'), 400, 'malformed_request'],
  ['a fragment', get('Host: a', '/a#b'), 400, 'malformed_request'],
  ['an encoded slash', get('Host: a', '/a%2fb'), 400, 'bad_path'],
  ['an encoded backslash', get('Host: a', '/a%5cb'), 400, 'bad_path'],
  ['a backslash', get('Host: a', '/a\\b'), 400, 'bad_path'],
  ['an encoded NUL', get('Host: a', '/a%00'), 400, 'bad_path'],
  ['overlong UTF-8', get('Host: a', '/a%c0%af'), 400, 'bad_path'],
  ['a climb above the root', get('Host: a', '/../etc/passwd'), 400, 'bad_path'],
  ['an encoded climb above the root', get('Host: a', '/%2e%2e/etc/passwd'), 400, 'bad_path'],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n', 501, 'upgrade_not_supported'],
  ['HTTP/2 by prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'version_not_supported'],
  ['HTTP/2.0 in a request line', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'version_not_supported'],
  ['HTTP/0.9', 'GET /\r\n\r\n', 505, 'version_not_supported'],
  ['an unknown version', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 400, 'malformed_request'],
  ['RTSP with a method of its own', 'DESCRIBE rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n\r\n', 505, 'version_not_supported'],
  ['RTSP with a method of HTTP', 'GET / RTSP/1.0\r\nHost: a\r\n\r\n', 505, 'version_not_supported'],
  ['RTSP behind two spaces', 'OPTIONS /x  RTSP/1.1\r\nHost: a\r\n\r\n', 505, 'version_not_supported'],
  ['RTSP with two spaces behind the method', 'GET  /x RTSP/1.0\r\nHost: a\r\n\r\n', 505, 'version_not_supported'],
  ['ICE', 'SOURCE /x ICE/1.0\r\nHost: a\r\n\r\n', 505, 'version_not_supported'],
  ['more trailer fields than the limit', post('Transfer-Encoding: chunked', `3\r\nabc\r\n0\r\n${'a:b\r\n'.repeat(101)}\r\n`), 431, 'head_too_large'],
  ['a TLS hello', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400, 'malformed_request'],
  ['an unknown method', 'FROB / HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'malformed_request'],
  ['an expectation that cannot be met', get('Host: a\r\nExpect: a-pony'), 417, 'expectation_failed'],
  ['a head larger than its limit', get(`Host: a\r\nX: ${'b'.repeat(17 * 1024)}`), 431, 'head_too_large'],
  ['more fields than the limit', get(`Host: a\r\n${Array.from({ length: 100 }, (_, i) => `X-${i}: 1`).join('\r\n')}`), 431, 'head_too_large'],
  ['a target longer than its limit', get('Host: a', `/${'a'.repeat(8 * 1024)}`), 414, 'uri_too_long'],
  ['a body larger than its limit', post('Content-Length: 2049', ''), 413, 'body_too_large'],
];

for (const [name, request, status, code] of REFUSED) {
  test(`refused with ${status}: ${name}`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, oneService(upstream.port), '    limits: { body: 2KiB }');
    const client = await RawClient.connect(t, path.port);
    client.send(request);
    const received = await client.untilClosed();
    assert.match(received, new RegExp(`^HTTP/1.1 ${status} `));
    assert.equal([...received.matchAll(/HTTP\/1\.1 \d{3} /g)].length, 1, 'one answer');
    const body = JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>;
    assert.equal(body['code'], code);
    assert.doesNotMatch(received, / at .*\.[jt]s/, 'no stack trace');
    const [row] = await path.rowsOf(1);
    // A body's fault shows when its request is on its way already.
    assert.equal(row?.outcome, 'malformed_request');
    assert.equal(row.status, status);
    assert.equal(row.counted, 0);
    assert.match(row.protocol, /^http\/1\.[01]$/, 'also where no head could be read: the store knows no other');
    const complete = upstream.seen.filter((text) => /\r\n0\r\n\r\n$/.test(text) || (text !== '' && !text.includes('chunked')));
    assert.deepEqual(complete, [], 'no whole request reached the upstream');
    assert.ok(!upstream.seen.join('').includes('smuggled'));
  });
}

test('RTSP a byte at a time, and behind a request of HTTP, is refused as well', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const slow = await RawClient.connect(t, path.port);
  for (const byte of 'GET /slow RTSP/1.0\r\nHost: a\r\n\r\n') {
    slow.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.match(await slow.untilClosed(), /^HTTP\/1\.1 505 /);
  const second = await RawClient.connect(t, path.port);
  second.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second RTSP/1.1\r\nHost: a\r\n\r\n');
  const received = await second.untilClosed();
  assert.deepEqual([...received.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status), ['200', '505']);
  const third = await RawClient.connect(t, path.port);
  // the rest of a body that looks like the head which follows it
  third.send('POST /third HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n');
  await until(() => upstream.seen.some((text) => text.includes('/third')), 'the head of the third');
  third.send('GET /4 HTTP/1.1GET /4 RTSP/1.1\r\nHost: a\r\n\r\n');
  assert.match(await third.untilClosed(), /HTTP\/1\.1 505 /);
  assert.doesNotMatch(upstream.seen.join(''), /slow|second|GET \/4 HTTP\/1\.1\r\n/);
});

/** Each part as a packet of its own. */
async function sendApart(client: RawClient, parts: readonly string[]): Promise<void> {
  for (const part of parts) {
    client.send(part);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const SPEAKS_OF_OTHERS: readonly (readonly [name: string, parts: readonly string[], answers: number])[] = [
  ['in its fields', ['GET /a HTTP/1.1\r\nHost: a\r\nX-Line: GET /a RTSP/1.0\r\nX-Ice: a ICE/1.0\r\n\r\n'], 1],
  ['in a field that comes in two reads', ['GET /a HTTP/1.1\r\nHost: a\r\nX-No', 'te: GET /a RTSP/1.0\r\n\r\n'], 1],
  ['behind an empty line', ['\r\nGET /a HTTP/1.1\r\nHost: a\r\nX-Line: GET /a RTSP/1.0\r\n\r\n'], 1],
  ['with two spaces in its line', ['GET  /a HTTP/1.1\r\nHost: a\r\nX-Line: GET /a RTSP/1.0\r\n\r\n'], 1],
  ['in the body before it', [post('Content-Length: 20', 'see GET /a RTSP/1.0 '), get('Host: a', '/a')], 2],
  ['in the body before it, all in one', [post('Content-Length: 26', `see\r\n\r\nGET /a RTSP/1.0\r\n\r\n${get('Host: a', '/a')}`)], 2],
  ['in the chunks before it', [post('Transfer-Encoding: chunked', '14\r\nsee\r\n\r\nGET /a RTSP/1\r\n0\r\n\r'), `\n${get('Host: a', '/a')}`], 2],
  ['in a field behind another request, cut at its line', [`${get('Host: a', '/x')}GET /a HTTP/1.1\r\nHost: a\r\n`, 'X-Line: GET /a RTSP/1.0\r\n\r\n'], 2],
  ['in a field behind a chunked body, cut in its line', [`${post('Transfer-Encoding: chunked', '1\r\na\r\n0\r\n\r\n')}GET /a HTTP/1.1\r\nHost: a\r\nX-Li`, 'ne: GET /a RTSP/1.0\r\n\r\n'], 2],
];

for (const [name, parts, answers] of SPEAKS_OF_OTHERS) {
  test(`a request that only speaks of another protocol is one of HTTP: ${name}`, async (t) => {
    const upstream = await TestUpstream.start();
    t.after(() => upstream.stop());
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    await sendApart(client, parts);
    const answered = (): (string | undefined)[] => [...client.received.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status);
    await until(() => answered().length === answers, 'the answers');
    assert.deepEqual(answered(), Array.from({ length: answers }, () => '200'));
  });
}

const CHUNKED = post('Transfer-Encoding: chunked', '4\r\n\r\n\r\n\r\n0\r\n');
const BEHIND_CHUNKS: readonly (readonly [name: string, parts: readonly string[]])[] = [
  ['in one read', [`${CHUNKED}\r\nGET /rtsp RTSP/1.1\r\nHost: a\r\n\r\n`]],
  ['in the read that ends the body', [CHUNKED, '\r\nGET /rtsp RTSP/1.1\r\nHost: a\r\n\r\n']],
  ['with the empty line between in two reads', [`${CHUNKED}\r`, '\nGET /rtsp RTSP/1.1\r\nHost: a\r\n\r\n']],
  ['with its line in two reads', [`${CHUNKED}\r\nGET /rtsp RT`, 'SP/1.1\r\nHost: a\r\n\r\n']],
  ['with its head in two reads', [`${CHUNKED}\r\nGET /rtsp RTSP/1.1\r\nHo`, 'st: a\r\n\r\n']],
  ['after a request of HTTP', [`${CHUNKED}\r\n${get('Host: a', '/http')}GET /rtsp RTSP/1.1\r\nHost: a\r\n\r\n`]],
];

for (const [name, parts] of BEHIND_CHUNKS) {
  test(`RTSP behind a chunked body is refused: ${name}`, async (t) => {
    const upstream = await TestUpstream.start({ keepRequests: true });
    t.after(() => upstream.stop());
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    await sendApart(client, parts);
    const statuses = [...(await client.untilClosed()).matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status);
    assert.deepEqual(statuses, [...upstream.seen.map(() => '200'), '505']);
    assert.ok(!upstream.seen.some(({ url }) => url === '/rtsp'));
  });
}

test('spaces without end in a request line are refused as a head too large', async (t) => {
  const path = await startDataPath(t, oneService(9));
  const client = await RawClient.connect(t, path.port);
  client.send(`GET ${' '.repeat(200_000)}`);
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 431 /);
});

const NAME_AMONG_LINES = ` RTSP/${'/ '.repeat(28_000)}`;
const NAMES_AMONG_EMPTY_LINES = ` RTSP/${'\r\n\r\n'.repeat(250)}`.repeat(60);
const FULL_OF_LINES: readonly (readonly [name: string, sent: string, answers: number])[] = [
  // all in one piece that is parsed: heads, and a body full of what could be a request line
  ['behind many heads', `${get('Host: a').repeat(148)}${post(`Content-Length: ${NAME_AMONG_LINES.length}`, NAME_AMONG_LINES)}`, 149],
  ['in chunks', post('Transfer-Encoding: chunked', `${NAMES_AMONG_EMPTY_LINES.length.toString(16)}\r\n${NAMES_AMONG_EMPTY_LINES}\r\n0\r\n\r\n`), 1],
];

for (const [name, sent, answers] of FULL_OF_LINES) {
  test(`what a client sends of another protocol costs what its bytes cost: ${name}`, async (t) => {
    const upstream = await TestUpstream.start();
    t.after(() => upstream.stop());
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    let slices = 0;
    const plain = Object.getOwnPropertyDescriptor(Buffer.prototype, 'subarray') as TypedPropertyDescriptor<(this: Buffer, from?: number, to?: number) => Buffer>;
    t.after(() => { Object.defineProperty(Buffer.prototype, 'subarray', plain); });
    Object.defineProperty(Buffer.prototype, 'subarray', { ...plain, value(this: Buffer, from?: number, to?: number) {
      slices++;
      return plain.value?.call(this, from, to);
    } });
    client.send(sent);
    await until(() => [...client.received.matchAll(/HTTP\/1.1 200/g)].length === answers, 'the answers');
    assert.ok(slices < sent.length, `${slices} slices of ${sent.length} bytes`);
  });
}

for (const host of [`${'a'.repeat(63)}.example.com`, `${'a.'.repeat(126)}a.`, '[::1]', '[::ffff:1.2.3.4]:65535', 'a:1', 'A_b~c-d.example']) {
  test(`a valid host: ${host.slice(0, 30)}`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(get(`Host: ${host}`));
    assert.match(await client.until('ok'), /^HTTP\/1\.1 200 /);
  });
}

test('too many trailers behind a body that is under way upstream: 431, and the upstream request is given up', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Transfer-Encoding: chunked', '3\r\nabc\r\n'));
  await until(() => upstream.seen.join('').includes('abc'), 'the body upstream');
  client.send(`0\r\n${'a:b\r\n'.repeat(101)}\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n`);
  const received = await client.untilClosed();
  assert.match(received, /^HTTP\/1.1 431 [^]*head_too_large/);
  assert.equal([...received.matchAll(/HTTP\/1\.1 \d{3} /g)].length, 1, 'one answer');
  assert.doesNotMatch(upstream.seen.join(''), /\r\n0\r\n|after/);
  assert.deepEqual((await path.rowsOf(1)).map(({ outcome, status, counted }) => [outcome, status, counted]), [['client_aborted', 431, 1]]);
});

test('as many trailers as fields are allowed are taken', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (/\r\n0\r\n(.*\r\n)*\r\n$/.test(sofar)) socket.write(OK); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Transfer-Encoding: chunked', `3\r\nabc\r\n0\r\n${'a:b\r\n'.repeat(100)}\r\n`));
  assert.match(await client.until('ok'), /^HTTP\/1\.1 200 /);
});

test('a large body sent in chunks is cut off at the limit', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port), '    limits: { body: 2KiB }');
  const client = await RawClient.connect(t, path.port);
  client.send(post('Transfer-Encoding: chunked', `400\r\n${'a'.repeat(1024)}\r\n400\r\n${'a'.repeat(1024)}\r\n1\r\na\r\n0\r\n\r\n`));
  assert.match(await client.untilClosed(), /^HTTP\/1.1 413 /);
});

test('what follows a request that was refused for its form is not taken for a request', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /bad HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n');
  const received = await client.untilClosed();
  assert.deepEqual([...received.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status), ['200', '400']);
  assert.ok(upstream.seen.join('').includes('/first'));
  assert.ok(!upstream.seen.join('').includes('/after'));
});

for (const [where, pause] of [['in one read', false], ['in reads of their own', true]] as const) {
  test(`a close in the trailers ends the connection: what follows ${where} is no request, and no body of one is`, async (t) => {
    const upstream = await startRawUpstream(t, (socket, sofar) => { if (/\r\n\r\n$/.test(sofar)) socket.write(OK); });
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    const smuggled = get('Host: a', '/smuggled');
    // llhttp says that the connection is closed; the second is not a usual request, its body would be one
    const pieces = [post('Transfer-Encoding: chunked', '1\r\na\r\n0\r\nConnection: close\r\n\r\n'), post(`X-Tab:\ta\r\nContent-Length: ${smuggled.length}`, smuggled), smuggled];
    if (pause) {
      client.send(pieces[0] as string);
      await client.until('ok');
      for (const piece of pieces.slice(1)) client.send(piece);
    } else client.send(pieces.join(''));
    const received = await client.untilClosed();
    assert.equal([...received.matchAll(/HTTP\/1\.1 200 /g)].length, 1, received);
    assert.doesNotMatch(upstream.seen.join(''), /smuggled|X-Tab/);
    assert.equal((await path.rowsOf(1)).length, 1);
  });
}

test('an Upgrade is not sent on, and what follows it on the connection is not a request', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
  const received = await client.untilClosed();
  assert.match(received, /^HTTP\/1.1 200 OK\r\n/);
  assert.match(received, /Connection: close/);
  const sent = upstream.seen.join('');
  assert.doesNotMatch(sent, /upgrade|http2-settings|smuggled/i);
});

test('fields of one hop are dropped with all that Connection names; ours cannot be stripped', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /a HTTP/1.1\r\nHost: api.example.com:8080\r\nConnection: keep-alive, X-Secret, X-Forwarded-For, X-Request-Id, Host\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\n'
    + 'Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nX-App: admin\r\nx-forwarded-for: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4\r\nX-Request-Id: mine\r\nX-Kept: yes\r\n\r\n');
  await client.until('ok');
  const sent = upstream.seen.join('');
  assert.doesNotMatch(sent, /x-secret|keep-alive|proxy-|x-app|1\.2\.3\.4|https|^te:/im);
  assert.match(sent, /\r\nHost: api\.example\.com:8080\r\n/);
  assert.match(sent, /\r\nX-Kept: yes\r\n/);
  assert.match(sent, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/);
  assert.match(sent, /\r\nX-Forwarded-Host: api\.example\.com:8080\r\n/);
  assert.doesNotMatch(sent, /mine/, 'it was named by Connection');
  assert.match(sent, /\r\ntraceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n/);
  const id = /\r\nX-Request-Id: (\S+)\r\n/.exec(sent)?.[1];
  assert.ok(client.received.includes(`X-Request-Id: ${String(id)}`));
});

test('the path that was matched is the path that is sent on', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET //a/./b/../%63//d;v=1?q=/../%2f#HTTP/1.1\r\n'.replace('#', ' ') + 'Host: a\r\n\r\n');
  await client.until('ok');
  assert.match(upstream.seen.join(''), /^GET \/a\/c\/d;v=1\?q=\/\.\.\/%2f HTTP\/1\.1\r\n/);
});
