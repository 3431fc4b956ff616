/** The judge itself: each way in which the record can be wrong is found, and what is as it should be is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal, type BegunRequest } from './journal.js';
import type { Row } from './public-api.js';
import { verdictOf } from './verdict.js';

const rowOf = (id: string, request: BegunRequest, more: Partial<Row> = {}): Row => ({
  id, time: '2026-11-21T10:00:00.000Z', app: 'plain', path: request.path ?? '', method: request.method, status: request.answer?.status ?? 0, outcome: 'answered', bytes_out: request.answer?.bytes ?? 0, requests: 1, ...more,
});
const rowsOf = (...rows: readonly Row[]): Map<string, Row[]> => {
  const byId = new Map<string, Row[]>();
  for (const row of rows) byId.set(row.id, [...byId.get(row.id) ?? [], row]);
  return byId;
};

/** Two answered, a and b, and one that was cut. */
function journal(): { readonly journal: Journal; readonly a: BegunRequest; readonly b: BegunRequest; readonly cut: BegunRequest } {
  const journal = new Journal();
  const [a, b, cut] = [journal.begin('GET', 'len/3'), journal.begin('HEAD', 'len/3'), journal.begin('GET', 'len/4')];
  journal.end(a, { status: 200, bytes: 3, id: 's-a', atMs: 1 });
  journal.end(b, { status: 200, bytes: 0, id: 's-b', atMs: 1 });
  return { journal, a, b, cut };
}
const counts = ({ lost, twice, phantom, other, stored }: ReturnType<typeof verdictOf>): readonly number[] => [lost.length, twice.length, phantom.length, other.length, stored.size];

test('every answer has one row, and what was cut has one or none', () => {
  const { journal: known, a, b, cut } = journal();
  assert.deepEqual(counts(verdictOf(known, rowsOf(rowOf('s-a', a), rowOf('s-b', b)))), [0, 0, 0, 0, 2]);
  assert.deepEqual(counts(verdictOf(known, rowsOf(rowOf('s-a', a), rowOf('s-b', b), rowOf('s-c', cut)))), [0, 0, 0, 0, 3]);
  // never routed, because its client left
  assert.deepEqual(counts(verdictOf(known, rowsOf(rowOf('s-a', a), rowOf('s-b', b), rowOf('s-c', cut, { path: '' })))), [0, 0, 0, 0, 2]);
});

test('an answer without a row is lost, also where a row of its path has another id', () => {
  const { journal: known, a, b } = journal();
  const { lost } = verdictOf(known, rowsOf(rowOf('s-a', a)));
  assert.deepEqual(lost, [b]);
  assert.deepEqual(counts(verdictOf(known, rowsOf(rowOf('s-a', a), rowOf('s-x', b)))), [1, 0, 0, 1, 2]);
});

test('an answer without an id is lost: nobody could find its row', () => {
  const known = new Journal();
  const request = known.begin('GET', 'len/1');
  known.end(request, { status: 200, bytes: 1, id: null, atMs: 1 });
  assert.deepEqual(verdictOf(known, rowsOf(rowOf('s-a', request))).lost, [request]);
});

test('two rows of one id, two ids of one request, and two answers of one id are twice', () => {
  const { journal: known, a, b, cut } = journal();
  const whole = [rowOf('s-a', a), rowOf('s-b', b)];
  assert.deepEqual(counts(verdictOf(known, rowsOf(...whole, rowOf('s-a', a)))), [0, 1, 0, 0, 2]);
  assert.deepEqual(counts(verdictOf(known, rowsOf(...whole, rowOf('s-c', cut), rowOf('s-d', cut)))), [0, 1, 0, 0, 3]);
  known.end(known.begin('GET', 'len/9'), { status: 200, bytes: 9, id: 's-a', atMs: 1 });
  assert.equal(verdictOf(known, rowsOf(...whole)).twice.length, 1);
});

test('a row that no begun request explains is a phantom', () => {
  const { journal: known, a, b, cut } = journal();
  const whole = [rowOf('s-a', a), rowOf('s-b', b)];
  for (const path of ['/c/99/len/3', `${a.path}0`, '/elsewhere']) assert.deepEqual(counts(verdictOf(known, rowsOf(...whole, rowOf('s-x', a, { path })))), [0, 0, 1, 0, 2], path);
  // one request may have made a row without a path, not two
  assert.equal(verdictOf(known, rowsOf(...whole, rowOf('s-x', cut, { path: '' }), rowOf('s-y', cut, { path: '' }))).phantom.length, 1);
});

test('a row that differs from its answer in path, method, status or bytes is found', () => {
  const { journal: known, a, b } = journal();
  for (const more of [{ path: `${a.path}/x` }, { method: 'POST' }, { status: 502 }, { bytes_out: 4 }]) {
    assert.deepEqual(counts(verdictOf(known, rowsOf(rowOf('s-a', a, more), rowOf('s-b', b)))), [0, 0, 0, 1, 2], JSON.stringify(more));
  }
});

test('the later rows of a response of more than 10 s have its later bytes: the first row may say fewer, and never more', () => {
  const known = new Journal();
  const [still, quick] = [known.begin('GET', 'slow/2156/395'), known.begin('GET', 'slow/2156/395')];
  known.end(still, { status: 200, bytes: 2156, id: 's-a', atMs: still.beganMs + 14_314 });
  known.end(quick, { status: 200, bytes: 2156, id: 's-b', atMs: quick.beganMs + 395 });
  const otherOf = (request: BegunRequest, id: string, bytes: number): number => verdictOf(known, rowsOf(rowOf(id, request, { bytes_out: bytes }))).other.length;
  assert.deepEqual([otherOf(still, 's-a', 1944), otherOf(still, 's-a', 2156), otherOf(still, 's-a', 2157), otherOf(quick, 's-b', 1944)], [0, 0, 1, 1]);
});
