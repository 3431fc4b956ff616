/** What requests bring, over real sockets: what is large is passed on unparsed and within bounds, and what is refused is told. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '../../test/harness/deadline.js';
import { hashKey } from '../config/keys.js';
import type { ControlDeps } from './control-deps.js';
import { ReportQuota } from './report-quota.js';
import { createControlServer } from './server.js';
import { WrongTokens } from './wrong-tokens.js';

const OPERATOR = 'operator-token-0123456789';
const READING = 'reading-token-0123456789';
const LIMIT = 16 * 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-bodies-'));
const collectorSocket = join(folder, 'collector.sock');
let diffed = '';
const quota = new ReportQuota(() => 1_000_000);
const control = createControlServer({
  token: () => OPERATOR, tokens: () => [{ name: 'boards', role: 'read_only', sha256: hashKey(READING) }], quota, collectorSocket, collectorStandsStill: () => false, identify: () => Promise.resolve(null),
  wrongTokens: new WrongTokens({ count: () => undefined, log: { warn: () => undefined } }), trustedProxies: () => null, timeZoneOf: () => null, address: () => '127.0.0.1:9180',
  diff: (text: string) => {
    diffed = text;
    return Promise.resolve({ from: 'a', to: 'b', changes: [], errors: [] });
  },
  createKey: (app: string) => Promise.resolve({ app, id: 'k', key: 'tg_k', scopes: [] }),
  log: { info: () => undefined, warn: () => undefined, error: (fields: unknown, text: string) => { console.error(fields, text); } },
} as unknown as ControlDeps, '0');

// as clients of today do: one that says that it closes its connection may lose the answer to a body that it goes on sending
const agent = new Agent({ keepAlive: true });

/** Stands for the collector: says what it got, or keeps it back. */
const got: string[] = [];
const held: (() => void)[] = [];
let hold = false;
const collector = createServer((request, response) => {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => { pieces.push(piece); });
  request.on('end', () => {
    got.push(Buffer.concat(pieces).toString());
    const answer = (): void => { response.writeHead(200, { 'content-type': 'application/json' }).end('{}'); };
    if (hold) held.push(answer);
    else answer();
  });
});
before(async () => {
  await once(collector.listen(collectorSocket), 'listening');
  await control.listen({ host: '127.0.0.1', port: 0 });
});
after(async () => {
  agent.destroy();
  await control.close();
  collector.closeAllConnections();
  collector.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer { readonly status: number; readonly code: unknown; readonly headers: IncomingMessage['headers'] }
interface Body { readonly bearer?: string; readonly type?: string; readonly chunked?: boolean }

async function post(path: string, body: Buffer | string, { bearer = OPERATOR, type = 'application/json', chunked = false }: Body = {}): Promise<Answer> {
  const asked = httpRequest({
    host: '127.0.0.1', port: (control.server.address() as AddressInfo).port, method: 'POST', path, agent,
    headers: { authorization: `Bearer ${bearer}`, 'content-type': type, ...(chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': Buffer.byteLength(body) }) },
  });
  asked.end(body);
  const [answer] = await once(asked, 'response') as [IncomingMessage];
  let text = '';
  answer.setEncoding('utf8').on('data', (piece) => { text += String(piece); });
  await once(answer, 'end');
  return { status: answer.statusCode ?? 0, code: text === '' ? undefined : (JSON.parse(text) as { code?: unknown }).code, headers: answer.headers };
}

test('a body for the collector goes on to it as it is, valid or not: it is not parsed here', async () => {
  for (const text of ['{"from" : 1.50,\n"a":[]}', '{"a":', '{"__proto__":1}']) {
    assert.equal((await post('/v1/whatif', text)).status, 200);
    assert.equal(got.at(-1), text);
  }
});

test('a body that nests without end is refused as soon as it does, whoever would have parsed it', { timeout: 60_000 }, async () => {
  const before = got.length;
  for (const [path, depth] of [['/v1/whatif', 65], ['/v1/whatif', 20_000], ['/v1/whatif', 8_000_000], ['/v1/apps/acme/keys', 65], ['/v1/apps/acme/keys', 8000]] as const) {
    for (const chunked of [false, true]) {
      const { status, code } = await post(path, Buffer.from('['.repeat(depth) + ']'.repeat(depth)), { chunked });
      assert.deepEqual([status, code], [400, 'malformed_request'], `${path} ${depth}`);
    }
  }
  assert.equal(got.length, before, 'nothing of it came to the collector whole');
});

test('each endpoint has a bound of bytes, with or without a length', { timeout: 60_000 }, async () => {
  const small = Buffer.from(JSON.stringify({ scopes: ['traffic'], x: 'x'.repeat(20_000) }));
  for (const [path, body, type] of [
    ['/v1/apps/acme/keys', small, 'application/json'], ['/v1/billing/close', small, 'application/json'], ['/v1/whatif', Buffer.alloc(LIMIT + 1, ' '), 'application/json'],
    ['/v1/config/diff', Buffer.alloc(LIMIT + 1, '#'), 'application/yaml'], ['/v1/whatif', Buffer.alloc(3 * LIMIT, ' '), 'application/json'],
  ] as const) {
    for (const chunked of [false, true]) assert.deepEqual(await post(path, body, { type, chunked }).then(({ status, code }) => [status, code]), [413, 'body_too_large'], `${path} ${body.length}`);
  }
  assert.equal((await post('/v1/config/diff', Buffer.alloc(LIMIT, '#'), { type: 'application/yaml' })).status, 200);
  assert.equal(diffed.length, LIMIT);
});

test('a body of another type is refused where it is not taken, unread', async () => {
  for (const [path, type] of [['/v1/whatif', 'text/plain'], ['/v1/apps/acme/keys', 'application/yaml'], ['/v1/reload', 'text/plain'], ['/v1/whatif', 'image/png']] as const) {
    assert.deepEqual(await post(path, 'x', { type }).then(({ status, code }) => [status, code]), [400, 'malformed_request'], `${path} ${type}`);
  }
});

test('large bodies are few at a time, and give their room back with the answer or with their asker', { timeout: 60_000 }, async () => {
  const body = Buffer.alloc(10 * 1024 * 1024, ' ');
  hold = true;
  const first = post('/v1/whatif', body, { bearer: READING });
  await eventually('the first at the collector', () => (held.length === 1 ? true : null), 20_000, 5);
  const { status, code, headers } = await post('/v1/whatif', body, { bearer: READING });
  assert.deepEqual([status, code, headers['retry-after']], [503, 'bodies_busy', '1']);
  assert.equal((await post('/v1/whatif', '{}', { chunked: true })).code, 'bodies_busy', 'one of unknown length may be as long as any');
  assert.equal((await post('/v1/config/diff', body, { type: 'application/yaml' })).status, 200, 'another endpoint has its own room');
  const small = post('/v1/whatif', '{}');
  await eventually('a small one beside it', () => (held.length === 2 ? true : null), 20_000, 5);
  hold = false;
  for (const answer of held.splice(0)) answer();
  assert.deepEqual([(await first).status, (await small).status], [200, 200]);
  assert.equal((await post('/v1/whatif', body)).status, 200);

  const arrived = once(control.server, 'request');
  const leaving = httpRequest({
    host: '127.0.0.1', port: (control.server.address() as AddressInfo).port, method: 'POST', path: '/v1/whatif', agent: false,
    headers: { authorization: `Bearer ${OPERATOR}`, 'content-type': 'application/json', 'content-length': LIMIT },
  }).on('error', () => undefined);
  leaving.write(body.subarray(0, 1000));
  await arrived;
  await eventually('its room is taken', async () => ((await post('/v1/whatif', body)).code === 'bodies_busy' ? true : null), 20_000, 5);
  leaving.destroy();
  await eventually('its room is given back', async () => ((await post('/v1/whatif', body)).status === 200 ? true : null), 20_000, 5);
});

test('a question whose body was read counts as under way until it is answered', async () => {
  hold = true;
  const asked = post('/v1/whatif', '{}', { bearer: READING });
  await eventually('it is at the collector', () => (held.length === 1 ? true : null), 20_000, 5);
  const free = (): number => {
    let places = 0;
    while (quota.enter('token:boards', performance.now()).refused === null) places++;
    for (let i = 0; i < places; i++) quota.leave('token:boards');
    return places;
  };
  const beside = free();
  hold = false;
  for (const answer of held.splice(0)) answer();
  await asked;
  await eventually('its place is given back', () => (free() === beside + 1 ? true : null), 20_000, 5);
});
