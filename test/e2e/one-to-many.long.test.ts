/**
 * A deployment that begins on one machine moves over, a step at a time: first Kafka, then ClickHouse with the history, then Redis, then a second gateway. No event is
 * lost or counted twice, and the day's quota goes on.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hashKey } from '../../gateway/config/keys.js';
import { TestClickHouse } from '../harness/clickhouse-server.js';
import { eventually } from '../harness/deadline.js';
import { TestKafka } from '../harness/kafka.js';
import { TestRedis } from '../harness/redis.js';
import { requires } from '../harness/requires.js';
import { TestNode, tidegateCommand, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const KEY = 'tg_0123456789012345678901234567';
const QUOTA = 200;

interface Ran { readonly code: number; readonly output: string }

/** `tidegate store copy`, to its end. */
async function storeCopy(configPath: string, clickHouseUrl: string): Promise<Ran> {
  const { command, args } = tidegateCommand(['store', 'copy', '-c', configPath]);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TIDEGATE__store__clickhouse__url: clickHouseUrl } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text; });
  const [code] = await once(child, 'close') as [number | null];
  return { code: code ?? -1, output };
}

test('one machine moves to Kafka, then to ClickHouse, then to Redis, then gets a second gateway: every event once, and the quota exact', { skip: requires('kafka', 'redis', 'chdb', 'linux'), timeout: 850_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-move-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  await using kafka = await TestKafka.start();
  await using redis = await TestRedis.start();
  await using clickhouse = await TestClickHouse.start();
  const config = (node: string, more: TestConfig): TestConfig => ({
    node,
    services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [
      { name: 'open', match: { path: '/bytes/*' }, authentication: [] }, { name: 'limited', match: { path: '/echo' } },
    ] }],
    apps: [{ name: 'acme', services: ['shop'], keys: [{ id: 'k', sha256: hashKey(KEY) }], limits: { qpd: QUOTA } }], ...more,
  });
  const withKafka = { event_log: { kafka: { brokers: kafka.brokers, partitions: 3 } } };
  const withClickHouse = { ...withKafka, store: { clickhouse: { url: clickhouse.url } } };
  const withRedis = { ...withClickHouse, shared_state: { redis: { url: redis.url } } };
  const start = (more: TestConfig): Promise<TestNode> => TestNode.start(config('one', more), { folder, removeFolder: false });

  let asked = 0;
  const open = async (node: TestNode, times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      const answer = await fetch(`${node.url}/bytes/10`);
      await answer.arrayBuffer();
      assert.equal(answer.status, 200);
      asked++;
    }
  };
  /** How many of them were let through. */
  const limited = async (node: TestNode, times: number): Promise<number> => {
    let through = 0;
    for (let i = 0; i < times; i++) {
      const answer = await fetch(`${node.url}/echo`, { headers: { 'x-api-key': KEY } });
      await answer.arrayBuffer();
      asked++;
      if (answer.status === 200) through++;
      else assert.equal(answer.status, 429);
    }
    return through;
  };
  const stored = async (node: TestNode): Promise<void> => {
    const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
    await eventually(`${asked} requests in the report\n${node.output.slice(-3000)}`, async () => {
      const { rows } = await node.control<{ rows: readonly { requests: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
      const have = rows[0]?.requests ?? 0;
      assert.ok(have <= asked, `${have} of ${asked}: counted twice`);
      return have === asked ? true : null;
    }, 90_000, 250);
  };

  let through = 0;
  {
    await using node = await start({});
    await open(node, 60);
    through += await limited(node, 50);
    await stored(node);
    // what the collector has not taken stays in the spool, beside what it has
    await node.kill(node.pids('collector')[0] ?? 0);
    await open(node, 30);
    await node.stop('SIGKILL');
  }
  {
    await using node = await start(withKafka);
    await stored(node);
    await open(node, 40);
    through += await limited(node, 50);
    await stored(node);
    const refused = await storeCopy(node.configPath, clickhouse.url);
    assert.equal(refused.code, 1, refused.output);
    assert.match(refused.output, /data_dir_in_use/);
    assert.equal(await node.stop(), 0);
  }
  {
    // the gateway serves while the history is copied, and Kafka keeps what it records
    await using gateway = await TestNode.start(config('one', withClickHouse), { folder, removeFolder: false, command: 'gateway' });
    through += await limited(gateway, 10);
    let copied: Ran | null = null;
    const copying = storeCopy(gateway.configPath, clickhouse.url).then((ran) => { copied = ran; });
    do await open(gateway, 5); while (copied === null);
    await copying;
    const { code, output } = copied as Ran;
    assert.equal(code, 0, output);
    assert.match(output, /Collectors may start there/);
    assert.equal(await gateway.stop(), 0);
  }
  {
    await using node = await start(withClickHouse);
    await stored(node);
    await open(node, 40);
    through += await limited(node, 10);
    await stored(node);
    assert.equal(await node.stop(), 0);
  }
  {
    await using node = await start(withRedis);
    through += await limited(node, 20);
    await using second = await TestNode.start(config('two', withRedis), { command: 'gateway' });
    const [one, two] = await Promise.all([limited(node, 60), limited(second, 60)]);
    through += one + two;
    through += await limited(node, 20) + await limited(second, 20);
    assert.equal(through, QUOTA);
    await stored(node);
    const { streams } = await node.control<{ streams: readonly { missing: number; twice: number }[] }>('/v1/completeness');
    assert.deepEqual(streams.filter(({ missing, twice }) => missing > 0 || twice > 0), []);
    assert.equal(await second.stop(), 0);
    assert.equal(await node.stop(), 0);
  }
});
