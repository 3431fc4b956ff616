/** Lines of logs as servers write them, and as they should not be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { METHODS, PROTOCOLS } from '../event.js';
import { parseCombined } from './combined-line.js';
import { parseJsonLine } from './json-line.js';
import { recordedClient } from '../../listeners/http/recorded-client.js';
import { LogRow } from './log-row.js';
import { ClfClock } from './log-time.js';

const clock = new ClfClock();
const rowOf = (): LogRow => new LogRow({ service: 'site', app: null, keepsPath: true, recordedClient: recordedClient('prefix', null) });

/** The row, or why there is none. Bytes in front and behind must not matter. */
function combined(line: string, cut = false): LogRow | string {
  const row = rowOf();
  const text = Buffer.from(`"[${line}" 9 9`, 'latin1');
  return parseCombined(text, 2, 2 + Buffer.byteLength(line, 'latin1'), cut, row, clock) ?? row;
}

function json(line: unknown): LogRow | string {
  const row = rowOf();
  const text = Buffer.from(typeof line === 'string' ? line : JSON.stringify(line));
  return parseJsonLine(text, 0, text.length, row, clock) ?? row;
}

const facts = (row: LogRow | string): unknown => (typeof row === 'string' ? row : [row.client, new Date(row.timeMs).toISOString(), row.methodId, row.recordedPath, row.protocolId, row.status, row.bytesOut]);
const whole = '203.0.113.9 - frank [10/Oct/2000:13:55:36 -0700] "GET /a/b?c=1 HTTP/1.0" 200 2326 "http://r/" "agent"';

test('the combined format, and the common one, as nginx and Apache write them', () => {
  const expected = ['203.0.113.0/24', '2000-10-10T20:55:36.000Z', METHODS.GET, '/a/b', PROTOCOLS['http/1.0'], 200, 2326];
  assert.deepEqual(facts(combined(whole)), expected);
  assert.deepEqual(facts(combined(whole.slice(0, whole.indexOf(' "http')))), expected, 'common');
  assert.deepEqual(facts(combined(`${whole} "extra" 0.123`)), expected, 'what follows is not read');
  assert.deepEqual(facts(combined(whole.replace('frank', 'John [x] Doe'))), expected, 'a user with spaces and brackets');
  const row = combined(whole) as LogRow;
  assert.deepEqual([row.requests, row.counted, row.billable, row.durationUs, row.kindId, row.outcomeId], [1, 0, 0, 0, 3, 1]);
});

test('clients, methods, versions and paths', () => {
  const field = (from: string, to: string): LogRow => combined(whole.replace(from, to)) as LogRow;
  assert.equal(field('203.0.113.9', '2001:db8:1:2::7').client, '2001:db8:1::/48');
  assert.equal(field('203.0.113.9', '::ffff:203.0.113.9').client.length > 0, true);
  assert.equal(field('203.0.113.9', 'host.example.com').client, '', 'a name is no network');
  assert.equal(field('GET', 'BREW').methodId, METHODS.other);
  assert.equal(field('GET', 'PROPPATCH').methodId, METHODS.PROPPATCH);
  for (const [version, id] of [['HTTP/1.1', PROTOCOLS['http/1.1']], ['HTTP/2.0', PROTOCOLS.h2], ['HTTP/2', PROTOCOLS.h2], ['HTTP/3.0', PROTOCOLS.h2], ['HTTP/0.9', PROTOCOLS['http/1.0']]] as const) {
    assert.equal(field('HTTP/1.0', version).protocolId, id, version);
  }
  assert.equal(field('/a/b?c=1', '/say\\x22hi\\x22/%7euser').recordedPath, '/say%22hi%22/~user');
  assert.equal(field('/a/b?c=1', '/say \\"hi\\" twice').recordedPath, '', 'a path with spaces is none');
  assert.equal(field('/a/b?c=1', 'http://host:81/p/q?r').recordedPath, '/p/q');
  assert.equal(field('/a/b?c=1', '/back\\\\slash').recordedPath, '');
  assert.equal(field('/a/b?c=1', `/${'x'.repeat(5000)}`).recordedPath.length, 5001, 'the encoder cuts it');
});

test('a request line that is none was a request all the same', () => {
  for (const line of ['-', '', '\\x16\\x03\\x01', 'GET', '\\x22\\\\']) {
    const row = combined(whole.replace('GET /a/b?c=1 HTTP/1.0', line).replace(' 200 2326', ' 400 -'));
    assert.deepEqual(facts(row), ['203.0.113.0/24', '2000-10-10T20:55:36.000Z', METHODS.other, '', PROTOCOLS['http/1.1'], 400, 0], line);
  }
  assert.equal((combined(whole.replace(' 200 ', ' - ')) as LogRow).status, 0);
});

test('lines that are none of a log, and why', () => {
  const bad: readonly (readonly [line: string, why: RegExp])[] = [
    ['hello', /no fields/], ['', /no fields/], [' - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.1" 200 1', /no fields/],
    ['a - - "GET / HTTP/1.1" 200 1', /no time/], [whole.replace('10/Oct', '31/Feb'), /no time/], [whole.replace('Oct', 'Okt'), /no time/], [whole.replace('13:55:36', '24:00:00'), /no time/],
    [whole.replace('13:55:36', '13-55:36'), /no time/], [whole.replace('-0700', '0700+'), /no time/], [whole.replace('2000', '1969'), /before 1971/], [whole.replace('2000', '2345'), /after 2099/],
    [whole.replace('"GET', 'GET'), /no request line/], [whole.slice(0, whole.indexOf(' HTTP')), /do not close/], [whole.slice(0, whole.indexOf(' 200')), /no status/],
    [whole.replace(' 200 ', ' 20 '), /three digits/], [whole.replace(' 200 ', ' 2000 '), /three digits/], [whole.replace(' 200 ', ' ok '), /three digits/],
    [whole.slice(0, whole.indexOf(' 2326')), /no bytes/], [whole.replace('2326', 'many'), /bytes are no number/], [whole.replace('2326', '23x'), /bytes are no number/], [whole.replace('2326', '9'.repeat(20)), /bytes are no number/],
    [whole.replace('2326', '-5'), /bytes are no number/],
  ];
  for (const [line, why] of bad) assert.match(String(facts(combined(line))), why, line);
});

test('a line that the file ends within may go on: it is taken only if it is whole', () => {
  assert.notEqual(typeof combined(whole, true), 'string');
  for (let end = whole.length - 1; end > 0; end--) {
    const some = combined(whole.slice(0, end), true);
    // behind the bytes, where quotes are closed, the line is as good as whole
    const between = /" 200 2326 ("http:\/\/r\/" ?)?$/.test(whole.slice(0, end));
    assert.equal(typeof some === 'string', !between, whole.slice(0, end));
  }
});

test('times of many days and zones in turn, each read as if it stood alone', () => {
  const times = [['01/Jan/2016:00:00:00 +0000', '2016-01-01T00:00:00Z'], ['31/Dec/2015:23:59:59 +0545', '2015-12-31T18:14:59Z'], ['29/Feb/2016:12:00:00 -0330', '2016-02-29T15:30:00Z'], ['30/Jun/2015:23:59:60 +0000', '2015-07-01T00:00:00Z']] as const;
  for (let i = 0; i < 40; i++) {
    const [written, instant] = times[(i * 7 + (i >> 2)) % times.length] as (typeof times)[number];
    assert.equal((combined(whole.replace('10/Oct/2000:13:55:36 -0700', written)) as LogRow).timeMs, Date.parse(instant), written);
  }
});

test('JSON as nginx and others name it, with durations by the name of the field', () => {
  const nginx = json({
    time_iso8601: '2015-05-17T12:05:03+02:00', remote_addr: '203.0.113.9', request_method: 'POST', request_uri: '/a/b?c', server_protocol: 'HTTP/2.0', status: '201', body_bytes_sent: '512',
    request_length: '800', request_time: '0.250', upstream_response_time: '0.100, - : 0.120',
  }) as LogRow;
  assert.deepEqual(facts(nginx), ['203.0.113.0/24', '2015-05-17T10:05:03.000Z', METHODS.POST, '/a/b', PROTOCOLS.h2, 201, 512]);
  assert.deepEqual([nginx.bytesIn, nginx.durationUs, nginx.upstreamUs], [800, 250_000, 220_000]);
  const other = json({ ts: 1431857103.5, ip: '2001:db8::1', request: 'GET /x?y HTTP/1.0', status: 404, size: 7, latency_ms: 12.5, app: 'acme', route: 'products' }) as LogRow;
  assert.deepEqual(facts(other), ['2001:db8:0::/48', '2015-05-17T10:05:03.500Z', METHODS.GET, '/x', PROTOCOLS['http/1.0'], 404, 7]);
  assert.deepEqual([other.durationUs, other.appName], [12_500, 'acme']);
  assert.deepEqual([(json({ time: 1431857103, status: 200, request_time: '0.000' }) as LogRow).durationUs, (json({ time: 1431857103, status: 200, request_time: '-' }) as LogRow).durationUs], [2, 0], 'no duration, and one of nearly nothing');
  for (const time of [1431857103000, '1431857103000', 1431857103, '1431857103.000', '2015-05-17 10:05:03Z', '2015-05-17T15:50:03.000+0545', '17/May/2015:10:05:03 +0000']) {
    assert.equal((json({ time, status: 200 }) as LogRow).timeMs, Date.parse('2015-05-17T10:05:03Z'), String(time));
  }
  const given = new LogRow({ service: 'site', app: 'mine', keepsPath: false, recordedClient: recordedClient('prefix', null) });
  const text = Buffer.from('{"time":1431857103,"status":200,"app":"theirs","uri":"/secret"}');
  parseJsonLine(text, 0, text.length, given, clock);
  assert.deepEqual([given.appName, given.recordedPath], ['mine', ''], 'what the command says goes before the line');
});

test('JSON that is no line of a log, and why', () => {
  const bad: readonly (readonly [line: unknown, why: RegExp])[] = [
    ['{"time":1', /no JSON/], ['[1]', /no JSON object/], [{ status: 200 }, /no time/], [{ time: '2015-05-17T10:05:03', status: 200 }, /names its zone/], [{ time: 1, status: 200 }, /before 1971/],
    [{ time: true, status: 200 }, /names its zone/], [{ time: 1431857103 }, /no status/], [{ time: 1431857103, status: 'OK' }, /no status/], [{ time: 1431857103, status: 200.5 }, /no status/],
    [{ time: 1431857103, status: 200, app: 'a\nb' }, /no name/], [{ time: 1431857103, status: 200, route: 7 }, /no name/],
  ];
  for (const [line, why] of bad) assert.match(String(facts(json(line))), why, JSON.stringify(line));
  const odd = json({ time: 1431857103, status: 200, bytes: -1, request_time: 'soon', request_time_ms: 1e300, __proto__: { method: 'GET' } }) as LogRow;
  assert.deepEqual([odd.bytesOut, odd.durationUs, odd.methodId], [0, 0, METHODS.other]);
});
