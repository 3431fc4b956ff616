/**
 * A part of yesterday's raw events is damaged, or removed, while the node is down: the engine goes on without it. Before what is held was compared with what was stored, the day was complete and
 * its bill was closed with `received` 0.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ToldDay } from '../../collector/billing/billing.js';
import type { HeldCompleteness } from '../../collector/completeness/completeness.js';
import { damagePart, PART_DAMAGES, partsOf, type PartDamage } from '../../collector/store/damaged-part.fixture.js';
import { IDENTITY_FILE } from '../../gateway/events/dir-identity.js';
import { SteppedClock } from '../faults/distributed/stepped-clock.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const DAY_MS = 86_400_000;
const KEY = 'key-acme-0123456789abcdef';
const REQUESTS = 200;

const config = (upstream: TestUpstream): TestConfig => ({
  billing: { grace: '10s' },
  services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }], timeouts: { headers: '2s', total: '5s' } }, routes: [{ name: 'all', match: { path: '/*' } }] }],
  apps: [{ name: 'acme', services: ['shop'], keys: [{ id: 'k', sha256: createHash('sha256').update(KEY).digest('hex') }], time_zone: 'UTC' }],
});

/** A node that answered so many requests at noon of that day, and was stopped. */
async function recorded(folder: string, upstream: TestUpstream, noonMs: number): Promise<void> {
  const clock = new SteppedClock('recorded', folder);
  clock.step(Math.round((noonMs - Date.now()) / 1000));
  await using node = await TestNode.start(config(upstream), { folder, removeFolder: false, env: clock.env });
  for (let i = 0; i < REQUESTS; i++) {
    const answer = await fetch(`${node.url}/bytes/8`, { headers: { 'x-api-key': KEY } });
    await answer.arrayBuffer();
    assert.equal(answer.status, 200);
  }
  assert.equal(await node.stop(), 0, node.output);
}

test('each kind of damage to a day\'s raw events: the day is incomplete, metrics and status say which rows are missing, and no bill is closed; the undamaged day is billed', { skip: requires('chdb', 'linux', 'faketime'), timeout: 300_000 }, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'tidegate-damaged-part-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  const startMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS;
  const [day, next] = [startMs, startMs + DAY_MS].map((ms) => new Date(ms).toISOString().slice(0, 10)) as [string, string];
  const original = join(root, 'original');
  mkdirSync(original);
  await recorded(original, upstream, startMs + DAY_MS / 2);

  const started = async (name: string, damage: PartDamage | null): Promise<TestNode> => {
    const folder = join(root, name.replaceAll(/\W/g, '-'));
    cpSync(original, folder, { recursive: true, verbatimSymlinks: true });
    // by it the copy would be noticed, and the day have a gap for that
    rmSync(join(folder, 'data', IDENTITY_FILE));
    const store = join(folder, 'data', 'store');
    if (damage !== null) for (const part of partsOf(store, 'events').keys()) damagePart(store, 'events', part, damage);
    return TestNode.start(config(upstream), { folder });
  };
  const bills = async (node: TestNode): Promise<readonly ToldDay[]> => (await node.control<{ days: readonly ToldDay[] }>(`/v1/billing/days?from=${day}&to=${next}`)).days;
  const shows = (node: TestNode, ...lines: readonly RegExp[]): Promise<string> => eventually(`the metrics ${lines.join(' ')}`, async () => {
    const metrics = await node.metrics();
    return lines.every((line) => line.test(metrics)) ? metrics : null;
  }, 60_000).catch((error: unknown) => { throw new Error(node.output, { cause: error }); });

  /** The engine has loaded the part. Whoever reads it first is told to ask again: this, or billing. What is recorded meanwhile is stored. */
  const setAside = async (node: TestNode): Promise<void> => {
    const recordedNow = await fetch(`${node.url}/bytes/8`, { headers: { 'x-api-key': KEY } });
    await recordedNow.arrayBuffer();
    const seen = new Set<string>();
    const rows = await eventually(() => `the report is answered, and not ${[...seen].join()}`, async () => {
      const response = await fetch(`${node.controlUrl}/v1/reports/traffic?from=${day}&to=${new Date().toISOString()}&interval=day&group_by=app,outcome`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
      const body = await response.json() as { readonly code?: string; readonly rows?: readonly { readonly requests: number }[] };
      if (response.status !== 200) seen.add(`${response.status} ${body.code}`);
      return body.rows !== undefined && body.rows.length > 0 ? body.rows : null;
    });
    assert.deepEqual(rows.map(({ requests }) => requests), [1]);
    // of the last there is nothing left until the request is stored
    assert.deepEqual([...seen].filter((each) => !['503 store_part_unreadable', '503 collector_unavailable', '400 range_not_kept'].includes(each)), []);
    const logged = node.output.split('\n').filter((line) => line.includes('"code":"store_part_unreadable"')).map((line) => JSON.parse(line) as { level: string; table?: string; rows?: number });
    const asides = logged.filter(({ table }) => table !== undefined);
    assert.deepEqual([asides.map(({ level, table }) => [level, table]), asides.reduce((sum, { rows }) => sum + (rows ?? 0), 0)], [asides.map(() => ['error', 'events']), REQUESTS]);
  };

  await t.test('undamaged', async () => {
    await using node = await started('undamaged', null);
    const [bill] = await eventually('the day is closed', async () => {
      const days = await bills(node).catch(() => []);
      return days.some(({ status }) => status === 'closed') ? days : null;
    }, 60_000).catch((error: unknown) => { throw new Error(node.output, { cause: error }); });
    assert.deepEqual([bill?.day, bill?.received, bill?.complete], [day, REQUESTS, true]);
    assert.doesNotMatch(await shows(node, /^tidegate_store_detached_parts 0$/m), /^tidegate_stored_rows_missing\{/m);
  });

  for (const damage of ['data.bin flipped', ...PART_DAMAGES] as const) await t.test(damage, async () => {
    await using node = await started(damage, damage);
    if (damage === 'data.bin flipped') await setAside(node);
    await shows(node, new RegExp(`^tidegate_stored_rows_missing\\{day="${day}"\\} ${REQUESTS}$`, 'm'), /^tidegate_billing_days_incomplete 1$/m, damage === 'part removed' ? /^tidegate_store_detached_parts 0$/m : /^tidegate_store_detached_parts [1-9]/m);
    const { complete, reasons, differing } = await node.control<HeldCompleteness>(`/v1/completeness?day=${day}`);
    assert.equal(complete, false);
    assert.match(reasons.join('\n'), new RegExp(`^${REQUESTS} rows of stream \\w{16} \\(node .*\\), stored of ${day} \\(UTC\\), are not in the store any more$`));
    assert.deepEqual(differing.map(({ missing, unknown }) => [missing, unknown]), [[REQUESTS, 0]]);
    assert.deepEqual((await bills(node)).map(({ kind, status, received, reasons: why }) => [kind, status, received, why]), [['usage', 'closing', 0, ['its record is not whole: see the day\'s completeness']]]);
    const logged = node.output.split('\n').filter((line) => line.includes('"code":"stored_rows_missing"')).map((line) => JSON.parse(line) as { level: string; days: readonly string[] });
    assert.deepEqual(logged.map(({ level, days }) => [level, days]), [['error', [`${day}: ${REQUESTS}`]]]);
    if (damage !== 'count.txt emptied') return;
    const { command, args } = tidegateCommand(['status', '--url', node.controlUrl, '--token', OPERATOR_TOKEN]);
    const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, COLUMNS: '120', NO_COLOR: '1' } });
    const recover = tidegateCommand(['recover', '--url', node.controlUrl, '--token', OPERATOR_TOKEN]);
    const recovered = spawnSync(recover.command, recover.args, { encoding: 'utf8' });
    assert.deepEqual([recovered.status, recovered.stdout], [1, '']);
    assert.match(recovered.stderr, /events_not_kept/);
    assert.ok(recovered.stderr.includes(`${REQUESTS} rows of ${day} (UTC) are missing`), recovered.stderr);
    assert.match(stdout, new RegExp(`^store +${REQUESTS} rows stored of ${day} \\(UTC\\) are not in the store any more\\n +\\d+ parts? of events set aside: broken-on-start_`, 'm'), stderr);
  });
});
