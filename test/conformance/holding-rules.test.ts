/**
 * What is held back until an answer's row is written, exactly, and what passes at once. Each test looks at the wires at the moment of the
 * write: the last piece had not gone then, and goes after it. With the release put before the write every one of them fails.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Held } from '../../gateway/events/recorder.js';
import { answerEach, nextSweep, oneService, RawClient, SpoolWatch, startDataPath, startRawUpstream, until, type DataPath, type RawUpstream } from './data-path.js';

const GET = 'GET /x HTTP/1.1\r\nHost: a\r\n\r\n';
const lengthOk = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

interface Watched { readonly upstream: RawUpstream; readonly watch: SpoolWatch; readonly path: DataPath }

/** A data path whose spool is watched, before an upstream that says nothing by itself. */
async function startWatched(t: TestContext, answer: Parameters<typeof startRawUpstream>[1] = () => {}): Promise<Watched> {
  const upstream = await startRawUpstream(t, answer);
  const watch = new SpoolWatch(t);
  const path = await startDataPath(t, oneService(upstream.port), '', watch);
  return { upstream, watch, path };
}

interface Rule {
  readonly name: string;
  readonly request?: string;
  /** What the upstream writes, each piece once the one before has reached the client. */
  readonly pieces: readonly string[];
  /** The end of what the client has after each piece but the last. */
  readonly passed: readonly string[];
  /** Exactly what is held; '': the whole answer. */
  readonly held: string;
  readonly close?: boolean;
}

const RULES: readonly Rule[] = [
  { name: 'the whole head of an answer to HEAD', request: GET.replace('GET', 'HEAD'), pieces: ['HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'], passed: [], held: '' },
  { name: 'the whole head of a 204', pieces: ['HTTP/1.1 204 No Content\r\n\r\n'], passed: [], held: '' },
  { name: 'the whole head of a 304', pieces: ['HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n'], passed: [], held: '' },
  { name: 'the whole head with Content-Length 0', pieces: [lengthOk('')], passed: [], held: '' },
  { name: 'an answer that came in one read', pieces: [lengthOk('hello')], passed: [], held: '' },
  { name: 'the read that completes Content-Length, and none before it', pieces: ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n', 'abc', 'defg', 'hij'], passed: ['\r\n\r\n', 'abc', 'defg'], held: 'hij' },
  { name: 'the last chunk alone', pieces: [CHUNKED, '3\r\nabc\r\n', '2\r\nde\r\n', '0\r\n\r\n'], passed: ['\r\n\r\n', '3\r\nabc\r\n', '2\r\nde\r\n'], held: '0\r\n\r\n' },
  { name: 'the read that holds the last chunk', pieces: [`${CHUNKED}3\r\nabc\r\n`, '2\r\nde\r\n0\r\n\r\n'], passed: ['3\r\nabc\r\n'], held: '2\r\nde\r\n0\r\n\r\n' },
  { name: 'the last chunk with the trailers', pieces: [`${CHUNKED}3\r\nabc\r\n`, '0\r\nX-Sum: 9\r\n\r\n'], passed: ['3\r\nabc\r\n'], held: '0\r\nX-Sum: 9\r\n\r\n' },
  { name: 'the last chunk from its first byte until the trailers\' end', pieces: [`${CHUNKED}3\r\nabc\r\n`, '0\r\nX-Sum: ', '9\r\n\r\n'], passed: ['3\r\nabc\r\n', '3\r\nabc\r\n'], held: '0\r\nX-Sum: 9\r\n\r\n' },
  { name: 'the end that closing marks', pieces: ['HTTP/1.1 200 OK\r\n\r\nabc', ''], passed: ['3\r\nabc\r\n'], held: '0\r\n\r\n', close: true },
  { name: 'an HTTP/1.0 client\'s answer without a length, whole', request: 'GET /x HTTP/1.0\r\n\r\n', pieces: [`${CHUNKED}3\r\nabc\r\n0\r\n\r\n`], passed: [], held: '' },
  {
    name: 'of server-sent events only the end: each passes at once', pieces: ['HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n', '9\r\ndata: 1\n\n\r\n', '9\r\ndata: 2\n\n\r\n', '0\r\n\r\n'],
    passed: ['\r\n\r\n', 'data: 1\n\n\r\n', 'data: 2\n\n\r\n'], held: '0\r\n\r\n',
  },
  { name: 'nothing of a 1xx', pieces: ['HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', 'HTTP/1.1 102 Processing\r\n\r\n', lengthOk('hi')], passed: ['103 Early Hints\r\nLink: </a>\r\n\r\n', '102 Processing\r\n\r\n'], held: '*200' },
];

for (const { name, request = GET, pieces, passed, held, close } of RULES) {
  test(`held back until the row is written: ${name}`, async (t) => {
    const { upstream, watch, path } = await startWatched(t);
    const client = await RawClient.connect(t, path.port);
    client.send(request);
    await until(() => upstream.seen[0]?.endsWith('\r\n\r\n') === true, 'the request');
    for (const [i, piece] of pieces.entries()) {
      upstream.sockets[0]?.write(piece, 'latin1');
      if (i === pieces.length - 1) break;
      await until(() => client.received.endsWith(passed[i] as string), `${JSON.stringify(passed[i])} to pass; received ${JSON.stringify(client.received)}`);
      assert.equal(watch.given.length, 0, 'no row yet');
    }
    if (close === true) upstream.sockets[0]?.end();
    await path.rowsOf(1);
    await until(() => client.received.length === watch.clientSockets[0]?.bytesWritten, 'the rest');
    const given = watch.given[0]?.[0] ?? -1;
    const kept = client.received.slice(given);
    if (held === '') assert.equal(given, 0, 'nothing had gone');
    else if (held === '*200') assert.match(kept, /^HTTP\/1\.1 200 OK\r\n[^]*hi$/);
    else assert.equal(kept, held);
    assert.ok(kept.length > 0);
    const [row] = path.rows();
    assert.equal(row?.outcome, 'answered');
  });
}

const LONG = 3_000_000;
const FRAME_MARGIN = 600;
const LONG_ANSWERS: readonly (readonly [name: string, request: string, head: string, wrap: (body: string) => string])[] = [
  ['a Content-Length', GET, `HTTP/1.1 200 OK\r\nContent-Length: ${LONG}\r\n\r\n`, (body) => body],
  ['one chunk', GET, CHUNKED, (body) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
  ['many small chunks', GET, CHUNKED, (body) => `${body.replace(/.{10}/g, 'a\r\n$&\r\n')}0\r\n\r\n`],
  ['an end by closing', GET, 'HTTP/1.1 200 OK\r\n\r\n', (body) => body],
  ['HTTP/1.0 and no length', 'GET /x HTTP/1.0\r\n\r\n', CHUNKED, (body) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
];

for (const [name, request, head, wrap] of LONG_ANSWERS) {
  test(`no more than 64 KiB are held of a long answer with ${name}`, async (t) => {
    const { watch, path } = await startWatched(t, (socket) => { socket.end(head + wrap('z'.repeat(LONG)), 'latin1'); });
    const client = await RawClient.connect(t, path.port);
    client.send(request);
    const [row] = await path.rowsOf(1);
    assert.equal(row?.bytesOut, LONG);
    await until(() => client.received.length === watch.clientSockets[0]?.bytesWritten, 'the rest');
    const kept = client.received.length - (watch.given[0]?.[0] ?? 0);
    assert.ok(kept > 0 && kept <= 64 * 1024 + FRAME_MARGIN, `${kept} bytes held`);
  });
}

test('an HTTP/1.0 answer just past what is gathered holds no more than its last read', async (t) => {
  const { upstream, watch, path } = await startWatched(t);
  const client = await RawClient.connect(t, path.port);
  client.send('GET /x HTTP/1.0\r\n\r\n');
  await until(() => upstream.sockets.length === 1, 'the request');
  const [socket] = upstream.sockets;
  await new Promise<void>((resolve) => { socket?.write(`${CHUNKED}ea60\r\n${'a'.repeat(60_000)}\r\n`, () => { resolve(); }); });
  await until(() => path.targets.find('echo', `http://127.0.0.1:${upstream.port}`) !== null, 'the target');
  // A second read, which passes the bound and ends the answer at once.
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  socket?.write(`ea60\r\n${'b'.repeat(60_000)}\r\n0\r\n\r\n`);
  const received = await client.untilClosed();
  assert.equal(received.length - received.indexOf('\r\n\r\n') - 4, 120_000);
  const kept = received.length - (watch.given[0]?.[0] ?? 0);
  assert.ok(kept <= 64 * 1024 + FRAME_MARGIN, `${kept} bytes held`);
});

test('a problem of the gateway\'s own is held as any answer', async (t) => {
  const { watch, path } = await startWatched(t);
  const client = await RawClient.connect(t, path.port);
  client.send('GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n');
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 400 /);
  assert.deepEqual(watch.given, [[0]]);
});

test('a pipelined request is not sent on before the answer ahead of it is let go', async (t) => {
  const { upstream, watch, path } = await startWatched(t, answerEach(lengthOk('ok')));
  const sent: number[] = [];
  const client = await RawClient.connect(t, path.port);
  const { acquired } = countAcquired(t, path, upstream);
  watch.onFrame = () => { sent.push(acquired()); };
  client.send(GET.repeat(4));
  await path.rowsOf(4);
  assert.deepEqual(sent, [1, 2, 3, 4], 'requests given to the target when each row was written');
  await until(() => client.received.split('200 OK').length === 5, 'four answers');
  assert.deepEqual(watch.given.map(([bytes]) => bytes), [0, 1, 2, 3].map((n) => n * (client.received.length / 4)));
});

/** Counts how often a request asked the target for a connection. */
function countAcquired(t: TestContext, path: DataPath, upstream: RawUpstream): { acquired: () => number } {
  const target = path.targets.find('echo', `http://127.0.0.1:${upstream.port}`);
  assert.ok(target !== null);
  const { mock } = t.mock.method(target, 'acquire');
  return { acquired: () => mock.callCount() };
}

test('an answer cut upstream: the row first, then the reset', async (t) => {
  const { watch, path } = await startWatched(t, (socket) => { socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc'); });
  const atWrite: boolean[] = [];
  const client = await RawClient.connect(t, path.port);
  watch.onFrame = () => { atWrite.push(watch.clientSockets[0]?.destroyed ?? true); };
  client.send(GET);
  await client.untilClosed();
  assert.ok(client.wasReset);
  assert.deepEqual(atWrite, [false], 'the connection stood when the row was written');
  assert.deepEqual(path.rows().map((row) => row.outcome), ['upstream_broken']);
});

test('the order of releases is the order of the rows', async (t) => {
  const { upstream, watch, path } = await startWatched(t);
  const clients: RawClient[] = [];
  for (let i = 0; i < 20; i++) {
    const client = await RawClient.connect(t, path.port);
    client.send(GET);
    await until(() => upstream.sockets.length === i + 1 && upstream.seen[i] !== '', `request ${i}`);
    clients.push(client);
  }
  const released: number[] = [];
  for (const [i, socket] of watch.clientSockets.entries()) {
    const { _handle: handle } = socket as unknown as { _handle: { writeLatin1String(...call: unknown[]): number } };
    const write = handle.writeLatin1String.bind(handle);
    t.mock.method(handle, 'writeLatin1String', (...call: unknown[]) => {
      released.push(i + 1);
      return write(...call);
    });
  }
  // All in one go, and not in the order of the requests.
  const order = [...upstream.sockets.keys()].sort((a, b) => ((a * 7) % 20) - ((b * 7) % 20));
  for (const i of order) upstream.sockets[i]?.write(lengthOk('ok'));
  const rows = await path.rowsOf(20);
  await until(() => clients.every((client) => client.received.endsWith('ok')), 'all answers');
  assert.ok(watch.given.length < 20, 'several in one turn');
  assert.deepEqual(released, rows.map((row) => row.ordinal));
});

/** Calls `between` once, when a row is recorded and not yet written. */
function afterNextRecord(t: TestContext, path: DataPath, between: () => void): void {
  const { recorder } = path;
  const record = recorder.record.bind(recorder);
  let done = false;
  t.mock.method(recorder, 'record', (facts: Parameters<typeof record>[0], held: Held) => {
    record(facts, held);
    if (done) return;
    done = true;
    between();
  });
}

test('a client that leaves between its row and the release makes no second row', async (t) => {
  const { watch, path } = await startWatched(t, answerEach(lengthOk('ok')));
  const client = await RawClient.connect(t, path.port);
  afterNextRecord(t, path, () => { watch.clientSockets[0]?.destroy(); });
  client.send(GET + GET);
  await client.untilClosed();
  await until(() => path.listener.connectionCount === 0, 'the connection to be forgotten');
  assert.equal(client.received, '');
  const other = await RawClient.connect(t, path.port);
  other.send(GET);
  await other.until('ok');
  const rows = await path.rowsOf(3);
  // The first was answered, and never got; the second, read behind it, was begun and given up.
  assert.deepEqual(rows.map((row) => [row.ordinal, row.outcome]), [[1, 'answered'], [2, 'client_aborted'], [3, 'answered']]);
});

test('a client that ends its side between its row and the release gets its answer, and the connection is closed', async (t) => {
  const { watch, path } = await startWatched(t, answerEach(lengthOk('ok')));
  const client = await RawClient.connect(t, path.port);
  afterNextRecord(t, path, () => { watch.clientSockets[0]?.emit('end'); });
  client.send(GET);
  assert.match(await client.untilClosed(), /^HTTP\/1\.1 200 OK\r\n[^]*ok$/);
  await until(() => path.listener.connectionCount === 0, 'the connection to be forgotten');
  assert.deepEqual(path.rows().map((row) => row.outcome), ['answered']);
});

test('a client that leaves makes one row, aborted, whatever was ahead: nothing, half an answer, a request behind another', async (t) => {
  const { upstream, path } = await startWatched(t);
  const silent = await RawClient.connect(t, path.port);
  silent.send(GET + GET);
  await until(() => upstream.seen.length === 1, 'the request');
  silent.socket.destroy();
  await path.rowsOf(2);
  const half = await RawClient.connect(t, path.port);
  half.send('GET /y HTTP/1.1\r\nHos');
  await until(() => path.listener.connectionCount === 1, 'the connection');
  half.socket.end();
  const rows = await path.rowsOf(3);
  assert.deepEqual(rows.map((row) => [row.outcome, row.status, row.requests, row.attempts]), [
    ['client_aborted', 0, 1, 1], ['client_aborted', 0, 1, 0], ['client_aborted', 0, 1, 0],
  ]);
  assert.equal(new Set(rows.map((row) => row.ordinal)).size, 3);
  await until(() => upstream.sockets[0]?.destroyed === true, 'the upstream request to be given up');
});

test('the spool is full: the event is tallied, the answer goes', async (t) => {
  const { path } = await startWatched(t, answerEach(lengthOk('ok')));
  path.recorder.setRoom(1000, 1000);
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('ok');
  assert.deepEqual(path.rows(), []);
  assert.equal(path.recorder.dropped.spool_full, 1);
  path.recorder.setRoom(0, 1e9);
  client.send(GET);
  const [row] = await path.rowsOf(1);
  assert.equal(row?.seq, 1, 'the dropped event kept its number');
});

test('the disk is full: the event is tallied, the answer goes', async (t) => {
  const { watch, path } = await startWatched(t, answerEach(lengthOk('ok')));
  watch.onFrame = () => { throw Object.assign(new Error('no space left'), { code: 'ENOSPC' }); };
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await client.until('ok');
  assert.equal(path.recorder.dropped.disk_full, 1);
});

test('an answer that streams for 10 s writes its row then; what follows is a row with no request in it, at its own time', async (t) => {
  const { upstream, path } = await startWatched(t);
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await until(() => upstream.seen.length === 1, 'the request');
  const [socket] = upstream.sockets;
  socket?.write(`${CHUNKED}3\r\nabc\r\n`);
  await client.until('abc');
  const now = performance.now.bind(performance);
  const wall = Date.now;
  let aheadMs = 9_000;
  t.mock.method(performance, 'now', () => now() + aheadMs);
  t.mock.method(Date, 'now', () => wall() + aheadMs);
  socket?.write('2\r\nde\r\n');
  await client.until('de');
  await nextSweep(path);
  assert.deepEqual(path.rows(), [], 'nothing is due after 9 s');
  aheadMs = 10_000;
  const [first] = await path.rowsOf(1);
  assert.deepEqual([first?.kind, first?.requests, first?.counted, first?.billable, first?.outcome, first?.bytesOut, first?.status], ['request', 1, 1, 1, 'answered', 5, 200]);
  const [counts] = path.pipeline.metrics.snapshot().services;
  assert.ok((counts?.gatewaySumUs ?? Infinity) < 5_000_000, 'its ten seconds are the upstream\'s, not the gateway\'s own');
  assert.ok(!client.received.endsWith('0\r\n\r\n'));
  aheadMs = 60_000;
  socket?.write('4\r\nfghi\r\n0\r\n\r\n');
  const rows = await path.rowsOf(2);
  const second = rows[1];
  assert.deepEqual([second?.kind, second?.requests, second?.counted, second?.billable, second?.outcome, second?.bytesOut], ['interim', 0, 0, 0, 'answered', 4]);
  assert.equal(second?.ordinal, first?.ordinal);
  const apart = (second?.timeMs ?? 0) - (first?.timeMs ?? 0);
  assert.ok(apart >= 60_000 && apart < 65_000, `the second row's time is ${apart} ms after the first's`);
  await client.until('0\r\n\r\n');
});

test('a client that leaves a stream after its row: a row with no request in it, aborted', async (t) => {
  const { upstream, path } = await startWatched(t);
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await until(() => upstream.seen.length === 1, 'the request');
  upstream.sockets[0]?.write(`${CHUNKED}3\r\nabc\r\n`);
  await client.until('abc');
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + 11_000);
  await path.rowsOf(1);
  client.socket.destroy();
  const rows = await path.rowsOf(2);
  assert.deepEqual(rows.map((row) => [row.kind, row.requests, row.outcome]), [['request', 1, 'answered'], ['interim', 0, 'client_aborted']]);
});

test('a request that has no answer yet after 10 s has no row yet', async (t) => {
  const { upstream, path } = await startWatched(t);
  const client = await RawClient.connect(t, path.port);
  client.send(GET);
  await until(() => upstream.seen.length === 1, 'the request');
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + 12_000);
  await nextSweep(path);
  assert.deepEqual(path.rows(), []);
  upstream.sockets[0]?.write(lengthOk('late'));
  const rows = await path.rowsOf(1);
  assert.deepEqual(rows.map((row) => [row.kind, row.requests]), [['request', 1]]);
});
