/** Who is told what of billed days. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import type { Billing } from '../billing/billing.js';
import { app, BillingStore, DAY_MS } from '../billing/billing-store.fixture.js';
import { packageRoot } from '../store/migrate.js';
import { createCollectorApi } from './server.js';

interface Answer { readonly statusCode: number; readonly body: string; json<T>(): T }
type Ask = (url: string, principal?: string, payload?: object) => Promise<Answer>;

/** A collector's API over the store. */
async function withApi(at: BillingStore, billing: Billing, use: (ask: Ask) => Promise<void>): Promise<void> {
  const api = createCollectorApi({
    store: at.store, asOfMs: () => at.nowMs, nowMs: () => at.nowMs, status: () => ({}), quarantine: { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) },
    kept: () => ({ eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS }), completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [] }]),
    days: billing, billing: { store: at.store, entries: billing }, log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
  });
  try {
    await use((url, principal = 'operator', payload) => api.inject({ ...(payload === undefined ? {} : { method: 'POST', payload }), url, headers: { 'x-tidegate-principal': principal } }));
  } finally {
    await api.close();
  }
}

test('notes of operators are told to the operator alone, and no export has them; the days of a customer are those of its apps', { skip: requires('chdb') }, async () => {
  await using at = await BillingStore.open('2026-11-20T12:00:00Z');
  const billing = at.billing();
  at.configure(billing, [app('acme', { customer: 'C-1' }), app('beta', { customer: 'C-1' }), app('globex', { customer: 'C-2' })]);
  await at.insert(9, 'acme', '2026-11-20T20:00:00Z');
  at.gapsMs.add(Date.parse('2026-11-20T20:00:00Z'));
  at.nowMs = Date.parse('2026-11-22T13:00:00Z');
  await withApi(at, billing, async (ask) => {
    await billing.step();
    const close = { day: '2026-11-20', accept_gap: 'a disk was lost', note: ' Bert pulled the wrong one ' };
    for (const note of ['', 'two\nlines', 'x'.repeat(501)]) assert.equal((await ask('/v1/billing/close', 'operator', { ...close, note })).json<{ parameter: string }>().parameter, 'note');
    assert.equal((await ask('/v1/billing/close', 'operator', close)).statusCode, 200);
    await billing.step();
    const url = '/v1/billing/days?day=2026-11-20';
    const days = async (principal: string, more = '') => (await ask(`${url}${more}`, principal)).json<{ days: { app: string; reason: string; notes?: unknown }[] }>().days;
    const told = await days('operator');
    assert.deepEqual(told.map(({ app: name, reason, notes }) => [name, reason, notes]), ['acme', 'beta', 'globex'].map((name) => [name, 'a disk was lost', [{ at: '2026-11-22T13:00:00.000Z', note: 'Bert pulled the wrong one' }]]));
    for (const principal of ['app:acme', 'operator:finance']) {
      assert.deepEqual(await days(principal), told.filter((day) => principal === 'operator:finance' || day.app === 'acme').map(({ notes: _, ...day }) => day), principal);
    }
    assert.deepEqual((await days('operator', '&customer=C-1')).map(({ app: name }) => name), ['acme', 'beta']);
    assert.deepEqual(await days('app:globex', '&customer=C-1'), [], 'it reads its own alone');
    for (const format of ['csv', 'json', 'cloudevents']) {
      const { statusCode, body } = await ask(`/v1/billing/export?day=2026-11-20&format=${format}`);
      assert.deepEqual([statusCode, body.includes('a disk was lost'), body.includes('Bert')], [200, true, false], body);
    }
  });
});

test('docs/proving-a-number.md: its scripts prove an export, count its requests, and see what was altered', { skip: requires('chdb') }, async () => {
  await using at = await BillingStore.open('2026-11-20T12:00:00Z');
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-proof-'));
  const [prove, count] = [...readFileSync(join(packageRoot(), 'docs', 'proving-a-number.md'), 'utf8').matchAll(/^```python\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? '');
  const python = (script: string | undefined, file: string): readonly [number | null, string] => {
    const { status, stdout, stderr } = spawnSync('python3', ['-c', script ?? '', file], { encoding: 'utf8' });
    return [status, stdout + stderr];
  };
  const billing = at.billing();
  at.configure(billing, [app('acme', { customer: 'C-1', limits: { qpd: { limit: 4, over: 'bill' } } }), app('übel', {})]);
  await at.insert(9, 'acme', '2026-11-20T20:00:00Z');
  for (const [more, times] of [[{ outcome: 'rate_limited', status: 429, billable: 0 }, 3], [{ status: 503, billable: 0 }, 2], [{ outcome: 'client_aborted', attempts: 0 }, 4], [{ kind: 'import' }, 5]] as const) await at.insert(times, 'acme', '2026-11-20T21:00:00Z', more);
  at.gapsMs.add(Date.parse('2026-11-20T20:00:00Z'));
  at.nowMs = Date.parse('2026-11-21T02:00:00Z');
  await billing.close('2026-11-20', null, 'Platte "7" \\ verloren:\u00a0\u2028 \u{1F600}');
  await billing.adjust({ app: 'acme', day: '2026-11-20', requests: -2, reason: "=it's on us", id: 'a' });
  at.gapsMs.clear();
  at.nowMs = Date.parse('2026-11-22T13:00:00Z');
  await billing.step();
  await withApi(at, billing, async (ask) => {
    const url = '/v1/billing/export?from=2026-11-20&to=2026-11-22&format=ndjson';
    const file = join(folder, 'two-days.ndjson');
    const { body } = await ask(url);
    const manifest = (await ask(`${url}&manifest=true`)).body;
    writeFileSync(`${file}.manifest.json`, manifest);
    writeFileSync(file, body);
    assert.deepEqual(python(prove, file), [0, 'C-1 2026-11: 7 billable\nübel 2026-11: 0 billable\n5 entries are what their checksums say\n'], body);
    for (const [altered, says] of [
      [body.replace('"billable":9', '"billable":8'), /not the one of the manifest\nusage acme .* is not what its checksum says\nthe sums/], [body.replace('on us', 'on you'), /credit acme .* is not what its checksum says/],
      [body.split('\n').slice(1).join('\n'), /the sums are not those/], [body + body, /is there twice/],
    ] as const) {
      writeFileSync(file, altered);
      const [code, said] = python(prove, file);
      assert.deepEqual([code, says.test(said)], [1, true], said);
    }
    // a file that is no such export, has no manifest, or is not there: in one line
    writeFileSync(`${file}.csv`, (await ask(url.replace('ndjson', 'csv'))).body);
    writeFileSync(`${file}.csv.manifest.json`, (await ask(`${url.replace('ndjson', 'csv')}&manifest=true`)).body);
    writeFileSync(`${file}.json`, '{}\n');
    writeFileSync(file, 'no entry\n');
    for (const [wrong, says] of [[`${file}.csv`, 'its manifest says csv'], [`${file}.json`, 'No such file'], [join(folder, 'none'), 'No such file'], [file, 'Expecting value']] as const) {
      const [code, said] = python(prove, wrong);
      assert.deepEqual([code, said.startsWith('give the .ndjson of an export'), said.includes(says), said.match(/\n/g)?.length], [2, true, true, 1], said);
      const [counted, line] = python(count, wrong);
      assert.deepEqual([counted, /^give the list of requests [^\n]+: [^\n]+\n$/.test(line)], [2, true], line);
    }
    const [usage] = body.split('\n').map((line) => JSON.parse(line || '{}') as Readonly<Record<string, unknown>>);
    writeFileSync(file, (await ask(`/v1/requests?app=acme&from=${String(usage?.['day_start'])}&to=${String(usage?.['day_end'])}&format=csv`, 'app:acme')).body);
    assert.deepEqual(python(count, file), [0, ['received', 'refused', 'requests', 'billable'].map((field) => `${field} ${Number(usage?.[field])}\n`).join('')]);
  });
  rmSync(folder, { recursive: true });
});
