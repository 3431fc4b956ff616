import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Command } from 'commander';
import { hashKey } from '../../gateway/config/keys.js';
import { loadConfig } from '../../gateway/config/load.js';
import { eventually } from '../../test/harness/deadline.js';
import { tidegateCommand } from '../../test/harness/tidegate.js';
import { ControlClient, findControl } from '../control-client.js';
import { progress } from '../render/progress.js';
import type { Terminal } from '../render/terminal.js';
import { days } from './billing.js';
import { billingExport, type ExportCommandOptions } from './billing-export.js';
import { check, register as registerCheck } from './check.js';
import { completeness } from './completeness.js';
import { history } from './config.js';
import { diff, register as registerDiff } from './diff.js';
import { declare } from './gap.js';
import { NOTHING } from '../render/traffic.js';
import { newKey, register as registerKeys } from './keys.js';
import { list, register as registerQuarantine, replay } from './quarantine.js';
import { register as registerReport, report } from './report.js';
import { oneRequest, requests } from './requests.js';
import { register as registerStatus, status } from './status.js';
import { newToken, register as registerTokens } from './tokens.js';

const NOW = Date.parse('2026-11-21T10:07:31.250Z');
const folder = mkdtempSync(join(tmpdir(), 'tidegate-cli-'));
const asked: { readonly method: string; readonly url: URL; readonly authorization: string; readonly body: string }[] = [];
/** By path: what the control origin answers; status 0: it does not. */
const answers = new Map<string, readonly [status: number, body: unknown]>();
/** By path: header fields of the answer. */
const fields = new Map<string, Readonly<Record<string, string>>>();
let server: Server;
let url = '';

before(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => { body += piece.toString(); }).on('end', () => {
      const target = new URL(request.url ?? '/', 'http://control');
      asked.push({ method: request.method ?? '', url: target, authorization: request.headers.authorization ?? '', body });
      const [code, answer] = answers.get(target.pathname) ?? [404, { code: 'not_found', detail: 'nothing here' }];
      if (code !== 0) response.writeHead(code, fields.get(target.pathname) ?? {}).end(typeof answer === 'string' || Buffer.isBuffer(answer) ? answer : JSON.stringify(answer));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

function terminal(): Terminal & { readonly text: () => string } {
  let text = '';
  return { columns: 80, colour: false, write: (piece) => { text += piece; }, text: () => text };
}

const traffic = (interval: string, rows: readonly unknown[] = []) => ({
  as_of: '2026-11-21T10:07:30Z', from: '2026-11-20T10:00:00Z', to: '2026-11-21T10:15:00Z', interval, time_zone: 'UTC', complete: true, missing: [], rows,
});
const NO_FILTERS = { app: [], service: [], route: [], status: [], method: [], outcome: [], path: [], target: [] } as const;

function configuration(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}
const GOOD = `version: 1
listeners: { http: { address: "127.0.0.1:8080" } }
control: { address: "0.0.0.0:9555" }
data_dir: ./data
`;

test('the node is found by option, environment and configuration, each for itself', () => {
  mkdirSync(join(folder, 'data'));
  writeFileSync(join(folder, 'data/control.token'), 'kept-token-0123456789\n');
  const config = configuration('good.yaml', GOOD);
  assert.deepEqual(findControl({ config }, {}), { url: 'http://127.0.0.1:9555', token: 'kept-token-0123456789', tokenOf: config });
  assert.deepEqual(findControl({ config, token: 't' }, { TIDEGATE_URL: 'http://gateway:1/' }), { url: 'http://gateway:1', token: 't', tokenOf: null });
  assert.deepEqual(findControl({ config, url: 'http://a:2' }, { TIDEGATE_URL: 'http://b:1', TIDEGATE_TOKEN: 'e' }), { url: 'http://a:2', token: 'e', tokenOf: null });
  assert.deepEqual(findControl({ config: configuration('token.yaml', GOOD.replace('9555"', '9555", token: "configured-token-1"')) }, {}).token, 'configured-token-1');
  assert.deepEqual(findControl({ config: configuration('six.yaml', GOOD.replace('0.0.0.0:9555', '[::]:9555')) }, {}).url, 'http://[::1]:9555');
});

test('a gap is declared in times as people write them, in UTC, and never from later than was said', async () => {
  answers.set('/v1/gaps', [200, { stream: '0', node: 'edge-1', from: 'A', to: 'B' }]);
  const said = async (from: string, to?: string): Promise<unknown> => {
    await declare({ url, token: 't', from, ...(to === undefined ? {} : { to }) }, terminal(), NOW);
    const { method, url: target, body } = asked.at(-1) as (typeof asked)[number];
    assert.deepEqual([method, target.pathname], ['POST', '/v1/gaps']);
    return JSON.parse(body);
  };
  assert.deepEqual(await said('2h'), { from: '2026-11-21T08:07:31.250Z' });
  assert.deepEqual(await said('yesterday', 'today'), { from: '2026-11-20T00:00:00.000Z', to: '2026-11-21T00:00:00.000Z' });
  assert.deepEqual(await said('2026-11-20T10:00:00+05:30', '45m'), { from: '2026-11-20T04:30:00.000Z', to: '2026-11-21T09:22:31.250Z' });
  const out = terminal();
  await declare({ url, token: 't', from: '2h' }, out, NOW);
  assert.match(out.text(), /^What node edge-1 answered between A and B may be missing\..*--accept-gap REASON\.\n$/);
  const before = asked.length;
  for (const [from, to, named] of [['then', undefined, '--from'], ['2026-02-30', undefined, '--from'], ['2h', 'soon', '--to']] as const) {
    await assert.rejects(declare({ url, token: 't', from, ...(to === undefined ? {} : { to }) }, terminal(), NOW), (error: Error & { code: string }) => error.code === 'invalid_parameter' && error.message.startsWith(named));
  }
  assert.equal(asked.length, before);
});

test('completeness: the days that are not whole, with their reasons and an exit code; all of them where asked for', async () => {
  const day = (date: string, more: object = {}) => ({ day: date, from: `${date}T00:00:00.000Z`, to: `${date.slice(0, 8)}${String(Number(date.slice(8)) + 1).padStart(2, '0')}T00:00:00.000Z`, complete: true, recorded: true, reasons: [], dropped: [], ...more });
  const wrong = day('2026-11-19', { complete: false, reasons: ['3 events of stream x were dropped', 'stream y is \u001b[2J silent', 'c', 'd', 'e', 'f'], not_compared: ['2026-11-19'] });
  const range = { as_of: '2026-11-21T10:07:30.250Z', time_zone: 'UTC', recorded_from: '2026-11-18T09:00:00.000Z', complete: false, days: [day('2026-11-17', { recorded: false }), day('2026-11-18'), wrong, day('2026-11-20'), day('2026-11-21')] };
  answers.set('/v1/completeness', [200, range]);
  const shown = async (options: object): Promise<readonly [number, string]> => {
    const out = terminal();
    return [await completeness({ url, token: 't', ...options }, out, NOW), out.text()];
  };
  const told = '2026-11-19  incomplete: 3 events of stream x were dropped\n            stream y is .[2J silent\n            c\n            d\n            e\n            and 1 more: --json\n';
  const sums = '5 days from 2026-11-17 to 2026-11-21: 3 complete, 1 incomplete, 1 not recorded (UTC, as of 2026-11-21 10:07Z)\nthe record begins 2026-11-18 09:00Z\n';
  assert.deepEqual(await shown({}), [2, told + sums]);
  assert.deepEqual(Object.fromEntries(asked.at(-1)?.url.searchParams ?? []), { from: '2026-10-22T10:15:00.000Z' });
  assert.deepEqual(await shown({ all: true, from: 'monday', to: 'today', timeZone: 'Asia/Kolkata', key: 'own-key' }), [2, `2026-11-17  not recorded\n2026-11-18  complete\n${told}2026-11-20  complete\n2026-11-21  complete so far\n${sums}`]);
  assert.deepEqual([Object.fromEntries(asked.at(-1)?.url.searchParams ?? []), asked.at(-1)?.authorization], [{ from: 'monday', to: 'today', time_zone: 'Asia/Kolkata' }, 'Bearer own-key']);
  assert.deepEqual(JSON.parse((await shown({ json: true }))[1]), range);
  answers.set('/v1/completeness', [200, { ...range, complete: true, days: [day('2026-11-20'), day('2026-11-21')] }]);
  assert.deepEqual(await shown({ from: '1d' }), [0, 'all 2 days from 2026-11-20 to 2026-11-21 are complete (UTC, as of 2026-11-21 10:07Z)\n']);
  answers.set('/v1/completeness', [200, { ...wrong, reasons: ['a'], as_of: range.as_of, time_zone: 'UTC', streams: [] }]);
  assert.deepEqual(await shown({ day: '2026-11-19' }), [2, '2026-11-19  incomplete: a\n2026-11-19 is incomplete (UTC, as of 2026-11-21 10:07Z)\n']);
  assert.deepEqual(Object.fromEntries(asked.at(-1)?.url.searchParams ?? []), { day: '2026-11-19' });
  // what nobody could compare, and what is not recorded, proves nothing: no bill follows `completeness &&`
  const uncompared = day('2026-11-18', { not_compared: ['2026-11-18'] });
  const [unrecorded, ahead] = [day('2026-11-17', { recorded: false }), day('2026-12-01', { recorded: false })];
  for (const [days, code, text] of [
    [[unrecorded, day('2026-11-18')], 0, '2 days from 2026-11-17 to 2026-11-18: 1 complete, 1 not recorded (UTC, as of 2026-11-21 10:07Z)\nthe record begins 2026-11-18 09:00Z\n'],
    [[uncompared, day('2026-11-19')], 2, '2026-11-18  not compared\n2 days from 2026-11-18 to 2026-11-19: 1 complete, 1 not compared (UTC, as of 2026-11-21 10:07Z)\nnot compared with what was stored: --json says why\n'],
    [[ahead, day('2026-12-02', { recorded: false })], 2, 'all 2 days from 2026-12-01 to 2026-12-02 are not recorded (UTC, as of 2026-11-21 10:07Z)\n'],
    [[ahead], 2, '2026-12-01 is not recorded (UTC, as of 2026-11-21 10:07Z)\n'],
  ] as const) {
    answers.set('/v1/completeness', [200, { ...range, complete: true, days }]);
    assert.deepEqual(await shown({ from: '1d' }), [code, text]);
  }
  await assert.rejects(shown({ from: '1d', day: 'today' }), { code: 'invalid_parameter' });
});

test('a node whose file has gone bad can still be asked', () => {
  const config = configuration('bad.yaml', `${GOOD}services: { unknown: 1 }\n`);
  assert.deepEqual(findControl({ config }, {}), { url: 'http://0.0.0.0:9555'.replace('0.0.0.0', '127.0.0.1'), token: 'kept-token-0123456789', tokenOf: config });
  assert.deepEqual(findControl({ config: configuration('syntax.yaml', `${GOOD}services: [\n`) }, {}).token, 'kept-token-0123456789');
  assert.throws(() => findControl({ config: join(folder, 'absent.yaml') }, {}), { code: 'config_rejected' });
});

test('nobody there, no token, a wrong one, another server: each in its own words', async () => {
  const nobody = createServer().listen(0, '127.0.0.1');
  await once(nobody, 'listening');
  const gone = `http://127.0.0.1:${(nobody.address() as AddressInfo).port}`;
  nobody.close();
  await once(nobody, 'close');
  await assert.rejects(new ControlClient({ url: gone, token: null, tokenOf: null }).get('/v1/status'), (error: Error & { code: string; remedy: string }) =>
    error.code === 'control_unreachable' && error.message.includes(gone) && error.remedy.includes('--url'));
  answers.set('/v1/status', [401, { code: 'unauthenticated' }]);
  await assert.rejects(new ControlClient({ url, token: null, tokenOf: null }).get('/v1/status'), (error: Error & { code: string; remedy: string }) =>
    error.code === 'control_token' && /no control token was found/.test(error.message) && error.remedy.includes('-c FILE'));
  await assert.rejects(new ControlClient({ url, token: 'x', tokenOf: null }).get('/v1/status'), /does not take this token/);
  for (const [code, body] of [[502, '<html>'], [500, '{}'], [404, { code: 'made_up' }]] as const) {
    answers.set('/v1/status', [code, body]);
    await assert.rejects(new ControlClient({ url, token: 'x', tokenOf: null }).get('/v1/status'), { code: 'control_unreachable' });
  }
  assert.throws(() => findControl({ url: 'ftp://x', token: 't' }, {}), { code: 'control_unreachable' });
});

test('report asks for total, graph and table, and passes every filter on', async () => {
  answers.set('/v1/reports/traffic', [200, traffic('total')]);
  asked.length = 0;
  const out = terminal();
  await report({ ...NO_FILTERS, url, key: 'tg_key', app: ['acme'], service: ['a', 'b'], timeZone: 'Asia/Kolkata', from: '2d' }, out, NOW);
  assert.deepEqual(asked.map(({ url: { searchParams } }) => [searchParams.get('interval'), searchParams.get('group_by')]), [['total', null], ['hour', null], ['total', 'service,route']]);
  for (const { authorization, url: { searchParams } } of asked) {
    assert.equal(authorization, 'Bearer tg_key');
    assert.deepEqual([searchParams.getAll('app'), searchParams.getAll('service'), searchParams.get('time_zone'), searchParams.get('from'), searchParams.get('to')],
      [['acme'], ['a', 'b'], 'Asia/Kolkata', '2026-11-19T10:15:00.000Z', '2026-11-21T10:15:00.000Z']);
  }
  assert.match(out.text(), /^Traffic of app acme, service a, b\n/);
  // the table has the largest groups, and by time all of them
  assert.deepEqual(asked.map(({ url: { searchParams } }) => searchParams.get('top')), [null, null, '30']);
  asked.length = 0;
  await report({ ...NO_FILTERS, url, key: 'tg_key', top: 5, compare: true }, terminal(), NOW);
  await report({ ...NO_FILTERS, url, key: 'tg_key', top: 5, interval: 'day' }, terminal(), NOW);
  assert.deepEqual(asked.map(({ url: { searchParams } }) => [searchParams.get('top'), searchParams.get('compare')]),
    [[null, 'previous'], [null, null], ['5', 'previous'], [null, null], [null, null], [null, null]]);
});

test('report with a format prints what the API gives', async (t) => {
  answers.set('/v1/reports/traffic', [200, 'time,requests\r\n']);
  asked.length = 0;
  const out = terminal();
  await report({ ...NO_FILTERS, url, token: 't', format: 'csv', interval: 'day', groupBy: 'app', from: '45m', to: '2026-11-21T10:00:00Z' }, out, NOW);
  assert.equal(out.text(), 'time,requests\r\n');
  assert.equal(asked[0]?.url.search, '?from=2026-11-21T09%3A23%3A00.000Z&to=2026-11-21T10%3A00%3A00Z&interval=day&group_by=app&format=csv');
  await report({ ...NO_FILTERS, url, token: 't', format: 'ndjson', groupBy: 'app', top: 3, fill: true, compare: true }, out, NOW);
  assert.match(asked[1]?.url.search ?? '', /&group_by=app&format=ndjson&compare=previous&top=3&fill=true$/);
  // a spreadsheet has the groups that the terminal shows
  for (const [options, groups] of [[{ format: 'csv', dates: 'spreadsheet' }, 'service,route'], [{ format: 'parquet', out: join(folder, 'r.parquet') }, 'service,route'], [{ format: 'csv', groupBy: 'none' }, null], [{ format: 'json' }, null]] as const) {
    await report({ ...NO_FILTERS, url, token: 't', ...options }, terminal(), NOW);
    assert.deepEqual([asked.at(-1)?.url.searchParams.get('group_by'), asked.at(-1)?.url.searchParams.get('dates')], [groups, 'dates' in options ? options.dates : null]);
  }
  answers.set('/v1/reports/traffic', [200, traffic('total')]);
  const page = join(folder, 'report.html');
  const shown = terminal();
  const said = t.mock.method(console, 'error', () => {});
  await report({ ...NO_FILTERS, url, token: 't', format: 'html', out: page }, shown, NOW);
  assert.match(String(said.mock.calls.at(-1)?.arguments[0]), /report\.html: [\d.]+ k?B$/);
  assert.deepEqual([shown.text(), /^<!DOCTYPE html>/.test(readFileSync(page, 'utf8'))], ['', true]);
  await report({ ...NO_FILTERS, url, token: 't', format: 'html' }, shown, NOW);
  assert.equal(shown.text(), readFileSync(page, 'utf8'));
  // whose key it was is named
  answers.set('/v1/reports/traffic', [200, traffic('total', [{ ...NOTHING, app: 'acme' }])]);
  const own = terminal();
  await report({ ...NO_FILTERS, url, key: 'k', service: ['shop'], format: 'html' }, own, NOW);
  assert.match(own.text(), /<h1>Traffic of app acme, service shop<\/h1>/);
  assert.deepEqual([asked.at(-1)?.url.searchParams.get('group_by'), asked.at(-1)?.url.searchParams.get('service')], ['app', 'shop']);
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', format: 'html', fill: true }, terminal(), NOW), { code: 'invalid_parameter', message: /^--fill/ });
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', format: 'json', dates: 'spreadsheet' }, terminal(), NOW), { code: 'invalid_parameter', message: /--format csv/ });
});

test('report writes a file whole or not at all, byte by byte as the API returns it', async () => {
  const place = join(folder, 'written');
  mkdirSync(place);
  const out = join(place, 'report.parquet');
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 256));
  answers.set('/v1/reports/traffic', [200, bytes]);
  await report({ ...NO_FILTERS, url, token: 't', format: 'parquet', out }, terminal(), NOW);
  assert.ok(readFileSync(out).equals(bytes));
  answers.set('/v1/reports/traffic', [400, { code: 'range_not_kept', detail: 'gone' }]);
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', format: 'parquet', out }, terminal(), NOW), { code: 'range_not_kept' });
  assert.ok(readFileSync(out).equals(bytes), 'what was there before');
  answers.set('/v1/reports/traffic', [200, bytes]);
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', format: 'csv', out: place }, terminal(), NOW), { code: 'out_file' });
  assert.deepEqual([readdirSync(place), readdirSync(folder).filter((name) => name.endsWith('.part'))], [['report.parquet'], []]);
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', out }, terminal(), NOW), { code: 'invalid_parameter', message: /--format/ });
});

test('requests writes its file whole or not at all, too', async (t) => {
  const said = t.mock.method(console, 'error', () => {});
  const place = join(folder, 'calls');
  mkdirSync(place);
  const out = join(place, 'calls.csv');
  answers.set('/v1/requests', [200, 'id,time\r\n']);
  const shown = terminal();
  await requests({ ...NO_FILTERS, url, token: 't', format: 'csv', out }, shown, NOW);
  assert.deepEqual([readFileSync(out, 'utf8'), shown.text(), String(said.mock.calls.at(-1)?.arguments[0])], ['id,time\r\n', '', `${out}: 9 B`]);
  answers.set('/v1/requests', [400, { code: 'range_not_kept', detail: 'gone' }]);
  await assert.rejects(requests({ ...NO_FILTERS, url, token: 't', format: 'csv', out }, shown, NOW), { code: 'range_not_kept' });
  assert.deepEqual([readFileSync(out, 'utf8'), readdirSync(place)], ['id,time\r\n', ['calls.csv']], 'what was there before');
  await assert.rejects(requests({ ...NO_FILTERS, url, token: 't', out }, shown, NOW), { code: 'invalid_parameter', message: /^--out: goes with/ });
  await assert.rejects(oneRequest('9f3c6a0b1d2e4f57-2s', { ...NO_FILTERS, url, token: 't', out }, shown), { code: 'invalid_parameter', message: /^--out: does not go/ });
});

test('a reader that has read enough ends the command quietly', { timeout: 60_000 }, async () => {
  answers.set('/v1/reports/traffic', [200, `${'{"requests":1}\n'.repeat(200_000)}`]);
  const { command, args } = tidegateCommand(['report', '--format', 'ndjson', '--url', url, '--token', 't']);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (piece) => { errors += String(piece); });
  child.stdout.once('data', () => { child.stdout.destroy(); });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.equal(errors, '');
});

test('fill without a format is refused', async () => {
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', fill: true }, terminal(), NOW), { code: 'invalid_parameter', message: /--format/ });
});

test('a watched report is made again and again, until Ctrl-C', { timeout: 60_000 }, async () => {
  answers.set('/v1/reports/traffic', [200, traffic('total')]);
  answers.set('/v1/reports/live', [200, { site: { qps: 12.3 }, apps: {}, in_flight: { site: 3, services: {}, apps: {} }, quotas: {} }]);
  const { command, args } = tidegateCommand(['report', '--watch', '1', '--url', url, '--token', 't']);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [text, errors] = ['', ''];
  child.stderr.on('data', (piece) => { errors += String(piece); });
  for await (const piece of child.stdout) {
    text += String(piece);
    if (text.split('Traffic\n').length === 3) {
      answers.set('/v1/reports/traffic', [503, { code: 'collector_unavailable', detail: 'it starts' }]);
      await eventually('what cannot be had for now is said', () => (errors.includes('collector_unavailable') ? true : null));
      answers.set('/v1/reports/traffic', [200, traffic('total')]);
    }
    if (text.split('Traffic\n').length > 3) break;
  }
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT']);
  assert.match(text, /\nnow +12\.3 requests a second, 3 in flight at this node\n/);
  // no terminal: nothing moves the cursor
  assert.equal(text.includes('\x1b'), false);
});

test('days go to the node as they are said, which knows in whose zone they are; what was answered is asked for again', async (t) => {
  asked.length = 0;
  const shown = t.mock.method(console, 'error', () => {});
  answers.set('/v1/reports/traffic', [200, { ...traffic('total', [{ time: '', requests: 0, errors: 0, refused: 0, bytes_in: 0, bytes_out: 0, duration_ms: { avg: null, p50: null, p90: null, p95: null, p99: null } }]), clipped: true }]);
  const out = terminal();
  await report({ ...NO_FILTERS, url, token: 't', day: 'yesterday' }, out, NOW);
  const times = () => asked.map(({ url: { searchParams } }) => [searchParams.get('day'), searchParams.get('from'), searchParams.get('to')]);
  assert.deepEqual(times(), [['yesterday', null, null], ...Array.from({ length: 2 }, () => [null, '2026-11-20T10:00:00Z', '2026-11-21T10:15:00Z'])], 'midnight may be between two questions');
  assert.match(out.text(), /the whole range is not kept/);
  asked.length = 0;
  await report({ ...NO_FILTERS, url, token: 't', from: 'monday', to: '2026-11-21', format: 'json' }, terminal(), NOW);
  assert.deepEqual(times(), [[null, 'monday', '2026-11-21']]);
  for (const options of [{ day: '7d' }, { day: 'today', from: 'yesterday' }, { to: 'someday' }]) await assert.rejects(report({ ...NO_FILTERS, url, token: 't', ...options }, terminal(), NOW), { code: 'invalid_parameter' });
  // a file says nothing of what was left out
  fields.set('/v1/reports/traffic', { 'x-tidegate-clipped': '2026-11-20T00:00:00Z' });
  await report({ ...NO_FILTERS, url, token: 't', from: '7d', format: 'csv' }, terminal(), NOW);
  assert.match(String(shown.mock.calls.at(-1)?.arguments[0]), /not kept; this answer begins 2026-11-20T00:00:00Z/);
  for (const complete of ['true', 'false']) {
    shown.mock.resetCalls();
    fields.set('/v1/reports/traffic', { 'x-tidegate-complete': complete });
    await report({ ...NO_FILTERS, url, token: 't', from: '7d', format: 'csv' }, terminal(), NOW);
    assert.deepEqual(shown.mock.calls.map(({ arguments: [text] }) => String(text)), complete === 'true' ? [] : ['Note: something of this range is missing, or not proven to be whole: --format json says what.']);
  }
  fields.clear();
});

const TO_STDOUT: ExportCommandOptions = { app: [], format: 'csv', account: '', timeout: '30s', resend: [], assumeReceived: [] };

test('a report of 24 hours has 24 hours; an instant that is none is refused here; an app that nobody declared is noted', async (t) => {
  answers.set('/v1/reports/traffic', [200, traffic('total')]);
  answers.set('/v1/apps/nobody', [404, { code: 'not_found', detail: 'There is no app nobody.' }]);
  answers.set('/v1/apps/acme', [200, { name: 'acme' }]);
  asked.length = 0;
  await report({ ...NO_FILTERS, url, token: 't' }, terminal(), NOW);
  await report({ ...NO_FILTERS, url, token: 't', from: '45m' }, terminal(), NOW);
  assert.deepEqual(asked.slice(2, 4).map(({ url: { searchParams } }) => [searchParams.get('from'), searchParams.get('to')]),
    [['2026-11-20T10:15:00.000Z', '2026-11-21T10:15:00.000Z'], ['2026-11-21T09:23:00.000Z', '2026-11-21T10:08:00.000Z']]);
  for (const from of ['yesteryear', '2026-11', '5w']) await assert.rejects(report({ ...NO_FILTERS, url, token: 't', from }, terminal(), NOW), { code: 'invalid_parameter', message: /--from .*45m, 24h, 7d/ });
  const notes: unknown[] = [];
  t.mock.method(console, 'error', (text: unknown) => { notes.push(text); });
  await report({ ...NO_FILTERS, url, token: 't', app: ['acme', 'nobody'] }, terminal(), NOW);
  assert.deepEqual(notes, ['Note: the configuration in force has no app nobody.']);
  // wherever an answer may be empty for it
  const named = { url, token: 't', app: ['nobody'] };
  answers.set('/v1/requests', [200, { as_of: '', from: 'a', to: 'b', rows: [], next: null }]);
  answers.set('/v1/billing/days', [200, { as_of: '', from: 'a', to: 'b', days: [] }]);
  await report({ ...NO_FILTERS, ...named, format: 'csv' }, terminal(), NOW);
  await requests({ ...NO_FILTERS, ...named }, terminal(), NOW);
  await requests({ ...NO_FILTERS, ...named, format: 'csv' }, terminal(), NOW);
  await days(named, terminal());
  answers.set('/v1/billing/export', [200, '']);
  assert.equal(await billingExport({ ...TO_STDOUT, ...named }, terminal(), progress(terminal(), false, () => NOW)), 0);
  assert.deepEqual(notes, Array(6).fill('Note: the configuration in force has no app nobody.'));
  // whoever may not ask which apps there are gets the report all the same
  answers.set('/v1/apps/nobody', [403, { code: 'operator_only', detail: '' }]);
  await report({ ...NO_FILTERS, ...named }, terminal(), NOW);
  await report({ ...NO_FILTERS, ...named, app: [], key: 'k' }, terminal(), NOW);
  // nor does an app ask, with its key in place of the control token
  asked.length = 0;
  await days({ ...named, key: 'k' }, terminal());
  assert.equal(await billingExport({ ...TO_STDOUT, ...named, key: 'k' }, terminal(), progress(terminal(), false, () => NOW)), 0);
  assert.deepEqual(asked.map(({ url: { pathname }, authorization }) => [pathname, authorization]), [['/v1/billing/days', 'Bearer k'], ['/v1/billing/export', 'Bearer k']]);
  assert.equal(notes.length, 6);
});

test('an error of the API keeps its code', async () => {
  answers.set('/v1/reports/traffic', [400, { code: 'invalid_parameter', detail: 'group_by: not a group; allowed: app' }]);
  await assert.rejects(report({ ...NO_FILTERS, url, token: 't', groupBy: 'x' }, terminal(), NOW), { code: 'invalid_parameter', message: /allowed: app/ });
});

test('status goes on without the collector', async () => {
  const node = {
    node: 'n', version: '0.1.0', started_at: '2026-11-21T10:00:00.000Z', ready: true, reasons: [], restart: null, shape: { part: 'whole', event_log: 'spool', store: 'chdb', shared_state: 'node' }, config: { version: 'a', source: 'file', loaded_at: '2026-11-21T10:00:00.000Z', last_reload: null },
    workers: [], targets: [], limits: [], spool: { bytes: 0, max_bytes: 1, streams: 0, dropped: 0 }, shipping: null, sharing: null, collector: null, collector_fault: null,
  };
  answers.set('/v1/status', [200, node]);
  asked.length = 0;
  const out = terminal();
  await status({ url, token: 't' }, out);
  assert.match(out.text(), /collector +does not answer; events wait in the spool\n$/);
  assert.deepEqual(asked.map(({ url: { pathname } }) => pathname), ['/v1/status'], 'the node has asked it already');
  const json = terminal();
  await status({ url, token: 't', json: true }, json);
  assert.deepEqual(JSON.parse(json.text()), node);
});

test('status waits no longer than it must for a collector that has stopped, or is busy', { timeout: 60_000 }, async () => {
  const node = answers.get('/v1/status')?.[1] as object;
  const collector = { lag_seconds: 0, stored: 7, gaps: 0, gaps_total: 0, repeats: 0, quarantined: 0, in_quarantine: 0, failing: null, publishing: null, billing: null, store: null };
  answers.set('/v1/status', [200, { ...node, collector }]);
  answers.set('/v1/completeness', [503, { code: 'collector_unavailable' }]);
  for (const live of [0, 503]) {
    answers.set('/v1/reports/live', [live, { code: 'collector_unavailable' }]);
    const out = terminal();
    await status({ url, token: 't' }, out);
    assert.match(out.text(), /collector +7 events stored.*\ntoday +not known: /);
    answers.set('/v1/completeness', [0, null]);
  }
});

test('a new key alone is on standard output', async () => {
  answers.set('/v1/apps/a%2Fb/keys', [201, { app: 'a/b', id: 'k-1', key: 'tg_secret', scopes: ['traffic'] }]);
  const out = terminal();
  await newKey('a/b', { url, token: 't', scope: ['traffic'] }, out);
  assert.equal(out.text(), 'tg_secret\n');
  assert.deepEqual(JSON.parse(asked.find(({ method, url: { pathname } }) => method === 'POST' && pathname.endsWith('/keys'))?.body ?? ''), { scopes: ['traffic'] });
});

test('a key made after a rejected reload, and one of an app that only the rejected file has, say that the older configuration is in force, and why', async (t) => {
  const notes: string[] = [];
  t.mock.method(console, 'error', (text: string) => { notes.push(text); });
  const errors = [{ code: 'config_value', file: 'tidegate.yaml', line: 3, column: 5, path: 'workers', message: 'must be >= 1' }, { code: 'config_value', file: 'tidegate.yaml', line: 4, column: 5, path: 'apps', message: 'must be array' }];
  const statusWith = (result: string): void => { answers.set('/v1/status', [200, { config: { version: 'aaaaaaaaaaaa', last_reload: { at: '2026-11-21T10:00:00.000Z', result, errors } } }]); };
  answers.set('/v1/apps/acme/keys', [201, { app: 'acme', id: 'k-1', key: 'tg_secret', scopes: ['traffic'] }]);
  answers.set('/v1/apps/later/keys', [404, { code: 'not_found', detail: 'There is no app later.' }]);
  const made = (app: string): Promise<void> => newKey(app, { url, token: 't', scope: ['traffic'] }, terminal());
  const still = /the configuration in force is still aaaaaaaaaaaa, because the reload at 2026-11-21T10:00:00Z was rejected: tidegate\.yaml:3:5: .*must be >= 1.* \(and 1 more\)\. tidegate status shows all errors\.$/;
  statusWith('rejected');
  await made('acme');
  assert.match(notes.at(-1) ?? '', still);
  await assert.rejects(made('later'), (error: Error & { readonly code?: string }) => error.code === 'not_found' && error.message.startsWith('There is no app later.\n') && still.test(error.message));
  statusWith('applied');
  await made('acme');
  assert.doesNotMatch(notes.at(-1) ?? '', /in force/);
  await assert.rejects(made('later'), (error: Error) => error.message === 'There is no app later.');
});

test('a new token alone is on standard output; beside it, the line that takes it into the configuration', async (t) => {
  const notes: string[] = [];
  t.mock.method(console, 'error', (text: string) => { notes.push(text); });
  const out = terminal();
  newToken('finance', 'billing', out);
  const token = out.text().trim();
  assert.match(token, /^tg_[0-9A-Za-z]{28}$/);
  assert.ok(!notes.join().includes(token));
  const line = notes.join('\n').split('\n').at(-1) ?? '';
  const file = configuration('tokens.yaml', `version: 1\nlisteners: { http: {} }\ncontrol:\n  tokens:\n  ${line}\n`);
  const { loaded } = loadConfig(file, {});
  assert.deepEqual(loaded?.config.control.tokens, [{ name: 'finance', role: 'billing', sha256: hashKey(token) }]);
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  registerTokens(program);
  for (const command of program.commands) for (const one of [command, ...command.commands]) one.exitOverride().configureOutput({ writeErr: () => undefined });
  for (const args of [['x'], ['x', '--role', 'operator'], ['--role', 'billing']]) await assert.rejects(program.parseAsync(['tokens', 'new', ...args], { from: 'user' }), /CommanderError|role|name/, args.join(' '));
});

test('a revoked key is ended at the node; one that is none of the app is an error with its code', async (t) => {
  const notes: unknown[] = [];
  t.mock.method(console, 'error', (text: unknown) => { notes.push(text); });
  const program = new Command().exitOverride();
  registerKeys(program);
  const revoke = (app: string, id: string): Promise<unknown> => program.parseAsync(['keys', 'revoke', app, id, '--url', url, '--token', 't'], { from: 'user' });
  answers.set('/v1/apps/a%2Fb/keys/k%231', [204, '']);
  await revoke('a/b', 'k#1');
  assert.deepEqual([asked.at(-1)?.method, asked.at(-1)?.url.pathname, asked.at(-1)?.authorization], ['DELETE', '/v1/apps/a%2Fb/keys/k%231', 'Bearer t']);
  assert.deepEqual(notes, ['Key k#1 of a/b is revoked.']);
  answers.set('/v1/apps/acme/keys/k-2', [404, { code: 'not_found', detail: 'The app acme has no key k-2.' }]);
  await assert.rejects(revoke('acme', 'k-2'), { code: 'not_found', message: /has no key k-2/ });
  assert.equal(notes.length, 1, 'nothing is said to be revoked');
});

test('quarantine lists what could not be read, and puts one back', async () => {
  const item = { id: '00c0ffee0000002a-3-71', log: 'tidegate.events/3', reason: 'checksum', file: 'tidegate.events.quarantine/0/0', noted_at: '2026-11-21T10:00:00Z', replayed_at: null };
  answers.set('/v1/quarantine', [200, { items: [item] }]);
  const out = terminal();
  await list({ url, token: 't' }, out);
  assert.match(out.text(), /^ID .*\n00c0ffee0000002a-3-71  2026-11-21T10:00:00Z  checksum  tidegate\.events\/3  -/);
  answers.set(`/v1/quarantine/${item.id}/replay`, [200, item]);
  const again = terminal();
  await replay(item.id, { url, token: 't' }, again);
  assert.equal(asked.at(-1)?.method, 'POST');
  assert.match(again.text(), /is in tidegate\.events\/3 again/);
  answers.set('/v1/quarantine', [200, { items: [] }]);
  const none = terminal();
  await list({ url, token: 't' }, none);
  assert.equal(none.text(), 'Nothing is in quarantine.\n');
});

test('check says what is wrong and where, exit 1', () => {
  const bad = configuration('check.yaml', `${GOOD}servces: []\nworkers: many\n`);
  const out = terminal();
  assert.equal(check(bad, false, out), 1);
  assert.match(out.text(), /check\.yaml:5:1: .*\(config_unknown_key\)\n.*check\.yaml:6:10: /);
  const json = terminal();
  check(bad, true, json);
  assert.equal((JSON.parse(json.text()) as { errors: unknown[] }).errors.length, 2);
  const good = terminal();
  assert.equal(check(configuration('good2.yaml', GOOD), false, good), 0);
  assert.match(good.text(), /is good\.\n$/);
});

test('diff: exit 0 for nothing, 2 for something, the errors of a file that would be rejected', async () => {
  const file = configuration('diff.yaml', GOOD);
  answers.set('/v1/config/diff', [200, { from: 'a', to: 'a', changes: [] }]);
  assert.equal(await diff(file, { url, token: 't' }, terminal()), 0);
  assert.equal(asked.at(-1)?.body, GOOD);
  answers.set('/v1/config/diff', [200, { from: 'a', to: 'b', changes: [{ path: 'workers', kind: 'changed', before: 1, after: 2 }] }]);
  const out = terminal();
  assert.equal(await diff(file, { url, token: 't' }, out), 2);
  assert.equal(out.text(), 'a -> b\n~ workers: 1 -> 2\n');
  answers.set('/v1/config/diff', [422, { code: 'config_rejected', errors: [
    { file: '/etc/tidegate/tidegate.yaml', line: 3, column: 1, path: 'x', message: 'no', code: 'config_schema' },
    { file: '$TIDEGATE__X', line: 1, column: 1, path: '', message: 'no', code: 'config_variable' },
  ] }]);
  await assert.rejects(diff(file, { url, token: 't' }, terminal()), { code: 'config_rejected', message: `${file}:3:1: x: no (config_schema)\n$TIDEGATE__X: no (config_variable)` });
  await assert.rejects(diff(join(folder, 'absent.yaml'), { url, token: 't' }, terminal()), { code: 'config_unreadable', message: `${join(folder, 'absent.yaml')}: there is no such file` });
});

/** A command line of its own: its standard output, or its errors where it failed. */
async function run(...args: readonly string[]): Promise<string> {
  const { command, args: all } = tidegateCommand([...args, '--url', url, '--token', 't']);
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [text, errors] = ['', ''];
  child.stdout.on('data', (piece) => { text += String(piece); });
  child.stderr.on('data', (piece) => { errors += String(piece); });
  const [code] = await once(child, 'close') as [number];
  return code === 0 ? text : errors;
}

test('requests with an id shows all of that call, and nothing else can be asked with it', { timeout: 60_000 }, async () => {
  const event = { id: '9f3c6a0b1d2e4f57-2s', time: '2026-11-21T10:07:15.250Z', app: '', service: 'shop', status: 502, interim: [{ seq: 1 }, { seq: 2 }] };
  answers.set(`/v1/requests/${event.id}`, [200, event]);
  assert.equal(await run('requests', event.id), [
    'id       9f3c6a0b1d2e4f57-2s', 'time     2026-11-21T10:07:15.250Z', 'app      -', 'service  shop', 'status   502', 'interim  2 later: --json', '',
  ].join('\n'));
  const json = terminal();
  await oneRequest(event.id, { ...NO_FILTERS, url, token: 't', json: true }, json);
  assert.deepEqual(JSON.parse(json.text()), event);
  await assert.rejects(oneRequest(event.id, { ...NO_FILTERS, url, token: 't', status: ['5xx'], from: '1h' }, terminal()), { code: 'invalid_parameter', message: /^--status, --from: does not go with an id/ });
  await assert.rejects(oneRequest('x/y', { ...NO_FILTERS, url, token: 't' }, terminal()), { code: 'not_found' });
  assert.equal(asked.at(-1)?.url.pathname, '/v1/requests/x%2Fy');
  answers.set('/v1/requests', [200, { as_of: '', from: 'a', to: 'b', rows: [], next: null }]);
  assert.match(await run('requests', '--status', '5xx'), /^No call of this kind/);
  assert.deepEqual([asked.at(-1)?.url.searchParams.get('status'), asked.at(-1)?.url.searchParams.get('limit')], ['5xx', '30']);
  await assert.rejects(oneRequest(event.id, { ...NO_FILTERS, url, token: 't', slowerThan: '1s', format: 'csv' }, terminal()), { message: /^--slower-than, --format: does not go with an id/ });
  // a file for a spreadsheet has all of them
  await run('requests', '--slower-than', '1s', '--sort', 'duration', '--path', '/items/*', '--target', 'http://a', '--target', 'http://b', '--format', 'csv');
  assert.equal(asked.at(-1)?.url.search, '?path=%2Fitems%2F*&target=http%3A%2F%2Fa&target=http%3A%2F%2Fb&slower_than=1s&sort=duration&format=csv');
  assert.match(await run('requests', '--path', '/items'), /^No call of this kind.*\nPaths are recorded only where/);
  assert.match(await run('requests', '--sort', 'speed'), /Allowed choices are time, duration/);
  assert.match(await run('requests', '--json', '--format', 'csv'), /cannot be used with/);
});

test('config history: each version with its time, source and what it changed', { timeout: 60_000 }, async () => {
  const change = (value: number) => ({ path: `services.s${value}.timeout`, kind: 'changed', before: value, after: value + 1 });
  const entries = [
    { version: 'bbbbbbbbbbbb', time: '2026-11-21T10:00:00.000Z', source: 'file', author: 'deploy', diff: Array.from({ length: 22 }, (_, value) => change(value)), more: 3 },
    { version: 'aaaaaaaaaaaa', time: '2026-11-20T09:00:00.000Z', source: 'start', author: '', diff: [{ path: '', kind: 'added', after: {} }], more: 0 },
  ];
  answers.set('/v1/config/history', [200, { entries }]);
  const lines = (await run('config', 'history', '--limit', '2')).split('\n');
  assert.equal(asked.at(-1)?.url.searchParams.get('limit'), '2');
  assert.deepEqual([lines[0], lines[1], ...lines.slice(20)], [
    'bbbbbbbbbbbb  2026-11-21T10:00:00Z  file by deploy', '  ~ services.s0.timeout: 0 -> 1', '  ~ services.s19.timeout: 19 -> 20', '  5 more: --json',
    'aaaaaaaaaaaa  2026-11-20T09:00:00Z  start', '  the first one of this node', 'Traffic on both sides of a change: tidegate report --before-after VERSION', '',
  ]);
  const json = terminal();
  await history({ url, token: 't', limit: 10, json: true }, json);
  assert.deepEqual(JSON.parse(json.text()), { entries });
  answers.set('/v1/config/history', [200, { entries: [] }]);
  const none = terminal();
  await history({ url, token: 't', limit: 10 }, none);
  assert.equal(none.text(), 'No version was in force yet.\n');
});

test('every command is registered with its options', () => {
  const program = new Command();
  for (const register of [registerReport, registerStatus, registerKeys, registerCheck, registerDiff, registerQuarantine]) register(program);
  assert.deepEqual(program.commands.map((command) => command.name()), ['report', 'status', 'keys', 'check', 'diff', 'quarantine']);
  assert.match(program.commands[0]?.helpInformation() ?? '', /--group-by <groups>/);
  assert.deepEqual(program.commands[2]?.commands.map((command) => command.name()), ['new', 'revoke']);
  assert.deepEqual(program.commands[5]?.commands.map((command) => command.name()), ['list', 'replay']);
});
