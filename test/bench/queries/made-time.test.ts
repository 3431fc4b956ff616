import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAYS, END_MS, FIRST_MS, MadeTime, QUARTER_MS, streamName, WORKERS } from './made-time.js';

test('every event has one row of one stream, and ranges of any size hold all of them once', () => {
  for (const [events, rows] of [[100_003, 7000], [1000, 1000], [17, 5], [1, 1]] as const) {
    const time = new MadeTime(events);
    const next = new Map<string, number>();
    const seen = new Set<number>();
    for (let from = 0; from < events; from += rows) {
      for (const part of time.parts(from, Math.min(events, from + rows))) {
        const stream = streamName(part.day, part.worker);
        assert.equal(part.from, next.get(stream) ?? 0, `${events} events: ${stream} goes on where it was`);
        next.set(stream, part.to);
        for (let row = part.from; row < part.to; row++) seen.add(time.indexOf(part.day, part.worker, row));
      }
    }
    assert.equal(seen.size, events);
    assert.equal(Math.max(...seen), events - 1);
  }
});

test('events come in order over 90 days, most of them in the afternoon, fewer at weekends', () => {
  const time = new MadeTime(200_000);
  const byHour = new Map<number, number>();
  let quarter = 0;
  let before = 0;
  for (let index = 0; index < time.events; index++) {
    quarter = time.quarterOf(index, quarter);
    const at = time.timeMs(index, quarter, 0.5);
    assert.ok(at >= before && at >= FIRST_MS + quarter * QUARTER_MS && at < FIRST_MS + (quarter + 1) * QUARTER_MS);
    before = at;
    const hour = new Date(at).getUTCHours();
    byHour.set(hour, (byHour.get(hour) ?? 0) + 1);
  }
  assert.ok(before < END_MS);
  assert.ok((byHour.get(14) as number) > 5 * (byHour.get(2) as number));
  const ofDay = (day: number): number => time.beforeDay(day + 1) - time.beforeDay(day);
  assert.equal(Math.round((100 * ofDay(5)) / ofDay(4)), 55);
  assert.equal(time.beforeDay(DAYS), 200_000);
});

test('streams have names of their own', () => {
  const names = Array.from({ length: DAYS * WORKERS }, (_, i) => streamName(Math.floor(i / WORKERS), i % WORKERS));
  assert.equal(new Set(names).size, DAYS * WORKERS);
  for (const name of names) assert.match(name, /^[0-9a-f]{16}$/);
});
