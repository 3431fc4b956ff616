/** `address: fd:3`: the socket is somebody else's, as with systemd's socket activation. Whoever holds it here binds it and never listens: who listens is the node. */
import assert from 'node:assert/strict';
import net, { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

interface Bound { readonly fd: number; getsockname(out: { port?: number }): number; close(): void }
/** net has no way of its own to bind without listening. */
const bindOnly = (net as unknown as { readonly _createServerHandle: (host: string, port: number, family: 4) => Bound })._createServerHandle;

const skip = requires('chdb', 'linux');

test('a socket that is handed over outlives every worker and the launcher: who connects meanwhile is answered by the next node', { skip }, async () => {
  const upstream = await TestUpstream.start();
  const socket = bindOnly('127.0.0.1', 0, 4);
  const name: { port?: number } = {};
  socket.getsockname(name);
  const port = name.port ?? 0;
  const config = { listeners: { http: { address: 'fd:3' } }, services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }] };
  const ask = async (): Promise<number> => (await fetch(`http://127.0.0.1:${port}/bytes/1`)).status;
  try {
    let folder: string;
    let waiting: Promise<string>;
    {
      await using node = await TestNode.start(config, { socket: socket.fd, removeFolder: false });
      ({ folder } = node);
      assert.equal(await ask(), 200);
      assert.match(node.output, new RegExp(`ready: requests on 127\\.0\\.0\\.1:${port},`));
      await node.kill(node.pids('worker')[0] ?? 0);
      assert.equal(await ask(), 200, 'the next worker listens on the same socket');
      node.rewriteConfig((file) => { (file['listeners'] as { http: object }).http = { address: '127.0.0.1:0' }; });
      await eventually('a reload that would let the socket go is refused', () => (/listeners\.http\.address.*cannot change while the node runs/.test(node.output) ? true : null));
      assert.equal(await node.stop(), 0);
      const client = connect(port, '127.0.0.1', () => { client.write('GET /bytes/1 HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n'); });
      waiting = text(client);
    }
    await using node = await TestNode.start(config, { socket: socket.fd, folder });
    assert.match(await waiting, /^HTTP\/1\.1 200 /);
    await eventually('both lives of it in the report', async () => {
      const { rows } = await node.control<{ rows: readonly { readonly requests: number }[] }>(`/v1/reports/traffic?from=${new Date(Date.now() - 3_600_000).toISOString()}&interval=total`);
      return rows.reduce((sum, { requests }) => sum + requests, 0) >= 3 ? true : null;
    });
  } finally {
    socket.close();
    await upstream.stop();
  }
});

test('fd:3 without a socket, or with something else, ends the node with its reason', { skip }, async () => {
  const start = async (socket?: number): Promise<string> => {
    await using node = await TestNode.start({ listeners: { http: { address: 'fd:3' } } }, { waitReady: false, ...(socket === undefined ? {} : { socket }) });
    assert.equal(await node.exited, 1);
    return node.output;
  };
  assert.match(await start(), /fd:3: no socket was handed over .*\(address_unusable\)/);
  // standard error: a pipe, or a file
  assert.match(await start(2), /fd:3: .*\(address_unusable\)/);
});
