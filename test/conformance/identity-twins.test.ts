/** What a client may not say of itself: fields of identity and of proxies under any spelling, in heads and in trailers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerEach, oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
/** Every character of a field name (RFC 9110 5.6.2) that is no letter, digit or `-`; CGI turns each into `_`. */
const SEPARATORS = [...'!#$%&\'*+.^_`|~'];
const CLAIMS = `apps:
  - name: acme
    jwt: { algorithm: HS256, secret: "0123456789abcdef0123456789abcdef", claims: { sub: X-User-Id } }
`;
/** With a claim's field among the identity's. */
const claimed = (port: number): string => oneService(port) + CLAIMS;

const OWN_NAMES = ['X-App', 'X-Api-Key', 'X-Request-Id', 'X-Forwarded-For', 'X-Forwarded-Prefix', 'X-Real-IP', 'X-Original-URL', 'X-Client-Request-Id', 'X-User-Id', 'Transfer-Encoding'];
const TWINS = OWN_NAMES.flatMap((name) => SEPARATORS.map((separator) => name.replaceAll('-', separator)));

test('no twin of an identity field goes upstream, whatever stands for the hyphen, in either case', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, claimed(upstream.port), '    limits: { fields: 1000, head: 64KiB }');
  const client = await RawClient.connect(t, path.port);
  const mixed = ['X_User-Id', 'X-User.Id', 'X-Forwarded.For'];
  client.send(`GET / HTTP/1.1\r\nHost: a\r\n${[...TWINS, ...TWINS.map((name) => name.toLowerCase()), ...mixed].map((name) => `${name}: twin`).join('\r\n')}\r\nX.Kept: yes\r\nX-Forwards: yes\r\n\r\n`);
  await client.until('ok');
  const sent = upstream.seen.join('');
  assert.deepEqual(sent.match(/^.*twin.*$/gm), null);
  assert.match(sent, /X\.Kept: yes\r\nX-Forwards: yes/);
});

test('no twin goes upstream in trailers, nor does what Connection names', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, claimed(upstream.port), '    limits: { fields: 1000, head: 64KiB }');
  const client = await RawClient.connect(t, path.port);
  const trailers = [...TWINS, ...OWN_NAMES.filter((name) => name.startsWith('X-')), 'X-Named', 'Proxy'];
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nConnection: x-named\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n${trailers.map((name) => `${name}: twin`).join('\r\n')}\r\nX-Kept: yes\r\n\r\n`);
  await client.until('ok');
  const sent = upstream.seen.join('');
  assert.deepEqual(sent.match(/^.*twin.*$/gm), null);
  assert.match(sent, /0\r\nX-Kept: yes\r\n\r\n$/);
});

const OF_PROXIES = ['X-Real-IP', 'True-Client-IP', 'CF-Connecting-IP', 'X-Client-IP', 'Fastly-Client-IP', 'X-Cluster-Client-IP', 'Client-IP', 'CF-Connecting-IPv6', 'Fly-Client-IP', 'X-Envoy-External-Address', 'X-Original-Forwarded-For', 'X-Azure-ClientIP', 'DO-Connecting-IP', 'X-ProxyUser-Ip', 'X-Forwarded-Port', 'X-Forwarded-Prefix', 'X-Forwarded-Scheme', 'X-Forwarded-Server', 'X-Forwarded-Client-Cert', 'X-Original-URL', 'X-Rewrite-URL', 'Proxy'];

for (const [who, trusted] of [['an untrusted peer', false], ['a trusted proxy', true]] as const) {
  test(`what ${who} says of the client ${trusted ? 'goes on' : 'ends here'}`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, `${trusted ? 'trusted_proxies: [127.0.0.1/32]\n' : ''}${oneService(upstream.port)}`);
    const client = await RawClient.connect(t, path.port);
    client.send(`GET / HTTP/1.1\r\nHost: a\r\n${OF_PROXIES.map((name, i) => `${i % 2 === 0 ? name : name.toLowerCase()}: said`).join('\r\n')}\r\n\r\n`);
    await client.until('ok');
    const said = [...upstream.seen.join('').matchAll(/^(.*): said\r$/gm)].map(([, name]) => name?.toLowerCase());
    assert.deepEqual(said, trusted ? OF_PROXIES.map((name) => name.toLowerCase()) : []);
  });
}

for (const [who, trusted, expected] of [['an untrusted peer', false, ['asked']], ['a trusted proxy', true, ['first']]] as const) {
  test(`the client's own request id stands once upstream, by ${who}`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, `${trusted ? 'trusted_proxies: [127.0.0.1/32]\n' : ''}${oneService(upstream.port)}`);
    const client = await RawClient.connect(t, path.port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\nX-Client-Request-Id: first\r\nX-Request-Id: asked\r\n\r\n');
    await client.until('ok');
    assert.deepEqual([...upstream.seen.join('').matchAll(/^X-Client-Request-Id: (.*)\r$/gmi)].map(([, id]) => id), expected);
  });
}

test('a trailer of an answer that its Connection names ends here', async (t) => {
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Hop: head\r\nConnection: x-hop, keep-alive\r\n\r\n2\r\nok\r\n0\r\nX-Hop: tail\r\nX-Kept: tail\r\n\r\n'));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('X-Kept: tail');
  assert.doesNotMatch(client.received, /x-hop/i);
});

for (const [name, framing] of [['a length', 'Content-Length: 3\r\n\r\nabc'], ['chunks', 'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n']] as const) {
  test(`TRACE with a body of ${name} is refused, and nothing of it goes upstream`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send(`TRACE /t HTTP/1.1\r\nHost: a\r\n${framing}`);
    assert.match(await client.untilClosed(), /^HTTP\/1\.1 400 [^]*TRACE/);
    assert.deepEqual(upstream.seen, []);
    assert.deepEqual(path.rows().map((row) => [row.method, row.outcome]), [['TRACE', 'malformed_request']]);
  });
}

test('TRACE is refused, with the methods that go on, where no route names it', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('TRACE /t HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 405 [^]*\r\nAllow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n/);
  assert.deepEqual(upstream.seen, []);
  assert.deepEqual(path.rows().map((row) => [row.method, row.outcome]), [['TRACE', 'route_not_found']]);
});

test('TRACE without a body goes on by a route that names it', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port).replace('path: "/*"', 'path: "/*", methods: [TRACE]'));
  const client = await RawClient.connect(t, path.port);
  client.send('TRACE /t HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('ok');
  assert.match(upstream.seen.join(''), /^TRACE \/t HTTP\/1\.1\r\n/);
});

test('an escaped dot behind a lead byte stays escaped on its way upstream', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.send('GET /a/%c0%2e%c0%2e/b HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('ok');
  assert.match(upstream.seen.join(''), /^GET \/a\/%C0%2E%C0%2E\/b HTTP/);
});

for (const [name, start] of [['an informational answer', 'HTTP/1.1 103 Ea\x1b[2Jrly\r\nLink: <x>\r\n\r\n'], ['an answer', '']] as const) {
  test(`control bytes in the reason phrase of ${name} do not reach the client`, async (t) => {
    const upstream = await startRawUpstream(t, answerEach(`${start}HTTP/1.1 200 O\x1b[31mK\x00\x7f\t.\r\nContent-Length: 2\r\n\r\nok`));
    const path = await startDataPath(t, oneService(upstream.port));
    const client = await RawClient.connect(t, path.port);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await until(() => client.received.endsWith('ok'), 'the answer');
    assert.match(client.received, /^(HTTP\/1\.1 103 Early Hints\r\nLink: <x>\r\n\r\n)?HTTP\/1\.1 200 OK\r\n/);
    assert.doesNotMatch(client.received, /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/);
  });
}
