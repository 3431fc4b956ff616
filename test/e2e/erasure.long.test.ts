/** `tidegate apps export` and `tidegate apps erase` against a running node, whose collector is killed in the midst of it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode, tidegateCommand } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const hash = (key: string): string => createHash('sha256').update(key).digest('hex');

async function tidegate(node: TestNode, ...args: readonly string[]): Promise<readonly [number | null, string]> {
  const { command, args: all } = tidegateCommand([...args, '-c', node.configPath]);
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { out += text; });
  const code = await new Promise<number | null>((resolve) => { child.once('close', resolve); });
  return [code, out];
}

test('an app\'s data is handed over whole, then erased, through a kill in the middle; all other numbers stay what they were', { skip: requires('chdb', 'linux'), timeout: 400_000 }, async (t) => {
  const upstream = await TestUpstream.start();
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-erasure-'));
  t.after(async () => {
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  });
  await using node = await TestNode.start({
    node: 'one', services: [{ name: 'shop', record_path: 'full', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'keyed', match: { path: '/*' }, authentication: ['api_key'] }] }],
    apps: ['acme', 'globex'].map((name) => ({ name, keys: [{ id: 'k1', sha256: hash(`tg_${name}`) }], services: ['shop'] })),
  }, { folder, removeFolder: false });
  let last = '';
  for (const [app, times] of [['acme', 40], ['globex', 30]] as const) {
    for (let i = 0; i < times; i++) {
      const answer = await fetch(`${node.url}/bytes/${i}`, { headers: { 'x-api-key': `tg_${app}` } });
      await answer.arrayBuffer();
      if (app === 'acme') last = answer.headers.get('x-request-id') ?? '';
    }
  }
  // days of a year, so that there is something to be killed in
  const log = join(folder, 'past.log');
  const pastMs = Date.now() - 60 * 86_400_000;
  writeFileSync(log, Array.from({ length: 40 }, (_, i) => `${JSON.stringify({ time: new Date(pastMs + i * 86_400_000).toISOString(), app: 'acme', status: 200, method: 'GET', path: `/people/${i}`, remote_addr: '203.0.113.7', bytes_sent: 5 })}\n`).join(''));
  assert.equal((await tidegate(node, 'import', log, '--service', 'shop'))[0], 0);
  interface Report { readonly complete: boolean; readonly missing: readonly unknown[]; readonly rows: readonly { readonly app?: string; readonly requests: number; readonly bytes_out: number }[] }
  const range = `from=${new Date(pastMs - 86_400_000).toISOString().slice(0, 10)}T00:00:00Z&to=${new Date(Date.now() + 86_400_000).toISOString().slice(0, 10)}T00:00:00Z`;
  const report = async (more: string): Promise<Report> => node.control<Report>(`/v1/reports/traffic?${range}&${more}`);
  const byApp = async (): Promise<Record<string, number>> => Object.fromEntries((await report('interval=total&group_by=app')).rows.map(({ app, requests }) => [app ?? '', requests]));
  await eventually('all is stored', async () => { const apps = await byApp(); return (apps['acme'] === 80 && apps['globex'] === 30) || null; }, 60_000, 100);
  const services = await report('interval=day&group_by=service,route,status_class');

  const out = join(folder, 'acme');
  const [exported, said] = await tidegate(node, 'apps', 'export', 'acme', '--out', out);
  assert.equal(exported, 0, said);
  const { files } = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as { files: readonly { file: string; rows: number; sha256: string }[] };
  const rowsOf = (file: string): readonly Record<string, unknown>[] => gunzipSync(readFileSync(join(out, file))).toString('utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const { file, rows, sha256 } of files) assert.deepEqual([rowsOf(file).length, createHash('sha256').update(readFileSync(join(out, file))).digest('hex') === sha256], [rows, true]);
  const events = rowsOf('events.ndjson.gz');
  assert.deepEqual([events.length, new Set(events.map(({ app }) => app)), events.filter(({ path }) => String(path).startsWith('/people/')).length], [80, new Set(['acme']), 40]);
  for (const file of ['traffic_minute.ndjson.gz', 'traffic_quarter_hour.ndjson.gz']) assert.equal(rowsOf(file).reduce((sum, { requests }) => sum + Number(requests), 0), 80);
  assert.match((await tidegate(node, 'apps', 'export', 'acme', '--out', out))[1], /config_file/, 'nothing is written over');
  assert.deepEqual([(await tidegate(node, 'apps', 'export', 'nobody', '--out', join(folder, 'nobody')))[0], existsSync(join(folder, 'nobody', 'manifest.json'))], [0, true]);

  assert.match((await tidegate(node, 'apps', 'erase', 'acme'))[1], /erase_unconfirmed/, 'not without a word');
  assert.equal((await byApp())['acme'], 80);
  const [killed] = await Promise.all([
    tidegate(node, 'apps', 'erase', 'acme', '--yes'),
    eventually('the first rollup is swapped', async () => {
      if (!node.output.includes('was swapped')) return null;
      await node.kill(node.pids('collector')[0] as number);
      return true;
    }, 60_000, 1),
  ]);
  assert.equal(killed[0], 1, killed[1]);
  const [code, told] = await eventually('a collector that answers', async () => {
    const end = await tidegate(node, 'apps', 'erase', 'acme', '--yes');
    // the collector that started has begun to do the rest by itself
    return /collector_unavailable|rebuild_running/.test(end[1]) ? null : end;
  }, 60_000, 200);
  assert.deepEqual([code, /^acme is erased/m.test(told)], [0, true], told);

  assert.deepEqual(await byApp(), { '(erased)': 80, globex: 30 });
  assert.deepEqual((await report('interval=day&group_by=service,route,status_class')).rows, services.rows, 'reports of services are what they were');
  const event = await node.control<Record<string, unknown>>(`/v1/requests/${last}`);
  assert.deepEqual([event['app'], event['client'], event['path']], ['(erased)', '', '']);
  const { complete, reasons, streams } = await node.control<{ complete: boolean; reasons: readonly string[]; streams: readonly { missing: number; twice: number }[] }>('/v1/completeness');
  assert.deepEqual([complete, reasons, streams.filter(({ missing, twice }) => missing + twice > 0)], [true, [], []]);
  assert.match((await tidegate(node, 'rebuild'))[1], /the rollups are equal\./, 'a rebuild does not bring it back');
  // the same log again: its lines are there
  rmSync(join(node.dataDir, 'imports'), { recursive: true });
  assert.equal((await tidegate(node, 'import', log, '--service', 'shop'))[0], 0);
  await eventually('what was read again has left the spool', async () => (await node.control<{ collector?: unknown }>('/v1/status'), (await byApp())['acme'] === undefined || null), 20_000);
  assert.deepEqual(await byApp(), { '(erased)': 80, globex: 30 });
  assert.equal(await node.stop(), 0);
});
