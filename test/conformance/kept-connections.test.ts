/** What an odd upstream, and one that is slow to read, may not do to others; and what an idle connection keeps. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type net from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { MessageParser } from '../../gateway/http1/message-parser.js';
import { heldMemory } from '../harness/held-memory.js';
import { oneService, RawClient, SpoolWatch, startDataPath, startRawUpstream } from './data-path.js';

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

test('an idle connection keeps nothing of a head that llhttp read', () => {
  for (const kind of ['request', 'response'] as const) {
    const parsers = Array.from({ length: 300 }, () => {
      const p = new MessageParser(kind, { onMessageBegin() {}, onBody() {}, onMessageComplete() {}, onHead: () => false }, 64 * 1024);
      // llhttp's own half, made before
      p.execute(Buffer.from(kind === 'request' ? 'GET / HTTP/1.1\r\n\r\n' : 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
      return p;
    });
    const before = heldMemory();
    for (const p of parsers) {
      const start = kind === 'request' ? 'POST / HTTP/1.1' : 'HTTP/1.1 200 OK';
      const bytes = Buffer.from(`${start}\r\nTransfer-Encoding: chunked\r\nX: ${'x'.repeat(14_000)}\r\n\r\n0\r\n\r\n`);
      assert.equal(p.execute(bytes), bytes.length);
    }
    const kept = (heldMemory() - before) / parsers.length;
    assert.ok(kept < 5000, `${kind}: ${Math.round(kept)} bytes a connection`);
    for (const p of parsers) p.close();
  }
});

test('an upstream of many 1xx is not read on while the client takes nothing', async (t) => {
  let sent = 0;
  let stopped = false;
  const hint = `HTTP/1.1 103 Early Hints\r\nLink: <${'x'.repeat(4000)}>\r\n\r\n`.repeat(16);
  const upstream = await startRawUpstream(t, (socket) => {
    const more = (): void => {
      while (!stopped && sent < 200e6) {
        sent += hint.length;
        if (!socket.write(hint)) { socket.once('drain', more); return; }
      }
    };
    more();
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const client = await RawClient.connect(t, path.port);
  client.socket.pause();
  client.send(GET('/'));
  await pause(3000);
  stopped = true;
  assert.ok(sent < 50e6, `${sent} bytes were taken of the upstream`);
});

test('a connection whose request is not wholly out is not given to another', async (t) => {
  const ours: net.Socket[] = [];
  const made = (message: unknown): void => { ours.push((message as { socket: net.Socket }).socket); };
  subscribe('net.client.socket', made);
  t.after(() => { unsubscribe('net.client.socket', made); });
  let answers = false;
  const taken = async (size: number): Promise<{ read: number; pending: number; reused: boolean; answer: string }> => {
    const upstream = await startRawUpstream(t, (socket, sofar) => {
      if (sofar.startsWith('GET')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else socket.pause();
    });
    const watch = new SpoolWatch(t);
    const path = await startDataPath(t, oneService(upstream.port), '', watch);
    const client = await RawClient.connect(t, path.port);
    client.send(`POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
    client.socket.write(Buffer.alloc(size, 'z'));
    let read = -1;
    const gateway = (): net.Socket => watch.clientSockets[0] as net.Socket;
    for (let still = 0; still < 10;) {
      await pause(20);
      if (gateway().bytesRead === read) still++;
      else { still = 0; read = gateway().bytesRead; }
    }
    const to = ours.find((socket) => socket.remotePort === upstream.port) as net.Socket;
    const pending = to.writableLength;
    if (!answers) return { read, pending, reused: false, answer: '' };
    upstream.sockets[0]?.write('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
    await client.until('413');
    await pause(20);
    const other = await RawClient.connect(t, path.port);
    other.send(GET('/other'));
    await pause(100);
    return { read, pending, reused: upstream.sockets.length === 1, answer: other.received.slice(0, 15) };
  };
  let met = 0;
  const all = await taken(16e6);
  answers = true;
  for (const less of [0, 2000, 20_000, 40_000, 60_000, 70_000, 100_000]) {
    const { read, pending, reused, answer } = await taken(all.read - 100 - less);
    t.diagnostic(`${less}: ${read} read, ${pending} wait, reused ${reused}, ${answer}`);
    if (pending === 0) continue;
    met++;
    assert.equal(reused, false, `${pending} bytes of a request wait on the connection that another is given`);
  }
  t.diagnostic(`${met} times`);
  assert.ok(met > 0, 'of the sizes tried, none left some of a request waiting');
});

test('an answer whose trailers say close ends its connection', async (t) => {
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (sofar.endsWith('\r\n\r\n') || sofar.endsWith('\r\n\r\nx')) socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nConnection: close\r\n\r\n`);
  });
  const path = await startDataPath(t, oneService(upstream.port));
  const a = await RawClient.connect(t, path.port);
  a.send(GET('/1'));
  await a.until('0\r\n\r\n');
  a.received = '';
  a.send('POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx');
  await a.until(/HTTP\/1.1 \d+/);
  assert.match(a.received, /^HTTP\/1.1 200/);
});
