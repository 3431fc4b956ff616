/** Apps are told of their quota by a whole node: once at 80 %, once at 100 %, whatever dies in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashKey } from '../../gateway/config/keys.js';
import type { AppConfig } from '../../gateway/config/schema.js';
import { eventually } from '../harness/deadline.js';
import { TestRedis } from '../harness/redis.js';
import { requires } from '../harness/requires.js';
import { freePorts, TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { WebhookReceiver } from '../harness/webhook-receiver.js';

const SECRET = 'a-secret-of-the-apps-0123456789';
const keyOf = (app: string): string => `key-of-${app}-0123456789abcdef`;
const app = (name: string, url: string, qpd: unknown): object =>
  ({ name, keys: [{ id: 'own', sha256: hashKey(keyOf(name)) }], services: ['shop'], time_zone: ZONE, limits: { qpd }, webhook: { url, secret: '${HOOK_SECRET}' } });
const config = (upstream: TestUpstream, apps: readonly object[], more: TestConfig = {}): TestConfig => ({
  workers: 2, services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }] }], apps, ...more,
});
/** Its day does not end while the tests run: in Kathmandu that is at 18:15 UTC. */
const ZONE = [17, 18].includes(new Date().getUTCHours()) ? 'America/St_Johns' : 'Asia/Kathmandu';
const ENV = { env: { HOOK_SECRET: SECRET } };
const today = new Intl.DateTimeFormat('sv-SE', { timeZone: ZONE, dateStyle: 'short' }).format(Date.now());
const idOf = (name: string, threshold: number, limit: number): string => `qpd.${name}.${today}.${threshold}.${limit}`;

async function call(node: TestNode, name: string, times: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < times; i++) {
    const answer = await fetch(`${node.url}/status/200`, { headers: { 'x-api-key': keyOf(name) } });
    await answer.arrayBuffer();
    statuses.push(answer.status);
  }
  return statuses;
}
const all = (statuses: readonly number[], status: number): void => { assert.ok(statuses.every((one) => one === status), statuses.join()); };
/** Twice as long as it takes to count anew and to tell. */
const secondsLater = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, 4000); });

test('exactly one at 80 % and one at 100 %, with the supervisor killed in between and the receiver down, then up', { skip: requires('chdb', 'linux'), timeout: 180_000 }, async () => {
  const upstream = await TestUpstream.start();
  const [port = 0] = await freePorts(1);
  const hook = `http://127.0.0.1:${port}/quota`;
  await using node = await TestNode.start(config(upstream, [app('acme', hook, 20), app('globex', hook, { limit: 5, over: 'bill' })]), ENV);
  all(await call(node, 'acme', 15), 200);
  await secondsLater();
  assert.doesNotMatch(node.output, /not taken/, '75 % is no news');
  all(await call(node, 'acme', 1), 200);
  await eventually('nobody took it', () => (node.output.includes('it is sent again') ? true : null), 30_000);
  const [supervisor = 0] = node.pids('supervisor');
  await node.kill(supervisor);
  await using receiver = await WebhookReceiver.start(SECRET, port);
  await eventually('the next supervisor tells it', () => (receiver.ids.includes(idOf('acme', 80, 20)) ? true : null), 60_000);
  const [{ body } = { body: {} as Readonly<Record<string, unknown>> }] = receiver.received;
  assert.deepEqual([body['type'], body['app'], body['day'], body['time_zone'], body['threshold'], body['limit'], body['used'], body['share'], body['over']],
    ['quota.threshold_reached', 'acme', today, ZONE, 80, 20, 16, 0.8, 'refuse']);

  const again = node.pids('supervisor')[0] ?? 0;
  all(await call(node, 'acme', 4), 200);
  all(await call(node, 'acme', 2), 429);
  await eventually('the end of the quota is told', () => (receiver.ids.includes(idOf('acme', 100, 20)) ? true : null), 60_000);
  // killed between the answer and its note, the next one would tell it again
  await eventually('both are noted', async () => (/^tidegate_webhooks_total\{result="delivered"\} 2$/m.test(await node.metrics()) ? true : null), 30_000);
  await node.kill(again);
  await node.ready();
  all(await call(node, 'globex', 6), 200);
  await eventually('what is billed over is told, too', () => (receiver.ids.includes(idOf('globex', 100, 5)) ? true : null), 60_000);
  await secondsLater();
  assert.deepEqual(receiver.ids, [idOf('acme', 100, 20), idOf('acme', 80, 20), idOf('globex', 100, 5), idOf('globex', 80, 5)]);
  assert.ok(receiver.received.every(({ genuine }) => genuine), 'each is signed with the app\'s secret');
  assert.match(await node.metrics(), /^tidegate_webhooks_total\{result="delivered"\} [1-9]/m);
  const shown = await node.control<AppConfig>('/v1/apps/acme');
  assert.equal(shown.webhook?.secret, '${HOOK_SECRET}');
  assert.ok(!node.output.includes(SECRET), 'the secret is said nowhere');
  await upstream.stop();
});

test('of two nodes that share limits one tells, of what both have let through', { skip: requires('chdb', 'redis', 'linux'), timeout: 180_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using redis = await TestRedis.start();
  await using receiver = await WebhookReceiver.start(SECRET);
  const start = (name: string): Promise<TestNode> =>
    TestNode.start(config(upstream, [app('acme', receiver.url, 20)], { node: name, nodes: ['one', 'two'], shared_state: { redis: { url: redis.url } } }), ENV);
  const nodes = await Promise.all([start('one'), start('two')]);
  try {
    for (const node of nodes) all(await call(node, 'acme', 8), 200);
    await eventually('80 % of the two together is told', () => (receiver.ids.includes(idOf('acme', 80, 20)) ? true : null), 60_000);
    const statuses = (await Promise.all(nodes.map((node) => call(node, 'acme', 10)))).flat();
    assert.equal(statuses.filter((status) => status === 200).length, 4);
    await eventually('100 % is told', () => (receiver.ids.includes(idOf('acme', 100, 20)) ? true : null), 60_000);
    // each has asked the other's count anew by then, and tried to tell
    for (let i = 0; i < 2; i++) await secondsLater();
    assert.deepEqual(receiver.ids, [idOf('acme', 100, 20), idOf('acme', 80, 20)]);
    for (const node of nodes) {
      const { quotas } = await node.control<{ quotas: Record<string, { used: number }> }>('/v1/reports/live');
      assert.equal(quotas['acme']?.used, 20);
    }
  } finally {
    for (const node of nodes) await node[Symbol.asyncDispose]();
    await upstream.stop();
  }
});

test('a webhook that leads to a cloud\'s metadata, or has a weak secret, is refused with its place', { skip: requires('linux') }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream, [app('acme', 'http://169.254.169.254/latest', 20)]), { env: { HOOK_SECRET: 'short' }, waitReady: false });
  assert.equal(await node.exited, 1);
  assert.match(node.output, /webhook[^]*169\.254\.169\.254[^]*webhooks never go there/);
  assert.match(node.output, /must have 24 characters or more/);
  await upstream.stop();
});
