import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketBounds, formatInstant, isTimeZone, offsetMs, type Interval } from './calendar.js';

const MINUTE = 60_000;

/** The plainest way: what the local clock shows at each minute; a bucket begins where its label changes. */
function bruteForce(interval: Interval, timeZone: string, fromMs: number, toMs: number): number[] {
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'long' });
  let latest = '';
  const label = (ms: number): string => {
    const text = format.format(ms); // 2026-11-21 05:30:00 GMT+5:30
    if (interval === 'hour') return `${text.slice(0, 13)} ${text.slice(20)}`;
    const date = text.slice(0, interval === 'day' ? 10 : 7);
    if (date > latest) latest = date;
    return latest;
  };
  const starts: number[] = [];
  const reach = (interval === 'month' ? 33 * 24 : 30) * 60 * MINUTE;
  let before = label(fromMs - reach);
  for (let ms = fromMs - reach + MINUTE; ms <= toMs + reach; ms += MINUTE) {
    const now = label(ms);
    if (now !== before) starts.push(ms);
    before = now;
  }
  return starts.slice(starts.findLastIndex((start) => start <= fromMs), starts.findIndex((start) => start >= toMs) + 1);
}

const STRETCHES: readonly (readonly [zone: string, from: string, to: string, why: string])[] = [
  ['Asia/Kolkata', '2026-11-20T07:13:00Z', '2026-11-23T01:00:00Z', 'half hours'],
  ['Asia/Kathmandu', '2026-11-20T07:13:00Z', '2026-11-23T01:00:00Z', 'three quarters'],
  ['America/New_York', '2026-03-06T12:00:00Z', '2026-03-10T12:07:00Z', 'a day of 23 h'],
  ['America/New_York', '2026-10-30T12:00:00Z', '2026-11-03T12:07:00Z', 'a day of 25 h'],
  ['Australia/Lord_Howe', '2026-04-03T12:00:00Z', '2026-04-06T12:07:00Z', 'back by half an hour'],
  ['Australia/Lord_Howe', '2026-10-02T12:00:00Z', '2026-10-05T12:07:00Z', 'forward by half an hour'],
  ['Pacific/Apia', '2011-12-27T12:00:00Z', '2012-01-02T12:07:00Z', 'a date left out'],
  ['America/Santiago', '2026-09-04T12:00:00Z', '2026-09-08T12:07:00Z', 'no midnight'],
  ['America/Santiago', '2026-04-03T12:00:00Z', '2026-04-07T12:07:00Z', 'midnight twice'],
  ['America/St_Johns', '2010-11-05T12:00:00Z', '2010-11-09T12:07:00Z', 'back over midnight at 00:01'],
  ['Pacific/Chatham', '2026-04-03T12:00:00Z', '2026-04-06T12:07:00Z', '+12:45 and +13:45'],
  ['UTC', '2026-02-27T12:00:00Z', '2026-03-02T12:07:00Z', 'no turns'],
];

for (const [zone, from, to, why] of STRETCHES) {
  test(`hours, days and months in ${zone} (${why}) are those of its clock`, () => {
    for (const interval of ['hour', 'day', 'month'] as const) {
      for (const shift of [0, 17, 60 * 24]) {
        const fromMs = Date.parse(from) + shift * MINUTE;
        const toMs = Date.parse(to) + 2 * shift * MINUTE;
        assert.deepEqual(bucketBounds(interval, zone, fromMs, toMs), bruteForce(interval, zone, fromMs, toMs), `${interval} +${shift}`);
      }
    }
  });
}

test('a range that begins and ends on bounds has no further bucket', () => {
  const day = bucketBounds('day', 'Asia/Kolkata', Date.parse('2026-11-20T18:30:00Z'), Date.parse('2026-11-21T18:30:00Z'));
  assert.deepEqual(day.map((ms) => new Date(ms).toISOString()), ['2026-11-20T18:30:00.000Z', '2026-11-21T18:30:00.000Z']);
});

test('buckets are contiguous, ascending and whole quarters of an hour through years of hours', () => {
  for (const zone of ['Asia/Kathmandu', 'Australia/Lord_Howe', 'America/New_York']) {
    const bounds = bucketBounds('hour', zone, Date.parse('2020-01-01T00:07:00Z'), Date.parse('2025-06-01T00:00:00Z'));
    assert.ok(bounds.length > 47_000);
    for (let i = 1; i < bounds.length; i++) {
      const length = (bounds[i] as number) - (bounds[i - 1] as number);
      assert.ok(length === 60 * MINUTE || length === 30 * MINUTE, `${zone} ${bounds[i]}`);
      assert.equal((bounds[i] as number) % (15 * MINUTE), 0);
    }
  }
});

test('minutes are those of UTC, total is the range itself', () => {
  const from = Date.parse('2026-11-21T10:00:30Z');
  assert.deepEqual(bucketBounds('minute', 'Asia/Kolkata', from, from + 61_000), [from - 30_000, from + 30_000, from + 90_000]);
  assert.deepEqual(bucketBounds('total', 'Asia/Kolkata', from, from + 61_001), [from, from + 61_001]);
});

test('instants are written with their zone\'s offset', () => {
  const at = Date.parse('2026-11-21T00:00:00Z');
  assert.equal(formatInstant(at, 'UTC'), '2026-11-21T00:00:00Z');
  assert.equal(formatInstant(at, 'Asia/Kathmandu'), '2026-11-21T05:45:00+05:45');
  assert.equal(formatInstant(at + 5, 'America/New_York'), '2026-11-20T19:00:00.005-05:00');
  assert.equal(Date.parse(formatInstant(at, 'Australia/Lord_Howe')), at);
  assert.equal(offsetMs('America/St_Johns', at), -3.5 * 60 * MINUTE);
});

test('only names of zones are zones', () => {
  for (const name of ['UTC', 'Asia/Kolkata', 'America/Argentina/Ushuaia']) assert.equal(isTimeZone(name), true, name);
  for (const name of ['', '+05:30', 'Mars/Olympus', "UTC'; DROP TABLE events", 'x'.repeat(100)]) assert.equal(isTimeZone(name), false, name);
});
