/** docs/authentication.md: its configuration, its key and its token work as it says. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../cli/version.js';
import { answerEach, RawClient, startDataPath, startRawUpstream } from './data-path.js';

const page = readFileSync(join(packageRoot(), 'docs', 'authentication.md'), 'utf8');
const part = (form: RegExp): string => form.exec(page)?.[1] ?? assert.fail(`${String(form)} is not in the page`);

test('the key and the token of the page are let in; the upstream sees the app, the claim and the token, and no key', async (t) => {
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  const services = part(/^```yaml\n[^]*?(^services:[^]*?)^```$/m).replace('127.0.0.1:9001', `127.0.0.1:${upstream.port}`);
  const path = await startDataPath(t, services);
  const key = part(/^printf %s (\S+) \| sha256sum$/m);
  const [, script = '', secret = ''] = /^node -e '\n([^']*)' "([^"]*)"$/m.exec(page) ?? [];
  const token = spawnSync(process.execPath, ['-e', script, secret], { encoding: 'utf8' }).stdout.trim();
  const ask = async (field: string): Promise<string> => {
    const client = await RawClient.connect(t, path.port);
    const before = upstream.seen.join('').length;
    client.send(`GET /orders/1 HTTP/1.1\r\nHost: a\r\nX-App: other\r\n${field}\r\n\r\n`);
    await client.until(/ok$|"request_id"/);
    return client.received.startsWith('HTTP/1.1 200 ') ? upstream.seen.join('').slice(before) : client.received;
  };
  for (const field of [`X-Api-Key: ${key}`, `Authorization: Bearer ${key}`]) {
    const sent = await ask(field);
    assert.match(sent, /\r\nX-App: storefront\r\n/);
    assert.ok(!sent.includes(key), sent);
  }
  const sent = await ask(`Authorization: Bearer ${token}`);
  assert.match(sent, /\r\nX-App: storefront\r\nX-User: user-1\r\n/);
  assert.ok(sent.includes(`\r\nAuthorization: Bearer ${token}\r\n`));
  assert.match(await ask(`Authorization: Bearer ${token.slice(0, -2)}`), /401 [^]*The token is not valid\./);
  assert.match(await ask('X: y'), /^HTTP\/1\.1 401 /);
});

test('the page\'s key set verifies the page\'s token, under the page\'s key set configuration', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-page-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  const [, script = '', file = ''] = /^node -e '\n([^']*)' (\S+\.jwks\.json)$/m.exec(page) ?? [];
  const token = spawnSync(process.execPath, ['-e', script, join(folder, file)], { encoding: 'utf8' }).stdout.trim();
  const services = part(/^```yaml\n(?:(?!```)[^])*?(^services:(?:(?!```)[^])*^ +jwks: [^]*?)^```$/m).replace('127.0.0.1:9001', `127.0.0.1:${upstream.port}`)
    .replace('algorithm: RS256', 'algorithm: EdDSA').replace(/jwks: .*/, `jwks: "file:${join(folder, file)}"`).replace(/ +issuer: .*\n/, '').replace(/ +audience: .*\n/, '');
  const path = await startDataPath(t, services);
  const client = await RawClient.connect(t, path.port);
  client.send(`GET /orders/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await client.until(/ok$|"request_id"/);
  assert.match(client.received, /^HTTP\/1\.1 200 /);
  assert.match(upstream.seen.join(''), /\r\nX-App: storefront\r\nX-User: user-1\r\n/);
});

test('the page\'s address lists let in and keep out whom they name', async (t) => {
  const upstream = await startRawUpstream(t, answerEach('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
  const [, lists = ''] = /^```yaml\n(?:(?!```)[^])*?(^trusted_proxies:(?:(?!```)[^])*)^```$/m.exec(page) ?? [];
  const key = part(/^printf %s (\S+) \| sha256sum$/m);
  const keys = part(/^( +keys:\n.*\n)/m);
  const path = await startDataPath(t, `${lists.replaceAll(/127\.0\.0\.1:900\d/g, `127.0.0.1:${upstream.port}`).replace('"10.0.0.0/8"', '"127.0.0.1"')}${keys}`);
  const ask = async (address: string, target: string): Promise<string> => {
    const client = await RawClient.connect(t, path.port);
    client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${address}\r\nX-Api-Key: ${key}\r\n\r\n`);
    await client.until(/ok$|"request_id"/);
    return client.received.slice(9, 12);
  };
  for (const [address, orders, backoffice] of [
    ['192.0.2.10', '200', '200'], ['198.51.100.7', '200', '403'], ['192.0.2.11', '403', '403'], ['203.0.113.9', '403', '403'], ['2001:db8:bad::1', '403', '403'],
  ] as const) assert.deepEqual([await ask(address, '/orders/1'), await ask(address, '/backoffice/1')], [orders, backoffice], address);
});
