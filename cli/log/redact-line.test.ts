import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newKey } from '../../gateway/config/keys.js';
import { redactLine } from './redact-line.js';

const CANARY = 'CANARY0123456789abcdef';
const JWT = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ${CANARY}.c2lnbmF0dXJl${CANARY}`;
const text = (line: Readonly<Record<string, unknown>>): string => JSON.stringify(redactLine(line));

test('what stands under a secret\'s name is not written, however deep, and whatever its case', () => {
  for (const name of ['authorization', 'Authorization', 'proxy-authorization', 'cookie', 'Set-Cookie', 'x-api-key', 'X-Api-Key', 'api_key', 'apikey', 'token', 'access_token', 'id-token', 'secret', 'client_secret', 'password',
    'redis_password', 'passwd', 'private_key', 'signature', 'credentials', 'args', 'sasl']) {
    assert.doesNotMatch(text({ [name]: CANARY }), /CANARY/, name);
    assert.doesNotMatch(text({ err: { config: [{ [name]: { more: [CANARY] } }] } }), /CANARY/, `${name}, deep`);
  }
});

test('what looks like a credential within a text is not written', () => {
  for (const said of [
    `GET /a?api_key=${CANARY}&b=1`, `https://a.example/x?b=1&access_token=${CANARY}#f`, `/x?X-Amz-Signature=${CANARY}`, `failed: password=${CANARY}; retry`, `/login;session_id=${CANARY}/x`,
    `redis://:${CANARY}@127.0.0.1:6379/0`, `connect to https://user:${CANARY}@a.example:8443/x failed`, `https://${CANARY}@a.example/`, `https://user:a/b${CANARY}@a.example/x`, `password: ${CANARY}`, `{ user: 'ana', redis_password: '${CANARY}' }`, `client_secret: ${CANARY}, a: 1`, `clickhouse http://u:p${CANARY}%40@c?user=x`,
    `Authorization: Bearer ${CANARY}`, `authorization: ${CANARY}`, `"cookie": "sid=${CANARY}; b=${CANARY}"`, `Cookie: a=${CANARY}`, `set-cookie: a=${CANARY}; Path=/`, `X-Api-Key: ${CANARY}`, `basic ${CANARY}=`,
    `the token ${JWT} has expired`, `{"password": "${CANARY}", "a": 1}`, `-----BEGIN PRIVATE KEY-----\n${CANARY}\n-----END PRIVATE KEY-----`, `-----BEGIN RSA PRIVATE KEY-----\n${CANARY}`,
  ]) {
    assert.doesNotMatch(text({ msg: said }), /CANARY/, said);
    assert.doesNotMatch(text({ err: { type: 'Error', message: said, stack: `Error: ${said}\n    at x` } }), /CANARY/, `as an error: ${said}`);
  }
  assert.doesNotMatch(text({ msg: `${'x'.repeat(3985)} https://u:${CANARY}@a` }), /CANARY/, 'where the text is cut');
  const key = newKey();
  for (const said of [`the key ${key} of acme`, `/x%20${key}`, `/_${key}/a`, `/a1${key}-b`]) assert.ok(!text({ msg: said }).includes(key), said);
});

test('what a path holds percent-encoded is looked at as it is meant, and stays as it was where that is no secret', () => {
  for (const path of [`/x%20Bearer%20${CANARY}`, `/x%3Fpassword%3D${CANARY}`, `/x%3fa%3D1%26token%3d${CANARY}`, `/x%20${JWT}`, `/go/https%3A%2F%2Fuser%3A${CANARY}%40a.example`, `/x%253Fpassword%253D${CANARY}`, `/x;password%3A%20${CANARY}`]) {
    assert.doesNotMatch(text({ path }), /CANARY/, path);
  }
  for (const path of ['/a%20b%2Fc%3Fpage%3D2', '/caf%C3%A9/100%25', '/%', '/%zz%2']) assert.deepEqual(redactLine({ path }), { path });
  assert.deepEqual(redactLine({ path: '/x%3Fpassword%3Dx%26b=%C3%A9' }), { path: '/x?password=***&b=%C3%A9' });
});

test('what leads an operator to the fault stays', () => {
  const line = {
    level: 'error', code: 'shared_state_access', key_id: 'k-1', keys: 3, app: 'acme', service: 'keys', request_id: '0123456789abcdef-7', file: '/etc/tidegate/control.token', tokens: 2,
    msg: 'control.token: is shorter than 16 characters; see docs/authentication.md', url: 'http://127.0.0.1:9001/@scope/x?page=2', detail: 'qpd:app:acme:2026-11-23 has no basic auth, and author=ana; http://10.0.0.1:80/@x, http://[::1]:80/x@y; http://a:8080,http://b:80/@x; password: is required of ana',
  };
  assert.deepEqual(redactLine(line), { ...line, detail: 'qpd:app:acme:2026-11-23 has no basic auth, and author=***; http://10.0.0.1:80/@x, http://[::1]:80/x@y; http://a:8080,http://b:80/@x; password: is required of ana' }, 'a name that holds `auth` is taken for one, to be sure');
  assert.equal(redactLine({ msg: 'redis://user:x@127.0.0.1:6379/0 refused' })['msg'], 'redis://***@127.0.0.1:6379/0 refused');
});

test('a line has an end, whatever it is given', () => {
  const deep: Record<string, unknown> = {};
  let at = deep;
  for (let i = 0; i < 1000; i++) at = at['a'] = {} as Record<string, unknown>;
  assert.ok(text({ deep, long: 'x'.repeat(1_000_000), many: Array.from({ length: 10_000 }, (_, i) => i) }).length < 10_000);
});
