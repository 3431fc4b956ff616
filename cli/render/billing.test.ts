import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToldDay } from '../../collector/billing/billing.js';
import { renderDays } from './billing.js';

const PLAIN = { columns: 120, colour: false, write: () => undefined };
const entry = (app: string, customer: string, day: string, billable: number, more: Partial<ToldDay> = {}): ToldDay => ({
  entry_id: 'x', kind: 'usage', customer, app, day, for_day: day, time_zone: 'UTC', day_start: '', day_end: '', received: Math.abs(billable), refused: 0, requests: billable, billable,
  quota: null, over_quota: 0, status: 'closed', complete: true, reason: '', checksum: 'y', ...more,
});
const render = (days: readonly ToldDay[], all = false): string => renderDays(PLAIN, { from: '2026-10-31', to: '2026-11-04', days }, all);

test('each customer\'s months are summed, whatever its apps; days of nothing are shown when asked for', () => {
  const days = [
    entry('acme', 'C-1', '2026-10-31', 5), entry('acme', 'C-1', '2026-11-01', 1000, { over_quota: 7 }), entry('beta', 'C-1', '2026-11-01', 20), entry('zeta', '', '2026-11-01', 0), entry('eta', '', '2026-11-01', 11),
    entry('acme', 'C-1', '2026-11-02', -400, { kind: 'credit', for_day: '2026-11-01', received: 0, requests: 0 }), entry('quiet', 'C-2', '2026-11-02', 0),
    entry('acme', 'C-1', '2026-11-03', 3, { status: 'closing', complete: false, reasons: ['its record is not whole'] }), entry('acme', 'C-1', '2026-11-03', -20, { kind: 'credit', for_day: '2026-11-01', requests: 0, status: 'open' }), entry('quiet', 'C-2', '2026-11-03', 0, { status: 'open', complete: false }),
  ];
  assert.equal(render(days), [
    'day         app   entry                  requests  refused  billable  of it over  status',
    '2026-10-31  acme  usage                         5        0         5           0  closed',
    '2026-11-01  acme  usage                     1,000        0     1,000           7  closed',
    '2026-11-01  beta  usage                        20        0        20           0  closed',
    '2026-11-01  eta   usage                        11        0        11           0  closed',
    '2026-11-02  acme  credit for 2026-11-01         0        0      -400           0  closed',
    '2026-11-03  acme  usage                         3        0         3           0  closing',
    '2026-11-03  acme  credit for 2026-11-01         0        0       -20           0  open',
    '3 days of nothing are not shown: --all', '',
    'bill of  month    apps        requests  refused  billable  of it over  not closed',
    'C-1      2026-10  acme               5        0         5           0  none',
    'C-1      2026-11  acme, beta     1,023        0       603           7  1 day, 1 credit',
    'C-2      2026-11  quiet              0        0         0           0  1 day',
    'eta      2026-11  eta               11        0        11           0  none',
    'zeta     2026-11  zeta               0        0         0           0  none',
    'billable in closed days: 636; not closed, so far: -17 (2 days, 1 credit)', '2026-11-03 of acme: its record is not whole', '',
  ].join('\n'));
  assert.equal(render(days, true).match(/^2026-/gm)?.length, 11);
});

test('a day of nothing that was closed with a gap, or waits, is not hidden with the others', () => {
  const gap = entry('acme', 'C-1', '2026-11-01', 0, { complete: false, reason: 'disk lost' });
  assert.match(render([gap]), /^2026-11-01 +acme .* closed, incomplete$/m);
  assert.match(render([entry('acme', 'C-1', '2026-11-02', 0, { status: 'closing', complete: false, reasons: ['its record is not whole'] })]), /^2026-11-02 +acme +usage .* closing$[^]*2026-11-02 of acme: its record is not whole\n$/m);
  assert.match(render([entry('acme', 'C-1', '2026-11-02', 5, { notes: [{ at: '2026-11-03T09:00:07.000Z', note: 'host 7 \u001b[31m' }] })]), /\n2026-11-02 of acme, noted 2026-11-03T09:00Z: host 7 \S*\[31m\n$/);
  assert.equal(render([]), 'No app had a day from 2026-10-31 up to 2026-11-04.\n');
});
