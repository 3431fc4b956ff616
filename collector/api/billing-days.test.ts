/** Who is told what of billed days. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { app, BillingStore, DAY_MS } from '../billing/billing-store.fixture.js';
import { createCollectorApi } from './server.js';

test('notes of operators are told to the operator alone, and no export has them; the days of a customer are those of its apps', { skip: requires('chdb') }, async () => {
  await using at = await BillingStore.open('2026-11-20T12:00:00Z');
  const billing = at.billing();
  at.configure(billing, [app('acme', { customer: 'C-1' }), app('beta', { customer: 'C-1' }), app('globex', { customer: 'C-2' })]);
  await at.insert(9, 'acme', '2026-11-20T20:00:00Z');
  at.gapsMs.add(Date.parse('2026-11-20T20:00:00Z'));
  at.nowMs = Date.parse('2026-11-22T13:00:00Z');
  const api = createCollectorApi({
    store: at.store, asOfMs: () => at.nowMs, nowMs: () => at.nowMs, status: () => ({}), quarantine: { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) },
    kept: () => ({ eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS }), completeness: () => Promise.resolve({ complete: true, reasons: [], streams: [] }),
    days: billing, billing: { store: at.store, entries: billing }, log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
  });
  const ask = (url: string, principal = 'operator', payload?: object) => api.inject({ ...(payload === undefined ? {} : { method: 'POST', payload }), url, headers: { 'x-tidegate-principal': principal } });
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
  await api.close();
});
