/**
 * Existing logs imported into a running node: every report equals a plain count of the file, by a few lines of their own below, in whatever zone, and with times moved over changes of the
 * clock; and the same once more when all of it is imported again.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync, gunzipSync } from 'node:zlib';
import type { ImportOutcome } from '../../gateway/events/import/import-log.js';
import { eventually } from '../harness/deadline.js';
import { logPath } from '../harness/logged-traffic.js';
import { requires } from '../harness/requires.js';
import { TestNode, tidegateCommand } from '../harness/tidegate.js';

interface Line { readonly atMs: number; readonly method: string; readonly status: number; readonly bytes: number }
interface Row { readonly time: string; readonly method?: string; readonly status?: number; readonly status_class?: string; readonly requests: number; readonly errors: number; readonly refused: number; readonly bytes_in: number; readonly bytes_out: number; readonly duration_ms: Readonly<Record<string, number | null>> }
interface Report { readonly complete: boolean; readonly missing: readonly string[]; readonly rows: readonly Row[] }

const ZONES = ['UTC', 'Asia/Kolkata', 'Asia/Kathmandu', 'America/New_York'] as const;
/** A change of the clock, and the instant to which the middle of the log's 41 hours is moved. */
const CHANGES = [
  ['America/New_York', '2015-03-08T07:00:00Z'], ['America/New_York', '2015-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', '2015-10-03T15:30:00Z'], ['Australia/Lord_Howe', '2015-04-04T15:00:00Z'],
  ['America/Santiago', '2014-09-07T04:00:00Z'], ['America/Santiago', '2014-04-27T03:00:00Z'],
  // a day that was left out: 30 December 2011
  ['Pacific/Apia', '2011-12-30T10:00:00Z'],
] as const;

const text = gunzipSync(readFileSync(logPath)).toString('latin1');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TIME = /\[(\d\d)\/(\w{3})\/(\d{4}):(\d\d):(\d\d):(\d\d) \+0000\]/;

function read(log: string): Line[] {
  return log.trimEnd().split('\n').map((line) => {
    const [, day, month = '', year, hour, minute, second] = TIME.exec(line) ?? [];
    const [, method = '', status, bytes] = /"(\S+) [^"]*" (\d{3}) (\d+|-)/.exec(line) ?? [];
    return { atMs: Date.UTC(Number(year), MONTHS.indexOf(month), Number(day), Number(hour), Number(minute), Number(second)), method, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes) };
  });
}

/** The log with all its times later by so much. */
function moved(log: string, byMs: number): string {
  return log.replaceAll(new RegExp(TIME, 'g'), (_, day: string, month: string, year: string, hour: string, minute: string, second: string) => {
    const [, y, m, d, clock] = /^(\d{4})-(\d\d)-(\d\d)T(.{8})/.exec(new Date(Date.UTC(Number(year), MONTHS.indexOf(month), Number(day), Number(hour), Number(minute), Number(second)) + byMs).toISOString()) ?? [];
    return `[${d}/${MONTHS[Number(m) - 1]}/${y}:${clock} +0000]`;
  });
}

/** What a clock on the wall of the zone shows, and how far it is from UTC: Intl's word. */
function wall(zone: string, atMs: number): { readonly date: string; readonly hour: string; readonly minute: string; readonly offset: string } {
  let format = formats.get(zone);
  if (format === undefined) formats.set(zone, format = new Intl.DateTimeFormat('en-GB', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZoneName: 'longOffset' }));
  const part = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
  return { date: `${part['year']}-${part['month']}-${part['day']}`, hour: part['hour'] ?? '', minute: part['minute'] ?? '', offset: (part['timeZoneName'] ?? '').replace('GMT', '').replace(/^(?:\+00:00)?$/, 'Z') };
}
const formats = new Map<string, Intl.DateTimeFormat>();

type Sums = readonly [requests: number, errors: number, bytes: number];

function plainCount(lines: readonly Line[], key: (line: Line) => string): Map<string, Sums> {
  const counts = new Map<string, Sums>();
  for (const line of lines) {
    const [requests, errors, bytes] = counts.get(key(line)) ?? [0, 0, 0];
    counts.set(key(line), [requests + 1, errors + (line.status >= 500 ? 1 : 0), bytes + line.bytes]);
  }
  return new Map([...counts].sort());
}

function reported({ rows, complete, missing }: Report, key: (row: Row) => string): Map<string, Sums> {
  assert.deepEqual([complete, missing], [true, []]);
  for (const { refused, bytes_in, duration_ms } of rows) assert.deepEqual([refused, bytes_in, ...Object.values(duration_ms)], [0, 0, null, null, null, null, null], 'the log says nothing of durations');
  const sums = new Map<string, Sums>();
  for (const row of rows) {
    const [requests, errors, bytes] = sums.get(key(row)) ?? [0, 0, 0];
    sums.set(key(row), [requests + row.requests, errors + row.errors, bytes + row.bytes_out]);
  }
  return new Map([...sums].sort());
}

const config = { services: ['site', ...CHANGES.map((_, i) => `moved-${i}`)].map((name) => ({ name, upstream: { targets: [{ url: 'http://127.0.0.1:9' }] }, routes: [{ name, match: { path: `/${name}/*` } }] })), apps: [{ name: 'acme', services: ['site'], limits: { qpd: 5 } }] };

function importer(node: TestNode): (service: string, ...files: readonly string[]) => ImportOutcome[] {
  return (service, ...files) => {
    const { command, args } = tidegateCommand(['import', ...files, '--service', service, '--app', 'acme', '--json', '-c', node.configPath]);
    const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 0, stderr);
    return stdout.trim().split('\n').map((line) => JSON.parse(line) as ImportOutcome);
  };
}

/** A day before the first line to a day after the last. */
function rangeOf(lines: readonly Line[]): string {
  const day = 86_400_000;
  const [first, last] = [Math.min(...lines.map(({ atMs }) => atMs)), Math.max(...lines.map(({ atMs }) => atMs))];
  const midnight = (ms: number): string => new Date(Math.floor(ms / day) * day).toISOString();
  return `from=${midnight(first)}&to=${midnight(last + day)}`;
}

test('an imported log: every report is a plain count of it, in every zone, over every change of the clock, and again when it is imported again', { skip: requires('chdb'), timeout: 300_000 }, async () => {
  await using node = await TestNode.start(config);
  const run = importer(node);
  const file = (name: string): string => join(node.folder, name);
  const lines = read(text);
  assert.equal(lines.length, 5000);
  const report = (query: string): Promise<Report> => node.control<Report>(`/v1/reports/traffic?${query}`);
  const stored = (service: string, range: string, count: number): Promise<true> => eventually(`${count} requests of ${service}`, async () => {
    const answer = await report(`${range}&service=${service}&interval=total`).catch((error: unknown) => {
      // of a day that old nothing is there yet
      if (!String(error).includes('range_not_kept')) throw error;
      return null;
    });
    const sum = (answer?.rows ?? []).reduce((total, row) => total + row.requests, 0);
    assert.ok(sum <= count, `${sum} of ${count}`);
    return sum === count || null;
  }, 60_000, 100);

  const reportsAreRight = async (service: string, zones: readonly string[], of: readonly Line[]): Promise<void> => {
    const range = rangeOf(of);
    const query = `${range}&service=${service}`;
    const kinds = (line: Line): string => `${line.method} ${line.status}`;
    assert.deepEqual(reported(await report(`${query}&interval=total&group_by=method,status`), (row) => `${row.method} ${row.status}`), plainCount(of, kinds), 'by method and status');
    assert.deepEqual(reported(await report(`${query}&interval=total&group_by=app,status_class`), (row) => row.status_class ?? ''), plainCount(of, ({ status }) => `${Math.floor(status / 100)}xx`), 'by status class');
    for (const zone of zones) {
      const zoned = `${query}&time_zone=${encodeURIComponent(zone)}`;
      const at = (line: Line) => wall(zone, line.atMs);
      assert.deepEqual(reported(await report(`${zoned}&interval=minute`), (row) => `${row.time.slice(0, 16)}${row.time.slice(19)}`), plainCount(of, (line) => { const { date, hour, minute, offset } = at(line); return `${date}T${hour}:${minute}${offset}`; }), `${zone}, minutes`);
      assert.deepEqual(reported(await report(`${zoned}&interval=day`), (row) => row.time.slice(0, 10)), plainCount(of, (line) => at(line).date), `${zone}, days`);
      assert.deepEqual(reported(await report(`${zoned}&interval=day&group_by=status`), (row) => `${row.time.slice(0, 10)} ${row.status}`), plainCount(of, (line) => `${at(line).date} ${line.status}`), `${zone}, days by status`);
      assert.deepEqual(reported(await report(`${zoned}&interval=month`), (row) => row.time.slice(0, 7)), plainCount(of, (line) => at(line).date.slice(0, 7)), `${zone}, months`);
      // Lord Howe's clock goes by half an hour: there an hour of the wall is more, or less, than one
      const hours = reported(await report(`${zoned}&interval=hour`), (row) => row.time.slice(0, 13));
      assert.deepEqual(hours, plainCount(of, (line) => { const { date, hour } = at(line); return `${date}T${hour}`; }), `${zone}, hours`);
    }
  };

  writeFileSync(file('access.log'), text.slice(0, text.lastIndexOf('\n', 600_000) + 1), 'latin1');
  const [part] = run('site', file('access.log'));
  appendFileSync(file('access.log'), text.slice(text.lastIndexOf('\n', 600_000) + 1), 'latin1');
  const [rest] = run('site', file('access.log'));
  assert.equal((part?.rows ?? 0) + (rest?.rows ?? 0), 5000, 'a file that grew adds its tail');
  assert.equal(rest?.known, part?.lines);
  const logs = CHANGES.map(([, instant]) => moved(text, Date.parse(instant) - (lines[2500] as Line).atMs));
  logs.forEach((log, i) => { writeFileSync(file(`moved-${i}.log`), log, 'latin1'); });
  logs.forEach((_, i) => { run(`moved-${i}`, file(`moved-${i}.log`)); });

  const allAreRight = async (): Promise<void> => {
    await reportsAreRight('site', ZONES, lines);
    for (const [i, [zone]] of CHANGES.entries()) await reportsAreRight(`moved-${i}`, [zone], read(logs[i] as string));
  };
  await stored('site', rangeOf(lines), 5000);
  for (const [i, log] of logs.entries()) await stored(`moved-${i}`, rangeOf(read(log)), 5000);
  await allAreRight();

  // again: renamed, gzipped, and as if nobody knew that they had been imported
  writeFileSync(file('rotated.log.1.gz'), gzipSync(Buffer.from(text, 'latin1')));
  assert.deepEqual(run('site', file('rotated.log.1.gz'), logPath).map(({ rows, known }) => [rows, known]), [[0, 5000], [0, 5000]]);
  const { stream } = run('site', file('access.log'))[0] as ImportOutcome;
  await eventually('the stream has gone from the spool', async () => spooled(node).includes(stream) ? null : true);
  const receipt = join(node.dataDir, 'imports', `${stream}.json`);
  writeFileSync(receipt, JSON.stringify({ ...JSON.parse(readFileSync(receipt, 'utf8')) as object, bytes: 0, sha256: EMPTY_SHA256, lines: 0, rows: 0 }));
  assert.equal(run('site', file('rotated.log.1.gz'))[0]?.rows, 5000, 'written again');
  await eventually('it is taken, and left out', async () => spooled(node).includes(stream) ? null : true);
  await allAreRight();

  // no quota, no live number, no day of the gateway's own
  const live = await node.control<{ site: { requests: number } }>('/v1/reports/live');
  assert.equal(live.site.requests, 0);
  const today = await node.control<{ complete: boolean; reasons: readonly string[] }>('/v1/completeness');
  assert.deepEqual(today.reasons, []);
  const status = await node.control<{ collector: { repeats: number }; limits: readonly { used: number | null }[] }>('/v1/status');
  assert.deepEqual([status.collector.repeats, status.limits.map(({ used }) => used)], [0, [0]], JSON.stringify(status));
});

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

const spooled = (node: TestNode): readonly string[] => readdirSync(join(node.dataDir, 'spool'));
