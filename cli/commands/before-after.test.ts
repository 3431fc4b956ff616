import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HistoryEntry } from '../../gateway/config/history.js';
import { changeWindow } from './before-after.js';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const entry = (version: string, time: string, source = 'file'): HistoryEntry => ({ version, time, source, author: '', diff: [], more: 0 });
/** Newest first. A start with what was in force is no change. */
const HISTORY = [
  entry('cccc11112222', '2026-11-21T11:50:00Z'), entry('bbbb11112222', '2026-11-21T09:30:00Z', 'start'), entry('bbbb11112222', '2026-11-21T09:00:00Z'),
  entry('aaaa11112222', '2026-11-10T00:00:00Z'), entry('bbbb11112222', '2026-11-09T00:00:00Z'), entry('9999', '2026-11-08T23:59:59.500Z', 'start'),
];

test('a change is compared for as long as both versions were in force, a day at most', () => {
  assert.deepEqual(changeWindow(HISTORY, '', NOW), { version: 'cccc11112222', previous: 'bbbb11112222', changeMs: Date.parse('2026-11-21T11:50:00Z'), lengthMs: 600_000, sinceMs: Date.parse('2026-11-21T09:00:00Z'), untilMs: NOW });
  // of a version that came back, the last time
  assert.deepEqual(changeWindow(HISTORY, 'bbbb', NOW), { version: 'bbbb11112222', previous: 'aaaa11112222', changeMs: Date.parse('2026-11-21T09:00:00Z'), lengthMs: 10_200_000, sinceMs: Date.parse('2026-11-10T00:00:00Z'), untilMs: Date.parse('2026-11-21T11:50:00Z') });
  assert.deepEqual(changeWindow(HISTORY, 'aaaa11112222', NOW), { version: 'aaaa11112222', previous: 'bbbb11112222', changeMs: Date.parse('2026-11-10T00:00:00Z'), lengthMs: 86_400_000, sinceMs: Date.parse('2026-11-09T00:00:00Z'), untilMs: Date.parse('2026-11-21T09:00:00Z') });
});

test('what cannot be compared is refused in words', () => {
  for (const [entries, wanted, nowMs, why] of [
    [[], '', NOW, /the history is empty/], [HISTORY, 'dddd', NOW, /no change to a version dddd is among the last 6 entries/], [HISTORY, '9999', NOW, /9999 is the oldest version/],
    [HISTORY.slice(0, 3), '', Date.parse('2026-11-21T11:50:00.400Z'), /bbbb11112222 was in force for 10200 s and cccc11112222 for 0 s/], [HISTORY.slice(4), 'bbbb', Date.parse('2026-11-10T00:00:00Z'), /9999 was in force for 0 s/],
  ] as const) {
    assert.throws(() => changeWindow(entries, wanted, nowMs), (error: Error & { code: string }) => error.code === 'invalid_parameter' && why.test(error.message), String(why));
  }
});
