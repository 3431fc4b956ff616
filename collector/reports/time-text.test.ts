/** How a time is written: days of zones whose clocks are turned, and words for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDate, parseDay, parseInstant } from './time-text.js';

/** A Saturday. */
const NOW = Date.parse('2026-11-21T10:07:31.250Z');
const at = (text: string, timeZone = 'UTC', now: number | string = NOW): string => new Date(parseInstant('from', text, { nowMs: typeof now === 'string' ? Date.parse(now) : now, timeZone })).toISOString().replace('.000Z', 'Z');
const day = (text: string, timeZone = 'UTC', now: number | string = NOW): string => {
  const { date, startMs, endMs } = parseDay('day', text, { nowMs: typeof now === 'string' ? Date.parse(now) : now, timeZone });
  return `${date} ${new Date(startMs).toISOString().slice(0, 16)} ${(endMs - startMs) / 3_600_000} h`;
};

test('a day stands for its first instant in the zone that is asked about', () => {
  assert.equal(at('2026-11-23'), '2026-11-23T00:00:00Z');
  assert.equal(at('2026-11-23', 'Asia/Kolkata'), '2026-11-22T18:30:00Z');
  assert.equal(at('2026-11-23', 'America/New_York'), '2026-11-23T05:00:00Z');
  assert.equal(at('2026-11-23', 'Pacific/Kiritimati'), '2026-11-22T10:00:00Z');
  assert.deepEqual(['today', 'yesterday', 'Saturday', 'friday', 'monday', 'sunday'].map((word) => at(word)), ['21', '20', '21', '20', '16', '15'].map((date) => `2026-11-${date}T00:00:00Z`), 'a weekday is the last one that has begun');
  // where it is Sunday already
  assert.deepEqual(['today', 'yesterday', 'sunday', 'saturday'].map((word) => at(word, 'Pacific/Kiritimati')), ['21', '20', '21', '20'].map((date) => `2026-11-${date}T10:00:00Z`));
  assert.equal(at('2026-11-21T09:00:00+05:30'), '2026-11-21T03:30:00Z');
});

test('days of 23 and 25 hours, those whose midnight does not exist, and one that was left out', () => {
  assert.equal(day('2026-03-08', 'America/New_York'), '2026-03-08 2026-03-08T05:00 23 h');
  assert.equal(day('2026-11-01', 'America/New_York'), '2026-11-01 2026-11-01T04:00 25 h');
  assert.equal(day('2026-04-05', 'Australia/Lord_Howe'), '2026-04-05 2026-04-04T13:00 24.5 h');
  assert.equal(day('2026-09-06', 'America/Santiago'), '2026-09-06 2026-09-06T04:00 23 h', 'it begins at 01:00');
  assert.throws(() => day('2011-12-30', 'Pacific/Apia'), { code: 'invalid_parameter', message: /Pacific\/Apia has no such day/ });
  assert.equal(at('2011-12-30', 'Pacific/Apia'), at('2011-12-31', 'Pacific/Apia'), 'a range begins at the next that there is');
  assert.equal(day('yesterday', 'Pacific/Apia', '2011-12-30T20:00:00Z'), '2011-12-29 2011-12-29T10:00 24 h', 'the day before the 31st');
  // the hour that comes twice
  for (const now of ['2026-11-01T05:30:00Z', '2026-11-01T06:30:00Z']) assert.equal(day('today', 'America/New_York', now), '2026-11-01 2026-11-01T04:00 25 h');
  assert.equal(day('yesterday', 'America/New_York', '2026-11-02T05:00:00Z'), '2026-11-01 2026-11-01T04:00 25 h');
  assert.equal(day('sunday', 'America/New_York', '2026-11-07T12:00:00Z'), '2026-11-01 2026-11-01T04:00 25 h', 'a week with the change in it has seven dates');
});

test('every day of a year ends where the next begins', () => {
  for (const zone of ['UTC', 'Europe/London', 'America/Santiago', 'Australia/Lord_Howe', 'Africa/Cairo', 'Asia/Kathmandu']) {
    let endMs: number | null = null;
    for (let dayMs = Date.UTC(2026, 0, 1); dayMs <= Date.UTC(2026, 11, 31); dayMs += 86_400_000) {
      const found = parseDay('day', new Date(dayMs).toISOString().slice(0, 10), { nowMs: NOW, timeZone: zone });
      if (endMs !== null) assert.equal(found.startMs, endMs, `${zone} ${found.date}`);
      endMs = found.endMs;
    }
  }
});

test('ago is so long as was said, from the end of a quarter of an hour on', () => {
  assert.deepEqual(['45m', '24h', '7d'].map((text) => at(text, 'Asia/Kolkata')), ['2026-11-21T09:23:00Z', '2026-11-20T10:15:00Z', '2026-11-14T10:15:00Z']);
});

test('local dates of bills: words are those of the zone', () => {
  const date = (text: string, timeZone: string): string => parseDate('from', text, { nowMs: NOW, timeZone });
  assert.deepEqual(['2026-11-01', 'today', 'yesterday', 'monday', '7d'].map((text) => date(text, 'Pacific/Kiritimati')), ['2026-11-01', '2026-11-22', '2026-11-21', '2026-11-16', '2026-11-15']);
});

test('what is no time is refused by name, with what may be said', () => {
  for (const text of ['', 'now', 'yesteryear', '2026-11', '2026-02-30', '2026-13-01', '0000-01-01', '2100-01-02', '1970-12-31', '99999d', '5w', '2026-11-21T09:00', '2026-11-21T25:00:00Z', ' today', '__proto__', 'constructor']) {
    assert.throws(() => at(text), (error: { code: string; parameter: string }) => error.code === 'invalid_parameter' && error.parameter === 'from', text);
  }
  assert.throws(() => at('now'), /today, yesterday, monday.*24h.*RFC 3339/);
  for (const text of ['7d', '24h', '2026-11-21T00:00:00Z', 'week']) assert.throws(() => day(text), { code: 'invalid_parameter' }, text);
});
