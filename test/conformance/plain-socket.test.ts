/** What gateway/http1/plain-socket.ts relies on of node:net, which is not documented. A version of Node that fails here still serves, at the cost of its streams. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { DirectWriter, readDirect, readShared, sharedRead } from '../../gateway/http1/plain-socket.js';
import { until } from './data-path.js';

interface Accepted { readonly socket: net.Socket; readonly chunks: string[]; readonly buffers: Set<ArrayBufferLike>; ended: boolean }

async function serve(t: TestContext): Promise<{ readonly accepted: Accepted[]; readonly connect: () => Promise<net.Socket> }> {
  const accepted: Accepted[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const one: Accepted = { socket, chunks: [], buffers: new Set(), ended: false };
    accepted.push(one);
    readShared(socket, (bytes, count) => {
      one.chunks.push(bytes.toString('latin1', 0, count));
      one.buffers.add(bytes.buffer);
    });
    socket.on('end', () => { one.ended = true; });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => {
    for (const { socket } of accepted) socket.destroy();
    server.close();
  });
  const { port } = server.address() as net.AddressInfo;
  return {
    accepted,
    connect: async () => {
      const client = net.connect(port, '127.0.0.1');
      t.after(() => { client.destroy(); });
      await new Promise((resolve) => { client.once('connect', resolve); });
      return client;
    },
  };
}

test('accepted sockets read into one buffer, nothing is kept by the stream, and the end is told', async (t) => {
  const { accepted, connect } = await serve(t);
  const clients = [await connect(), await connect()];
  await until(() => accepted.length === 2, 'both connections');
  clients[0]?.write('first');
  clients[1]?.write('second');
  await until(() => accepted.every(({ chunks }) => chunks.length > 0), 'what was sent');
  assert.deepEqual(accepted.map(({ chunks }) => chunks.join('')).sort(), ['first', 'second']);
  assert.equal(new Set(accepted.flatMap(({ buffers }) => [...buffers])).size, 1, 'one buffer');
  for (const { socket } of accepted) assert.equal(socket.readableLength, 0);
  assert.deepEqual(accepted.map(({ socket }) => socket.bytesRead).sort(), [5, 6]);
  clients[0]?.end();
  await until(() => accepted.some(({ ended }) => ended), 'the end');
});

test('a paused one reads nothing more, a resumed one all of it', async (t) => {
  const { accepted, connect } = await serve(t);
  const client = await connect();
  client.write('a');
  await until(() => accepted[0]?.chunks.length === 1, 'the first byte');
  const [one] = accepted as [Accepted];
  one.socket.pause();
  await new Promise((resolve) => { client.write('b'.repeat(1000), resolve); });
  // read after it was sent, by a socket that is not paused
  const other = await connect();
  other.write('c');
  await until(() => accepted[1]?.chunks.length === 1, 'what came later');
  assert.equal(one.socket.bytesRead, 1);
  client.write('b'.repeat(199_000));
  one.socket.resume();
  await until(() => one.socket.bytesRead === 200_001, 'the rest');
  assert.equal(one.chunks.join(''), `a${'b'.repeat(200_000)}`);
});

test('a socket without these marks is read its usual way', async () => {
  const stream = new PassThrough();
  const chunks: string[] = [];
  readShared(stream as unknown as net.Socket, (bytes, count) => { chunks.push(bytes.toString('latin1', 0, count)); });
  stream.write('text');
  await until(() => chunks.length > 0, 'the text');
  assert.deepEqual(chunks, ['text']);
});

/** Both ends of a connection: ours, that reads into the shared buffer and writes directly, and a peer's. */
async function pair(t: TestContext): Promise<{ readonly socket: net.Socket; readonly writer: DirectWriter; readonly peer: net.Socket }> {
  const { accepted, connect } = await serve(t);
  const peer = await connect();
  await until(() => accepted.length === 1, 'the connection');
  const { socket } = accepted[0] as Accepted;
  return { socket, writer: new DirectWriter(socket), peer };
}

/** Calls of a function of the socket's handle. */
function counted(socket: net.Socket, name: string): { calls: number } {
  const handle = (socket as unknown as { _handle: Record<string, (...all: unknown[]) => unknown> })._handle;
  const own = handle[name] as (...all: unknown[]) => unknown;
  const count = { calls: 0 };
  handle[name] = function again(this: unknown, ...all: unknown[]): unknown {
    count.calls++;
    return own.apply(this, all);
  };
  return count;
}

const received = (socket: net.Socket): { text: string } => {
  const all = { text: '' };
  socket.setEncoding('latin1').on('data', (text: string) => { all.text += text; });
  return all;
};

test('a text goes to the handle, past the stream', async (t) => {
  const { socket, writer, peer } = await pair(t);
  const got = received(peer);
  const direct = counted(socket, 'writeLatin1String');
  let streamed = 0;
  const own = socket.write.bind(socket);
  socket.write = ((...all: Parameters<typeof own>) => { streamed++; return own(...all); }) as typeof own;
  for (let n = 0; n < 100; n++) assert.equal(writer.write(`text \xe4 ${n};`), true);
  assert.deepEqual([direct.calls, streamed], [100, 0]);
  await until(() => got.text.endsWith(' 99;'), 'the last text');
  assert.equal(got.text, Array.from({ length: 100 }, (_, n) => `text \xe4 ${n};`).join(''));
});

test('what is long, a buffer, or comes while the stream holds something goes by the stream, in its order', async (t) => {
  const { socket, writer, peer } = await pair(t);
  const got = received(peer);
  const long = 'l'.repeat(20_000);
  writer.write('a');
  writer.write(Buffer.from('b'));
  writer.write(long);
  socket.cork();
  writer.write('c');
  writer.write('d');
  socket.uncork();
  writer.write('e');
  await until(() => got.text.endsWith('e'), 'the last text');
  assert.equal(got.text, `ab${long}cde`);
});

test('a peer that reads nothing: the rest of a text waits, what follows goes behind it, the stream says that it is full, and all of it comes', async (t) => {
  const { socket, writer, peer } = await pair(t);
  peer.pause();
  const text = 'x'.repeat(16_000);
  let sent = '';
  let more = true;
  while (more) {
    const next = `${sent.length}:${text}`;
    more = writer.write(next);
    sent += next;
    await new Promise(setImmediate);
  }
  assert.equal(socket.writableNeedDrain, true);
  const got = received(peer);
  peer.resume();
  await until(() => got.text.length === sent.length, 'all of it');
  assert.equal(got.text === sent, true);
  assert.equal(socket.writableNeedDrain, false);
  const direct = counted(socket, 'writeLatin1String');
  writer.write('past the stream again');
  assert.equal(direct.calls, 1);
});

test('the end follows the rest of a text', async (t) => {
  const { socket, writer, peer } = await pair(t);
  peer.pause();
  let sent = 0;
  const text = 'y'.repeat(16_000);
  // until the system has taken a part only
  while (writeQueue(socket) === 0) {
    writer.write(text);
    sent += text.length;
  }
  assert.equal(socket.writableLength, 0);
  socket.end();
  const got = received(peer);
  let ended = false;
  peer.on('end', () => { ended = true; });
  peer.resume();
  await until(() => ended, 'the end');
  assert.equal(got.text.length, sent);
});

test('a peer that is gone: the stream says so, once, and what is written afterwards does no harm', async (t) => {
  for (const waits of [false, true]) {
    const { socket, writer, peer } = await pair(t);
    const errors: string[] = [];
    let closed = false;
    socket.on('error', (error: NodeJS.ErrnoException) => { errors.push(error.code ?? ''); });
    socket.on('close', () => { closed = true; });
    peer.pause();
    if (waits) while (writeQueue(socket) === 0) writer.write('z'.repeat(16_000));
    peer.resetAndDestroy();
    // a write in the same turn as the reset is read, and those after it
    for (let n = 0; n < 1000 && !closed; n++) {
      writer.write('text');
      await new Promise(setImmediate);
    }
    await until(() => closed, 'the close');
    writer.write('text');
    await new Promise((resolve) => { setTimeout(resolve, 20); });
    assert.ok(errors.length <= 2 && errors.every((code) => ['ECONNRESET', 'EPIPE', 'ERR_STREAM_DESTROYED'].includes(code)), errors.join());
    assert.ok(errors.includes('ECONNRESET') || errors.includes('EPIPE'), errors.join());
  }
});

test('a socket that connects reads from its handle; its end is told', async (t) => {
  const server = net.createServer((socket) => { socket.end('hello'); });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => { server.close(); });
  const read: string[] = [];
  let streamed = 0;
  let ended = false;
  const onRead = (bytes: Buffer, count: number): void => { read.push(bytes.toString('latin1', 0, count)); };
  const socket = net.connect({ port: (server.address() as net.AddressInfo).port, host: '127.0.0.1', onread: sharedRead(() => { streamed++; }) });
  socket.once('connect', () => { readDirect(socket, onRead); });
  socket.on('end', () => { ended = true; });
  await until(() => ended, 'the end');
  assert.deepEqual([read, streamed], [['hello'], 0]);
});

const writeQueue = (socket: net.Socket): number => (socket as unknown as { _handle: { writeQueueSize: number } })._handle.writeQueueSize;
