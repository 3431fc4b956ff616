/** Reloads of a node under load. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { MatchedLoad } from '../faults/matched-load.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

export const KEY = 'key-acme-0123456789abcdef';
export const config = (upstream: TestUpstream): TestConfig => ({
  workers: 2,
  services: [{ name: 'bytes', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }] }],
  apps: [{ name: 'acme', services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(KEY).digest('hex') }], limits: { qps: 50_000, qpd: 10_000_000 } }],
});
export const startLoad = (node: TestNode): MatchedLoad => {
  const load = new MatchedLoad({ port: node.port, connections: 20, keys: new Map([['acme', KEY]]), maxBytes: 2000 });
  load.start();
  return load;
};

/** No request fails, no connection is dropped. */
export async function reloadUnderLoad(times: number): Promise<void> {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream));
  const load = startLoad(node);
  let version = '';
  for (let i = 0; i < times; i++) {
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
  assert.ok(entries.length >= times, `${entries.length} changes in the history`);
  await upstream.stop();
}
