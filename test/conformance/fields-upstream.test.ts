/** What of a request's fields and path reaches the upstream, and what of an answer's framing reaches the client. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerEach, oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

test('strip_prefix takes off whole segments only', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, `services:
  - name: api
    upstream: { targets: [{ url: "http://127.0.0.1:${upstream.port}/base" }] }
    routes: [{ name: all, match: { path: "/*" }, strip_prefix: /api, add_prefix: /v2, authentication: [] }]
`);
  const client = await RawClient.connect(t, path.port);
  for (const [i, target] of ['/api/x?y=1', '/api', '/apifoo', '/other'].entries()) {
    client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await until(() => client.received.split('ok').length === i + 2, target);
  }
  const sent = [...upstream.seen.join('').matchAll(/^GET (\S+) /gm)].map(([, target]) => target);
  assert.deepEqual(sent, ['/base/v2/x?y=1', '/base/v2/', '/base/v2/apifoo', '/base/v2/other']);
});

test('twins of identity fields with underscores, and what Connection names, go no further', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, `${oneService(upstream.port)}apps:
  - name: acme
    jwt: { algorithm: HS256, secret: "0123456789abcdef0123456789abcdef", claims: { sub: X-User-Id } }
`);
  const client = await RawClient.connect(t, path.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\nX_App: admin\r\nx_forwarded_for: 6.6.6.6\r\nX-User_Id: root\r\nX_User_Id: root\r\nX-User-Id: root\r\nTransfer_Encoding: chunked\r\n'
    + 'Connection: authorization, traceparent\r\nAuthorization: Basic c2VjcmV0\r\ntraceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\nX_Kept: yes\r\n\r\n');
  await client.until('ok');
  const sent = upstream.seen.join('');
  assert.doesNotMatch(sent, /x.app|6\.6\.6\.6|root|transfer.encoding|c2VjcmV0|1111111111/i);
  assert.match(sent, /X_Kept: yes/);
});

test('an API key never goes upstream, on an open route either; a token does', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer tg_secretsecret\r\nX-Api-Key: tg_other\r\n\r\n');
  await client.until('ok');
  client.send('GET /2 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer aaa.bbb.ccc\r\n\r\n');
  await until(() => client.received.split('ok').length === 3, 'the second answer');
  await until(() => client.received.split('ok').length === 3, 'the second answer');
  client.send('GET /3 HTTP/1.1\r\nHost: a\r\nAuthorization: bearer\t tg_secretsecret\r\n\r\n');
  await until(() => upstream.seen.join('').includes('/3'), 'the third request');
  assert.doesNotMatch(upstream.seen.join(''), /tg_/);
  assert.match(upstream.seen.join(''), /Bearer aaa\.bbb\.ccc/);
});

test('a sampled trace goes on and stands in the event; one that is not valid is begun anew', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  for (const [i, value] of [`00-${trace}-00f067aa0ba902b7-01`, `00-${trace}-00f067aa0ba902b7-00`, '00-00000000000000000000000000000000-00f067aa0ba902b7-01', 'nonsense'].entries()) {
    client.send(`GET /${i} HTTP/1.1\r\nHost: a\r\ntraceparent: ${value}\r\n\r\n`);
    await until(() => client.received.split('ok').length === i + 2, value);
  }
  const rows = await path.rowsOf(4);
  assert.deepEqual(rows.map((row) => row.traceId), [trace, '', '', '']);
  const sent = [...upstream.seen.join('').matchAll(/traceparent: (\S+)/g)].map(([, value]) => value ?? '');
  assert.equal(sent[0], `00-${trace}-00f067aa0ba902b7-01`);
  for (const made of sent.slice(2)) assert.match(made, /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/);
});

test('OPTIONS * is refused: no path of ours is the upstream\'s asterisk', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  for (const method of ['OPTIONS', 'GET']) {
    const client = await RawClient.connect(t, path.port);
    client.send(`${method} * HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(await client.untilClosed(), /^HTTP\/1\.1 501 /);
  }
  assert.deepEqual(upstream.seen, []);
});

for (const [name, answer] of [
  ['gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
  ['gzip until closed', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc'],
  ['a status below 100', 'HTTP/1.1 099 Z\r\nContent-Length: 0\r\n\r\n'],
] as const) {
  test(`an answer with ${name} is no answer: 502`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => { socket.end(answer, 'latin1'); });
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until('upstream_broken');
    assert.match(client.received, /^HTTP\/1\.1 502 /);
    const rows = await path.rowsOf(1);
    assert.deepEqual(rows.map((row) => [row.outcome, row.status]), [['upstream_broken', 502]]);
  });
}

test('204 is passed on without a Content-Length', async (t) => {
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX-Kept: 1\r\n\r\n'));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('X-Kept: 1');
  assert.doesNotMatch(client.received, /content-length/i);
});

test('3,000 health requests pipelined behind a slow one are all answered, and the connection goes with its client', async (t) => {
  let answer = (): void => {};
  const upstream = await startRawUpstream(t, (socket) => { answer = () => { socket.write(OK); }; });
  const path = await startDataPath(t, oneService(upstream.port), '    health_path: /h');
  const client = await RawClient.connect(t, path.port);
  // Counted as they come: each is a turn of the loop, and to search all that has come, each turn, took three times as long as the answers.
  const line = 'HTTP/1.1 200 ';
  let answers = 0;
  let rest = '';
  client.socket.on('data', (text) => {
    rest += String(text);
    const pieces = rest.split(line);
    answers += pieces.length - 1;
    rest = (pieces.at(-1) as string).slice(1 - line.length);
  });
  client.send(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\n${'GET /h HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3000)}`);
  await until(() => upstream.seen[0]?.endsWith('\r\n\r\n') === true, 'the slow request');
  answer();
  await until(() => answers === 3001, 'all answers');
  client.socket.destroy();
  await until(() => path.listener.connectionCount === 0, 'the connection to go');
  assert.equal(path.rows().length, 1, 'health checks are no events');
});

test('an early answer, and then a body that is malformed: one row, and the connection closes', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.write(OK); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
  await client.until('ok');
  client.send('zz\r\n');
  await client.untilClosed();
  assert.deepEqual(path.rows().map((row) => row.outcome), ['answered']);
});

const CLOSED_BESIDE_OPEN = (port: number): string => `services:
  - name: site
    upstream: { targets: [{ url: "http://127.0.0.1:${port}" }] }
    routes:
      - { name: admin-host, match: { hosts: [admin.example.com] } }
      - { name: admin, match: { path: "/admin/*" } }
      - { name: open, match: { path: "/*" }, authentication: [] }
`;

for (const [name, request, status] of [
  ['the root\'s dot behind a host', 'GET / HTTP/1.1\r\nHost: admin.example.com.\r\n\r\n', 401],
  ['the root\'s dot before a port', 'GET / HTTP/1.1\r\nHost: admin.example.com.:80\r\n\r\n', 401],
  ['two dots behind a host', 'GET / HTTP/1.1\r\nHost: admin.example.com..\r\n\r\n', 400],
  ['an empty label', 'GET / HTTP/1.1\r\nHost: admin..example.com\r\n\r\n', 400],
  ['absolute-form with the dot', 'GET http://admin.example.com./ HTTP/1.1\r\nHost: admin.example.com.\r\n\r\n', 401],
  ['parameters on a segment', 'GET /admin;x=1/y HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['empty parameters', 'GET /admin;/y HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['a segment of parameters', 'GET /;/admin HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['encoded parameters', 'GET /admin%3bx/y HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['parameters that change no route', 'GET /a;b=1/c HTTP/1.1\r\nHost: a\r\n\r\n', 200],
  ['a dot behind another host', 'GET /a HTTP/1.1\r\nHost: www.example.com.\r\n\r\n', 200],
] as const) {
  test(`a closed route beside an open one is not got round by ${name}: ${status}`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, CLOSED_BESIDE_OPEN(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(request);
    await client.until(/^HTTP\/1\.1 \d{3} /);
    assert.match(client.received, new RegExp(`^HTTP/1.1 ${status} `));
    if (status === 200) await until(() => upstream.seen.join('').includes('Host: '), 'the request upstream');
    assert.doesNotMatch(upstream.seen.join(''), /Host: \S+\.\r\n/, 'the dot is not sent on');
  });
}

test('QUERY goes upstream as QUERY', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('\r\n\r\nx')) socket.write(OK); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('QUERY /q HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx');
  await client.until('ok');
  assert.match(upstream.seen.join(''), /^QUERY \/q HTTP\/1\.1\r\n/);
  assert.equal((await path.rowsOf(1))[0]?.method, 'QUERY');
});

test('a client that breaks its own body after the upstream was called is counted and billed for the call', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nalmost all of it'); });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n');
  await client.until('almost');
  client.send('ZZ\r\n');
  const [row] = await path.rowsOf(1);
  assert.deepEqual([row?.outcome, row?.counted, row?.billable, row?.attempts], ['client_aborted', 1, 1, 1]);
});
