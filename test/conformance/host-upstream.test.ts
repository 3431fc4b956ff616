/** The Host that an upstream is asked by, and the data path where both of its sides are IPv6. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test, type TestContext } from 'node:test';
import { HttpListener, httpSettings } from '../../gateway/listeners/http/http-listener.js';
import { answerEach, RawClient, startDataPath, startRawUpstream, until } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const NO_HOST = 'GET / HTTP/1.0\r\n\r\n';
const withHost = (host: string): string => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

/** Host and X-Forwarded-Host as the upstream reads them; `target` stands for the target's own authority. */
async function hostsSent(t: TestContext, policy: string, request: string): Promise<string[]> {
  const upstream = await startRawUpstream(t, answerEach(OK));
  const path = await startDataPath(t, `services:
  - name: api
    upstream: { targets: [{ url: "http://127.0.0.1:${upstream.port}/base" }]${policy} }
    routes: [{ name: all, match: { path: "/*" }, authentication: [] }]
`);
  const client = await RawClient.connect(t, path.port);
  client.send(request);
  await client.until('ok');
  const sent = upstream.seen.join('');
  return ['Host', 'X-Forwarded-Host'].map((name) => {
    const values = [...sent.matchAll(new RegExp(`^${name}: ?(.*)\\r$`, 'gim'))].map(([, value = '']) => value.replace(`127.0.0.1:${upstream.port}`, 'target'));
    assert.equal(values.length, 1, `${name} stands once in ${sent}`);
    return values[0] as string;
  });
}

for (const [policy, request, sent, forwarded] of [
  ['', withHost('shop.example:8080'), 'shop.example:8080', 'shop.example:8080'],
  [', host: preserve', withHost('shop.example'), 'shop.example', 'shop.example'],
  [', host: preserve', NO_HOST, 'target', ''],
  [', host: target', withHost('shop.example'), 'target', 'shop.example'],
  [', host: target', NO_HOST, 'target', ''],
  [', host: "inner.example:81"', withHost('shop.example'), 'inner.example:81', 'shop.example'],
  [', host: inner.example', NO_HOST, 'inner.example', ''],
  [', host: inner.example', 'GET http://shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n', 'inner.example', 'shop.example'],
] as const) {
  test(`host${policy === '' ? ' as it is by default' : policy.slice(6)}, asked ${request === NO_HOST ? 'by none' : `by ${request.split(/ |\r\n/)[1] === '/' ? '' : 'a whole URL of '}${forwarded}`}: the upstream is asked by ${sent}`, async (t) => {
    assert.deepEqual(await hostsSent(t, policy, request), [sent, forwarded]);
  });
}

const hasIPv6 = await new Promise<boolean>((resolve) => {
  const probe = net.createServer();
  probe.once('error', () => { resolve(false); });
  probe.listen(0, '::1', () => { probe.close(() => { resolve(true); }); });
});

test('a client on [::1] and a target on [::1]: request, answer and event are as by IPv4', { skip: hasIPv6 ? false : 'this machine has no [::1]' }, async (t) => {
  let seen = '';
  const upstream = net.createServer((socket) => {
    socket.setEncoding('latin1').on('error', () => {}).on('data', (text) => {
      seen += String(text);
      if (seen.endsWith('\r\n\r\n')) socket.end(OK);
    });
  });
  await new Promise<void>((resolve) => { upstream.listen(0, '::1', resolve); });
  t.after(() => { upstream.close(); });
  const url = `http://[::1]:${(upstream.address() as net.AddressInfo).port}`;
  const path = await startDataPath(t, `services:
  - name: api
    upstream: { targets: [{ url: "${url}" }], host: target }
    routes: [{ name: all, match: { hosts: ["[::1]"] }, authentication: [] }]
`);
  const { snapshot } = path.pipeline;
  const listener = new HttpListener(path.pipeline, path.listener.deadlines, httpSettings({ ...snapshot.config.listeners.http, address: '[::1]:0' }));
  const address = await listener.listen();
  t.after(async () => {
    listener.destroyAll();
    await listener.drain();
  });
  assert.match(address, /^\[::1\]:\d+$/);
  const client = net.connect({ host: '::1', port: Number(address.slice(6)) });
  t.after(() => { client.destroy(); });
  let received = '';
  client.setEncoding('latin1').on('error', () => {}).on('data', (text) => { received += String(text); });
  client.write(withHost(address));
  await until(() => received.endsWith('ok'), 'the answer');
  assert.match(received, /^HTTP\/1\.1 200 /);
  const line = (name: string): string | undefined => new RegExp(`^${name}: (.*)\\r$`, 'im').exec(seen)?.[1];
  assert.deepEqual(['Host', 'X-Forwarded-For', 'X-Forwarded-Host'].map(line), [url.slice(7), '::1', address]);
  const [row] = await path.rowsOf(1);
  assert.deepEqual([row?.outcome, row?.status, row?.target], ['answered', 200, url]);
});
