import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { parquetReadObjects } from 'hyparquet';
import { eventually } from '../../test/harness/deadline.js';
import { NOW, openReports, RANGE, type TestReports } from '../reports/traffic-events.fixture.js';
import { createCollectorApi, listenCollectorApi } from './server.js';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-replies-'));
const socketPath = join(folder, 'collector.sock');
/** What was told of reports that were given up, and of those that failed. */
const left: string[] = [];
const failed: unknown[] = [];
let reports: TestReports;
let api: FastifyInstance;
let nowMs = NOW;
let complete = true;
/** Rows made of a report without end; null: reports are what they are. */
let endless: number | null = null;
let breaksAt = Infinity;

before(async () => {
  reports = await openReports();
  api = createCollectorApi({
    ...reports.deps, nowMs: () => nowMs, asOfMs: () => nowMs - 1000, status: () => ({}), quarantine: { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) },
    store: {
      query: (sql, params) => {
        if (endless === null || !sql.includes('LIMIT 10000')) return reports.store.query(sql, params);
        const bucket = Date.parse(RANGE.from) / 1000;
        if (endless >= breaksAt) return Promise.reject(new Error('the store has gone'));
        const first = endless;
        endless += 10_000;
        return Promise.resolve(Array.from({ length: 10_000 }, (_, i) => ({ bucket, g0: `app-${first + i}`, n_requests: 1, n_latency: {} })));
      },
    },
    completeness: () => Promise.resolve([{ complete, reasons: complete ? [] : ['stream x silent'], streams: [] }]),
    log: { debug: (_fields, text) => { left.push(text); }, warn: () => undefined, error: (fields) => { failed.push(fields); } },
  });
  await listenCollectorApi(api, socketPath);
});
after(async () => {
  await api.close();
  await reports[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const QUERY = `from=${RANGE.from}&to=${RANGE.to}`;
const ask = (url: string, headers: Record<string, string> = {}) => api.inject({ url, headers: { 'x-tidegate-principal': 'operator', ...headers } });

test('a report that says the same is not sent again: its ETag outlives as_of, and nothing else', async () => {
  const until = `from=${RANGE.from}&to=2026-11-21T11:00:00Z`;
  for (const url of [`/v1/reports/traffic?${until}&group_by=app`, `/v1/reports/latency?${until}`]) {
    const first = await ask(url);
    const etag = String(first.headers['etag']);
    assert.match(etag, /^W\/"[\w-]{22}"$/);
    assert.deepEqual([first.headers['cache-control'], first.headers['vary']], ['private, no-cache', 'accept, authorization']);
    nowMs = NOW + 5000;
    const again = await ask(url, { 'if-none-match': `"other", ${etag}` });
    assert.deepEqual([again.statusCode, again.body, again.headers['etag']], [304, '', etag]);
    for (const other of [await ask(url, { 'if-none-match': etag, 'x-tidegate-principal': 'app:acme' }), await ask(`${url}&time_zone=Asia/Kolkata`, { 'if-none-match': etag })]) assert.equal(other.statusCode, 200);
    complete = false;
    nowMs = NOW + 10_000;
    assert.equal((await ask(url, { 'if-none-match': etag })).statusCode, 200);
    complete = true;
    // a bucket that was under way is over
    nowMs = NOW + 3_600_000;
    assert.equal((await ask(url, { 'if-none-match': etag })).statusCode, 200);
    nowMs = NOW;
  }
});

test('calls as CSV: all that match by time, a page where one is asked for, the fields of the JSON in its order, and nothing that an app may not see', async () => {
  const calls = `/v1/requests?${QUERY}&path=/items/*`;
  for (const principal of ['operator', 'app:acme']) {
    const as = (url: string, headers: Record<string, string> = {}) => ask(url, { 'x-tidegate-principal': principal, ...headers });
    const { rows, next } = (await as(`${calls}&limit=1000`)).json<{ rows: Record<string, string | number>[]; next: string | null }>();
    const csv = await as(calls, { accept: 'text/csv' });
    assert.deepEqual([csv.statusCode, csv.headers['content-disposition'], csv.headers['x-tidegate-as-of']], [200, 'attachment; filename="requests.csv"', new Date(NOW - 1000).toISOString()]);
    const [head, ...lines] = csv.body.split('\r\n');
    assert.equal(head, Object.keys(rows[0] ?? {}).join(','));
    assert.equal(lines.pop(), '');
    assert.deepEqual(lines.slice(0, 1000), rows.map((row) => Object.values(row).join(',')));
    assert.equal(lines.length > 1000, next !== null);
    assert.equal(principal === 'operator', head?.includes(',target,') === true);
    const page = await as(`${calls}&format=csv&limit=10&sort=duration`);
    assert.equal(page.body.split('\r\n').length, 12);
    const behind = await as(`${calls}&format=csv&limit=10&sort=duration&cursor=${String(page.headers['x-tidegate-next'])}`);
    const slowest = (await as(`${calls}&limit=20&sort=duration`)).json<{ rows: { id: string }[] }>().rows;
    assert.deepEqual([page, behind].flatMap(({ body }) => body.split('\r\n').slice(1, -1).map((line) => line.split(',')[0])), slowest.map(({ id }) => id));
    assert.equal((await as(`/v1/requests?${QUERY}&service=none&format=csv`)).body, `${head}\r\n`);
  }
  assert.equal((await ask(`${calls}&format=csv&slower_than=fast`)).json<{ parameter?: string; code: string }>().code, 'invalid_parameter');
});

test('CSV and NDJSON hold the rows of the JSON; pages of them say where the next one begins', async () => {
  const url = `/v1/reports/traffic?${QUERY}&group_by=app,status_class`;
  const rows = (await ask(url)).json<{ rows: Record<string, unknown>[] }>().rows;
  const ndjson = await ask(`${url}&format=ndjson`);
  assert.match(String(ndjson.headers['content-type']), /^application\/x-ndjson/);
  assert.deepEqual(ndjson.body.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown), rows);
  assert.equal((await ask(url, { accept: 'application/x-ndjson' })).body, ndjson.body);
  const csv = await ask(`${url}&format=csv`);
  assert.equal(csv.body.split('\r\n').length, rows.length + 2);
  assert.deepEqual([csv.headers['x-tidegate-as-of'], csv.headers['x-tidegate-complete'], csv.headers['content-disposition']], ['2026-11-21T10:07:30.250Z', 'true', 'attachment; filename="traffic.csv"']);
  let text = '';
  for (let cursor = ''; ;) {
    const page = await ask(`${url}&format=csv&limit=100${cursor}`);
    text += text === '' ? page.body : page.body.slice(page.body.indexOf('\r\n') + 2);
    const next = page.headers['x-tidegate-next'];
    if (next === undefined) break;
    cursor = `&cursor=${String(next)}`;
  }
  assert.equal(text, csv.body);
});

test('dates that a spreadsheet takes for dates, in the zone of the report; in other formats they stay RFC 3339', async () => {
  const zoned = `${QUERY}&time_zone=Asia/Kolkata&dates=spreadsheet`;
  const cells = async (url: string, column: number): Promise<string[]> => (await ask(url)).body.split('\r\n').slice(1, 4).map((line) => line.split(',')[column] ?? '');
  assert.deepEqual(await cells(`/v1/reports/traffic?${zoned}&format=csv&interval=day`, 0), ['2026-11-18 00:00:00', '2026-11-19 00:00:00', '2026-11-20 00:00:00']);
  assert.match((await cells(`/v1/reports/traffic?${zoned}&format=csv&interval=day&compare=previous`, 12)).join(), /^2026-11-14 00:00:00,/);
  assert.equal((await cells(`/v1/reports/latency?${zoned}&format=csv&interval=day`, 0))[0], '2026-11-18 00:00:00');
  const [{ time, stored_at: stored } = { time: '', stored_at: '' }] = (await ask(`/v1/requests?${QUERY}&limit=1`)).json<{ rows: { time: string; stored_at: string }[] }>().rows;
  const local = (instant: string): string => new Date(Date.parse(instant) + 5.5 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
  const [line] = (await ask(`/v1/requests?${zoned}&format=csv&limit=1`)).body.split('\r\n').slice(1);
  assert.ok(line?.includes(`,${local(time)},`) && line.endsWith(`,${local(stored)}`), line);
  for (const url of ['/v1/reports/traffic?format=json', '/v1/reports/latency?format=parquet', '/v1/requests?format=json']) {
    assert.equal((await ask(`${url}&dates=spreadsheet`)).json<{ parameter: string }>().parameter, 'dates');
  }
});

test('what is wrong with a question is said before the first row, in every format', async () => {
  for (const format of ['json', 'csv', 'ndjson', 'parquet']) {
    const answer = await ask(`/v1/reports/traffic?from=2026-09-01T00:00:00Z&to=2026-09-02T00:00:00Z&group_by=status&format=${format}`);
    assert.deepEqual([answer.statusCode, answer.json<{ code: string }>().code], [400, 'range_not_kept']);
    assert.equal((await ask(`/v1/reports/latency?format=${format}&group_by=app`)).json<{ parameter: string }>().parameter, 'group_by');
  }
});

test('the heatmap as JSON, CSV and NDJSON', async () => {
  const url = `/v1/reports/latency?${QUERY}&interval=day`;
  const { rows } = (await ask(url)).json<{ rows: { time: string; durations: [number, number, number][]; partial: boolean }[] }>();
  assert.equal(rows.length, 4);
  const csv = (await ask(`${url}&format=csv`)).body.trimEnd().split('\r\n');
  assert.deepEqual(csv, ['time,from_ms,to_ms,requests,partial', ...rows.flatMap(({ time, durations, partial }) => durations.map((cells) => [time, ...cells, partial].join(',')))]);
  assert.deepEqual((await ask(`${url}&format=ndjson`)).body.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown), rows);
});

test('a report as Parquet has the rows and columns of its CSV, as other software reads both', async () => {
  const more = 'group_by=app,status&top=3&interval=day&compare=previous';
  for (const url of [`/v1/reports/traffic?${QUERY}&${more}`, `/v1/reports/traffic?${QUERY}&group_by=app,route,status_class&interval=minute`, `/v1/reports/traffic?${QUERY}&group_by=app&limit=7`, `/v1/reports/latency?${QUERY}&interval=day`]) {
    const [parquet, csv, again] = [await ask(`${url}&format=parquet`), await ask(`${url}&format=csv`), await ask(url, { accept: 'application/vnd.apache.parquet' })];
    assert.deepEqual([parquet.statusCode, parquet.headers['content-type']], [200, 'application/vnd.apache.parquet'], url);
    assert.ok(parquet.rawPayload.equals(again.rawPayload));
    for (const [name, { rawPayload }] of [['report.parquet', parquet], ['report.csv', csv]] as const) writeFileSync(join(folder, name), rawPayload);
    // text as text: the engine would guess the types of cells otherwise; in the file's order: it reads groups of rows side by side otherwise
    const names = csv.body.slice(0, csv.body.indexOf('\r\n')).split(',');
    const read = async (file: string, format: string, structure: string): Promise<string[][]> => (await reports.store.query<{ cells: string[] }>(
      `SELECT [${names.map((name) => `ifNull(toString(${name}), '')`).join(', ')}] AS cells FROM file('${join(folder, file)}', '${format}'${structure}) SETTINGS max_threads = 1, input_format_parquet_preserve_order = 1`)).map(({ cells }) => cells);
    const rows = await read('report.parquet', 'Parquet', '');
    assert.ok(rows.length > 3);
    assert.deepEqual(rows, (await read('report.csv', 'CSVWithNames', `, '${names.map((name) => `${name} String`).join(', ')}'`)), url);
    const bytes = parquet.rawPayload;
    const objects = await parquetReadObjects({ file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer });
    assert.deepEqual(objects.map((row) => names.map((name) => String(row[name] ?? ''))), rows);
  }
});

test('a reader who leaves in the midst of a long report ends it, and is no failure', { timeout: 60_000 }, async () => {
  endless = 0;
  const reader = request({ socketPath, path: `/v1/reports/traffic?${QUERY}&group_by=app&format=ndjson`, headers: { 'x-tidegate-principal': 'operator' } }).end();
  const [response] = await once(reader, 'response') as [IncomingMessage];
  let lines = 0;
  for await (const piece of response) {
    lines += String(piece).split('\n').length - 1;
    // of several pages
    if (lines > 25_000) break;
  }
  await eventually('the server has let go of it', () => (openSockets() === 0 ? true : null), 20_000, 50);
  const made = endless;
  assert.equal((await ask(`/v1/reports/traffic?${QUERY}&interval=total`)).statusCode, 200);
  assert.equal(endless, made);
  assert.deepEqual(failed, []);
});

test('an app has four reports that are sent as they are read, and the next when one has ended; none is refused in its midst', { timeout: 60_000 }, async () => {
  endless = 0;
  const open = async (): Promise<IncomingMessage> => {
    const [response] = await once(request({ socketPath, path: `/v1/reports/traffic?${QUERY}&group_by=app&format=csv`, headers: { 'x-tidegate-principal': 'app:acme' } }).end(), 'response') as [IncomingMessage];
    return response;
  };
  const readers = await Promise.all([open(), open(), open(), open()]);
  assert.deepEqual(readers.map(({ statusCode }) => statusCode), [200, 200, 200, 200]);
  const [fifth, other] = [await ask(`/v1/reports/traffic?${QUERY}&format=csv`, { 'x-tidegate-principal': 'app:acme' }), await ask(`/v1/reports/traffic?${QUERY}&format=json`, { 'x-tidegate-principal': 'app:acme' })];
  assert.deepEqual([fifth.statusCode, fifth.json<{ code: string }>().code, other.statusCode], [503, 'report_busy', 200]);
  // each goes on by several pages, however many wait
  await Promise.all(readers.map(async (reader) => {
    let lines = 0;
    for await (const piece of reader) {
      lines += String(piece).split('\n').length - 1;
      if (lines > 35_000) break;
    }
    assert.ok(lines > 35_000);
  }));
  await eventually('they have ended', () => (openSockets() === 0 ? true : null), 20_000, 50);
  const next = await open();
  assert.equal(next.statusCode, 200);
  next.destroy();
  assert.deepEqual(failed, []);
});

test('a report that breaks off has no end for its reader, and a line in the log', { timeout: 60_000 }, async () => {
  endless = 0;
  breaksAt = 20_000;
  const [response] = await once(request({ socketPath, path: `/v1/reports/traffic?${QUERY}&group_by=app&format=ndjson`, headers: { 'x-tidegate-principal': 'operator' } }).end(), 'response') as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  await assert.rejects(async () => { for await (const _ of response); }, { code: 'ECONNRESET' });
  assert.equal(failed.length, 1);
  assert.match(String((failed[0] as { err: Error }).err), /the store has gone/);
});

function openSockets(): number {
  let count = 0;
  api.server.getConnections((_error, connections) => { count = connections; });
  return count;
}
