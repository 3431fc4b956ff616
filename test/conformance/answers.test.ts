/** What upstreams answer, and how it reaches the client: framing, order, ends and cuts; and what is held back until it is recorded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePorts } from '../harness/tidegate.js';
import { answerEach, oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';

const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
const lengthOk = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/** Everything after the head of the first answer. */
const bodyOf = (received: string): string => received.slice(received.indexOf('\r\n\r\n') + 4);

const FRAMINGS: readonly (readonly [name: string, answer: string, close: boolean, expected: RegExp])[] = [
  ['a Content-Length', lengthOk('hello'), false, /^HTTP\/1\.1 200 OK\r\n[^]*Content-Length: 5\r\n[^]*\r\n\r\nhello$/],
  ['an empty body', lengthOk(''), false, /Content-Length: 0\r\n[^]*\r\n\r\n$/],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', false, /Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n$/],
  ['chunks and trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n', false, /Trailer: X-Sum\r\n[^]*3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n$/],
  ['an end by closing', 'HTTP/1.1 200 OK\r\n\r\nabc', true, /Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n$/],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nabc', true, /^HTTP\/1\.1 200 OK\r\n[^]*3\r\nabc\r\n0\r\n\r\n$/],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n', false, /^HTTP\/1\.1 204 No Content\r\n[^]*\r\n\r\n$/],
  ['304 with a Content-Length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "x"\r\n\r\n', false, /^HTTP\/1\.1 304 [^]*Content-Length: 99\r\n[^]*\r\n\r\n$/],
  ['early hints that name a length, which they do not have', `HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\nLink: </a>\r\n\r\n${lengthOk('hi')}`, false, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*hi$/],
  ['early hints before it', `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${lengthOk('hi')}`, false, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*hi$/],
  ['a 100 before it, which is ours to give', `HTTP/1.1 100 Continue\r\n\r\n${lengthOk('hi')}`, false, /^HTTP\/1\.1 200 OK\r\n[^]*hi$/],
  ['fields of its own hop', 'HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Request-Id: theirs\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n', false, /^(?![^]*(X-Hop|Keep-Alive|theirs))[^]*X-Kept: 1\r\n/],
];

for (const [name, answer, close, expected] of FRAMINGS) {
  test(`passed on whole: an answer with ${name}; the connection goes on`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => {
      socket.write(answer, 'latin1');
      if (close) socket.end();
    });
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    await path.rowsOf(1);
    await until(() => expected.test(client.received), `${String(expected)} in ${JSON.stringify(client.received)}`);
    assert.match(client.received, /\r\nX-Request-Id: [0-9a-f]{16}-1\r\n/);
    assert.match(client.received, /\r\nDate: /);
    const first = client.received.length;
    client.send(GET);
    const rows = await path.rowsOf(2);
    await until(() => client.received.length >= 2 * first - 2, 'the second answer');
    assert.deepEqual(rows.map((row) => row.outcome), ['answered', 'answered']);
    assert.equal(rows[0]?.bytesOut, rows[1]?.bytesOut);
    assert.equal(upstream.seen.length, close ? 2 : 1, 'the upstream connection was used again');
  });

  test(`split at every byte: an answer with ${name}`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => {
      // Each byte in a read of its own: a write a turn, without delay.
      const bytes = Buffer.from(answer, 'latin1');
      let at = 0;
      const next = (): void => {
        if (at < bytes.length) {
          socket.write(bytes.subarray(at, ++at), () => setImmediate(next));
        } else if (close) socket.end();
      };
      next();
    });
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    const [row] = await path.rowsOf(1);
    assert.equal(row?.outcome, 'answered');
    const undo = (text: string): string => bodyOf(text).replace(/[0-9a-f]+\r\n(.)\r\n/g, '$1');
    await until(() => client.received.endsWith('\r\n\r\n') || !/chunked/.test(client.received), 'the end');
    if (row.bytesOut > 0 && !name.includes('early')) assert.ok(undo(client.received).startsWith(/chunk/.test(client.received) ? 'abc' : 'h'), client.received);
  });
}

test('a path that has routes of other methods only: 405 that names them, as long as host and headers are right', async (t) => {
  const path = await startDataPath(t, `services:
  - name: shop
    upstream: { targets: [{ url: "http://127.0.0.1:9" }] }
    routes:
      - { name: item, match: { path: "/items/:id", methods: [GET, DELETE] }, authentication: [] }
      - { name: beta, match: { path: "/items/*", methods: [PATCH], headers: { X-Beta: "*" } }, authentication: [] }
      - { name: inside, match: { path: "/inside", methods: [PUT], hosts: [inside.example] }, authentication: [] }
`);
  const client = await RawClient.connect(t, path.port);
  for (const [at, request] of ['POST /items/1', 'POST /items/1 X-Beta', 'HEAD /items/1/2 X-Beta', 'POST /items/1/2', 'GET /inside'].entries()) {
    const [method = '', target = '', header] = request.split(' ');
    client.send(`${method} ${target} HTTP/1.1\r\nHost: a\r\n${header === undefined ? '' : `${header}: 1\r\n`}Content-Length: 0\r\n\r\n`);
    await path.rowsOf(at + 1);
    await until(() => client.received.split('HTTP/1.1 ').length === at + 2, request);
  }
  const answers = client.received.split('HTTP/1.1 ').slice(1);
  assert.deepEqual(answers.map((answer) => answer.slice(0, 3)), ['405', '405', '405', '404', '404']);
  assert.deepEqual(answers.map((answer) => /^Allow: (.*)\r$/m.exec(answer)?.[1]), ['DELETE, GET, HEAD', 'DELETE, GET, HEAD, PATCH', 'PATCH', undefined, undefined]);
  assert.match(answers[0] ?? '', /"code":"method_not_allowed"/);
  assert.deepEqual(path.rows().map(({ outcome, status, service }) => [outcome, status, service]), [405, 405, 405, 404, 404].map((status) => ['route_not_found', status, '']));
});

const BROKEN: readonly (readonly [name: string, answer: string, outcome: string, status: number])[] = [
  ['closes at once', '', 'upstream_broken', 502],
  ['is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 'upstream_broken', 502],
  ['has a bad field', 'HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n', 'upstream_broken', 502],
  ['has Content-Length and Transfer-Encoding', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 'upstream_broken', 502],
  ['switches protocols unasked', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n', 'upstream_broken', 502],
  ['has a head that never ends', `HTTP/1.1 200 OK\r\n${`X: ${'a'.repeat(1000)}\r\n`.repeat(70)}`, 'upstream_broken', 502],
];

for (const [name, answer, outcome, status] of BROKEN) {
  test(`an answer that ${name} becomes a ${status}`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => { socket.end(answer, 'latin1'); });
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    await client.until(`HTTP/1.1 ${status} `);
    await client.until('upstream_broken');
    const [row] = await path.rowsOf(1);
    assert.equal(row?.outcome, outcome);
    assert.equal(row.status, status);
    assert.equal(row.counted, 1);
    assert.equal(row.billable, 0);
    client.send(GET);
    await until(() => client.received.split(`HTTP/1.1 ${status} `).length === 3, 'the connection to go on');
  });
}

for (const [name, answer] of [
  ['inside Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc'],
  ['inside a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc'],
  ['before the last chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'],
] as const) {
  test(`an answer cut ${name}: its row first, then a reset, never a clean end`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => { socket.write(answer, 'latin1', () => { socket.end(); }); });
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    await client.untilClosed();
    assert.ok(client.wasReset, 'reset');
    assert.ok(!client.received.endsWith('0\r\n\r\n'));
    const [row] = await path.rowsOf(1);
    assert.equal(row?.outcome, 'upstream_broken');
    assert.equal(row.status, 200);
    assert.equal(row.bytesOut, 3);
  });
}

test('bytes behind an answer: the answer passes, the connection is never used again', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(`${lengthOk('one')}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen`));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('one');
  client.send(GET);
  await until(() => client.received.split('one').length === 3, 'the second answer');
  assert.doesNotMatch(client.received, /stolen/);
  assert.equal(upstream.seen.length, 2);
});

test('HEAD: the head as it would be, no body, and the connection goes on', async (t) => {
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('HEAD /x HTTP/1.1\r\nHost: a\r\n\r\nHEAD /y HTTP/1.1\r\nHost: a\r\n\r\n');
  const rows = await path.rowsOf(2);
  await until(() => client.received.split('Content-Length: 1000').length === 3, 'two heads');
  assert.deepEqual(rows.map((row) => [row.method, row.bytesOut]), [['HEAD', 0], ['HEAD', 0]]);
});

test('pipelined requests are answered in order, each sent on only after the answer ahead of it was let go', async (t) => {
  const waiting: (() => void)[] = [];
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    const path = [...sofar.matchAll(/GET (\S+)/g)].at(-1)?.[1] ?? '';
    waiting.push(() => { socket.write(lengthOk(path)); });
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(['/1', '/2', '/3', '/4'].map((target) => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''));
  for (let i = 1; i <= 4; i++) {
    await until(() => waiting.length === i, `request ${i}`);
    assert.equal(waiting.length, i);
    assert.equal(path.rows().length, i - 1);
    waiting[i - 1]?.();
    await client.until(`/${i}`);
  }
  assert.deepEqual([...client.received.matchAll(/\r\n\r\n(\/\d)/g)].map(([, body]) => body), ['/1', '/2', '/3', '/4']);
});

test('a client that leaves before its answer ends the upstream request, and makes one row', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc'); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('abc');
  client.socket.destroy();
  const rows = await path.rowsOf(1);
  await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream connection to end');
  assert.deepEqual(rows.map((row) => [row.outcome, row.status, row.bytesOut, row.requests]), [['client_aborted', 200, 3, 1]]);
});

test('an upstream connection that died while idle: a GET goes again on a new one, a POST does not', async (t) => {
  let requests = 0;
  const upstream = await startRawUpstream(t, (socket) => {
    requests++;
    // The second request on a connection finds it closed, as when a keep-alive time ran out in that moment.
    if (requests === 2 || requests === 5) socket.destroy();
    else socket.write(lengthOk(`n${requests}`));
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('n1');
  client.send(GET);
  await client.until('n3');
  client.send(GET);
  await client.until('n4');
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx');
  await client.until('HTTP/1.1 502 ');
  const rows = await path.rowsOf(4);
  assert.deepEqual(rows.map((row) => [row.outcome, row.attempts]), [['answered', 1], ['answered', 2], ['answered', 1], ['upstream_broken', 1]]);
});

test('a target that refuses is passed over, and the request goes to the next', async (t) => {
  const closed = await startRawUpstream(t, () => {});
  const gone = closed.port;
  const upstream = await startRawUpstream(t, answerEach(lengthOk('up')));
  const path = await startDataPath(t, `services:
  - name: two
    upstream: { targets: [{ url: "http://127.0.0.1:1" }, { url: "http://127.0.0.1:${upstream.port}" }], balancer: round_robin }
    routes: [{ name: all, match: { path: "/*" }, authentication: [] }]
`);
  assert.ok(gone > 0);
  const client = await RawClient.connect(t, path.port);
  for (let i = 1; i <= 6; i++) {
    client.send(GET);
    await until(() => client.received.split('HTTP/1.1 200').length === i + 1, `answer ${i}`);
  }
  const rows = await path.rowsOf(6);
  assert.equal(rows.reduce((sum, row) => sum + row.attempts, 0), 7, 'one attempt was refused, then the target was passed over');
});

test('no target can be reached: 502, not counted, not billable', async (t) => {
  const path = await startDataPath(t, oneService(1));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('HTTP/1.1 502 ');
  const [row] = await path.rowsOf(1);
  assert.deepEqual([row?.outcome, row?.counted, row?.billable], ['upstream_unavailable', 0, 0]);
});

test('a target that takes no connection is told of once, and once when it takes them again', async (t) => {
  const [port = 0] = await freePorts(1);
  const path = await startDataPath(t, oneService(port));
  const client = await RawClient.connect(t, path.port);
  for (let i = 1; i <= 3; i++) {
    client.send(GET);
    await until(() => client.received.split('HTTP/1.1 502').length === i + 1, `answer ${i}`);
  }
  assert.equal(path.said.length, 1, path.said.join('\n'));
  assert.match(path.said[0] ?? '', new RegExp(`^\\{"service":"\\w+","target":"http://127\\.0\\.0\\.1:${port}","failure":"refused","detail":"ECONNREFUSED"\\} the target takes no connection$`));
  await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('\r\n\r\n')) socket.write(lengthOk('done')); }, port);
  client.send(GET);
  await client.until('HTTP/1.1 200 ');
  assert.match(path.said[1] ?? '', /"target":.* takes connections again$/);
  assert.equal(path.said.length, 2);
});

test('Expect: 100-continue is answered once the request is let through, never before', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('hello')) socket.write(lengthOk('done')); });
  const path = await startDataPath(t, `${oneService(upstream.port).replace('routes:', 'routes:\n      - { name: closed, match: { path: "/closed" } }').replace(' [{ name: all', '\n      - { name: all').replace('[] }]', '[] }')}`);
  const client = await RawClient.connect(t, path.port);
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  await client.until('HTTP/1.1 100 Continue\r\n\r\n');
  client.send('hello');
  await client.until('done');
  assert.doesNotMatch(upstream.seen.join(''), /expect/i);
  const second = await RawClient.connect(t, path.port);
  second.send('POST /closed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  await second.untilClosed();
  assert.match(second.received, /^HTTP\/1\.1 401 /);
});

test('HTTP/1.0: closed after the answer unless asked to stay; without a length the answer is given one', async (t) => {
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /x HTTP/1.0\r\n\r\n');
  assert.match(await client.untilClosed(), /Content-Length: 3\r\nConnection: close\r\n\r\nabc$/);
  const kept = await RawClient.connect(t, path.port);
  kept.send('GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
  await kept.until(/Connection: keep-alive\r\n\r\nabc$/);
});

test('HTTP/1.0: an answer too long to gather ends by closing, and its row says unframed', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.end(`HTTP/1.1 200 OK\r\n\r\n${'z'.repeat(200_000)}`); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /x HTTP/1.0\r\nHost: a\r\n\r\n');
  const received = await client.untilClosed();
  assert.equal(bodyOf(received).length, 200_000);
  const [row] = await path.rowsOf(1);
  assert.deepEqual([row?.outcome, row?.bytesOut, row?.protocol], ['unframed', 200_000, 'http/1.0']);
});

test('bodies stream both ways with back-pressure: a stopped reader stops the sender', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (!sofar.endsWith('\r\n\r\n')) return;
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n');
    const piece = Buffer.alloc(1024 * 1024, 0x61);
    let left = 200;
    const pump = (): void => { while (left > 0 && (left--, socket.write(piece))); };
    socket.on('drain', pump);
    pump();
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.socket.pause();
  client.send(GET);
  const socket = await new Promise<(typeof upstream.sockets)[number]>((resolve) => {
    const look = (): void => { const first = upstream.sockets[0]; if (first === undefined) setImmediate(look); else resolve(first); };
    look();
  });
  let before = -1;
  // Nothing more is taken: what the kernel holds on both hops and no more.
  await until(() => {
    const now = socket.bytesWritten - socket.writableLength;
    const still = now === before && now > 0;
    before = now;
    return still && socket.writableNeedDrain;
  }, 'the upstream to be held');
  assert.ok(before < 60 * 1024 * 1024, `${before} bytes taken of 200 MiB`);
  let got = 0;
  client.socket.removeAllListeners('data');
  client.socket.on('data', (text) => { got += String(text).length; });
  client.socket.resume();
  await until(() => got > 209_715_200, 'the whole body');
  const [row] = await path.rowsOf(1);
  assert.deepEqual([row?.outcome, row?.bytesOut], ['answered', 209_715_200]);
});
