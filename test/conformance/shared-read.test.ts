/** What gateway/http1/shared-read.ts relies on of node:net for accepted sockets, which is not documented. A version of Node that fails here still serves, at the cost of a buffer a read. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { readShared } from '../../gateway/http1/shared-read.js';
import { until } from './data-path.js';

interface Accepted { readonly socket: net.Socket; readonly chunks: string[]; readonly buffers: Set<ArrayBufferLike>; ended: boolean }

async function serve(t: TestContext): Promise<{ readonly accepted: Accepted[]; readonly connect: () => Promise<net.Socket> }> {
  const accepted: Accepted[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const one: Accepted = { socket, chunks: [], buffers: new Set(), ended: false };
    accepted.push(one);
    readShared(socket, (chunk) => {
      one.chunks.push(chunk.toString('latin1'));
      one.buffers.add(chunk.buffer);
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
  readShared(stream as unknown as net.Socket, (chunk) => { chunks.push(chunk.toString('latin1')); });
  stream.write('text');
  await until(() => chunks.length > 0, 'the text');
  assert.deepEqual(chunks, ['text']);
});
