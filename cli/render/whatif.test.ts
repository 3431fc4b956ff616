import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WhatifAnswer } from '../../collector/reports/whatif.js';
import type { WhatifSums } from '../../gateway/whatif/replay.js';
import type { Terminal } from './terminal.js';
import { renderWhatif } from './whatif.js';

const PLAIN: Terminal = { columns: 80, colour: false, write: () => undefined };
const NOTHING: WhatifSums = { requests: 0, admitted: 0, refused: {}, newly_refused: {}, newly_admitted: {}, as_recorded: {} };

const answer: WhatifAnswer = {
  version: '96c06b6451dd', from: '2026-11-21T09:00:00.000Z', to: '2026-11-21T10:00:00.000Z', as_of: '2026-11-21T10:07:31.250Z', complete: false, missing: ['3 events of stream x are missing'],
  totals: { requests: 12_010, admitted: 9700, refused: { rate_limited: 1200, quota_exhausted: 1100 }, newly_refused: { rate_limited: 1200, quota_exhausted: 1100 }, newly_admitted: { forbidden: 12 }, as_recorded: { unauthenticated: 10 } },
  rows: [
    { app: '', service: 'catalogue', route: 'status', ...NOTHING, requests: 10, as_recorded: { unauthenticated: 10 } },
    { app: 'acme', service: 'catalogue-of-all-that-there-is', route: 'products', ...NOTHING, requests: 12_000, admitted: 9700, newly_refused: { rate_limited: 1200, quota_exhausted: 1100 }, newly_admitted: { forbidden: 12 } },
  ],
  limits: [{ key: 'qps:app:acme', refused: 1200, at_most: 1300 }, { key: 'qps:gateway', refused: 0, at_most: 500 }],
  not_simulated: ['Limits of client addresses: the record keeps networks, not addresses, and so on and on.'],
};

test('what changes stands by app and route in 80 columns, then the rates that are reached, then what is left out', () => {
  assert.equal(renderWhatif(PLAIN, 'new.yaml', answer), `\
What new.yaml (96c06b6451dd) would have done
2026-11-21 09:00:00 to 2026-11-21 10:00:00 UTC, as of 10:07:31
incomplete:
  3 events of stream x are missing

requests 12,010, let through 9,700, refused 2,300, as recorded 10
refused that were let through 2,300: rate_limited 1,200, quota_exhausted 1,100
let through that were refused 12: forbidden 12

app   service                   route     requests  change               of them
acme  catalogue-of-all-that-t…  products    12,000  now rate_limited       1,200
                                                    now quota_exhausted    1,100
                                                    no more forbidden         12
nothing changes for 1 other

rate          refused  at most
qps:app:acme    1,200    1,300

- Limits of client addresses: the record keeps networks, not addresses, and so
  on and on.
`);
});

test('where nothing changes there is no table', () => {
  const text = renderWhatif(PLAIN, 'new.yaml', { ...answer, complete: true, missing: [], totals: NOTHING, rows: [], limits: [], not_simulated: [] });
  assert.equal(text, 'What new.yaml (96c06b6451dd) would have done\n2026-11-21 09:00:00 to 2026-11-21 10:00:00 UTC, as of 10:07:31\n\nrequests 0, let through 0, refused 0, as recorded 0\nrefused that were let through 0\nlet through that were refused 0\n');
});

test('names that would move the cursor are shown as dots', () => {
  const [row] = answer.rows;
  const text = renderWhatif(PLAIN, 'new\x1b.yaml', { ...answer, rows: [{ ...(row as (typeof answer.rows)[number]), app: 'a\x1b[2J', newly_refused: { rate_limited: 1 } }], missing: ['\x1b'], not_simulated: ['\x07'] });
  assert.ok(!/[\u0000-\u0009\u000b-\u001f]/.test(text), JSON.stringify(text));
});
