import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderRequests } from './requests.js';

const PLAIN = { columns: 110, colour: false, write: () => undefined };
const RANGE = { as_of: '2026-11-21T10:07:30Z', from: '2026-11-20T10:15:00Z', to: '2026-11-21T10:15:00Z' };
const call = { id: '00000000000000ab-1', time: '2026-11-21T09:00:01.234Z', app: 'acme', service: 'shop', route: 'items', method: 'GET', status: 503, outcome: 'answered', kind: 'request', path: '', duration_us: 12_345 };

test('a call is a line, and what is behind the last one is said', () => {
  const text = renderRequests(PLAIN, { ...RANGE, rows: [{ ...call, reason: '' }, { ...call, app: '', service: '', route: '', status: 0, outcome: 'client_aborted', id: '00000000000000ab-0' }], next: 'abc' });
  assert.equal(text, [
    'time (UTC)      app   route       method  status    ms  outcome         id',
    '11-21 09:00:01  acme  shop/items  GET        503  12.3  answered        00000000000000ab-1',
    '11-21 09:00:01  -     -           GET          -  12.3  client_aborted  00000000000000ab-0',
    'More: --cursor abc', '',
  ].join('\n'));
  assert.equal(renderRequests(PLAIN, { ...RANGE, rows: [{ ...call, kind: 'import', path: '/items/1' }, call], next: null }), [
    'time (UTC)       app   route       method  path      status    ms  outcome   id',
    '11-21 09:00:01*  acme  shop/items  GET     /items/1     503  12.3  answered  00000000000000ab-1',
    '11-21 09:00:01   acme  shop/items  GET     -            503  12.3  answered  00000000000000ab-1',
    '* imported from a log, no request that this gateway served', '',
  ].join('\n'));
  assert.match(renderRequests(PLAIN, { ...RANGE, rows: [{ ...call, status: 401, outcome: 'unauthenticated', reason: 'unknown_kid' }], next: null }), / unauthenticated: unknown_kid +00000000000000ab-1\n/);
  assert.equal(renderRequests(PLAIN, { ...RANGE, rows: [], next: null }), `No call of this kind from ${RANGE.from} to ${RANGE.to}.\n`);
});
