/**
 * `tidegate rebuild` against a running node whose rollups were damaged on purpose: with requests under way, an imported log in the record, and the collector killed in the middle of it.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { eventually } from '../harness/deadline.js';
import { logPath } from '../harness/logged-traffic.js';
import { requires } from '../harness/requires.js';
import { TestNode, tidegateCommand } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

interface Row { readonly requests: number; readonly errors: number; readonly refused: number; readonly bytes_in: number; readonly bytes_out: number; readonly duration_ms: Readonly<Record<string, number | null>> }

/** @returns its exit code and what it wrote */
async function tidegate(node: TestNode, ...args: readonly string[]): Promise<readonly [number | null, string]> {
  const { command, args: all } = tidegateCommand([...args, '-c', node.configPath]);
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { out += text; });
  const code = await new Promise<number | null>((resolve) => { child.once('close', resolve); });
  return [code, out];
}

/** Of each status class, by the rollup, and by raw events: a filter that lets all pass has them asked. */
async function reports(node: TestNode): Promise<readonly [rollup: unknown, raw: unknown]> {
  const ranges = [['2015-05-17T10:00:00Z', '2015-05-19T04:00:00Z'], [-1, 1].map((days) => new Date(Math.floor(Date.now() / 3_600_000 + 24 * days) * 3_600_000).toISOString())] as const;
  const asked = async (more: string): Promise<Row[]> => (await Promise.all(ranges.map(async ([from, to]) =>
    (await node.control<{ rows: Row[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=hour&group_by=service,route,status_class${more}`)).rows))).flat();
  const all = ['answered', 'route_not_found', 'unauthenticated', 'upstream_broken', 'client_aborted'].map((name) => `&outcome=${name}`).join('');
  return [await asked(''), await asked(all)];
}

test('damaged rollups are found and mended while requests come and the collector is killed; reports then equal raw events', { skip: requires('chdb', 'linux'), timeout: 400_000 }, async (t) => {
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-rebuild-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });
  const config = { node: 'one', store: { keep: { events: '30d' } }, services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'open', match: { path: '/*' }, authentication: [] }] }] };
  let asked = 0;
  let askedMs = 0;
  const ask = async (node: TestNode, paths: readonly string[]): Promise<void> => {
    for (const path of paths) {
      await (await fetch(`${node.url}${path}`)).arrayBuffer();
      asked++;
      askedMs = Date.now();
    }
  };
  // raw rows are seen a moment before the rollups of their insert: as_of passes over both
  const stored = (node: TestNode): Promise<true> => eventually(`${asked} requests in the report`, async () => {
    const from = new Date(Date.now() - 12 * 3_600_000).toISOString();
    const { rows, as_of: asOf } = await node.control<{ rows: readonly { requests: number }[]; as_of: string }>(`/v1/reports/traffic?from=${from}&interval=total&outcome=answered`);
    return (rows[0]?.requests === asked && Date.parse(asOf) > askedMs) || null;
  }, 60_000, 100);
  {
    await using node = await TestNode.start(config, { folder, removeFolder: false });
    await ask(node, Array.from({ length: 60 }, (_, i) => ['/bytes/10', '/status/404', '/status/503'][i % 3] as string));
    assert.equal((await tidegate(node, 'import', logPath, '--service', 'shop'))[0], 0);
    await stored(node);
    const [code, out] = await tidegate(node, 'rebuild');
    assert.deepEqual([code, /the rollups are equal\.\n$/.test(out)], [0, true], out);
    const [rollup, raw] = await reports(node);
    assert.deepEqual(rollup, raw, 'both ways of asking see the same');
    assert.equal(await node.stop(), 0);
  }
  const store = await ChdbStore.open(join(folder, 'data/store'));
  for (const table of ['traffic_minute', 'traffic_quarter_hour']) {
    await store.command(`ALTER TABLE tidegate.${table} DELETE WHERE status_class = 4 SETTINGS mutations_sync = 1`);
    await store.command(`INSERT INTO tidegate.${table} SELECT * FROM tidegate.${table} WHERE status_class = 2 SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0`);
  }
  await store.close();
  {
    await using node = await TestNode.start(config, { folder, removeFolder: false });
    await ask(node, ['/bytes/10']);
    await stored(node);
    const [before, raw] = await reports(node);
    assert.notDeepEqual(before, raw);
    const [code, out] = await tidegate(node, 'rebuild');
    assert.equal(code, 2, out);
    assert.match(out, /^traffic_minute 2015-05-18: [\d,]+ rows differ; requests [\d,]+ -> [\d,]+/m);
    assert.match(out, /the rollups differ\. tidegate rebuild --swap/);

    let flowing = true;
    const flow = (async () => { while (flowing) await ask(node, ['/bytes/100', '/status/404']); })();
    // killed when something is swapped, and something is not
    const [killed] = await Promise.all([
      tidegate(node, 'rebuild', '--swap', '--json'),
      eventually('the first swap is noted', async () => {
        const { length } = node.output.match(/the partition .* was swapped/g) ?? [];
        if (length === 0) return null;
        await node.kill(node.pids('collector')[0] as number);
        return true;
      }, 60_000, 1),
    ]);
    assert.equal(killed[0], 1, killed[1]);
    await node.ready();
    const [again, told] = await eventually('a collector that answers', async () => {
      const end = await tidegate(node, 'rebuild', '--swap');
      return end[1].includes('collector_unavailable') ? null : end;
    }, 60_000, 200);
    assert.equal(again, 0, told);
    flowing = false;
    await flow;
    await stored(node);
    const [mended, events] = await reports(node);
    assert.deepEqual(mended, events);
    assert.equal((await tidegate(node, 'rebuild'))[0], 0);
    assert.equal(await node.stop(), 0);
  }
});
