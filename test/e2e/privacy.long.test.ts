/** What of a client's address is in the store, by `privacy.client`: asked of whole nodes, through restarts, reloads and keys. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

interface Answer { readonly status: number; readonly id: string }

/** On one connection, as of another client each time: a trusted proxy says so. */
function ask(node: TestNode, agent: Agent, client: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(`${node.url}/bytes/10`, { agent, headers: { 'x-forwarded-for': client } }, (answer) => {
      answer.resume().on('end', () => { resolve({ status: answer.statusCode ?? 0, id: String(answer.headers['x-request-id']) }); });
    });
    asked.on('error', reject).end();
  });
}

/** What the store has of the client. */
async function recorded(node: TestNode, agent: Agent, client: string): Promise<string> {
  const { id, status } = await ask(node, agent, client);
  assert.equal(status, 200);
  return eventually(`the event ${id}\n${node.output.slice(-2000)}`, async () => {
    const answer = await fetch(`${node.controlUrl}/v1/requests/${id}`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    return answer.ok ? (await answer.json() as { client: string }).client : null;
  }, 60_000, 50);
}

const HASH = /^[0-9a-f]{24}$/;
const KEY = 'a key of sixteen characters and more';

test('of a client the store has its network, a keyed hash or nothing; limits by address hold all the same', { skip: requires('chdb', 'linux'), timeout: 400_000 }, async (t) => {
  const upstream = await TestUpstream.start();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => {
    agent.destroy();
    return upstream.stop();
  });
  const folders = [0, 1].map(() => mkdtempSync(join(tmpdir(), 'tidegate-privacy-')));
  t.after(() => { for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });
  const config = (privacy?: object): TestConfig => ({
    node: 'one', trusted_proxies: ['127.0.0.0/8'], ...(privacy === undefined ? {} : { privacy }),
    services: [{ name: 'shop', limits: { client_ip: { qps: 1, burst: 5 } }, upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'open', match: { path: '/*' }, authentication: [] }] }],
  });
  const on = (at: number, privacy?: object, env: Record<string, string> = {}): Promise<TestNode> => TestNode.start(config(privacy), { folder: folders[at] as string, removeFolder: false, env });
  const changed = async (node: TestNode, privacy: object): Promise<void> => {
    node.rewriteConfig((whole) => { whole['privacy'] = privacy; });
    await node.control('/v1/reload', { method: 'POST' });
  };
  /** What is left of the burst is used up, and then it is refused; another client is not. */
  const limited = async (node: TestNode): Promise<void> => {
    const statuses: number[] = [];
    for (let i = 0; i < 7; i++) statuses.push((await ask(node, agent, '192.0.2.9')).status);
    assert.deepEqual([statuses[0], statuses.includes(429), (await ask(node, agent, '192.0.2.10')).status], [200, true, 200]);
  };

  let kept: string;
  {
    await using node = await on(0);
    assert.equal(await recorded(node, agent, '2001:db8:1:2:3::4'), '2001:db8:1::/48');
    assert.equal(await recorded(node, agent, '203.0.113.7'), '203.0.113.0/24');
    assert.throws(() => statSync(join(node.dataDir, 'client.key')));

    // at once, on a connection that is there
    await changed(node, { client: 'hash' });
    kept = await recorded(node, agent, '203.0.113.7');
    assert.match(kept, HASH);
    assert.equal(await recorded(node, agent, '203.0.113.7'), kept);
    assert.notEqual(await recorded(node, agent, '203.0.113.8'), kept);
    const v6 = await recorded(node, agent, '2001:db8:1:2:3::4');
    assert.match(v6, HASH);
    assert.equal(await recorded(node, agent, '2001:DB8:1:2::5'), v6, 'one /64, however it is written');
    const key = join(node.dataDir, 'client.key');
    assert.equal(statSync(key).mode & 0o777, 0o600);
    const secret = readFileSync(key, 'utf8').trim();
    const shown = [await node.control('/v1/config/history'), await node.control('/v1/status'), await node.control('/v1/apps')].map((body) => JSON.stringify(body)).join('');
    assert.equal(shown.includes(secret) || node.output.includes(secret), false, 'the key is told nowhere');
    await limited(node);

    // an imported log keeps no more than the node does
    const log = join(node.folder, 'access.log');
    writeFileSync(log, `203.0.113.7 - - [${new Date(Date.now() - 60_000).toUTCString().replace(/^\w+, (\d+) (\w+) (\d+) (\S+) GMT$/, '$1/$2/$3:$4 +0000')}] "GET /x HTTP/1.1" 200 10 "-" "-"\n`);
    const { command, args } = tidegateCommand(['import', log, '--service', 'shop', '-c', node.configPath, '--json']);
    const outcome = spawnSync(command, args, { encoding: 'utf8' });
    assert.equal(outcome.status, 0, outcome.stderr);
    const { stream } = JSON.parse(outcome.stdout) as { stream: string };
    assert.equal((await eventually('the imported line', async () => {
      const answer = await fetch(`${node.controlUrl}/v1/requests/${stream}-1`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
      return answer.ok ? await answer.json() as { client: string } : null;
    }, 60_000, 50)).client, kept);

    await changed(node, { client: 'none' });
    assert.equal(await recorded(node, agent, '203.0.113.7'), '');
    await limited(node);
    assert.equal(await node.stop(), 0);
  }
  {
    await using node = await on(0, { client: 'hash' });
    assert.equal(await recorded(node, agent, '203.0.113.7'), kept, 'the same after a restart');
    await changed(node, { client: 'hash', key: KEY });
    assert.equal(await node.stop(), 0);
  }
  let given: string;
  {
    await using node = await on(0, { client: 'hash', key: '${CLIENT_KEY}' }, { CLIENT_KEY: KEY });
    given = await recorded(node, agent, '203.0.113.7');
    assert.match(given, HASH);
    assert.notEqual(given, kept, 'another key, another value');
    assert.equal(JSON.stringify(await node.control('/v1/config/history')).includes(KEY), false, 'neither is one that was given');
    assert.equal(await node.stop(), 0);
  }
  {
    writeFileSync(join(folders[1] as string, 'client-key'), `${KEY}\n`);
    await using node = await on(1, { client: 'hash', key: 'file:client-key' });
    assert.equal(await recorded(node, agent, '203.0.113.7'), given, 'nodes with one key agree');
    assert.equal(await node.stop(), 0);
  }
});
