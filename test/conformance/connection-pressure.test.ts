/** More connections than a listener takes: who serves nothing gives way, the longest idle first, and nobody is shut out by connections alone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ConnectionBounds } from '../../gateway/control/connection-bounds.js';
import { IDLE_UNDISTURBED_MS } from '../../gateway/listeners/idle-list.js';
import { compileCidrs } from '../../gateway/policies/ip-list.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { oneService, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const SKIP = { skip: requires('linux') };
const LIMITS = '    limits: { connections: 4, connections_per_client: 3 }\n';

async function answering(t: Parameters<typeof startRawUpstream>[0]): Promise<{ readonly port: number; readonly waiting: readonly unknown[]; readonly release: () => void }> {
  const waiting: (() => void)[] = [];
  const upstream = await startRawUpstream(t, (socket, sofar) => {
    if (!sofar.endsWith('\r\n\r\n')) return;
    const answer = (): void => { socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'); };
    if (sofar.includes('GET /slow', sofar.lastIndexOf('GET '))) waiting.push(answer);
    else answer();
  });
  return { port: upstream.port, waiting, release: () => { for (const answer of waiting.splice(0)) answer(); } };
}

async function asked(client: RawClient, path = '/'): Promise<void> {
  client.received = '';
  client.send(GET(path));
  await client.until(/\r\n\r\nok$/);
}

/** Connects until it is let in: nobody gives way before it has been idle for a moment. */
async function letIn(t: Parameters<typeof startRawUpstream>[0], port: number, from: string): Promise<RawClient> {
  return eventually('to be let in', async () => {
    const client = await RawClient.connect(t, port, from);
    client.send(GET('/'));
    await until(() => client.closed || client.received.endsWith('ok'), 'an answer, or the end');
    return client.closed ? null : client;
  }, 30_000, 20);
}

test('a worker\'s connections are all taken: the longest idle gives way to each that comes, whatever it has sent of a head; one that serves does not', SKIP, async (t) => {
  const upstream = await answering(t);
  const path = await startDataPath(t, oneService(upstream.port), LIMITS);
  const [first, second, third, fourth] = [
    await RawClient.connect(t, path.port, '127.0.0.2'), await RawClient.connect(t, path.port, '127.0.0.2'), await RawClient.connect(t, path.port, '127.0.0.3'), await RawClient.connect(t, path.port, '127.0.0.3'),
  ];
  await until(() => path.listener.connectionCount === 4, 'all of them');
  first.send(GET('/slow'));
  await until(() => upstream.waiting.length === 1, 'a request that is under way');
  await asked(second);
  third.send('GET / HTTP/1.1\r\nHo');
  await asked(fourth);
  // idle since: third (a part of a head is no request), second, fourth; the first serves
  const fifth = await letIn(t, path.port, '127.0.0.4');
  assert.deepEqual([first, second, third, fourth].map(({ closed }) => closed), [false, false, true, false]);
  await asked(second);
  await letIn(t, path.port, '127.0.0.4');
  assert.deepEqual([first, second, fourth, fifth].map(({ closed }) => closed), [false, false, true, false], 'the second has asked again meanwhile');
  upstream.release();
  await first.until(/\r\n\r\nok$/);
  await until(() => path.listener.connectionCount === 4, 'the limit');
});

test('where all connections of a worker serve, one more is closed, and so is one of an address that has its share, but for trusted proxies', SKIP, async (t) => {
  const upstream = await answering(t);
  const path = await startDataPath(t, `trusted_proxies: [127.0.0.9/32]\n${oneService(upstream.port)}`, LIMITS);
  const held: RawClient[] = [];
  for (const from of ['127.0.0.2', '127.0.0.2', '127.0.0.2']) held.push(await RawClient.connect(t, path.port, from));
  await until(() => path.listener.connectionCount === 3, 'its share');
  await (await RawClient.connect(t, path.port, '127.0.0.2')).untilClosed();
  for (const client of held) client.socket.destroy();
  await until(() => path.listener.connectionCount === 0, 'none');
  const serving: RawClient[] = [];
  for (let i = 0; i < 4; i++) serving.push(await RawClient.connect(t, path.port, '127.0.0.9'));
  for (const client of serving) client.send(GET('/slow'));
  await until(() => upstream.waiting.length === 4, 'four from a trusted proxy');
  await (await RawClient.connect(t, path.port, '127.0.0.3')).untilClosed();
  upstream.release();
  for (const client of serving) await client.until(/\r\n\r\nok$/);
});

test('an origin of the supervisor bounds its connections likewise', SKIP, async (t) => {
  const waiting: (() => void)[] = [];
  const server = createServer((request, response) => {
    if (request.url === '/slow') waiting.push(() => { response.end('ok'); });
    else response.end('ok');
  });
  const lines: string[] = [];
  let perClient = 2;
  let nowMs = 0;
  new ConnectionBounds({
    most: 4, perClient: () => perClient, trustedProxies: () => compileCidrs(['127.0.0.9']), nowMs: () => nowMs,
    log: { info: () => undefined, warn: (fields, text) => lines.push(`${JSON.stringify(fields)} ${text}`), error: () => undefined },
  }).watch(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const ask = async (client: RawClient): Promise<void> => {
    client.received = '';
    client.send(GET('/'));
    await client.until(/\r\n\r\nok$/);
  };
  const [first, second] = [await RawClient.connect(t, port, '127.0.0.2'), await RawClient.connect(t, port, '127.0.0.2')];
  await ask(second);
  await (await RawClient.connect(t, port, '127.0.0.2')).untilClosed();
  assert.match(lines[0] ?? '', /"peer":"127\.0\.0\.2","refused":1,"open":2/);
  perClient = 3;
  const third = await RawClient.connect(t, port, '127.0.0.2');
  await ask(third);
  first.send(`${GET('/slow')}${GET('/')}`);
  await until(() => waiting.length === 1, 'a request that is under way, and one behind it');
  const fourth = await RawClient.connect(t, port, '127.0.0.3');
  await ask(fourth);
  // idle since: second, third, fourth
  await (await RawClient.connect(t, port, '127.0.0.4')).untilClosed();
  nowMs = IDLE_UNDISTURBED_MS;
  const fifth = await RawClient.connect(t, port, '127.0.0.4');
  await ask(fifth);
  assert.deepEqual([first, second, third, fourth].map(({ closed }) => closed), [false, true, false, false]);
  for (const answer of waiting.splice(0)) answer();
  await first.until(/ok[^]*ok$/);
  nowMs = 3 * IDLE_UNDISTURBED_MS;
  for (let i = 0; i < 4; i++) await ask(await RawClient.connect(t, port, '127.0.0.9'));
  await until(() => [first, third, fourth, fifth].every(({ closed }) => closed), 'all of them have given way to a trusted proxy, which has no share of its own');
});
