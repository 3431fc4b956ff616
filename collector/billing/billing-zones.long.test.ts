/** Days of apps whose zone, quota or name changes in the midst of one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { app, BillingStore, DAY_MS, HOUR_MS } from './billing-store.fixture.js';

const skip = requires('chdb');

test('zones, quotas and apps that change within a day: no instant is left out or billed twice, and no date comes again', { skip }, async () => {
  await using at = await BillingStore.open('2026-11-20T12:00:00Z');
  const billing = at.billing();
  const names = ['east', 'west', 'quota', 'removed', 'renamed'] as const;
  const zones = { east: 'America/New_York', west: 'Asia/Kolkata', quota: 'UTC', removed: 'UTC', renamed: 'UTC' };
  at.configure(billing, names.map((name) => app(name, { time_zone: zones[name], limits: { qpd: { limit: 5, over: 'bill' } } })));
  await billing.step();
  // a request an hour, for six days
  const hours = Array.from({ length: 144 }, (_, hour) => Date.parse('2026-11-20T12:00:00Z') + hour * HOUR_MS);
  for (const name of names) await at.insertAt(name, hours);
  at.nowMs = Date.parse('2026-11-22T12:00:00Z');
  await billing.step();
  at.configure(billing, [
    app('east', { time_zone: 'Asia/Kolkata', limits: { qpd: { limit: 5, over: 'bill' } } }), app('west', { time_zone: 'America/New_York', limits: { qpd: { limit: 5, over: 'bill' } } }),
    app('quota', { limits: { qpd: { limit: 7, over: 'bill' } } }), app('new-name', { customer: 'C-9' }),
  ]);
  for (let day = 0; day < 40; day++) {
    await billing.step();
    at.nowMs += DAY_MS;
  }
  const entries = await at.closed(billing);
  for (const name of names) {
    const own = entries.filter((entry) => entry.app === name);
    own.slice(1).forEach((entry, i) => {
      assert.ok(entry.day > (own[i]?.day ?? ''), `${name}: ${entry.day} after ${own[i]?.day}`);
      assert.equal(entry.day_start, own[i]?.day_end, `${name} ${entry.day} begins where the day before ended`);
    });
    assert.equal(own.reduce((sum, { received }) => sum + received, 0), 144, `${name}: all are billed, what came after its removal too`);
  }
  const bounds = (name: string, day: string): string[] => entries.filter((entry) => entry.app === name && entry.day === day).map(({ day_start: from, day_end: to, time_zone: zone }) => `${from.slice(0, 16)} ${to.slice(0, 16)} ${zone}`);
  // New York's 22 November ends at 05:00Z, when it is 10:30 of the 23rd in Kolkata
  assert.deepEqual([...bounds('east', '2026-11-22'), ...bounds('east', '2026-11-23')], ['2026-11-22T05:00 2026-11-23T05:00 America/New_York', '2026-11-23T05:00 2026-11-23T18:30 Asia/Kolkata']);
  // Kolkata's ends at 18:30Z of the 22nd, when it is still the 22nd in New York: the 23rd lasts from there on
  assert.deepEqual([...bounds('west', '2026-11-22'), ...bounds('west', '2026-11-23')], ['2026-11-21T18:30 2026-11-22T18:30 Asia/Kolkata', '2026-11-22T18:30 2026-11-24T05:00 America/New_York']);
  const quotas = entries.filter(({ app: name }) => name === 'quota').slice(1, 4).map(({ day, quota, over_quota: over }) => [day, quota, over]);
  assert.deepEqual(quotas, [['2026-11-21', 5, 19], ['2026-11-22', 7, 17], ['2026-11-23', 7, 17]], 'what is in force at its end holds for a day');
  assert.equal(entries.filter(({ app: name }) => name === 'removed').at(-1)?.day, '2026-12-23', 'days go on for 31 more');
  assert.deepEqual(entries.filter(({ app: name }) => name === 'new-name').slice(0, 1).map(({ day, customer }) => [day, customer]), [['2026-11-22', 'C-9']]);
});
