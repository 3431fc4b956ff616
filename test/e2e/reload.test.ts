/** Reloads and stops under load: no request fails, no connection is dropped by a reload; at SIGTERM every request begun is answered. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { eventually } from '../harness/deadline.js';
import { parseAnswers, RawClient } from '../harness/raw-client.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { config, KEY, reloadUnderLoad, startLoad } from './reload-run.js';

test('10 reloads under load: no failed request, no dropped connection', { skip: requires('chdb', 'linux'), timeout: 180_000 }, () => reloadUnderLoad(10));

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

/** An upstream that answers nothing until it is told to. */
async function startGated(): Promise<{ readonly server: Server; readonly url: string; readonly waiting: ServerResponse[]; readonly open: () => void }> {
  const waiting: ServerResponse[] = [];
  let opened = false;
  const server = createServer((_request, response) => {
    if (opened) response.end('gated');
    else waiting.push(response);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    server, waiting, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    open: () => {
      opened = true;
      for (const response of waiting) response.end('gated');
    },
  };
}

const refusesConnections = (port: number): Promise<true | null> => RawClient.connect(port).then((client) => {
  client.close();
  return null;
}, () => true);

test('SIGTERM under load: every request whose first byte was read is answered, pipelined ones too, and all of them are stored', { skip: requires('chdb', 'linux'), timeout: 180_000 }, async () => {
  const upstream = await TestUpstream.start();
  const gated = await startGated();
  const { services, ...rest } = config(upstream) as { services: object[] };
  await using node = await TestNode.start({
    ...rest, services: [...services, { name: 'gated', upstream: { targets: [{ url: gated.url }] }, routes: [{ name: 'gated', match: { path: '/gated/*' }, authentication: [] }] }],
  });
  const load = startLoad(node);
  const pipelining = await Promise.all(Array.from({ length: 10 }, () => RawClient.connect(node.port)));
  pipelining.forEach((client, i) => { client.send(Array.from({ length: 4 }, (_, n) => `GET /gated/${i}/${n} HTTP/1.1\r\nHost: test\r\n\r\n`).join('')); });
  await eventually('the first of each pipeline at the upstream', () => (gated.waiting.length === pipelining.length ? true : null));
  await eventually('some answers', () => (load.count(200) > 500 ? true : null), 60_000, 10);
  load.connectNoMore();
  const stopped = node.stop('SIGTERM');
  await eventually('every worker to drain', () => refusesConnections(node.port));
  gated.open();
  const pipelined = (await Promise.all(pipelining.map((client) => client.untilClosed().then(() => parseAnswers(client.bytes))))).flat();
  assert.equal(await stopped, 0);
  await load.stop();
  const unanswered = [...load.requests.values()].filter((request) => request.answered === null).length;
  assert.equal(unanswered, 0, `${unanswered} of ${load.requests.size} requests were not answered`);
  assert.deepEqual([...load.other], []);
  assert.deepEqual(pipelined.map(({ status, body }) => `${status} ${body.toString()}`), Array<string>(4 * pipelining.length).fill('200 gated'));
  assert.deepEqual(readdirSync(join(node.dataDir, 'spool')).filter((name) => !name.startsWith('spare-')), [], 'streams that are not stored');
  const store = await ChdbStore.open(join(node.dataDir, 'store'));
  try {
    const stored = await store.query('SELECT service, outcome, status, toFloat64(count()) AS requests FROM tidegate.events GROUP BY ALL ORDER BY service');
    assert.deepEqual(stored, [
      { service: 'bytes', outcome: 'answered', status: 200, requests: load.requests.size },
      { service: 'gated', outcome: 'answered', status: 200, requests: pipelined.length },
    ]);
  } finally {
    await store.close();
  }
  gated.server.close();
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
