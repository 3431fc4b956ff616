import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_PATH_BYTES, RowEncoder } from './encoder.js';
import { sampleFacts } from './event-samples.fixture.js';
import { FRAME_HEADER_BYTES } from './frame.js';
import { encodeLabels, encodeStrings } from './labels.js';
import { decodeRows, type EventRow } from './read-rows.js';

const STREAM = 'fedcba9876543210';

function roundTrip(...rows: readonly Parameters<typeof sampleFacts>[]): EventRow[] {
  const encoder = new RowEncoder(STREAM, 'node-ü', 7);
  rows.forEach((row, seq) => { encoder.append(sampleFacts(...row), seq); });
  return [...decodeRows(encoder.rows)];
}

test('a row keeps every column', () => {
  const [row] = roundTrip([1, {
    timeMs: 1_795_260_000_123, durationUs: 86_400_000_001, upstreamUs: 17, bytesIn: 2 ** 40 + 3, bytesOut: 5, status: 599, methodId: 20, outcomeId: 12,
    protocolId: 5, kindId: 2, requests: 0, counted: 0, billable: 1, attempts: 3, client: '2001:db8::', recordedPath: '/a/b', traceId: '0af7651916cd43dd8448eb211c80319c', refusalLabel: encodeLabels('rate_limit', ''),
  }]);
  assert.deepEqual(row, {
    stream: STREAM, node: 'node-ü', worker: 7, seq: 0, ordinal: 1, timeMs: 1_795_260_000_123, durationUs: 86_400_000_001, upstreamUs: 17, bytesIn: 2 ** 40 + 3,
    bytesOut: 5, status: 599, method: 'QUERY', outcome: 'rate_limited', protocol: 'grpc', kind: 'interim', requests: 0, counted: 0, billable: 1, attempts: 3,
    configVersion: '3f2a9c01b7de', service: 'catalogue', route: 'products', app: 'acme', target: 'http://127.0.0.1:9001', client: '2001:db8::', path: '/a/b',
    traceId: '0af7651916cd43dd8448eb211c80319c', refusedBy: 'rate_limit', reason: '',
  });
});

test('numbers at their ends are kept, and what is no count becomes 0', () => {
  const most = Number.MAX_SAFE_INTEGER;
  const [largest, none, fractions] = roundTrip([most, { timeMs: -1, durationUs: most, attempts: 1000 }], [0, { durationUs: -5, upstreamUs: Number.NaN }], [2, { durationUs: 12.9, timeMs: 99.9 }]);
  assert.deepEqual([largest?.ordinal, largest?.timeMs, largest?.durationUs, largest?.attempts], [most, -1, most, 255]);
  assert.deepEqual([none?.durationUs, none?.upstreamUs], [0, 0]);
  assert.deepEqual([fractions?.durationUs, fractions?.timeMs], [12, 99]);
});

test('texts of every length and script are kept, and cut at the end of a character', () => {
  for (let length = 0; length <= 300; length++) {
    const [plain, mixed] = roundTrip([0, { recordedPath: 'p'.repeat(length) }], [1, { recordedPath: `${'p'.repeat(length)}ß` }]);
    assert.equal(plain?.path, 'p'.repeat(length));
    assert.equal(mixed?.path, `${'p'.repeat(length)}ß`);
  }
  for (const [text, kept] of [['x'.repeat(5000), 'x'.repeat(MAX_PATH_BYTES)], ['€'.repeat(400), '€'.repeat(341)], ['\ud800', '\ufffd']] as const) {
    assert.equal(roundTrip([0, { recordedPath: text }])[0]?.path, kept);
  }
  assert.equal(roundTrip([0, { client: 'c'.repeat(500) }])[0]?.client, 'c'.repeat(128));
});

test('labels longer than one byte of length are kept', () => {
  const long = 'ü'.repeat(9000);
  const [row] = roundTrip([0, {}, { target: long, app: '', service: 's'.repeat(127), route: 'r'.repeat(128) }]);
  assert.deepEqual([row?.target, row?.app, row?.service, row?.route], [long, '', 's'.repeat(127), 'r'.repeat(128)]);
  assert.deepEqual([...encodeStrings(['a', '', 'ü'])], [1, 0x61, 0, 2, 0xc3, 0xbc]);
  assert.deepEqual({ ...encodeLabels('a', '', 'ü') }, { length: 6, words: Uint32Array.of(0x0200_6101, 0xbcc3) });
});

test('a turn outgrows the buffer without losing a row, and facts that are none leave it as it was', () => {
  const encoder = new RowEncoder(STREAM, 'n', 1);
  for (let seq = 0; seq < 20_000; seq++) encoder.append(sampleFacts(seq, { recordedPath: '/p'.repeat(seq % 500) }), seq + 5);
  const { length } = encoder;
  assert.throws(() => { encoder.append({ ...sampleFacts(1), appLabel: undefined } as never, 20_005); }, TypeError);
  assert.deepEqual([encoder.length, encoder.count, encoder.firstSeq], [length, 20_000, 5]);
  let seq = 5;
  for (const row of decodeRows(encoder.rows)) assert.equal(row.seq, seq++);
  assert.equal(seq, 20_005);
  encoder.clear();
  assert.deepEqual([encoder.length, encoder.count], [FRAME_HEADER_BYTES, 0]);
  encoder.append(sampleFacts(9), 20_005);
  assert.deepEqual([...decodeRows(encoder.rows)].map((row) => [row.seq, row.ordinal]), [[20_005, 9]]);
});
