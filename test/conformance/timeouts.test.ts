/** Every time-out and bound of the data path: each fires at its time and not before, makes the right row, and touches no one else. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { OUTCOMES, type Outcome } from '../../gateway/events/outcomes.js';
import type { EventRow } from '../../gateway/events/read-rows.js';
import { answerEach, nextSweep, oneService, RawClient, SpoolWatch, startDataPath, startRawUpstream, until } from './data-path.js';

const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
const lengthOk = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const LIMIT_MS = 400;
/** Longer than the default of 2 s, so that it is known to be in force by what came before it was over. */
const CONNECT_MS = 3000;

const upstreamTimeouts = (timeouts: string, more = ''): string => `      timeouts: { ${timeouts} }\n${more}`;
const listenerTimeouts = (timeouts: string): string => `    timeouts: { ${timeouts} }`;

/** It is a fault if `wait` takes less than the limit, or as long as the shortest default (10 s) of the others. */
async function within<T>(wait: Promise<T>, limitMs = LIMIT_MS): Promise<T> {
  const began = performance.now();
  const result = await wait;
  const tookMs = performance.now() - began;
  assert.ok(tookMs >= limitMs * 0.9 && tookMs < limitMs + 9000, `took ${Math.round(tookMs)} ms, the limit is ${limitMs}`);
  return result;
}

const told = (row: EventRow | undefined): unknown[] => [row?.outcome, row?.status, row?.counted, row?.billable];

/** A port of this machine whose queue of connections is full, so that no further one is accepted or refused. */
async function deafPort(t: TestContext): Promise<number> {
  const script = 'const s = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => { console.log(s.address().port); });';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => { child.kill('SIGKILL'); });
  const [line] = await once(child.stdout, 'data') as [Buffer];
  const port = Number(String(line));
  child.kill('SIGSTOP');
  for (let i = 0; i < 2; i++) {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    t.after(() => { socket.destroy(); });
    await once(socket, 'connect');
  }
  return port;
}

test('connect: a target that does not accept', { skip: process.platform !== 'linux' }, async (t) => {
  const path = await startDataPath(t, oneService(await deafPort(t), upstreamTimeouts(`connect: ${CONNECT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await within(client.until('HTTP/1.1 502 '), CONNECT_MS);
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_unavailable', 502, 0, 0]);
});

test('connect: a target that does not answer the TLS handshake', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`connect: ${CONNECT_MS}ms`)).replace('http://', 'https://'));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await within(client.until('HTTP/1.1 502 '), CONNECT_MS);
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_unavailable', 502, 0, 0]);
  await until(() => upstream.sockets[0]?.destroyed === true, 'the connection to be given up');
});

test('headers: a target that does not answer', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`headers: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await within(client.until('HTTP/1.1 504 '));
  assert.match(client.received, /upstream_timeout/);
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_timeout', 504, 1, 0]);
  await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream request to be given up');
  client.send(GET);
  await until(() => client.received.split('HTTP/1.1 504 ').length === 3, 'the connection to go on');
});

test('headers: a head that never ends, a byte at a time, has no longer', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    const drip = setInterval(() => { socket.write('a'); }, 20);
    socket.write('HTTP/1.1 200 OK\r\nX: ');
    socket.on('close', () => { clearInterval(drip); });
  });
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`headers: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await within(client.until('HTTP/1.1 504 '));
});

for (const [name, head] of [['Content-Length', 'Content-Length: 9'], ['chunks', 'Transfer-Encoding: chunked']] as const) {
  test(`idle: a target that stops in the middle of an answer with ${name}: the row, then a reset`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => { socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${name === 'chunks' ? '3\r\nabc\r\n' : 'abc'}`); });
    const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`idle: ${LIMIT_MS}ms`)));
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    await client.until('abc');
    await within(client.untilClosed());
    assert.ok(client.wasReset);
    assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_timeout', 200, 1, 0]);
  });
}

test('idle: an answer that goes on, slowly, is not cut', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    let left = 8;
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n');
    const drip = setInterval(() => {
      if (left-- > 0) socket.write('a');
      else clearInterval(drip);
    }, LIMIT_MS / 4);
    socket.on('close', () => { clearInterval(drip); });
  });
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`idle: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('aaaaaaaa');
  assert.equal((await path.rowsOf(1))[0]?.outcome, 'answered');
});

test('total: an answer not begun', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`total: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await within(client.until('HTTP/1.1 504 '));
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_timeout', 504, 1, 0]);
});

test('total: an answer that streams without end', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    const drip = setInterval(() => { socket.write('1\r\na\r\n'); }, 20);
    socket.on('close', () => { clearInterval(drip); });
  });
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`total: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await within(client.untilClosed());
  assert.ok(client.wasReset);
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_timeout', 200, 1, 0]);
});

test('total: an answer that its client does not take is the client\'s fault, not the service\'s', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('\r\n\r\n')) endless(socket); });
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`total: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('200 OK');
  client.socket.pause();
  const [row] = await path.rowsOf(1);
  assert.deepEqual(told(row), ['client_aborted', 200, 1, 1]);
  await until(() => path.listener.connectionCount === 0, 'the connection to be cut');
});

test('total: a body that its client trickles is the client\'s fault, not the service\'s', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`total: ${LIMIT_MS}ms`)));
  const client = await RawClient.connect(t, path.port);
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
  const drip = setInterval(() => { client.send('a'); }, 20);
  t.after(() => { clearInterval(drip); });
  await within(client.until('HTTP/1.1 408 '));
  await client.untilClosed();
  const [row] = await path.rowsOf(1);
  assert.deepEqual(told(row), ['client_aborted', 408, 1, 1]);
  assert.equal(OUTCOMES[row?.outcome as Outcome].error, false);
});

test('total: an upstream that takes no more of a body is the service\'s fault', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.pause(); });
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`total: ${LIMIT_MS}ms`)), '    limits: { body: 64MiB }');
  const client = await RawClient.connect(t, path.port);
  const bytes = 32 * 1024 * 1024;
  client.send(`POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
  client.send('a'.repeat(bytes));
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['upstream_timeout', 504, 1, 0]);
});

test('an upstream that got nothing of a request has no duration', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(lengthOk('ok')));
  for (const port of [1, upstream.port]) {
    const path = await startDataPath(t, oneService(port));
    const { mock } = t.mock.method(path.pipeline.metrics, 'observeUpstream');
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    await client.until(port === 1 ? 'HTTP/1.1 502 ' : 'ok');
    assert.deepEqual((await path.rowsOf(1)).map(({ attempts }) => attempts > 0), [true]);
    assert.equal(mock.callCount(), port === 1 ? 0 : 1);
  }
});

test('head: a head that comes a byte at a time is answered 408', async (t) => {
  const path = await startDataPath(t, oneService(1), listenerTimeouts(`head: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\nX: ');
  const drip = setInterval(() => { client.send('a'); }, 20);
  t.after(() => { clearInterval(drip); });
  await within(client.until('HTTP/1.1 408 '));
  clearInterval(drip);
  assert.match(await client.untilClosed(), /Connection: close\r\n/);
  assert.deepEqual(told((await path.rowsOf(1))[0]), ['request_timeout', 408, 0, 0]);
});

test('head: the time of a pipelined head begins when it can be read, not while the answer ahead is waited for', async (t) => {
  const release: (() => void)[] = [];
  const upstream = await startRawUpstream(t, (socket) => { release.push(() => { socket.write(lengthOk('ok')); }); });
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`head: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send(`${GET}GET /second HTTP/1.1\r\nHo`);
  await until(() => release.length === 1, 'the first request');
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + 2 * LIMIT_MS);
  release[0]?.();
  await client.until('ok');
  await nextSweep(path);
  client.send('st: a\r\n\r\n');
  await until(() => release.length === 2, 'the second request');
  release[1]?.();
  assert.deepEqual((await path.rowsOf(2)).map((row) => row.outcome), ['answered', 'answered']);
});

test('head: one that stays half behind an answer is answered 408', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(lengthOk('ok')));
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`head: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send(`${GET}GET /second HTTP/1.1\r\nHo`);
  await client.until('ok');
  await within(client.until('HTTP/1.1 408 '));
  assert.deepEqual((await path.rowsOf(2)).map((row) => row.outcome), ['answered', 'request_timeout']);
});

test('body: one that stops is answered 408, and its upstream request given up', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`body: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
  await within(client.until('HTTP/1.1 408 '));
  await client.untilClosed();
  const [row] = await path.rowsOf(1);
  assert.deepEqual(told(row), ['client_aborted', 408, 1, 1]);
  assert.equal(row?.bytesIn, 3);
  await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream request to be given up');
});

test('body: one that goes on, slowly, is taken', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('aaaaaaaa')) socket.write(lengthOk('ok')); });
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`body: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n');
  let left = 8;
  const drip = setInterval(() => {
    if (left-- > 0) client.send('a');
    else clearInterval(drip);
  }, LIMIT_MS / 4);
  t.after(() => { clearInterval(drip); });
  await client.until('ok');
});

test('keep_alive: a connection idle between requests is closed without a word', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(lengthOk('ok')));
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`keep_alive: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  const answer = await client.until('ok');
  assert.equal(await within(client.untilClosed()), answer);
  assert.ok(!client.wasReset);
  assert.equal(path.rows().length, 1);
});

test('a connection that never says a word has the time of a head, and makes no row', async (t) => {
  const path = await startDataPath(t, oneService(1), listenerTimeouts(`head: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  assert.equal(await within(client.untilClosed()), '');
  await until(() => path.listener.connectionCount === 0, 'the connection to be forgotten');
  assert.deepEqual(path.rows(), []);
});

/** Answers without end, as fast as they are taken. */
const endless = (socket: net.Socket): void => {
  socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n');
  const piece = Buffer.alloc(1024 * 1024, 0x61);
  const pump = (): void => { while (!socket.destroyed && socket.write(piece)); };
  socket.on('drain', pump);
  pump();
};

test('write: a client that takes nothing of its answer is cut, and recorded as one that left', async (t) => {
  const upstream = await startRawUpstream(t, endless);
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`write: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('200 OK');
  client.socket.pause();
  const rows = await path.rowsOf(1);
  assert.deepEqual(told(rows[0]), ['client_aborted', 200, 1, 1]);
  await until(() => path.listener.connectionCount === 0, 'the connection to be forgotten');
  await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream request to be given up');
});

test('write: a client that still sends its body, and takes nothing, is cut all the same', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => { if (sofar.endsWith('\r\n\r\n')) endless(socket); });
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts(`write: ${LIMIT_MS}ms`));
  const client = await RawClient.connect(t, path.port);
  client.send('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
  await client.until('200 OK');
  client.socket.pause();
  const drip = setInterval(() => { client.send('a'); }, 20);
  t.after(() => { clearInterval(drip); });
  assert.deepEqual((await path.rowsOf(1)).map((row) => row.outcome), ['client_aborted']);
});

test('write: a client that asks and asks, and takes no answer, is not read on, and is cut', async (t) => {
  const watch = new SpoolWatch(t);
  const path = await startDataPath(t, oneService(1), listenerTimeouts(`write: ${LIMIT_MS}ms, keep_alive: 100ms`), watch);
  const client = await RawClient.connect(t, path.port);
  client.socket.pause();
  const piece = GET.repeat(1000);
  let sent = 0;
  const pump = (): void => {
    while (sent < 2000 && !client.socket.destroyed) {
      sent++;
      if (!client.socket.write(piece)) return;
    }
  };
  client.socket.on('drain', pump);
  pump();
  let mostHeld = 0;
  await until(() => {
    mostHeld = Math.max(mostHeld, watch.clientSockets[0]?.writableLength ?? 0);
    return path.listener.connectionCount === 0;
  }, 'the connection to be cut');
  assert.ok(mostHeld < 512 * 1024, `${mostHeld} bytes of answers were held`);
});

test('a slow client gets the end of its answers, although the connection has run idle and been ended', async (t) => {
  const body = 'z'.repeat(60_000);
  const upstream = await startRawUpstream(t, answerEach(lengthOk(body)));
  const watch = new SpoolWatch(t);
  const path = await startDataPath(t, oneService(upstream.port), listenerTimeouts('write: 20s, keep_alive: 300ms'), watch);
  const client = await RawClient.connect(t, path.port);
  client.socket.pause();
  const held = (): number => watch.clientSockets[0]?.writableLength ?? 0;
  // Until the kernel takes no more, and the last answer stays with the gateway.
  let answers = 0;
  while (held() === 0) {
    client.send(GET);
    answers++;
    await path.rowsOf(answers);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => watch.clientSockets[0]?.writableEnded === true, 'the end after the idle time');
  // Longer than what a client may still send after an end is waited for.
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + 5_000);
  await nextSweep(path);
  await nextSweep(path);
  assert.ok(held() > 0);
  client.socket.resume();
  const received = await client.untilClosed();
  assert.equal(received.split(body).length, answers + 1, 'every answer, whole');
});

test('connections: 1: requests wait for the busy one, in order, within the connect time', async (t) => {
  const release: (() => void)[] = [];
  const upstream = await startRawUpstream(t, (socket) => { release.push(() => { socket.write(lengthOk('ok')); }); });
  const path = await startDataPath(t, oneService(upstream.port, upstreamTimeouts(`connect: ${CONNECT_MS}ms`, '      connections: 1\n')));
  const clients = await Promise.all([0, 1, 2].map(() => RawClient.connect(t, path.port)));
  clients[0]?.send(GET);
  await until(() => release.length === 1, 'the first request');
  clients[1]?.send(GET);
  await until(() => path.recorder.nextOrdinal() > 2, 'the second request');
  release[0]?.();
  await until(() => release.length === 2, 'the second request to be sent');
  const late = clients[2];
  assert.ok(late !== undefined);
  late.send(GET);
  await within(late.until('HTTP/1.1 502 '), CONNECT_MS);
  release[1]?.();
  await clients[1]?.until('ok');
  const rows = await path.rowsOf(3);
  assert.deepEqual(rows.map((row) => row.outcome), ['answered', 'upstream_unavailable', 'answered']);
  assert.equal(upstream.seen.length, 1, 'one connection');
});

test('a target that refuses, with requests waiting for its one connection: each is told at once', async (t) => {
  const closing = await startRawUpstream(t, () => {});
  const path = await startDataPath(t, oneService(closing.port, upstreamTimeouts('connect: 10m', '      connections: 1\n')).replace(String(closing.port), '1'));
  const clients = await Promise.all([0, 1, 2, 3].map(() => RawClient.connect(t, path.port)));
  const target = path.targets.find('echo', 'http://127.0.0.1:1');
  assert.ok(target !== null);
  const { mock } = t.mock.method(target, 'onConnectFailed');
  for (const client of clients) client.send(GET);
  // whoever waited for the connection's time-out would wait for ten minutes
  await Promise.all(clients.map((client) => client.until('HTTP/1.1 502 ')));
  assert.ok(mock.callCount() <= 4, `${mock.callCount()} connections were tried for 4 requests`);
});

test('limits: more connections than allowed are turned away; those that are there go on', async (t) => {
  const upstream = await startRawUpstream(t, answerEach(lengthOk('ok')));
  for (const limit of ['connections: 3', 'connections_per_client: 3']) {
    const path = await startDataPath(t, oneService(upstream.port), `    limits: { ${limit} }`);
    const clients: RawClient[] = [];
    for (let i = 0; i < 3; i++) clients.push(await RawClient.connect(t, path.port));
    await until(() => path.listener.connectionCount === 3, 'three connections');
    const fourth = await RawClient.connect(t, path.port);
    assert.equal(await fourth.untilClosed(), '');
    for (const client of clients) client.send(GET);
    for (const client of clients) await client.until('ok');
    clients[0]?.socket.destroy();
    await until(() => path.listener.connectionCount === 2, 'a place');
    const next = await RawClient.connect(t, path.port);
    next.send(GET);
    await next.until('ok');
  }
});

/** Of ten rounds of 50 requests, one after the other, the processor's time of the least: what else the machine does costs some rounds more, not all. ms. */
async function least(client: RawClient): Promise<number> {
  let leastMs = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 10; round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < 50; i++) {
      const from = client.received.length;
      client.send(GET);
      await until(() => client.received.endsWith('ok') && client.received.length > from, 'an answer');
    }
    const { user, system } = process.cpuUsage(before);
    leastMs = Math.min(leastMs, (user + system) / 1000);
  }
  return leastMs;
}

test('many slow clients, of every kind, do not hold up the others', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (sofar.startsWith('GET /endless')) endless(socket);
    else answerEach(lengthOk('ok'))(socket, sofar);
  });
  const path = await startDataPath(t, oneService(upstream.port, '      connections: 500\n'), `${listenerTimeouts('head: 10m, body: 10m, write: 10m')}\n    limits: { connections_per_client: 2000 }`);
  const client = await RawClient.connect(t, path.port);
  const aloneMs = await least(client);
  const slow = ['', 'GET / HT', 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab'];
  for (let i = 0; i < 300; i++) (await RawClient.connect(t, path.port)).send(slow[i % 3] as string);
  for (let i = 0; i < 20; i++) {
    const client = await RawClient.connect(t, path.port);
    client.socket.pause();
    client.send('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
  }
  await until(() => path.listener.connectionCount === 321, 'the slow clients');
  const besideMs = await least(client);
  assert.equal(path.listener.connectionCount, 321, 'the slow clients are still there');
  assert.ok(besideMs <= aloneMs * 10, `50 answers took ${besideMs.toFixed(1)} ms beside slow clients, ${aloneMs.toFixed(1)} ms without`);
});
