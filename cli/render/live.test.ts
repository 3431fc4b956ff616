import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderLive, type LiveAnswer } from './live.js';

const PLAIN = { columns: 80, colour: false, write: () => undefined };
const quota = (used: number | null, limit: number, over: 'refuse' | 'bill' = 'refuse') =>
  ({ day: '2026-11-21', time_zone: 'Asia/Kolkata', limit, used, share: used === null ? null : used / limit, over });
const LIVE: LiveAnswer = {
  site: { qps: 12.3 }, apps: { acme: { qps: 10 } }, in_flight: { site: 1234, services: {}, apps: { acme: 7 } },
  quotas: { acme: quota(82_000, 100_000), globex: quota(15, 10, 'bill'), initech: quota(null, 5) },
};

test('the quotas that are nearest to their end come first, with a bar', () => {
  assert.equal(renderLive(PLAIN, LIVE), [
    'now          12.3 requests a second, 1,234 in flight at this node',
    'quota of  day           used              of',
    'globex    2026-11-21      15  10 billed over  150 %  ████████████████████',
    'acme      2026-11-21  82,000         100,000   82 %  ████████████████▍',
    'initech   2026-11-21       -               5      -',
    '',
  ].join('\n'));
});

test('one app\'s numbers are its own, and a node without workers says nothing of what is in flight', () => {
  assert.match(renderLive(PLAIN, LIVE, ['acme']), /^now +10\.0 requests a second, 7 in flight at this node\nquota of .*\nacme .*\n$/);
  assert.equal(renderLive(PLAIN, { ...LIVE, in_flight: null, quotas: {} }), 'now          12.3 requests a second\n');
});
