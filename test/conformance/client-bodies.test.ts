/** Requests with bodies, byte by byte: framing, back-pressure, early answers and refusals, bodies cut, pipelining. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { UpstreamConnection } from '../../gateway/upstream/upstream-connection.js';
import { answerEach, oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';
import { heldBytes } from '../harness/held-memory.js';

const lengthOk = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const post = (fields: string, body: string, method = 'POST', target = '/x'): string => `${method} ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`;
const withLength = (body: string, method = 'POST', target = '/x'): string => post(`Content-Length: ${body.length}`, body, method, target);
const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n`;
const CHUNKED = 'Transfer-Encoding: chunked';

/** The body of the last request in `sofar`, as its framing says, or null while it is not complete. */
function bodyOf(sofar: string): string | null {
  const end = sofar.lastIndexOf('HTTP/1.1\r\n');
  const head = sofar.indexOf('\r\n\r\n', end);
  if (head < 0) return null;
  const rest = sofar.slice(head + 4);
  if (/^transfer-encoding: chunked/im.test(sofar.slice(end, head))) {
    if (!/(^|\r\n)0\r\n([^\r\n]+\r\n)*\r\n$/.test(rest)) return null;
    let body = '';
    for (let at = 0; ;) {
      const line = rest.indexOf('\r\n', at);
      const size = Number.parseInt(rest.slice(at, line), 16);
      if (size === 0) return body;
      body += rest.slice(line + 2, line + 2 + size);
      at = line + 2 + size + 2;
    }
  }
  const length = Number(/^content-length: (\d+)/im.exec(sofar.slice(end, head))?.[1] ?? 0);
  return rest.length >= length ? rest.slice(0, length) : null;
}

/** Answers each whole request with what its body was. */
const echo = (socket: net.Socket, sofar: string): void => {
  const body = bodyOf(sofar);
  if (body !== null) socket.write(lengthOk(`<${body}>`));
};

/** Routes /closed/* for apps only, all others for everyone. */
const withClosedRoute = (port: number): string => `services:
  - name: echo
    upstream: { targets: [{ url: "http://127.0.0.1:${port}" }] }
    routes:
      - { name: closed, match: { path: "/closed/*" } }
      - { name: all, match: { path: "/*" }, authentication: [] }
`;

const BODIES: readonly (readonly [name: string, request: string, sent: RegExp, body: string])[] = [
  ['with Content-Length', withLength('hello'), /\r\nContent-Length: 5\r\n[^]*\r\n\r\nhello$/, 'hello'],
  ['with Content-Length 0', withLength(''), /\r\nContent-Length: 0\r\n[^]*\r\n\r\n$/, ''],
  ['with neither', 'POST /x HTTP/1.1\r\nHost: a\r\n\r\n', /^(?![^]*(Content-Length|Transfer-Encoding))[^]*\r\n\r\n$/, ''],
  ['in chunks', post(CHUNKED, '5\r\nhello\r\n3\r\n ab\r\n0\r\n\r\n'), /\r\nTransfer-Encoding: chunked\r\n[^]*\r\n\r\n5\r\nhello\r\n3\r\n ab\r\n0\r\n\r\n$/, 'hello ab'],
  ['in chunks of which there are none', post(CHUNKED, '0\r\n\r\n'), /\r\n\r\n0\r\n\r\n$/, ''],
  ['in chunks with extensions, which end here', post(CHUNKED, '5;a=b;c="d"\r\nhello\r\n0;last\r\n\r\n'), /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/, 'hello'],
  ['in chunks with trailers', post(`${CHUNKED}\r\nTrailer: X-Sum`, '5\r\nhello\r\n0\r\nX-Sum: 9\r\nX-Too: ab c\r\n\r\n'), /\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 9\r\nX-Too: ab c\r\n\r\n$/, 'hello'],
  [
    'in chunks with trailers that no head may bring in, which are dropped',
    post(CHUNKED, '1\r\na\r\n0\r\nX-Sum: 9\r\nX-App: admin\r\nHost: b\r\nAuthorization: x\r\nX-Forwarded-For: 1.2.3.4\r\nx-request-id: 1\r\n\r\n'),
    /\r\n\r\n1\r\na\r\n0\r\nX-Sum: 9\r\n\r\n$/, 'a',
  ],
  ['of PUT', withLength('hello', 'PUT'), /^PUT [^]*hello$/, 'hello'],
  ['of DELETE', withLength('hello', 'DELETE'), /^DELETE [^]*hello$/, 'hello'],
  ['of GET', withLength('hello', 'GET'), /^GET [^]*hello$/, 'hello'],
  ['of PATCH in chunks', post(CHUNKED, '1\r\na\r\n0\r\n\r\n', 'PATCH'), /^PATCH [^]*1\r\na\r\n0\r\n\r\n$/, 'a'],
];

for (const [name, request, sent, body] of BODIES) {
  test(`a body ${name} arrives as it is, and the connections go on`, async (t) => {
    const upstream = await startRawUpstream(t, echo);
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(request);
    await client.until(`<${body}>`);
    assert.match(upstream.seen[0] as string, sent);
    client.send(request);
    await until(() => client.received.split(`<${body}>`).length === 3, 'the second answer');
    const rows = await path.rowsOf(2);
    assert.deepEqual(rows.map((row) => [row.outcome, row.bytesIn]), [['answered', body.length], ['answered', body.length]]);
    assert.equal(upstream.seen.length, 1);
  });
}

test('pipelined requests with bodies, split at every byte: each whole, each answered in turn', async (t) => {
  const upstream = await startRawUpstream(t, echo);
  const path = await startDataPath(t, oneService(upstream.port));
  const all = withLength('one') + post(CHUNKED, '3\r\ntwo\r\n0\r\nX: y\r\n\r\n', 'PUT') + withLength('', 'DELETE') + withLength('four') + 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n' + withLength('six');
  const client = await RawClient.connect(t, path.port);
  for (const byte of all) {
    await new Promise<void>((resolve) => { client.socket.write(byte, 'latin1', () => { resolve(); }); });
  }
  await client.until('<six>');
  const answers = (text: string): (string | undefined)[] => [...text.matchAll(/<(.*?)>/g)].map(([, body]) => body);
  assert.deepEqual(answers(client.received), ['one', 'two', '', 'four', '', 'six']);
  // And cut in two at each place, on a connection each.
  for (let at = 1; at < all.length; at += 3) {
    const other = await RawClient.connect(t, path.port);
    await new Promise<void>((resolve) => { other.socket.write(all.slice(0, at), 'latin1', () => { resolve(); }); });
    await new Promise((resolve) => setImmediate(resolve));
    other.send(all.slice(at));
    await other.until('<six>');
    assert.deepEqual(answers(other.received), ['one', 'two', '', 'four', '', 'six'], `cut at ${at}`);
    other.socket.destroy();
  }
});

const MEGABYTE = 1024 * 1024;

/** Sends `total` bytes as fast as they are taken; resolves when all are taken, or the connection is closed. */
function pour(socket: net.Socket, total: number, wrap: (piece: Buffer) => Buffer = (piece) => piece): { sent: () => number } {
  const piece = Buffer.alloc(256 * 1024, 0x61);
  let left = total;
  const pump = (): void => {
    while (left > 0 && !socket.destroyed) {
      const size = Math.min(left, piece.length);
      left -= size;
      if (!socket.write(wrap(piece.subarray(0, size)))) return;
    }
  };
  socket.on('drain', pump);
  pump();
  return { sent: () => total - left };
}

for (const framing of ['Content-Length', 'chunks']) {
  test(`a large body with ${framing} to an upstream that stops: the client is stopped, little is held; then it goes on`, async (t) => {
    const total = 100 * MEGABYTE;
    let received = 0;
    const sockets: net.Socket[] = [];
    const server = net.createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.pause();
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const path = await startDataPath(t, oneService((server.address() as net.AddressInfo).port));
    const client = await RawClient.connect(t, path.port);
    client.send(framing === 'chunks' ? post(CHUNKED, '') : post(`Content-Length: ${total}`, ''));
    const wrap = framing === 'chunks' ? (piece: Buffer): Buffer => Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]) : undefined;
    const before = heldBytes();
    const poured = pour(client.socket, total, wrap);
    let seen = -1;
    let still = 0;
    await until(() => {
      still = client.socket.writableNeedDrain && client.socket.bytesWritten - client.socket.writableLength === seen ? still + 1 : 0;
      seen = client.socket.bytesWritten - client.socket.writableLength;
      return still > 200;
    }, 'the client to be stopped');
    assert.ok(poured.sent() < 40 * MEGABYTE, `${poured.sent()} bytes of 100 MiB were taken`);
    const grown = heldBytes() - before;
    // 448 KB with Content-Length, 704 in chunks: the gateway two reads of 64 KB (one behind the upstream's socket, one that had come when it was told
    // to stop), the upstream here one, the client here the rest in pieces of 256 KB.
    assert.ok(grown < MEGABYTE, `${grown} bytes more are held, by all three sides`);
    const [socket] = sockets;
    assert.ok(socket !== undefined);
    let tail = '';
    socket.on('data', (piece: Buffer) => {
      received += piece.length;
      tail = (tail + piece.subarray(-8).toString('latin1')).slice(-8);
      if (framing === 'chunks' ? tail.endsWith('0\r\n\r\n') : received > total) socket.write(lengthOk('ok'));
    });
    socket.resume();
    if (framing === 'chunks') await until(() => poured.sent() === total && client.socket.writableLength === 0, 'the body to be taken').then(() => { client.send('0\r\n\r\n'); });
    await until(() => client.received.includes('ok'), 'the answer');
    const [row] = await path.rowsOf(1);
    assert.deepEqual([row?.outcome, row?.bytesIn], ['answered', total]);
  });
}

test('an answer before the body\'s end: it passes; the upstream connection is not used again; the client\'s is, once the body is over', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (sofar.includes('/early') && sofar.endsWith('abc')) socket.write(lengthOk('early'));
    else if (sofar.startsWith('GET')) socket.write(lengthOk('next'));
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(`${post('Content-Length: 10', 'abc', 'POST', '/early')}`);
  await client.until('early');
  assert.equal((await path.rowsOf(1))[0]?.outcome, 'answered');
  await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream connection to end');
  client.send('defghijGET /x HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('next');
  assert.equal(upstream.seen.length, 2);
  assert.doesNotMatch(upstream.seen.join(''), /defghij/);
  assert.deepEqual((await path.rowsOf(2)).map((row) => [row.outcome, row.bytesIn]), [['answered', 3], ['answered', 0]]);
});

test('an answer before the end of a body that goes on and on: it arrives, and the connection is closed', async (t) => {
  let told = false;
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (told || sofar.length < 10_000) return;
    told = true;
    socket.write(lengthOk('no, thank you'));
    socket.pause();
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Content-Length: 900000000', ''));
  const poured = pour(client.socket, 900_000_000);
  await client.until('no, thank you');
  await client.untilClosed();
  assert.ok(poured.sent() < 900_000_000);
  const rows = await path.rowsOf(1);
  assert.deepEqual(rows.map((row) => [row.outcome, row.status]), [['answered', 200]]);
});

test('an answer that streams while its request still does: both to their ends', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (sofar.endsWith('one')) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n');
    if (sofar.endsWith('two')) socket.write('3\r\nTWO\r\n0\r\n\r\n');
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Content-Length: 6', 'one'));
  await client.until('ONE');
  client.send('two');
  await client.until('TWO\r\n0\r\n\r\n');
  client.send(post('Content-Length: 6', 'one'));
  await until(() => client.received.split('ONE').length === 3, 'the next answer');
  assert.equal(upstream.seen.length, 1, 'the upstream connection is used again');
});

async function refusedLarge(t: TestContext, request: string, expected: RegExp): Promise<void> {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, withClosedRoute(upstream.port), '    limits: { body: 600MB }');
  const client = await RawClient.connect(t, path.port);
  client.send(request);
  pour(client.socket, 50 * MEGABYTE);
  const received = await client.untilClosed();
  assert.match(received, expected);
  assert.match(received, /\r\nConnection: close\r\n/);
  assert.match(received, /"request_id":"[^"]+"\}$/, 'the whole answer');
  assert.equal(upstream.seen.length, 0);
  assert.equal((await path.rowsOf(1)).length, 1);
}

test('a large body that is refused for want of a credential: the 401 arrives whole, then the connection closes', async (t) => {
  await refusedLarge(t, post('Content-Length: 500000000', '', 'POST', '/closed/x'), /^HTTP\/1\.1 401 /);
});

test('a body announced larger than the limit: the 413 arrives whole, then the connection closes', async (t) => {
  await refusedLarge(t, post('Content-Length: 700000000', ''), /^HTTP\/1\.1 413 /);
});

test('a small body that is refused, whole: the connection goes on', async (t) => {
  const upstream = await startRawUpstream(t, echo);
  const path = await startDataPath(t, withClosedRoute(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /closed/x HTTP/1.1\r\nHost: a\r\n\r\n' + withLength('two'));
  await client.until('<two>');
  assert.match(client.received, /^HTTP\/1\.1 401 /);
});

test('Expect: 100-continue that is refused: no 100, the answer, and what is sent all the same is not taken for a request', async (t) => {
  const upstream = await startRawUpstream(t, echo);
  const path = await startDataPath(t, withClosedRoute(upstream.port));
  const client = await RawClient.connect(t, path.port);
  const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
  client.send(post(`Content-Length: ${smuggled.length}\r\nExpect: 100-continue`, '', 'POST', '/closed/x'));
  await client.until('HTTP/1.1 401 ');
  client.send(smuggled);
  const received = await client.untilClosed();
  assert.doesNotMatch(received, /100 Continue/);
  assert.equal(received.split('HTTP/1.1 ').length, 2);
  assert.deepEqual(upstream.seen, []);
  assert.equal((await path.rowsOf(1)).length, 1);
});

test('Expect: 100-continue by a client that does not wait', async (t) => {
  const upstream = await startRawUpstream(t, echo);
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Content-Length: 5\r\nExpect: 100-continue', 'hello'));
  await client.until('<hello>');
  client.send(withLength('on'));
  await client.until('<on>');
});

test('Expect: 100-continue, answered by the upstream before any body: the answer passes', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno'); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Content-Length: 5\r\nExpect: 100-continue', ''));
  await client.until(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 403 Forbidden\r\n[^]*no$/);
  assert.deepEqual((await path.rowsOf(1)).map((row) => [row.outcome, row.status]), [['answered', 403]]);
});

for (const [name, request, bytesIn] of [['Content-Length', post('Content-Length: 10', 'abc'), 3], ['chunks', post(CHUNKED, `${chunked('abc')}a\r\nxy`), 5]] as const) {
  for (const end of ['end', 'resetAndDestroy'] as const) {
    test(`a body with ${name} that is shorter than it says, then ${end === 'end' ? 'an end' : 'a reset'}: one row, aborted, the upstream request given up`, async (t) => {
      const upstream = await startRawUpstream(t, () => {});
      const path = await startDataPath(t, oneService(upstream.port));
      const client = await RawClient.connect(t, path.port);
      client.send(request);
      await until(() => upstream.seen[0]?.includes('abc') === true, 'the body to arrive');
      client.socket[end]();
      const rows = await path.rowsOf(1);
      await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream request to be given up');
      await until(() => path.listener.connectionCount === 0, 'the connection to be forgotten');
      assert.deepEqual(rows.map((row) => [row.outcome, row.status, row.requests, row.bytesIn]), [['client_aborted', 0, 1, bytesIn]]);
      assert.doesNotMatch(upstream.seen[0] as string, /\r\n0\r\n/, 'the body was not ended for it');
    });
  }
}

test('a client that leaves after its body is seen leaving, although the upstream has not taken all of it', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.startsWith('GET') && !sofar.includes('POST')) socket.write(lengthOk('ok')); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /x HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('ok');
  // The read that ends the body is also the one that fills the upstream's buffer.
  const write = Object.getOwnPropertyDescriptor(UpstreamConnection.prototype, 'write')?.value as (this: UpstreamConnection, bytes: Buffer | string) => boolean;
  t.mock.method(UpstreamConnection.prototype, 'write', function full(this: UpstreamConnection, bytes: Buffer | string): boolean {
    write.call(this, bytes);
    return false;
  });
  client.send(withLength('hello'));
  await until(() => upstream.seen[0]?.endsWith('hello') === true, 'the body');
  client.socket.destroy();
  const rows = await path.rowsOf(2);
  assert.deepEqual(rows.map((row) => row.outcome), ['answered', 'client_aborted']);
});

test('a body in the middle of which the upstream goes: 502, and the connection is closed', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('abc')) socket.destroy(); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(post('Content-Length: 10', 'abc'));
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 502 [^]*upstream_broken/);
  const rows = await path.rowsOf(1);
  assert.deepEqual(rows.map((row) => [row.outcome, row.attempts, row.bytesIn]), [['upstream_broken', 1, 3]]);
});

test('a body that has not gone anywhere yet goes to the next target when the first refuses', async (t) => {
  const upstream = await startRawUpstream(t, echo);
  const path = await startDataPath(t, `services:
  - name: two
    upstream: { targets: [{ url: "http://127.0.0.1:1" }, { url: "http://127.0.0.1:${upstream.port}" }], balancer: round_robin }
    routes: [{ name: all, match: { path: "/*" }, authentication: [] }]
`);
  const client = await RawClient.connect(t, path.port);
  client.send(withLength('hello'));
  await client.until('<hello>');
  client.send(withLength('hello'));
  await until(() => client.received.split('<hello>').length === 3, 'the second answer');
  const attempts = (await path.rowsOf(2)).map((row) => row.attempts);
  assert.equal(attempts[0], 2);
});

test('the body of a refused request is not taken for a request', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(lengthOk('ok')));
  const path = await startDataPath(t, withClosedRoute(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(withLength('GET /x HTTP/1.1\r\nHost: a\r\n\r\n', 'POST', '/closed/x'));
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 401 [^]*Connection: close/);
  assert.deepEqual(upstream.seen, []);
});
