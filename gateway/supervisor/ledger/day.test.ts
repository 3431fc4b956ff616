import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { dayAt, dayName } from './day.js';

const HOUR = 3_600_000;
const hours = (zone: string, instant: string): number => {
  const day = dayAt(zone, Date.parse(instant));
  return (day.endMs - day.startMs) / HOUR;
};
const iso = (ms: number): string => new Date(ms).toISOString();

test('a day in UTC', () => {
  assert.deepEqual(dayAt('UTC', Date.parse('2026-11-21T12:00:00Z')), {
    name: '2026-11-21', startMs: Date.parse('2026-11-21T00:00:00Z'), endMs: Date.parse('2026-11-22T00:00:00Z'),
  });
  assert.equal(dayName('UTC', Date.parse('2026-11-21T23:59:59.999Z')), '2026-11-21');
  assert.equal(dayName('UTC', Date.parse('2026-11-22T00:00:00Z')), '2026-11-22');
});

test('zones at half and quarter hours', () => {
  assert.equal(iso(dayAt('Asia/Kolkata', Date.parse('2026-11-21T12:00:00Z')).startMs), '2026-11-20T18:30:00.000Z');
  assert.equal(iso(dayAt('Asia/Kathmandu', Date.parse('2026-11-21T12:00:00Z')).startMs), '2026-11-20T18:15:00.000Z');
  assert.equal(iso(dayAt('Pacific/Chatham', Date.parse('2026-06-21T12:00:00Z')).startMs), '2026-06-21T11:15:00.000Z');
  assert.equal(dayAt('Pacific/Kiritimati', Date.parse('2026-11-21T12:00:00Z')).name, '2026-11-22');
});

test('days of 23, 24.5 and 25 hours', () => {
  assert.equal(hours('Europe/Berlin', '2026-03-29T12:00:00Z'), 23);
  assert.equal(hours('Europe/Berlin', '2026-10-25T12:00:00Z'), 25);
  assert.equal(hours('Australia/Lord_Howe', '2026-04-05T02:00:00Z'), 24.5);
});

test('a midnight that does not exist: the day begins at one o\'clock', () => {
  const day = dayAt('America/Santiago', Date.parse('2026-09-06T12:00:00Z'));
  assert.equal(day.name, '2026-09-06');
  assert.equal(iso(day.startMs), '2026-09-06T04:00:00.000Z');
  assert.equal((day.endMs - day.startMs) / HOUR, 23);
});

test('a skipped day has no instant, and its neighbours meet', () => {
  const before = dayAt('Pacific/Apia', Date.parse('2011-12-30T09:59:59Z'));
  const after = dayAt('Pacific/Apia', Date.parse('2011-12-30T10:00:00Z'));
  assert.equal(before.name, '2011-12-29');
  assert.equal(after.name, '2011-12-31');
  assert.equal(before.endMs, after.startMs);
});

test('clocks set back across midnight: the day that has begun goes on', () => {
  // St. John's, 2006-10-29 00:01 -> 2006-10-28 23:01
  const day = dayAt('America/St_Johns', Date.parse('2006-10-29T03:00:00Z'));
  assert.equal(day.name, '2006-10-29');
  assert.equal(iso(day.startMs), '2006-10-29T02:30:00.000Z');
});

test('an unknown zone is refused with its name', () => {
  assert.throws(() => dayAt('Mars/Olympus', 0), (error: unknown) => error instanceof TidegateError && error.code === 'config_value');
});

test('every zone: days partition time, and agree with the local date', () => {
  // an independent reading of the local date: Swedish writes ISO dates
  for (const zone of [...Intl.supportedValuesOf('timeZone'), 'UTC']) {
    const local = new Intl.DateTimeFormat('sv-SE', { timeZone: zone });
    for (const start of ['2026-03-07T00:00:00Z', '2026-10-23T23:59:59.999Z']) {
      let day = dayAt(zone, Date.parse(start));
      assert.ok(day.startMs <= Date.parse(start) && Date.parse(start) < day.endMs, zone);
      for (let i = 0; i < 3; i++) {
        for (const instant of [day.startMs, (day.startMs + day.endMs) / 2, day.endMs - 1]) {
          assert.equal(local.format(instant), day.name, `${zone} ${iso(instant)}`);
          assert.equal(dayName(zone, instant), day.name);
        }
        const next = dayAt(zone, day.endMs);
        assert.equal(next.startMs, day.endMs, zone);
        assert.ok(next.name > day.name, zone);
        day = next;
      }
    }
  }
});

test('odd zones, hour by hour through a year of changes', () => {
  const years: readonly (readonly [string, number])[] = [
    ['America/Santiago', 2026], ['America/Sao_Paulo', 2017], ['Asia/Tehran', 2021], ['Africa/Casablanca', 2026], ['Asia/Beirut', 2026],
    ['America/Havana', 2026], ['Asia/Amman', 2021], ['Pacific/Apia', 2011], ['Atlantic/Azores', 2026], ['Africa/Cairo', 2026], ['Asia/Gaza', 2026],
  ];
  for (const [zone, year] of years) {
    const local = new Intl.DateTimeFormat('sv-SE', { timeZone: zone });
    let previous = '';
    for (let instant = Date.UTC(year, 0, 1); instant < Date.UTC(year + 1, 0, 1); instant += HOUR) {
      const name = dayName(zone, instant);
      assert.ok(name >= previous, `${zone} went back at ${iso(instant)}`);
      assert.ok(name >= local.format(instant), `${zone} ${iso(instant)}`);
      if (name !== local.format(instant)) assert.equal(name, previous, `${zone} ${iso(instant)}`);
      previous = name;
    }
  }
});
