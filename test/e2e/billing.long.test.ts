/** A day is closed by the node itself: its clock goes over midnight while requests come, processes are killed, and events come late. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ToldDay } from '../../collector/billing/billing.js';
import { SteppedClock } from '../faults/distributed/stepped-clock.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const KEYS = { acme: 'key-acme-0123456789abcdef', globex: 'key-globex-0123456789abcdef' } as const;
type App = keyof typeof KEYS;
const ZONES: Readonly<Record<App, string>> = { acme: 'UTC', globex: 'Asia/Kolkata' };

const told = ({ kind, app, day, for_day: forDay, received, refused, billable, over_quota: over, status }: ToldDay): string =>
  `${status}: ${kind} ${app} ${day}${forDay === day ? '' : ` for ${forDay}`}: ${received}-${refused}, ${billable} billable, ${over} over`;

test('requests on both sides of midnight stand on their own days, closed once through kill -9 of the collector, and a credit on the day after', { skip: requires('chdb', 'linux', 'faketime'), timeout: 300_000 }, async () => {
  const upstream = await TestUpstream.start();
  const midnightMs = Date.UTC(2026, 10, 21);
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-billing-clock-'));
  const clock = new SteppedClock('billing', folder);
  let aheadS = 0;
  const setClock = (toMs: number): void => {
    aheadS = Math.round((toMs - Date.now()) / 1000);
    clock.step(aheadS);
  };
  const nowMs = (): number => Date.now() + aheadS * 1000;
  setClock(midnightMs - 25_000);
  await using node = await TestNode.start({
    billing: { grace: '10s' },
    services: [{
      name: 'bytes', upstream: { targets: [{ url: upstream.url }], timeouts: { headers: '2s', total: '5s' } }, statuses: { '4xx': { billable: false } },
      routes: [{ name: 'all', match: { path: '/*' } }],
    }],
    apps: (Object.keys(KEYS) as App[]).map((name) => ({
      name, services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(KEYS[name]).digest('hex') }], time_zone: ZONES[name], limits: { qpd: { limit: 10, over: 'bill' } },
    })),
  }, { env: clock.env });
  const call = async (app: App, count: number, path = '/bytes/8'): Promise<void> => {
    for (let i = 0; i < count; i++) await (await fetch(`${node.url}${path}`, { headers: { 'x-api-key': KEYS[app] } })).arrayBuffer();
  };
  const days = async (query = ''): Promise<readonly ToldDay[]> => (await node.control<{ days: readonly ToldDay[] }>(`/v1/billing/days?from=2026-11-19&to=2026-11-25${query}`)).days;
  const closedDays = async (): Promise<readonly ToldDay[]> => (await days()).filter(({ status }) => status === 'closed');
  await call('acme', 13);
  await call('globex', 4);
  await call('acme', 2, '/status/404');
  assert.ok(nowMs() < midnightMs, 'before midnight');
  await eventually('midnight', () => (nowMs() > midnightMs + 200 ? true : null), 60_000, 50);
  await call('acme', 5);
  await node.kill(node.pids('collector')[0] ?? 0);
  const first = await eventually('the day closed', async () => {
    const closed = await closedDays().catch(() => []);
    return closed.length > 0 ? closed : null;
  }, 120_000, 200);
  assert.deepEqual(first.map(told), ['closed: usage acme 2026-11-20: 15-0, 13 billable, 3 over']);
  assert.deepEqual((await days('&app=globex')).map(told), ['open: usage globex 2026-11-21: 4-0, 4 billable, 0 over']);

  // not spawnSync: while it blocks, the node closes this process's idle connections, and the next fetch would take one of them
  const cli = async (...args: readonly string[]): Promise<{ code: number | null; out: string }> => {
    const { command, args: all } = tidegateCommand(['billing', ...args, '--url', node.controlUrl, '--token', OPERATOR_TOKEN]);
    const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, COLUMNS: '80', NO_COLOR: '1' } });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => { out += String(piece); });
    const [code] = await once(child, 'close') as [number | null];
    return { code, out };
  };
  assert.match((await cli('days', '--from', '2026-11-19', '--to', '2026-11-25')).out, /2026-11-20 +acme +usage +15 +0 +13 +3 +closed\n[^]*billable in closed days: 13; not closed, so far: 9 \(2 days\)/);
  assert.match((await cli('close', '--day', '2026-11-21')).out, /billing_day_open/);
  assert.match((await cli('close', '--day', '2026-11-20', '--accept-gap', 'no')).out, /billing_day_closed/);
  const credited = await cli('adjust', 'acme', '--day', '2026-11-20', '--requests', '-4', '--reason', 'our fault', '--id', 'ticket-7');
  assert.match(credited.out, /4 requests off the bill of acme for 2026-11-20, 3 of them over quota: on 2026-11-21/);
  assert.equal((await cli('adjust', 'acme', '--day', '2026-11-20', '--requests', '-4', '--reason', 'our fault', '--id', 'ticket-7')).out, credited.out, 'said twice, it is one');
  assert.match((await cli('adjust', 'acme', '--day', '2026-11-20', '--requests', '-40', '--reason', 'too much')).out, /40 off the 9 that are billed of 2026-11-20 \(invalid_parameter\)/);
  for (const [query, parameter] of [['month=2026-13', 'month'], ['from=2026-11-20', 'to'], ['from=2026-11-20&to=2026-11-20', 'from'], ['from=20&to=2026-11-20', 'from'], ['months=1', 'months']]) {
    const answer = await fetch(`${node.controlUrl}/v1/billing/days?${query}`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    assert.deepEqual([answer.status, (await answer.json() as { parameter: string }).parameter], [400, parameter], query);
  }

  // the next day
  setClock(midnightMs + 86_400_000 + 11_000);
  await eventually('the next day closed', async () => ((await closedDays().catch(() => [])).some(({ app, day }) => app === 'acme' && day === '2026-11-21') ? true : null), 120_000, 200);
  await eventually('globex\'s day closed', async () => ((await closedDays().catch(() => [])).length === 4 ? true : null), 120_000, 200);
  const all = await closedDays();
  assert.deepEqual(all.map(told), [
    ...first.map(told), 'closed: usage acme 2026-11-21: 5-0, 5 billable, 0 over', 'closed: credit acme 2026-11-21 for 2026-11-20: 0-0, -4 billable, -3 over',
    'closed: usage globex 2026-11-21: 4-0, 4 billable, 0 over',
  ]);
  assert.deepEqual(all.slice(0, 1), first);

  // the same bytes twice, and across a kill of the collector
  const exported = async (name: string, format: string): Promise<Buffer> => {
    const file = join(folder, name);
    const { code, out } = await cli('export', '--from', '2026-11-19', '--to', '2026-11-22', '--app', 'acme', '--app', 'globex', '--format', format, '--out', file);
    assert.equal(code, 0, out);
    assert.match(out, /4 entries, 18 billable requests/);
    return readFileSync(file);
  };
  const files = await Promise.all(['csv', 'parquet', 'cloudevents'].map((format) => exported(`first.${format}`, format)));
  assert.match(String(files[0]), /,credit,,acme,2026-11-21,2026-11-20,UTC,[^,]+,[^,]+,0,0,0,-4,10,-3,closed,true,our fault,/);
  await node.kill(node.pids('collector')[0] ?? 0);
  await eventually('days are told again', async () => ((await closedDays().catch(() => [])).length === 4 ? true : null), 60_000, 200);
  assert.deepEqual(await Promise.all(['csv', 'parquet', 'cloudevents'].map((format) => exported(`second.${format}`, format))), files);
  const everybody = await cli('export', '--from', '2026-11-19', '--to', '2026-11-22', '--format', 'csv');
  assert.deepEqual([everybody.code, /are not over/.test(everybody.out)], [3, true], 'an app that is named now, far west, would have its first day there');
  const open = await cli('export', '--from', '2026-11-19', '--to', '2026-11-23', '--format', 'csv');
  assert.deepEqual([open.code, /billing_days_open/.test(open.out), /acme 2026-11-22/.test(open.out)], [3, true, true], open.out);

  // its own alone
  const own = await fetch(`${node.controlUrl}/v1/billing/days?from=2026-11-19&to=2026-11-25`, { headers: { authorization: `Bearer ${KEYS.globex}` } });
  const { days: owned } = await own.json() as { days: readonly ToldDay[] };
  assert.deepEqual([...new Set(owned.map(({ app }) => app))], ['globex']);
  const other = await fetch(`${node.controlUrl}/v1/billing/days?app=acme`, { headers: { authorization: `Bearer ${KEYS.globex}` } });
  assert.equal(other.status, 403);
  await upstream.stop();
  rmSync(folder, { recursive: true });
});
