import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderHtml } from './html-report.js';
import type { TrafficAnswer, TrafficAnswerRow, TrafficView } from './traffic.js';

const row = (requests: number, more: Partial<TrafficAnswerRow> = {}): TrafficAnswerRow => ({
  time: '2026-11-20T00:00:00Z', requests, errors: 0, refused: 0, bytes_in: 0, bytes_out: requests * 5300, duration_ms: { avg: 9.871, p50: 4.12, p90: 18.5, p95: 41.02, p99: 1204 }, ...more,
});
const answer = (interval: TrafficAnswer['interval'], rows: readonly TrafficAnswerRow[], more: Partial<TrafficAnswer> = {}): TrafficAnswer => ({
  as_of: '2026-11-21T15:37:30Z', from: '2026-11-20T00:00:00Z', to: '2026-11-21T00:00:00Z', interval, time_zone: 'UTC', complete: true, missing: [], rows, ...more,
});
const view = (more: Partial<TrafficView> = {}): TrafficView => ({
  subject: 'app acme', groupBy: ['service', 'path'], top: 2, total: answer('total', [row(3000, { errors: 12 })]),
  series: answer('hour', [row(2000, { time: '2026-11-20T03:00:00Z', errors: 500 }), row(1000, { time: '2026-11-20T04:00:00Z' })]),
  table: answer('total', [row(2990, { service: 'shop', path: '/cart' }), row(9, { service: '', path: '' }), row(1, { service: null, path: null, others: true })], { paths_from: '2026-11-20T02:00:00Z' }), ...more,
});

test('a report as a page: numbers, drawing and table are those of the answers', () => {
  const page = renderHtml(view());
  assert.match(page, /<title>Traffic of app acme, 2026-11-20 00:00 to 2026-11-21 00:00<\/title>/);
  assert.match(page, /<dt>requests<\/dt><dd>3,000<\/dd>/);
  assert.match(page, /<dt>errors<\/dt><dd class="bad">12 \(0.4 %\)<\/dd>/);
  assert.match(page, /<dt>bytes in<\/dt><dd>0 B<\/dd><\/div>\n?<div><dt>bytes out<\/dt><dd>16 MB<\/dd>/);
  assert.match(page, /<th class="n">bytes out<\/th>/);
  const bars = [...page.matchAll(/<rect class="(bar|err)" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"><title>([^<]*)</g)].map((match) => match.slice(1));
  // 890 units of width for 24 hours, 200 of height for the highest
  assert.deepEqual(bars, [
    ['bar', '181.25', '0', '200', '2026-11-20 03:00: 2,000 requests, 500 errors'], ['err', '181.25', '150', '50', '2026-11-20 03:00: 2,000 requests, 500 errors'],
    ['bar', '218.33', '100', '100', '2026-11-20 04:00: 1,000 requests, 0 errors'],
  ]);
  assert.deepEqual([...page.matchAll(/<tr><td>(.*)<\/td><\/tr>/g)].map(([, cells]) => cells?.split(/<\/td><td[^>]*>/).slice(0, 3)), [['shop', '/cart', '2,990'], ['-', '-', '9'], ['all others', '', '1']]);
  assert.match(page, /paths are recorded from 2026-11-20 02:00 on/);
  const minutes = answer('minute', Array.from({ length: 1440 }, (_, minute) => row(1, { time: `2026-11-20T${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}:00Z` })));
  const many = renderHtml(view({ series: minutes, groupBy: [] }));
  assert.deepEqual([[...many.matchAll(/: 6 requests/g)].length, /each bar 6 minutes/.test(many), many.includes('<table>')], [240, true, false], 'nothing is left out');
});

test('a page says what it lacks, and what it is compared with', () => {
  const total = answer('total', [row(3000, { errors: 3, previous: { ...row(1500), time: '' } })], { clipped: true, recorded_from: '2026-11-20T08:30:00Z', complete: false, missing: ['stream x: 3 events were dropped'], previous: { from: '2026-11-19T00:00:00Z', to: '2026-11-20T00:00:00Z' } });
  const page = renderHtml(view({ total }));
  assert.match(page, /recorded from 2026-11-20 08:30 on.*\n.*The whole range is not kept.*\n.*Incomplete: stream x: 3 events were dropped/);
  assert.match(page, /<dd>3,000<small>before 1,500 \(\+100 %\)<\/small>/);
  const none = renderHtml(view({ total: answer('total', []), series: answer('hour', []), table: answer('total', []) }));
  assert.match(none, /<dt>requests<\/dt><dd>0</);
  assert.match(page, /as of 2026-11-21 15:37, compared with 2026-11-19 00:00 to 2026-11-20 00:00<\/p>/);
  const unrecorded = { recorded: false as const, recorded_from: '2026-11-22T08:30:00Z' };
  const before = renderHtml(view({ total: answer('total', [], unrecorded), series: answer('hour', []), table: answer('total', []) }));
  assert.match(before, /<p class="warn">not recorded: the record begins 2026-11-22 08:30<\/p>\n<\/body>/);
  assert.doesNotMatch(before, /<dt>|<svg/);
  assert.match(renderHtml(view({ total: answer('total', [row(3000)], unrecorded) })), /not recorded: [^]*<dt>requests<\/dt><dd>3,000</, 'lines of an imported log');
});

test('a page asks no host for anything, and what others named is text in it', () => {
  const hostile = `<script>alert(1)</script>"'&<img src=//evil.example/x onerror=alert(2)>`;
  const page = renderHtml(view({
    subject: `app ${hostile}`, groupBy: ['path', hostile], table: answer('total', [row(1, { path: hostile, [hostile]: hostile })]), total: answer('total', [row(1)], { complete: false, missing: [hostile], time_zone: hostile }),
  }));
  for (const form of [/<script/i, /<img/i, /\bsrc=(?!\/\/evil)/i, /<[^>]*\bhref=/i, /url\(/i, /@import/i, /<(?:link|iframe|object|embed|base|form)\b/i, /<[^>]*\son\w+=/i]) assert.doesNotMatch(page, form);
  assert.ok(page.includes('&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#38;&#60;img'));
  assert.match(page, /http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/);
  assert.match(page, /prefers-color-scheme: dark/);
  // every tag that opens closes
  const open: string[] = [];
  for (const [, end, name = '', self] of page.replace(/<!DOCTYPE html>/, '').matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*?(\/?)>/g)) {
    if (name === 'meta' || self === '/') continue;
    if (end === '/') assert.equal(open.pop(), name);
    else open.push(name);
  }
  assert.deepEqual(open, []);
});
