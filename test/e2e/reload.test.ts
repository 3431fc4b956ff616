/** Reloads and stops under load: no request fails, no connection is dropped by a reload; at SIGTERM every request begun is answered. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { MatchedLoad } from '../faults/matched-load.js';

const KEY = 'key-acme-0123456789abcdef';
const config = (upstream: TestUpstream): TestConfig => ({
  workers: 2,
  services: [{ name: 'bytes', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }] }],
  apps: [{ name: 'acme', services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(KEY).digest('hex') }], limits: { qps: 50_000, qpd: 10_000_000 } }],
});
const startLoad = (node: TestNode): MatchedLoad => {
  const load = new MatchedLoad({ port: node.port, connections: 20, keys: new Map([['acme', KEY]]), maxBytes: 2000 });
  load.start();
  return load;
};

test('100 reloads under load: no failed request, no dropped connection', { skip: requires('chdb', 'linux'), timeout: 180_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream));
  const load = startLoad(node);
  let version = '';
  for (let i = 0; i < 100; i++) {
    node.rewriteConfig((whole) => {
      (whole['apps'] as { limits: object }[])[0]!.limits = { qps: 50_000 + i, qpd: 10_000_000 };
      (whole['services'] as { routes: object[] }[])[0]!.routes = [
        { name: 'all', match: { path: '/*' }, authentication: ['api_key'] }, ...(i % 2 === 0 ? [{ name: 'extra', match: { path: `/extra${i}/*` } }] : []),
      ];
    });
    const { version: now } = await node.control<{ version: string }>('/v1/reload', { method: 'POST' });
    assert.notEqual(now, version);
    version = now;
  }
  await load.stop();
  assert.equal(load.cut, 0);
  assert.deepEqual([...load.other], []);
  assert.ok(load.requests.size > 100);
  assert.ok([...load.requests.values()].every((request) => request.answered?.bytes === request.bytes));
  const { entries } = await node.control<{ entries: readonly unknown[] }>('/v1/config/history?limit=200');
  assert.ok(entries.length >= 100, `${entries.length} changes in the history`);
  await upstream.stop();
});

test('a watched file: a good change is in force within seconds, a bad one changes nothing, is counted and shown', { skip: requires('chdb', 'linux'), timeout: 60_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream));
  const before = await node.control<{ config: { version: string } }>('/v1/status');
  node.rewriteConfig((whole) => { whole['trusted_proxies'] = ['10.0.0.0/8']; });
  const changed = await eventually('the new version', async () => {
    const { config: { version } } = await node.control<{ config: { version: string } }>('/v1/status');
    return version === before.config.version ? null : version;
  }, 60_000, 20);
  writeFileSync(node.configPath, 'version: 1\nlisteners: [\n');
  await eventually('the rejection in the metrics', async () => (/tidegate_config_reloads_total\{result="rejected"\} [1-9]/.test(await node.metrics()) ? true : null), 60_000, 50);
  const status = await node.control<{ config: { version: string; rejected: unknown } }>('/v1/status');
  assert.equal(status.config.version, changed);
  assert.match(JSON.stringify(status), /config_syntax/);
  await upstream.stop();
});

test('SIGTERM under load: every request whose first byte was read is answered, and all of them are stored', { skip: requires('chdb', 'linux'), timeout: 60_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream));
  const load = startLoad(node);
  await eventually('some answers', () => (load.count(200) > 500 ? true : null), 60_000, 10);
  load.connectNoMore();
  assert.equal(await node.stop('SIGTERM'), 0);
  await load.stop();
  const unanswered = [...load.requests.values()].filter((request) => request.answered === null).length;
  assert.equal(unanswered, 0, `${unanswered} of ${load.requests.size} requests were not answered`);
  await upstream.stop();
});

test('what cannot change while the node runs is rejected, and named; the old goes on', { skip: requires('chdb', 'linux'), timeout: 60_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream));
  const version = async (): Promise<string> => (await node.control<{ config: { version: string } }>('/v1/status')).config.version;
  const before = await version();
  const [free] = await freePorts(1) as [number];
  for (const [place, change] of [
    ['control.address', (whole) => { (whole['control'] as { address: string }).address = `127.0.0.1:${free}`; }],
    ['node', (whole) => { whole['node'] = 'another'; }],
    ['event_log.spool.segment_bytes', (whole) => { whole['event_log'] = { spool: { segment_bytes: '32MiB' } }; }],
  ] as readonly (readonly [string, (whole: Record<string, unknown>) => void])[]) {
    const kept = readFileSync(node.configPath, 'utf8');
    node.rewriteConfig(change);
    await assert.rejects(node.control('/v1/reload', { method: 'POST' }), new RegExp(`422 .*${place.replaceAll('.', '\\.')}.*cannot change while the node runs`, 's'));
    writeFileSync(node.configPath, kept);
    await node.control('/v1/reload', { method: 'POST' });
    assert.equal(await version(), before);
  }
  assert.equal((await fetch(`${node.url}/bytes/10`, { headers: { 'x-api-key': KEY } })).status, 200);
  await upstream.stop();
});

test('a listener address in use is rejected; a free address and a new control token are in force with the answer', { skip: requires('chdb', 'linux'), timeout: 60_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream));
  interface Status { readonly config: { readonly version: string }; readonly workers: readonly { readonly config_version: string; readonly config_error: string | null }[] }
  const before = await node.control<Status>('/v1/status');
  const change = (address: string, token = OPERATOR_TOKEN): void => node.rewriteConfig((whole) => {
    whole['listeners'] = { http: { address } };
    (whole['control'] as { token: string }).token = token;
  });
  change(new URL(upstream.url).host);
  await assert.rejects(node.control('/v1/reload', { method: 'POST' }), /422 .*address_in_use/s);
  assert.equal((await node.control<Status>('/v1/status')).config.version, before.config.version);
  const [free] = await freePorts(1) as [number];
  const token = 'another-operator-token-0123456789';
  change(`127.0.0.1:${free}`, token);
  const asNew = { headers: { authorization: `Bearer ${token}` } };
  // the file is watched too: whichever comes first
  await eventually('the new token', async () => {
    await node.control('/v1/reload', { method: 'POST' }).catch(() => null);
    return await node.control<Status>('/v1/status', asNew);
  });
  await assert.rejects(node.control('/v1/status'), /401/);
  await eventually('the new address, of every worker', async () => {
    const { workers, config: { version } } = await node.control<Status>('/v1/status', asNew);
    return version !== before.config.version && workers.every((worker) => worker.config_version === version && worker.config_error === null) ? true : null;
  });
  assert.equal((await fetch(`http://127.0.0.1:${free}/bytes/10`, { headers: { 'x-api-key': KEY } })).status, 200);
  await upstream.stop();
});
