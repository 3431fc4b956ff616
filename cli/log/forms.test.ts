import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formOf, type Format } from './forms.js';

const LINE = {
  level: 'error', time: '2026-11-23T23:59:59.123Z', role: 'worker', worker: 2, pid: 42, code: 'internal_error', err: { type: 'TypeError', message: 'no', stack: 'TypeError: no\n    at x' },
  request_id: '0123456789abcdef-7', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', stream: '0123456789abcdef', reasons: ['a', 1, true, 1.5], msg: 'a policy failed',
};
const REQUEST = { level: 'info', time: LINE.time, role: 'worker', worker: 2, pid: 42, request_id: 'r-1', method: 'GET', path: '/a', status: 200, service: 'catalogue', duration_us: 1500, bytes_out: 7, client: '192.0.2.0/24', msg: 'request' };
const as = (format: Format, line: object): unknown => JSON.parse(formOf(format, { role: 'worker', worker: 2 }, false)(line as Readonly<Record<string, unknown>>));

test('ecs: the fields that Elastic has names for have them, and what it has none for clashes with none of its own', () => {
  assert.deepEqual(as('ecs', LINE), {
    '@timestamp': LINE.time, 'log.level': 'error', message: 'a policy failed', ecs: { version: '8.17.0' }, service: { name: 'tidegate', type: 'tidegate' }, event: { dataset: 'tidegate.log' },
    trace: { id: LINE.trace_id }, process: { pid: 42 }, error: { code: 'internal_error', type: 'TypeError', message: 'no', stack_trace: 'TypeError: no\n    at x' }, http: { request: { id: LINE.request_id } },
    tidegate: { role: 'worker', worker: 2, stream: LINE.stream, reasons: LINE.reasons },
  });
  assert.deepEqual(as('ecs', REQUEST), {
    '@timestamp': LINE.time, 'log.level': 'info', message: 'request', ecs: { version: '8.17.0' }, service: { name: 'tidegate', type: 'tidegate' }, event: { dataset: 'tidegate.log', duration: 1_500_000 },
    process: { pid: 42 }, http: { request: { id: 'r-1', method: 'GET' }, response: { status_code: 200, body: { bytes: 7 } } }, url: { path: '/a' }, client: { address: '192.0.2.0/24' },
    tidegate: { role: 'worker', worker: 2, service: 'catalogue', duration_us: 1500 },
  });
});

test('otlp: each line is one LogsData, as the Collector\'s receiver otlp_json_file reads it', () => {
  const text = (stringValue: string): object => ({ stringValue });
  assert.deepEqual(as('otlp', LINE), {
    resourceLogs: [{
      resource: { attributes: [
        { key: 'service.name', value: text('tidegate') }, { key: 'process.pid', value: { intValue: '42' } }, { key: 'tidegate.role', value: text('worker') }, { key: 'tidegate.worker', value: { intValue: '2' } },
      ] },
      scopeLogs: [{ scope: { name: 'tidegate' }, logRecords: [{
        timeUnixNano: '1795478399123000000', observedTimeUnixNano: '1795478399123000000', severityNumber: 17, severityText: 'ERROR', body: text('a policy failed'), traceId: LINE.trace_id,
        attributes: [
          { key: 'error.type', value: text('internal_error') }, { key: 'tidegate.request_id', value: text(LINE.request_id) }, { key: 'tidegate.stream', value: text(LINE.stream) },
          { key: 'tidegate.reasons', value: { arrayValue: { values: [text('a'), { intValue: '1' }, { boolValue: true }, { doubleValue: 1.5 }] } } },
          { key: 'exception.type', value: text('TypeError') }, { key: 'exception.message', value: text('no') }, { key: 'exception.stacktrace', value: text('TypeError: no\n    at x') },
        ],
      }] }],
    }],
  });
});
