/** What of the credentials that clients send reaches the upstream: no API key of any app, by whatever route. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import { answerEach, RawClient, startDataPath, startRawUpstream } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
/** Spelled as `tidegate keys new` spells none. */
const KEYS = { traffic: 'an-example-key-make-your-own', reports: 'reports-only', dotted: 'a.key.of-three-parts', spaced: 'two words', plain: 'k' } as const;

/** Sends `fields` to an open route and to one for keys; answers with the Authorization lines that the upstream reads, and the answer's status. */
async function gatewayWithKeys(t: TestContext): Promise<(path: '/open' | '/closed', ...fields: readonly string[]) => Promise<{ readonly status: string; readonly sent: string; readonly authorization: string[] }>> {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, `services:
  - name: api
    upstream: { targets: [{ url: "http://127.0.0.1:${upstream.port}" }] }
    routes:
      - { name: open, match: { path: "/open" }, authentication: [] }
      - { name: closed, match: { path: "/closed" }, authentication: [api_key] }
apps:
  - name: acme
    services: [api]
    keys:
      - { id: traffic, sha256: "${sha256(KEYS.traffic)}", scopes: [traffic] }
      - { id: reports, sha256: "${sha256(KEYS.reports)}", scopes: [reports] }
  - name: globex
    keys:
      - { id: dotted, sha256: "${sha256(KEYS.dotted)}" }
      - { id: spaced, sha256: "${sha256(KEYS.spaced)}" }
      - { id: plain, sha256: "${sha256(KEYS.plain)}" }
`);
  return async (target, ...fields) => {
    const client = await RawClient.connect(t, path.port);
    const before = upstream.seen.join('').length;
    client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`);
    await client.until(/ok$|"request_id"/);
    const sent = upstream.seen.join('').slice(before);
    return { status: client.received.slice(9, 12), sent, authorization: [...sent.matchAll(/^authorization: (.*)\r$/gim)].map(([, value = '']) => value) };
  };
}

test('a key of any app does not go upstream by an open route, however it is spelled and sent', async (t) => {
  const ask = await gatewayWithKeys(t);
  for (const key of Object.values(KEYS)) {
    for (const field of [`Authorization: Bearer ${key}`, `authorization: bEARER   ${key}`, `Authorization: Bearer\t${key}`, `Authorization: Bearer \t${key} \t`, `X-Api-Key: ${key}`, `X_Api_Key: ${key}`]) {
      const { status, sent } = await ask('/open', field);
      assert.equal(status, '200', field);
      assert.match(sent, /^GET \/open HTTP\/1\.1\r\n/);
      assert.doesNotMatch(sent, new RegExp(`[ \\t]${key}[ \\t\\r]`), `${field}: ${sent}`);
    }
  }
  assert.deepEqual((await ask('/open', 'Authorization: tg_of-somebody')).authorization, [], 'without a scheme');
  const { authorization } = await ask('/open', 'Authorization: Basic eDp5', `Authorization: Bearer ${KEYS.traffic}`, 'Authorization: Bearer theirs');
  assert.deepEqual(authorization, ['Basic eDp5', 'Bearer theirs'], 'each field is looked at');
});

test('a bearer that is no key goes through an open route as it came', async (t) => {
  const ask = await gatewayWithKeys(t);
  for (const value of ['Bearer aaa.bbb.ccc', 'Bearer theirs', `Bearer ${sha256(KEYS.traffic)}`, `Bearer ${KEYS.traffic}x`, `Bearer ${'long'.repeat(1000)}`, 'Basic eDp5', 'Bearer']) {
    for (const round of [1, 2]) assert.deepEqual((await ask('/open', `Authorization: ${value}`)).authorization, [value], `round ${round}`);
  }
});

test('beside a key that let the request in, no bearer goes upstream; another scheme is the upstream\'s', async (t) => {
  const ask = await gatewayWithKeys(t);
  const key = `X-Api-Key: ${KEYS.traffic}`;
  for (const bearer of ['aaa.bbb.ccc', KEYS.dotted]) {
    const { status, sent, authorization } = await ask('/closed', key, `Authorization: Bearer ${bearer}`);
    assert.deepEqual([status, authorization], ['200', []]);
    assert.match(sent, /\r\nX-App: acme\r\n/);
  }
  assert.deepEqual((await ask('/closed', `Authorization: Bearer ${KEYS.traffic}`)).authorization, []);
  assert.deepEqual((await ask('/closed', key, 'Authorization: Basic eDp5')).authorization, ['Basic eDp5']);
});

test('a key for reports opens no route', async (t) => {
  const ask = await gatewayWithKeys(t);
  for (const field of [`X-Api-Key: ${KEYS.reports}`, `Authorization: Bearer ${KEYS.reports}`]) {
    await ask('/open', field);
    assert.deepEqual(await ask('/closed', field), { status: '401', sent: '', authorization: [] });
  }
});
