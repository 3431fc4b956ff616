/** The judge itself: every way in which a line can be wrong is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MatchedRequest } from '../matched-load.js';
import { faultsOf, match, p99Ms, tableOf, type FaultLine, type StoredRequest } from './fault-table.js';

const answered = (status = 200, code: string | null = null): MatchedRequest => ({ app: 'north', bytes: 7, answered: { status, bytes: 7, code, tookMs: 2 } });
const stored = (path: string, more: Partial<StoredRequest> = {}): StoredRequest => ({ path, app: 'north', bytes: 7, status: 200, rows: 1, requests: 1, ...more });
const lineOf = (begun: readonly (readonly [string, MatchedRequest])[], rows: readonly StoredRequest[], more: Partial<FaultLine> = {}): FaultLine => ({
  ...match(new Map(begun), rows), fault: 'a fault', failure: null, upstream: begun.length, rollupsOff: 0, lagSeconds: 0.4, toldLagSeconds: 0.3, recoverSeconds: 1, calmP99Ms: 3, duringP99Ms: 4, ...more,
});
const A = ['/a', answered()] as const;
const B = ['/b', answered()] as const;
const CUT = ['/b', { app: 'north', bytes: 7, answered: null }] as const;

test('a line where all three counts are the same is as it should be', () => {
  assert.deepEqual(faultsOf(lineOf([A, B], [stored('/a'), stored('/b')]), false, 0.01), []);
});

test('lost, twice, otherwise than answered, never begun, rollups, and a store that never had it all: each is told, whatever may be cut', () => {
  const told = (line: FaultLine): string => faultsOf(line, true, 0.01).join('\n');
  assert.match(told(lineOf([A, B], [stored('/a')])), /^1 lost\n\/b: answered 200, and not stored$/);
  assert.match(told(lineOf([A], [stored('/a', { rows: 2, requests: 2, bytes: 14 })])), /^1 stored twice\n/);
  assert.match(told(lineOf([A], [stored('/a', { bytes: 8 })])), /stored north 200 8, received north 200 7/);
  assert.match(told(lineOf([A], [stored('/a', { app: 'south' })])), /stored south 200 7/);
  assert.match(told(lineOf([A], [stored('/a'), stored('/x')])), /\/x: stored, and never begun/);
  assert.match(told(lineOf([A], [stored('/a')], { rollupsOff: 2 })), /2 groups of rollups differ/);
  assert.match(told(lineOf([A], [stored('/a')], { recoverSeconds: null })), /never all stored/);
  assert.match(told(lineOf([A], [stored('/a')], { upstream: 0 })), /1 answered 200, and the upstream has seen 0/);
  assert.match(told(lineOf([A], [stored('/a')], { failure: 'Error: no worker runs' })), /no worker runs/);
  assert.match(told(lineOf([CUT], [])), /nothing was answered/);
});

test('what clients may notice is told only where they may not, and not of a machine that is late by itself', () => {
  const cut = lineOf([A, CUT], [stored('/a')]);
  assert.deepEqual(faultsOf(cut, true, 0.01), []);
  assert.match(faultsOf(cut, false, 0.01).join('\n'), /1 cut, none\n2 begun, 2 at the upstream, 1 stored/);
  const refused = lineOf([A, ['/b', answered(503, 'ledger_unavailable')]], [stored('/a'), stored('/b', { status: 503 })], { upstream: 1 });
  assert.match(faultsOf(refused, false, 0.01).join('\n'), /0 cut, 1 x 503 ledger_unavailable/);
  const slow = { ...refused, calmP99Ms: 900 };
  assert.deepEqual(faultsOf(slow, false, 0.01), [], 'a machine that is late by itself');
  assert.match(faultsOf({ ...slow, upstream: 2 }, false, 0.01).join('\n'), /2 begun, 2 at the upstream, 2 stored/);
  assert.match(faultsOf({ ...cut, calmP99Ms: 900 }, false, 0.01).join('\n'), /1 cut/);
  const others = Array.from({ length: 99 }, (_, i) => `/${i}`);
  const few = (code: string): FaultLine => lineOf([...others.map((path) => [path, answered()] as const), ['/b', answered(503, code)]], [...others.map((path) => stored(path)), stored('/b', { status: 503 })], { upstream: 99 });
  assert.deepEqual(faultsOf(few('ledger_unavailable'), false, 0.01), [], 'one of a hundred came too late for the ledger');
  assert.notDeepEqual(faultsOf(few('internal_error'), false, 0.01), []);
  assert.match(tableOf('the title', [refused]), /^the title\nfault .*\na fault .* 0 {2}1 x 503 ledger_unavailable$/s);
});

test('p99 is of answers only', () => {
  const took = (tookMs: number): MatchedRequest => ({ app: 'north', bytes: 1, answered: { status: 200, bytes: 1, code: null, tookMs } });
  assert.equal(p99Ms([...Array.from({ length: 200 }, (_, i) => took(i + 1)), CUT[1]]), 198);
  assert.equal(p99Ms([CUT[1]]), null);
});
