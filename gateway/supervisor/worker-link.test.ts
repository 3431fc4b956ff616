import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { once, EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkerConfig } from '../config/worker-config.js';
import { foldSnapshots } from '../metrics/metrics-snapshot.js';
import { LineReader } from './line-reader.js';
import type { SupervisorMessage } from './protocol.js';
import { WorkerHub, type LedgerMessage } from './worker-hub.js';
import { WorkerLink } from './worker-link.js';

const LOG = { info: () => {}, warn: () => {} };
const CONFIG = { type: 'config', version: 'v1', config: { version: 1 } as WorkerConfig, secrets: {} } as const;
const deadline = () => ({ signal: AbortSignal.timeout(60_000) });
let folder = '';
let events = new EventEmitter();
const open: { close(): Promise<void> }[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-link-'));
  events = new EventEmitter();
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  rmSync(folder, { recursive: true });
});

async function hub(): Promise<WorkerHub> {
  const made = new WorkerHub({
    path: join(folder, 's.sock'), log: LOG,
    onHello: (peer) => { events.emit('hello', peer); },
    onMessage: (_, message) => { events.emit('message', message); },
    onGone: (peer) => { events.emit('gone', peer); },
    onMetrics: () => { events.emit('metrics'); },
    onSpans: (message) => { events.emit('spans', message); },
    onProgress: (peer) => { events.emit('progress', peer); },
  });
  open.push(made);
  await made.listen();
  return made;
}

function link(stream: string): WorkerLink {
  const made = new WorkerLink({
    path: join(folder, 's.sock'), log: LOG,
    hello: () => ({ type: 'hello', worker: 1, pid: process.pid, stream, held: [] }),
    onMessage: (message) => {
      if (message.type === 'collect_metrics') made.send({ type: 'metrics', id: message.id, snapshot: foldSnapshots([]) });
      events.emit('told', message);
    },
    onUp: () => { events.emit('up'); },
    onDown: () => { events.emit('down'); },
  });
  open.push(made);
  return made;
}

test('lines come whole, however the bytes are cut', () => {
  const text = '{"a":1}\n{"name":"größer"}\n\n{"b":2}\n';
  const bytes = Buffer.from(text);
  for (let size = 1; size <= bytes.length; size++) {
    const lines: string[] = [];
    const reader = new LineReader((line) => { lines.push(line); });
    for (let at = 0; at < bytes.length; at += size) assert.ok(reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(lines, ['{"a":1}', '{"name":"größer"}', '{"b":2}']);
  }
});

test('a line longer than the bound is refused, in one piece or in many', () => {
  const reader = new LineReader(() => {}, 10);
  assert.ok(reader.push(Buffer.from('0123456789\n')));
  assert.ok(!reader.push(Buffer.from('0123456789a\n')));
  const slow = new LineReader(() => {}, 10);
  assert.ok(slow.push(Buffer.from('01234567')));
  assert.ok(!slow.push(Buffer.from('89a')));
});

test('a worker gets the configuration when it comes, and again when it changes', async () => {
  const supervisor = await hub();
  supervisor.setConfig(CONFIG);
  const worker = link('a');
  const first = once(events, 'told', deadline());
  worker.start();
  assert.deepEqual(await first, [CONFIG]);
  const second = once(events, 'told', deadline());
  supervisor.setConfig({ ...CONFIG, version: 'v2' });
  assert.equal(((await second)[0] as SupervisorMessage & { version: string }).version, 'v2');
  const progress = once(events, 'progress', deadline());
  worker.send({ type: 'applied', version: 'v2', error: null });
  await progress;
  assert.equal(supervisor.peers[0]?.applied, 'v2');
});

test('a worker goes on while the supervisor is away, and says hello to the next one', async () => {
  const first = await hub();
  const worker = link('a');
  const hello = once(events, 'hello', deadline());
  worker.start();
  await hello;
  const down = once(events, 'down', deadline());
  await first.close();
  await down;
  assert.equal(worker.send({ type: 'listening', address: 'x' }), false);
  const again = once(events, 'hello', deadline());
  open.splice(open.indexOf(first), 1);
  const second = await hub();
  await again;
  assert.deepEqual(second.peers.map(({ stream }) => stream), ['a']);
  const message = once(events, 'message', deadline());
  assert.ok(worker.send({ type: 'used', lastSeq: 5, used: [] }));
  assert.deepEqual((await message)[0] as LedgerMessage, { type: 'used', lastSeq: 5, used: [] });
});

test('the second connection of one life replaces the first, which is not taken for its death', async () => {
  const supervisor = await hub();
  let gone = 0;
  events.on('gone', () => { gone++; });
  const first = link('a');
  let hello = once(events, 'hello', deadline());
  first.start();
  await hello;
  hello = once(events, 'hello', deadline());
  const down = once(events, 'down', deadline());
  const second = link('a');
  second.start();
  await Promise.all([hello, down]);
  await first.close();
  assert.equal(supervisor.peers.length, 1);
  assert.equal(gone, 0);
});

test('a scrape waits for the workers that answer, and not for one that is stuck', async () => {
  const supervisor = await hub();
  const hello = once(events, 'hello', deadline());
  link('a').start();
  await hello;
  let answers = 0;
  events.on('metrics', () => { answers++; });
  await supervisor.collectMetrics(60_000);
  assert.equal(answers, 1);
  const stuck = createConnection(join(folder, 's.sock'));
  const second = once(events, 'hello', deadline());
  stuck.write('{"type":"hello","worker":2,"pid":1,"stream":"b","held":[]}\n');
  await second;
  await supervisor.collectMetrics(50);
  assert.equal(answers, 2);
  const round = supervisor.collectMetrics(60_000);
  stuck.destroy();
  // a worker that leaves during the round is not waited for
  await round;
  assert.equal(answers, 3);
});

test('what is no message of the protocol closes the connection', async () => {
  await hub();
  for (const line of ['not json', 'null', '{"type":"nonsense"}', '{"type":"used","lastSeq":1,"used":[]}']) {
    const socket = createConnection(join(folder, 's.sock'));
    socket.on('error', () => {});
    const closed = once(socket, 'close', deadline());
    socket.write(`${line}\n`);
    await closed;
  }
});
