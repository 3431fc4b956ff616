/**
 * A listener that drains (SIGTERM, fewer workers): what was read of a client is answered, however much of it waited behind a slow answer;
 * the last answer says that the connection closes.
 */
import assert from 'node:assert/strict';
import type net from 'node:net';
import { test, type TestContext } from 'node:test';
import { OUTCOMES } from '../../gateway/events/outcomes.js';
import { nextSweep, oneService, RawClient, SpoolWatch, startDataPath, startRawUpstream, until, type DataPath } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
/** Longer than any of these tests: none must need it. */
const NO_TIMEOUT = '    timeouts: { drain: 10m }';
const get = (name: string | number): string => `GET /${name} HTTP/1.1\r\nHost: a\r\n\r\n`;

interface Slow {
  readonly path: DataPath;
  readonly watch: SpoolWatch;
  /** How many requests the upstream has been sent. */
  readonly sent: () => number;
  /** Answers what waits, and from now on at once. */
  readonly answerAll: () => void;
}

/** An upstream that answers nothing until it is told to; then whole requests, with bodies by Content-Length. */
async function startSlow(t: TestContext, http = NO_TIMEOUT): Promise<Slow> {
  const watch = new SpoolWatch(t);
  let open = false;
  let sent = 0;
  const waiting: (() => void)[] = [];
  const taken = new Map<net.Socket, number>();
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    const begin = taken.get(socket) ?? 0;
    const headEnd = sofar.indexOf('\r\n\r\n', begin);
    if (headEnd < 0) return;
    const end = headEnd + 4 + Number(/^content-length: (\d+)/im.exec(sofar.slice(begin, headEnd))?.[1] ?? 0);
    if (sofar.length < end) return;
    taken.set(socket, end);
    sent++;
    if (open) socket.write(OK);
    else waiting.push(() => { socket.write(OK); });
  });
  const path = await startDataPath(t, oneService(upstream.port), http, watch);
  return {
    path, watch,
    sent: () => sent,
    answerAll: () => {
      open = true;
      for (const answer of waiting.splice(0)) answer();
    },
  };
}

/** Resolves when the gateway has read so much of its only client. */
const untilRead = (watch: SpoolWatch, bytes: number): Promise<void> =>
  until(() => (watch.clientSockets[0]?.bytesRead ?? 0) >= bytes, `${bytes} bytes to be read`);

/** The answers' status, each with `+` if the connection goes on after it. */
const answers = (received: string): string[] => received.split(/(?=HTTP\/1\.1 )/).filter((text) => text !== '')
  .map((text) => `${text.slice(9, 12)}${text.includes('\r\nConnection: close\r\n') ? '' : '+'}`);
const allOk = (count: number): string[] => [...Array<string>(count - 1).fill('200+'), '200'];
/** Of every row, in order; those too that the closing of a connection makes. */
const outcomes = async (path: DataPath): Promise<string[]> => {
  let swept = false;
  void nextSweep(path).then(() => { swept = true; });
  // Nothing else keeps the process from ending here.
  await until(() => swept, 'a sweep');
  return path.rows().map(({ outcome }) => outcome);
};

for (const depth of [1, 2, 4, 100]) {
  for (const writes of ['one write', 'a write each'] as const) {
    test(`${depth} requests pipelined in ${writes} behind a slow one: all are answered while draining, and the last answer closes`, async (t) => {
      const { path, watch, sent, answerAll } = await startSlow(t);
      const client = await RawClient.connect(t, path.port);
      const requests = Array.from({ length: depth }, (_, i) => get(i));
      if (writes === 'one write') client.send(requests.join(''));
      else {
        for (let i = 0; i < depth; i++) {
          client.send(requests[i] as string);
          await untilRead(watch, requests.slice(0, i + 1).join('').length);
        }
      }
      await untilRead(watch, requests.join('').length);
      await until(() => sent() === 1, 'the first request');
      const drained = path.listener.drain();
      answerAll();
      assert.deepEqual(answers(await client.untilClosed()), allOk(depth));
      await drained;
      assert.deepEqual(await outcomes(path), Array<string>(depth).fill('answered'));
    });
  }
}

test('more than is ever read of a client at once: what was read is answered, and nothing of the rest is begun', async (t) => {
  const { path, watch, sent, answerAll } = await startSlow(t);
  const client = await RawClient.connect(t, path.port);
  const one = get('x').replace('Host', `X: ${'y'.repeat(1000)}\r\nHost`);
  const sentRequests = 4000;
  client.send(one.repeat(sentRequests));
  await untilRead(watch, 16 * 1024);
  await until(() => sent() === 1, 'the first request');
  const read = watch.clientSockets[0]?.bytesRead ?? 0;
  const drained = path.listener.drain();
  answerAll();
  const received = answers(await client.untilClosed());
  assert.ok(received.length >= Math.ceil(read / one.length), `${received.length} answers to ${read} bytes`);
  assert.ok(received.length < sentRequests);
  assert.deepEqual(received, allOk(received.length));
  await drained;
  assert.deepEqual(await outcomes(path), Array<string>(received.length).fill('answered'));
});

test('a client that goes on pipelining for ever comes to its last answer, and no request of it is called aborted', async (t) => {
  const { path, watch, sent, answerAll } = await startSlow(t);
  const client = await RawClient.connect(t, path.port);
  const first = get('a').repeat(3);
  let seen = 0;
  client.socket.on('data', () => {
    for (const now = answers(client.received).length; seen < now; seen++) client.send(get('again').repeat(2));
  });
  client.send(first);
  await untilRead(watch, first.length);
  await until(() => sent() === 1, 'the first request');
  const drained = path.listener.drain();
  answerAll();
  const received = answers(await client.untilClosed());
  await drained;
  assert.ok(received.length >= 3);
  assert.deepEqual(received, allOk(received.length));
  assert.deepEqual(await outcomes(path), Array<string>(received.length).fill('answered'));
});

test('a request whose head was half read is answered once the rest comes; what comes behind it is not begun', async (t) => {
  const { path, watch, sent, answerAll } = await startSlow(t);
  const client = await RawClient.connect(t, path.port);
  const half = get('half');
  const begun = get('first') + half.slice(0, 12);
  client.send(begun);
  await untilRead(watch, begun.length);
  await until(() => sent() === 1, 'the first request');
  const drained = path.listener.drain();
  answerAll();
  await client.until('ok');
  client.send(half.slice(12) + get('behind'));
  assert.deepEqual(answers(await client.untilClosed()), allOk(2));
  await drained;
  assert.equal(sent(), 2);
  assert.deepEqual(await outcomes(path), ['answered', 'answered']);
});

test('a request whose head was half read, and whose rest never comes, is answered 408 when its time is over', async (t) => {
  const { path, watch, sent, answerAll } = await startSlow(t, '    timeouts: { drain: 10m, head: 1s }');
  const client = await RawClient.connect(t, path.port);
  const begun = get('first') + get('half').slice(0, 12);
  client.send(begun);
  await untilRead(watch, begun.length);
  await until(() => sent() === 1, 'the first request');
  const drained = path.listener.drain();
  answerAll();
  assert.deepEqual(answers(await client.untilClosed()), ['200+', '408']);
  await drained;
  assert.deepEqual(await outcomes(path), ['answered', 'request_timeout']);
});

const POST = 'POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n';
for (const [what, before] of [['alone', ''], ['behind a slow request', get('first')]] as const) {
  test(`a POST whose body was half read, ${what}, is answered when the rest has come`, async (t) => {
    const { path, watch, sent, answerAll } = await startSlow(t);
    const client = await RawClient.connect(t, path.port);
    client.send(`${before}${POST}01234`);
    await untilRead(watch, before.length + POST.length + 5);
    if (before !== '') await until(() => sent() === 1, 'the first request');
    const drained = path.listener.drain();
    answerAll();
    if (before !== '') await client.until('ok');
    client.send('56789');
    const count = before === '' ? 1 : 2;
    assert.deepEqual(answers(await client.untilClosed()), allOk(count));
    await drained;
    assert.deepEqual(await outcomes(path), Array<string>(count).fill('answered'));
    assert.equal(path.rows().at(-1)?.bytesIn, 10);
  });
}

test('requests that the gateway answers at once, each read by itself behind a slow one, are all answered', async (t) => {
  const { path, watch, sent, answerAll } = await startSlow(t, `${NO_TIMEOUT}\n    health_path: /h`);
  const client = await RawClient.connect(t, path.port);
  let length = 0;
  for (const request of [get('first'), get('h'), get('h'), get('h')]) {
    client.send(request);
    await untilRead(watch, length += request.length);
  }
  await until(() => sent() === 1, 'the first request');
  const drained = path.listener.drain();
  answerAll();
  assert.deepEqual(answers(await client.untilClosed()), ['200+', '503+', '503+', '503']);
  await drained;
});

test('an answer that began before the drain has not said that it is the last: what was read behind it is answered', async (t) => {
  const watch = new SpoolWatch(t);
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (!sofar.endsWith('\r\n\r\n')) return;
    socket.write(sofar.includes(' /a ') ? OK : OK.slice(0, -1));
  });
  const path = await startDataPath(t, oneService(upstream.port), NO_TIMEOUT, watch);
  const client = await RawClient.connect(t, path.port);
  client.send(get('begun'));
  await client.until('\r\n\r\no');
  const drained = path.listener.drain();
  client.send(get('a'));
  await untilRead(watch, get('begun').length + get('a').length);
  upstream.sockets[0]?.write('k');
  assert.deepEqual(answers(await client.untilClosed()), allOk(2));
  await drained;
  assert.deepEqual(await outcomes(path), ['answered', 'answered']);
});

test('requests that are refused at once, read in one piece while draining, are all answered', async (t) => {
  const watch = new SpoolWatch(t);
  const path = await startDataPath(t, 'services: []', NO_TIMEOUT, watch);
  const client = await RawClient.connect(t, path.port);
  // Begun, so that the connection is not closed for its silence.
  client.send('GET');
  await untilRead(watch, 3);
  const drained = path.listener.drain();
  client.send(get('a').slice(3) + get('b').repeat(3));
  assert.deepEqual(answers(await client.untilClosed()), ['404+', '404+', '404+', '404']);
  await drained;
  assert.deepEqual(await outcomes(path), Array<string>(4).fill('route_not_found'));
});

test('the health path answers 503 on a kept connection while draining, and closes it; a new connection is refused; neither is an event', async (t) => {
  const watch = new SpoolWatch(t);
  const path = await startDataPath(t, 'services: []', `${NO_TIMEOUT}\n    health_path: /healthz`, watch);
  const client = await RawClient.connect(t, path.port);
  client.send(get('healthz'));
  await client.until('ok\n');
  client.send('GET');
  await untilRead(watch, get('healthz').length + 3);
  const drained = path.listener.drain();
  await assert.rejects(RawClient.connect(t, path.port), { code: 'ECONNREFUSED' });
  client.send(get('healthz').slice(3));
  assert.match(await client.untilClosed(), /\r\n\r\nok\nHTTP\/1\.1 503 [^]*\r\nConnection: close\r\n\r\ndraining\n$/);
  await drained;
  assert.deepEqual(path.rows(), []);
});

test('when the drain takes too long, who waits gets a 503 and those behind it nothing; all are recorded as what the shutdown did', async (t) => {
  const { path, watch, sent } = await startSlow(t, '    timeouts: { drain: 1s }');
  const client = await RawClient.connect(t, path.port);
  client.send(get('a').repeat(3));
  await untilRead(watch, get('a').length * 3);
  await until(() => sent() === 1, 'the first request');
  const drained = path.listener.drain();
  const received = await client.untilClosed();
  assert.deepEqual(answers(received), ['503']);
  assert.match(received, /"code":"draining"/);
  await drained;
  const rows = await path.rowsOf(3);
  assert.deepEqual(rows.map(({ outcome, status }) => `${outcome} ${status}`), ['draining 503', 'draining 0', 'draining 0']);
  assert.ok(rows.every(({ counted, billable }) => counted === 0 && billable === 0) && OUTCOMES.draining.error);
});

test('when the drain takes too long, an answer that has begun is cut, and recorded as what the shutdown did', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => { socket.write(OK.slice(0, -1)); });
  const path = await startDataPath(t, oneService(upstream.port), '    timeouts: { drain: 1s }');
  const client = await RawClient.connect(t, path.port);
  client.send(get('a'));
  await client.until('\r\n\r\no');
  await path.listener.drain();
  await client.untilClosed();
  assert.ok(client.wasReset);
  assert.deepEqual((await path.rowsOf(1)).map(({ outcome, status }) => `${outcome} ${status}`), ['draining 200']);
});

/** What comes while the first answer is under way, the drain having begun before its head; what the upstream is sent after the first request. */
const READ_AHEAD: readonly (readonly [name: string, before: readonly string[], meanwhile: string, after: readonly string[], statuses: readonly string[], sent: string])[] = [
  ['a head', [get('b'), 'GET /c HT'], 'TP/1.1\r\nHost: a\r\n\r\n', [], ['200+', '200+', '200'], '/b /c'],
  ['a head, in three', [get('b'), 'GET /c'], '/c HTTP/1.1\r\nHost: a\r\nX: ', ['a value\r\n\r\n'], ['200+', '200+', '200'], '/b /c/c'],
  ['nothing: what comes begins another', ['GET /b HT', `TP/1.1\r\nHost: a\r\n\r\n${get('c')}`], get('d'), [], ['200+', '200+', '200'], '/b /c'],
  ['a body', [get('b'), 'POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 16\r\n\r\n0123'], '4567', ['89abcdef'], ['200+', '200+', '200'], '/b /p 0123456789abcdef'],
];

for (const [name, before, meanwhile, after, statuses, sent] of READ_AHEAD) {
  test(`a drain that begins in a streamed answer, behind which there is read ahead a part of ${name}: nothing of it is lost`, async (t) => {
    const watch = new SpoolWatch(t);
    let first: net.Socket | null = null;
    let seen = '';
    const upstream = await startRawUpstream(t, (socket, sofar) => {
      const [, path = '', body] = /(?:GET|POST) (\S+) HTTP\/1\.1\r\n(?:[^\r]+\r\n)+\r\n([^]*)$/.exec(sofar.slice(Math.max(0, sofar.lastIndexOf('HTTP/1.1\r\nHost') - 12))) ?? [];
      if (path === '/a') first = socket;
      else if (path !== '' && (path !== '/p' || body?.length === 16)) {
        seen += ` ${path}${body === '' ? '' : ` ${body ?? ''}`}`;
        socket.write(OK);
      }
    });
    const path = await startDataPath(t, oneService(upstream.port), NO_TIMEOUT, watch);
    const client = await RawClient.connect(t, path.port);
    let bytes = 0;
    const send = async (text: string): Promise<void> => {
      client.send(text);
      bytes += text.length;
      await untilRead(watch, bytes);
    };
    await send(get('a'));
    await until(() => first !== null, 'the first request');
    for (const text of before) await send(text);
    const drained = path.listener.drain();
    (first as unknown as net.Socket).write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
    await client.until('hello');
    client.send(meanwhile);
    await nextSweep(path);
    (first as unknown as net.Socket).write('world');
    await client.until('world');
    for (const text of after) client.send(text);
    assert.deepEqual(answers(await client.untilClosed()), statuses);
    assert.equal(seen.trim(), sent);
    await drained;
  });
}
