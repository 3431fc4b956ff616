/** What people must mend is found before anything is lent, and said with a code; what mends itself needs nobody. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../../test/harness/deadline.js';
import { TestRedis, type TestRedisOptions } from '../../../test/harness/redis.js';
import { requires } from '../../../test/harness/requires.js';
import { LiveNode, load, type LiveNodeOptions } from './live-node.fixture.js';

const skip = requires('redis');

function nodeOf(t: TestContext, options: Partial<LiveNodeOptions> & Pick<LiveNodeOptions, 'url'>): LiveNode {
  const node = new LiveNode({ name: 'n1', apps: { a: { qpd: 100 } }, ...options });
  t.after(() => node.close());
  return node;
}

/** docs/limits.md, from the sources or from what was built of them. */
function documented(folder: string): string {
  const path = join(folder, 'docs', 'limits.md');
  return existsSync(path) ? path : documented(dirname(folder));
}

const isUp = (node: LiveNode): Promise<true> => eventually('Redis is found fit', () => node.limits.standing.up || null);
const faultOf = (node: LiveNode, code: string): Promise<string> => eventually(code, () => {
  const { fault, everUp } = node.limits.standing;
  assert.equal(fault?.code, code);
  assert.equal(everUp, false);
  return fault.detail;
});

for (const [name, code, args] of [
  ['a Redis that may drop counters', 'shared_state_eviction', ['--maxmemory', '100mb', '--maxmemory-policy', 'allkeys-lru']],
  ['a password that is not given', 'shared_state_access', ['--requirepass', 'secret']],
  ['a single server where a cluster is said to be', 'shared_state_settings', []],
  ['a node of a cluster where a single server is said to be', 'shared_state_settings', ['--cluster-enabled', 'yes']],
] as const) {
  test(`${name}: ${code}, and nothing is lent`, { skip }, async (t) => {
    await using redis = await TestRedis.start({ args });
    const cluster = name.includes('where a cluster');
    const node = nodeOf(t, { url: redis.url, settings: { cluster } });
    await faultOf(node, code);
    const tally = await load([node], 'a', { connections: 2, total: 10 });
    assert.equal(tally.ledger_unavailable, 10);
  });
}

test('a wrong password, a user who may not run scripts, a user with the rights that the documents name', { skip }, async (t) => {
  const [acl = ''] = /^ACL SETUSER .*$/m.exec(readFileSync(documented(dirname(fileURLToPath(import.meta.url))), 'utf8')) ?? [];
  assert.notEqual(acl, '', 'the documents give an ACL');
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    await client.call('ACL', ['SETUSER', 'weak', 'on', '>secret', '~*', '&*', '+@all', '-@scripting']);
    const [, , name = '', ...rules] = acl.replaceAll('PASSWORD', 'secret').split(' ');
    await client.call('ACL', ['SETUSER', name, ...rules]);
  });
  const node = (username: string, password: string): LiveNode => nodeOf(t, { url: redis.url, settings: { username, password, prefix: 'tidegate' } });
  await faultOf(node('weak', 'wrong'), 'shared_state_access');
  assert.match(await faultOf(node('weak', 'secret'), 'shared_state_access'), /eval/i);
  const good = node('tidegate', 'secret');
  await isUp(good);
  const tally = await load([good], 'a', { connections: 5, total: 150 });
  assert.equal(tally.admitted, 100);
});

test('a replica: shared_state_replica; once it is promoted, the node goes on by itself', { skip }, async (t) => {
  await using master = await TestRedis.start();
  await using replica = await TestRedis.start({ replicaOf: master });
  const node = nodeOf(t, { url: replica.url });
  await faultOf(node, 'shared_state_replica');
  await replica.with((client) => client.call('REPLICAOF', 'NO', 'ONE'));
  await isUp(node);
  assert.equal((await load([node], 'a', { connections: 5, total: 150 })).admitted, 100);
});

test('nobody answers at start: shared_state_unavailable; once somebody does, the node goes on by itself', { skip }, async (t) => {
  const redis = await TestRedis.start();
  t.after(() => redis.stop());
  await redis.kill();
  const node = nodeOf(t, { url: redis.url });
  await faultOf(node, 'shared_state_unavailable');
  assert.equal((await load([node], 'a', { connections: 2, total: 10 })).ledger_unavailable, 10);
  await redis.restart();
  await isUp(node);
  assert.equal((await load([node], 'a', { connections: 5, total: 150 })).admitted, 100);
});

test('TLS: with the certificate that signed it, and not without', { skip: requires('redis', 'openssl') }, async (t) => {
  await using redis = await TestRedis.start({ tls: true } satisfies TestRedisOptions);
  const trusting = nodeOf(t, { url: redis.url, settings: { ca: readFileSync(redis.caFile, 'utf8') } });
  await isUp(trusting);
  assert.equal((await load([trusting], 'a', { connections: 5, total: 150 })).admitted, 100);
  const doubting = nodeOf(t, { url: redis.url });
  await eventually('it says why', () => /certificate/.test(doubting.limits.standing.fault?.detail ?? '') || null);
  assert.equal(doubting.limits.standing.everUp, false);
});

/** An address that follows a failover. */
class Follower {
  readonly #sockets = new Set<Socket>();
  readonly server = createServer((client) => {
    const server = connect(this.port, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.#sockets.delete(socket);
        client.destroy();
        server.destroy();
      });
    }
    client.pipe(server).pipe(client);
  });
  port: number;

  constructor(port: number) { this.port = port; }

  get url(): string { return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`; }

  follow(port: number): void {
    this.port = port;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

test('failover to a replica that lacks the last grants: exactly the quota', { skip }, async (t) => {
  await using master = await TestRedis.start();
  await using replica = await TestRedis.start({ replicaOf: master });
  const address = new Follower(master.port);
  await new Promise<void>((resolve) => { address.server.listen(0, '127.0.0.1', resolve); });
  t.after(() => address.close());
  const nodes = [nodeOf(t, { url: address.url, name: 'n1', apps: { a: { qpd: 8000 } } }), nodeOf(t, { url: address.url, name: 'n2', apps: { a: { qpd: 8000 } } })];
  await Promise.all(nodes.map(isUp));
  await eventually('they know one another', () => nodes.every(({ limits }) => limits.standing.nodes === 2) || null);
  const recorded = (): number => nodes.reduce((sum, node) => sum + node.recorded, 0);
  await load(nodes, 'a', { connections: 10, total: 500 });
  await eventually('the replica has followed', () => replica.with(async (client) => await client.exists('test:{qpd:app:a}') === 1 || null));
  // from here on it learns nothing more
  await replica.with((client) => client.call('REPLICAOF', 'NO', 'ONE'));
  await load(nodes, 'a', { connections: 10, total: 2500 });
  await master.kill();
  address.follow(replica.port);
  const deadline = performance.now() + 15_000;
  await load(nodes, 'a', { connections: 4, until: () => recorded() >= 8000 || performance.now() > deadline });
  await load(nodes, 'a', { connections: 10, total: 500 });
  assert.equal(recorded(), 8000);
});

test('a Redis Cluster of three: quotas and rates of many apps, each in its own slot', { skip }, async (t) => {
  await using cluster = await TestRedis.cluster();
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const apps = Object.fromEntries(names.map((name) => [name, { qpd: 300, qps: 100_000 }]));
  const nodes = [nodeOf(t, { url: cluster.url, name: 'n1', apps }), nodeOf(t, { url: cluster.url, name: 'n2', apps })];
  await Promise.all(nodes.map(isUp));
  await eventually('they know one another', () => nodes.every(({ limits }) => limits.standing.nodes === 2) || null);
  await Promise.all(names.map(async (name) => {
    const tally = await load(nodes, name, { connections: 5, total: 450 });
    assert.deepEqual([name, tally.admitted], [name, 300], JSON.stringify(tally));
  }));
});
