import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FastifyInstance } from 'fastify';
import { parquetReadObjects } from 'hyparquet';
import { eventually } from '../../test/harness/deadline.js';
import { cloudEvent } from '../billing/cloud-event.js';
import { ENTRY_FIELDS, type BillingEntry } from '../billing/entry.js';
import { madeEntry, madeMonth, MemoryLedger } from '../billing/memory-ledger.fixture.js';
import { KeptFiles } from '../billing/kept-files.js';
import { ChdbStore } from '../store/chdb-store.js';
import { migrate } from '../store/migrate.js';
import type { ExportManifest } from './export-replies.js';
import { createCollectorApi, listenCollectorApi } from './server.js';

const NOW = Date.parse('2026-12-02T10:00:00Z');
const APPS = 40;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-exports-'));
const socketPath = join(folder, 'collector.sock');
const ledger = new MemoryLedger(madeMonth(APPS));
const failed: unknown[] = [];
let store: ChdbStore;
let api: FastifyInstance;

async function open(): Promise<void> {
  store = await ChdbStore.open(join(folder, 'store'));
  await migrate(store);
  api = createCollectorApi({
    store, billing: { entries: ledger, store }, nowMs: () => NOW, asOfMs: () => NOW, status: () => ({}), quarantine: { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) },
    completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [] }]), kept: () => ({ eventsMs: 1, minutesMs: 1, quarterHoursMs: 1 }),
    log: { debug: () => undefined, warn: () => undefined, error: (fields) => { failed.push(fields); } },
  });
  await listenCollectorApi(api, socketPath);
}
async function close(): Promise<void> {
  await api.close();
  await store.close();
}
before(open);
after(async () => {
  await close();
  rmSync(folder, { recursive: true, force: true });
});

const MONTH = '/v1/billing/export?month=2026-11';
const ask = (url: string, headers: Record<string, string> = {}) => api.inject({ url, headers: { 'x-tidegate-principal': 'operator', ...headers } });
const FORMATS = ['csv', 'json', 'ndjson', 'parquet', 'cloudevents'] as const;
const SUMS = ['received', 'refused', 'requests', 'billable', 'over_quota'] as const;
const sumsOf = (rows: readonly Readonly<Record<string, unknown>>[]): number[] => [rows.length, ...SUMS.map((name) => rows.reduce((sum, row) => sum + Number(row[name]), 0))];
const expected = (): number[] => sumsOf(ledger.entries as unknown as Record<string, unknown>[]);

test('an export has every entry once, in its order, in every format, and the manifest says its sums and checksum', async () => {
  for (const format of FORMATS) {
    const file = await ask(`${MONTH}&format=${format}`);
    assert.equal(file.statusCode, 200, file.body.slice(0, 200));
    const manifest = (await ask(`${MONTH}&format=${format}&manifest=true`)).json<ExportManifest>();
    const sha256 = createHash('sha256').update(file.rawPayload).digest('hex');
    assert.deepEqual(manifest.files.map(({ bytes, sha256: digest }) => [bytes, digest]), [[file.rawPayload.length, sha256]], format);
    assert.deepEqual([manifest.rows, ...SUMS.map((name) => manifest.sums[name])], expected());
    assert.deepEqual([manifest.from, manifest.to, manifest.apps, manifest.format], ['2026-11-01', '2026-12-01', null, format]);
    assert.equal(String(file.headers['content-disposition']), `attachment; filename="${manifest.files[0]?.name}"`);
  }
  const rows = (await ask(MONTH, { accept: 'application/x-ndjson' })).body.trimEnd().split('\n').map((line) => JSON.parse(line) as BillingEntry);
  assert.deepEqual(Object.keys(rows[0] as object), [...ENTRY_FIELDS]);
  assert.deepEqual(new Set(rows.map(({ entry_id: id }) => id)).size, ledger.entries.length);
  assert.deepEqual((await ask(MONTH)).json<{ entries: unknown }>().entries, rows);
  assert.deepEqual((await ask(MONTH, { accept: 'application/cloudevents-batch+json' })).json<{ data: unknown }[]>().map(({ data }) => data), rows);
});

test('Parquet and CSV are read by other software with the same sums', async () => {
  const [parquet, csv] = [(await ask(`${MONTH}&format=parquet`)).rawPayload, (await ask(`${MONTH}&format=csv`)).rawPayload];
  writeFileSync(join(folder, 'e.parquet'), parquet);
  writeFileSync(join(folder, 'e.csv'), csv);
  const sums = `count() AS n, ${SUMS.map((name) => `sum(${name}) AS s_${name}`).join(', ')}, countIf(quota IS NULL) AS without, countIf(complete) AS whole`;
  const without = ledger.entries.filter(({ quota }) => quota === null).length;
  const rows = ledger.entries.length;
  for (const [file, format] of [['e.parquet', 'Parquet'], ['e.csv', 'CSVWithNames']] as const) {
    const [row] = await store.query<Record<string, number>>(`SELECT ${sums} FROM file('${join(folder, file)}', '${format}')`);
    assert.deepEqual(Object.values(row ?? {}), [...expected(), without, rows], format);
  }
  const objects = await parquetReadObjects({ file: parquet.buffer.slice(parquet.byteOffset, parquet.byteOffset + parquet.length) as ArrayBuffer });
  assert.deepEqual(sumsOf(objects), expected());
  const python = 'import csv,json,sys; r=list(csv.DictReader(open(sys.argv[1], newline=""))); print(json.dumps([len(r)]+[sum(int(x[n]) for x in r) for n in sys.argv[2:]]+[sorted({x["app"] for x in r})[0], sorted({x["customer"] for x in r})[1], min(int(x["billable"]) for x in r)]))';
  assert.deepEqual(JSON.parse(execFileSync('python3', ['-c', python, join(folder, 'e.csv'), ...SUMS], { encoding: 'utf8' })), [...expected(), "'=cmd|calc", "'-1+1", -7], 'text that is a formula is text, and a credit is a negative number');
});

test('an export is the same bytes whenever it is made, after a restart too, and a Parquet file also when another version writes it', async () => {
  const all = async (): Promise<Buffer[]> => Promise.all(FORMATS.map(async (format) => (await ask(`${MONTH}&format=${format}`)).rawPayload));
  const before = await all();
  await close();
  await open();
  for (const [index, bytes] of (await all()).entries()) assert.ok(bytes.equals(before[index] as Buffer), FORMATS[index]);
  const kept = await store.query<{ selection: string; writer: string }>('SELECT selection, writer FROM tidegate.billing_files');
  assert.equal(kept.length, 1);
  const pieces: Buffer[] = [];
  for await (const piece of new KeptFiles(store, 'another writer 2').file(kept[0]?.selection ?? '', () => { throw new Error('made again'); })) pieces.push(piece);
  assert.ok(Buffer.concat(pieces).equals(before[FORMATS.indexOf('parquet')] as Buffer));
});

test('a kept file that is damaged has no end, and one whose making was cut off is made again', async () => {
  const files = new KeptFiles(store, 'w 1');
  const made = async function* (): AsyncGenerator<Buffer> {
    for (let piece = 0; piece < 30; piece++) yield Buffer.alloc(10_000, piece);
  };
  const whole = Buffer.concat(Array.from({ length: 30 }, (_, piece) => Buffer.alloc(10_000, piece)));
  const read = async (): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const piece of files.file('k', made)) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  const broken = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.alloc(200_000, 7);
    throw new Error('the ledger is gone');
  };
  await assert.rejects(async () => { for await (const _ of files.file('k', broken)); }, /the ledger is gone/);
  assert.ok((await read()).equals(whole));
  assert.ok((await read()).equals(whole));
  await store.command("INSERT INTO tidegate.billing_file_pieces (selection, writer, piece, data) SELECT 'k', 'w 1', 1, 'AAAA'");
  await store.command('OPTIMIZE TABLE tidegate.billing_file_pieces FINAL');
  await assert.rejects(read(), { code: 'internal_error', message: /damaged/ });
});

test('days that are open, and a month that is not over, are refused by name; why they are open is not told to apps', async () => {
  ledger.open = Array.from({ length: 25 }, (_, index) => ({ app: `app-${index % 2}`, day: `2026-11-${String(index + 1).padStart(2, '0')}`, status: 'closing' as const, reasons: ['stream x of node n1 is silent'] }));
  try {
    const refused = await ask(MONTH);
    const body = refused.json<{ code: string; open: number; days: { reasons?: unknown }[]; detail: string }>();
    assert.deepEqual([refused.statusCode, body.code, body.open, body.days.length, refused.headers['content-type']], [409, 'billing_days_open', 25, 20, 'application/problem+json; charset=utf-8']);
    assert.match(body.detail, /25 days .*app-0 2026-11-01 \(closing\), .*…/);
    assert.match(JSON.stringify(body.days), /stream x/);
    const own = await ask(MONTH, { 'x-tidegate-principal': 'app:app-1' });
    assert.deepEqual([own.statusCode, own.json<{ open: number }>().open, /stream|node|app-0/.test(own.body)], [409, 12, false]);
    assert.equal((await ask('/v1/billing/export?from=2026-11-26&to=2026-12-01')).statusCode, 200);
  } finally {
    ledger.open = [];
  }
  for (const query of ['month=2026-12', 'from=2026-11-30&to=2026-12-04']) {
    const early = await ask(`/v1/billing/export?${query}&format=csv`);
    assert.deepEqual([early.statusCode, early.json<{ code: string }>().code], [409, 'billing_days_open'], query);
  }
});

test('an app has its own entries alone, in every format and in the manifest', async () => {
  const own = { 'x-tidegate-principal': 'app:app-3' };
  const entries = ledger.entries.filter(({ app }) => app === 'app-3') as unknown as Record<string, unknown>[];
  for (const format of FORMATS) {
    const { rawPayload } = await ask(`${MONTH}&format=${format}`, own);
    assert.ok(!/app-(?!3\b)\d|C-(?!1003)\d{4}/.test(rawPayload.toString('latin1')), format);
    assert.deepEqual((await ask(`${MONTH}&format=${format}&manifest=true`, own)).json<ExportManifest>().rows, entries.length);
  }
  assert.deepEqual(sumsOf((await ask(MONTH, own)).json<{ entries: Record<string, unknown>[] }>().entries), sumsOf(entries));
  for (const app of ['app-4', 'nobody']) assert.equal((await ask(`${MONTH}&app=${app}`, own)).json<{ code: string }>().code, 'operator_only');
  assert.equal((await ask(`${MONTH}&app=app-4&app=app-5&manifest=true`)).json<ExportManifest>().rows, 64);
  const noted = await api.inject({ method: 'POST', url: '/v1/billing/receipts', payload: { target: 't', action: 'look', entry_ids: ['0'.repeat(32)] }, headers: own });
  assert.deepEqual([noted.statusCode, noted.json<{ code: string }>().code], [403, 'operator_only']);
});

test('the time of a CloudEvent lies in the local day, and never before its date in UTC', async () => {
  for (const timeZone of Intl.supportedValuesOf('timeZone')) {
    for (const day of ['2026-11-01', '2026-04-05', '2026-03-08', '2026-10-25']) ledgerOf(timeZone, day);
  }
  function ledgerOf(timeZone: string, day: string): void {
    const entry = madeEntry({ app: 'a', day, time_zone: timeZone });
    const { time, id, source, subject } = JSON.parse(JSON.stringify(cloudEvent(entry))) as { time: string; id: string; source: string; subject: string };
    assert.ok(time >= entry.day_start && time < entry.day_end && time >= `${day}T00:00:00.000Z` && time.slice(0, 10) === day, `${timeZone} ${day} ${time}`);
    assert.deepEqual([id, source, subject], [entry.entry_id, 'tidegate', 'a']);
  }
});

test('bad parameters are named', async () => {
  for (const [query, parameter] of [
    ['', 'month'], ['month=2026-13', 'month'], ['month=11', 'month'], ['month=2026-11&from=2026-11-01', 'month'], ['from=2026-11-01', 'to'], ['to=2026-11-01', 'from'], ['from=2026-02-30&to=2026-03-01', 'from'],
    ['from=2026-11-02&to=2026-11-02', 'from'], ['from=2026-11-02&to=0001-01-01', 'to'], ['month=2026-11&format=xml', 'format'], ['month=2026-11&manifest=perhaps', 'manifest'], ['month=2026-11&page=2', 'page'], ['month=2026-11&month=2026-10', 'month'],
  ]) {
    const { statusCode, body } = await ask(`/v1/billing/export?${query}`);
    assert.deepEqual([statusCode, (JSON.parse(body) as { parameter: string }).parameter], [400, parameter], query);
  }
});

test('a reader who leaves ends the reading of the ledger, and a long export is never in memory', { timeout: 60_000 }, async () => {
  const kept = ledger.entries;
  ledger.entries = Array.from({ length: 60_000 }, (_, index) => ({ ...kept[index % kept.length] as BillingEntry, entry_id: index.toString(16).padStart(32, '0') }));
  ledger.pagesRead = 0;
  ledger.ended = 0;
  try {
    const reader = request({ socketPath, path: `${MONTH}&format=ndjson`, headers: { 'x-tidegate-principal': 'operator' } }).end();
    const [response] = await once(reader, 'response') as [IncomingMessage];
    await once(response, 'readable');
    response.read(10);
    await eventually('the reading stands still while nobody reads on', async () => {
      const before = ledger.pagesRead;
      await new Promise((resolve) => { setTimeout(resolve, 100); });
      return ledger.pagesRead === before ? true : null;
    }, 20_000, 10);
    assert.ok(ledger.pagesRead < 100, `${ledger.pagesRead} of 300 pages`);
    response.destroy();
    await eventually('the reading has ended', () => (ledger.ended === 1 ? true : null), 20_000, 20);
    assert.deepEqual(failed, []);
  } finally {
    ledger.entries = kept;
  }
});
