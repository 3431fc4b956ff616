/** Many requests in one read: each answered, in order, whatever its body; and how little of them is held meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';
import { heldMemory } from '../harness/held-memory.js';

const lengthOk = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
/** The least that is a request. */
const SMALLEST = 'GET / HTTP/1.1\r\nHost:a\r\n\r\n';

test('connections with thousands of small requests behind a slow one hold a read each and little more; then all are answered', async (t) => {
  const connections = 20;
  const perConnection = Math.floor(64 * 1024 / SMALLEST.length) - 10;
  const waiting: (() => void)[] = [];
  const upstream = await startRawUpstream(t, (socket) => { waiting.push(() => { socket.write(lengthOk('slow')); }); });
  const path = await startDataPath(t, oneService(upstream.port), '    health_path: /');
  const clients: RawClient[] = [];
  for (let i = 0; i < connections; i++) clients.push(await RawClient.connect(t, path.port));
  const bytes = Buffer.from(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\n${SMALLEST.repeat(perConnection)}`);
  const before = heldMemory();
  for (const { socket } of clients) socket.write(bytes);
  await until(() => waiting.length === connections, 'every slow request');
  await until(() => clients.every(({ socket }) => socket.writableLength === 0), 'all to be taken');
  const each = (heldMemory() - before) / connections;
  // About 200 KB, of which 64 are the read; parsed as it comes, 1,900.
  t.diagnostic(`${Math.round(each / 1024)} KB a connection`);
  assert.ok(each < 512 * 1024, `${each} bytes a connection are held`);
  const answers = clients.map(() => 0);
  clients.forEach(({ socket }, i) => { socket.on('data', (text) => { (answers[i] as number) += String(text).split('ok\n').length - 1; }); });
  for (const answer of waiting) answer();
  await until(() => answers.every((count) => count === perConnection), 'every answer');
});

/** The same numbers each time (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

test('requests of every kind and size, pipelined in writes of any size: each whole, each answered in its turn', async (t) => {
  const upstream = await startRawUpstream(t, answerWhole);
  const path = await startDataPath(t, oneService(upstream.port));
  const below = numbers(20_261_122);
  for (let round = 0; round < 12; round++) {
    let all = '';
    const expected: string[] = [];
    while (all.length < 150_000) {
      const name = `/${expected.length}`;
      // with empty lines in it, and with what looks like a request
      const body = `${'ab\r\n\r\nGET /no HTTP/1.1\r\nHost:a\r\n\r\n'.repeat(400)}`.slice(0, [0, 1, 30, 4090 + below(12), 9000][below(5)]);
      const kind = below(4);
      if (kind === 0) all += `POST ${name} HTTP/1.1\r\nHost:a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      else if (kind === 1) all += `PUT ${name} HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks(body, 1 + below(5000))}0\r\n\r\n`;
      else all += `GET ${name} HTTP/1.1\r\nHost:a\r\n${kind === 2 ? `X: ${'y'.repeat(below(5000))}\r\n` : ''}\r\n`;
      expected.push(`${name} ${kind < 2 ? body.length : 0};`);
    }
    const client = await RawClient.connect(t, path.port);
    for (let at = 0; at < all.length;) {
      const end = at + 1 + below(80_000);
      client.send(all.slice(at, end));
      at = end;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.until(expected.at(-1) as string);
    assert.deepEqual([...client.received.matchAll(/\r\n\r\n(\/\d+ \d+;)/g)].map(([, answer]) => answer), expected);
    client.socket.destroy();
  }
});

function chunks(body: string, size: number): string {
  let text = '';
  for (let at = 0; at < body.length; at += size) {
    const piece = body.slice(at, at + size);
    text += `${piece.length.toString(16)}\r\n${piece}\r\n`;
  }
  return text;
}

/** Answers each whole request with its path and its body's length; one is under way at a time. */
const answered = new WeakMap<object, number>();
function answerWhole(socket: { write(text: string): void }, sofar: string): void {
  const begin = answered.get(socket) ?? 0;
  const headEnd = sofar.indexOf('\r\n\r\n', begin);
  if (headEnd < 0) return;
  const head = sofar.slice(begin, headEnd);
  let at = headEnd + 4;
  let length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
  if (/^transfer-encoding: chunked/im.test(head)) {
    for (let size = -1; size !== 0;) {
      const line = sofar.indexOf('\r\n', at);
      if (line < 0) return;
      size = Number.parseInt(sofar.slice(at, line), 16);
      length += size;
      at = line + 2 + size + 2;
      if (at > sofar.length) return;
    }
  } else {
    at += length;
    if (at > sofar.length) return;
  }
  answered.set(socket, at);
  socket.write(lengthOk(`${/ (\S+) /.exec(head)?.[1] ?? ''} ${length};`));
}
