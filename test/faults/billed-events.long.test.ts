/**
 * Bills and reports against sums known beforehand: TEST_EVENTS events (default 1,000,000; 10,000,000 with `npm run faults`) of four days and four zones go through recorder, spool and
 * collector, some late, some twice, some in a frame that is damaged. Reports and closed days equal the sums to the request; the day with the gap closes by a word only; what is late
 * is an adjustment, once; and closed days are the same bytes again, after a restart, and after a backup was put back.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Billing } from '../../collector/billing/billing.js';
import type { BillingEntry } from '../../collector/billing/entry.js';
import { Collector } from '../../collector/collector.js';
import { ReportStore } from '../../collector/reports/report-store.js';
import { trafficReport } from '../../collector/reports/traffic.js';
import { parseTrafficQuery } from '../../collector/reports/traffic-query.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { AppConfig } from '../../gateway/config/schema.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { APPS, DAYS, GAP_DAY, LATE_DAY, type MadeDays, type MadeSums } from './billed-days.js';

const EVENTS = Number(process.env['TEST_EVENTS'] ?? 1_000_000);
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const QUARTER_MS = 900_000;
/** With what each is ahead of UTC in November. */
const ZONES = [['UTC', 0], ['Asia/Kolkata', 5.5], ['Asia/Kathmandu', 5.75], ['America/New_York', -5]] as const;
const zoneOf = (app: number): (typeof ZONES)[number] => ZONES[app % ZONES.length] as (typeof ZONES)[number];
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 1e12 };
const START = (Math.floor(Date.now() / DAY_MS) - DAYS - 2) * DAY_MS;
const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** `app day`: what stands on the bill. */
type Bill = Readonly<Record<string, readonly number[]>>;

/** By the plainest counting: local time is UTC and so many hours. */
function billOf(sums: MadeSums, sign = 1, onto: Bill = {}): Bill {
  const bill: Record<string, number[]> = Object.fromEntries(Object.entries(onto).map(([key, counts]) => [key, [...counts]]));
  for (const [key, counts] of Object.entries(sums)) {
    const [app = 0, quarter = 0] = key.split(' ').map(Number);
    const entry = bill[`app-${app} ${dateOf(quarter * QUARTER_MS + zoneOf(app)[1] * HOUR_MS)}`] ??= [0, 0, 0];
    counts.forEach((count, i) => { entry[i] = (entry[i] ?? 0) + sign * count; });
  }
  return bill;
}

const billed = (entries: readonly BillingEntry[]): Bill => Object.fromEntries(entries.map(({ app, for_day: day, received, refused, billable }) => [`${app} ${day}`, [received, refused, billable]]));
const without = (bill: Bill): Bill => Object.fromEntries(Object.entries(bill).filter(([, counts]) => counts.some((count) => count !== 0)));
const until = (bill: Bill, day: string): Bill => Object.fromEntries(Object.entries(bill).filter(([key]) => (key.split(' ')[1] ?? '') < day));

class BilledNode {
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-billed-'));
  readonly dataDir = join(this.folder, 'data');
  collector!: Collector;
  billing!: Billing;
  nowMs = START;
  #running = false;

  async start(): Promise<void> {
    this.collector = await Collector.start({ dataDir: this.dataDir, retention: RETENTION, log });
    this.#running = true;
    this.billing = new Billing({
      store: this.collector.store, asOfMs: () => this.collector.asOfMs(), judge: (fromMs, toMs) => this.collector.completeness(fromMs, toMs), log, nowMs: () => this.nowMs,
    });
    const apps = Array.from({ length: APPS }, (_, i) => ({ name: `app-${i}`, time_zone: zoneOf(i)[0], limits: { qpd: { limit: 1000, over: 'bill' } } }) as unknown as AppConfig);
    this.billing.configure({ apps, graceMs: HOUR_MS, keepEventsMs: RETENTION.eventsMs, sinceMs: START });
  }

  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    await this.billing.stop();
    await this.collector.stop();
  }

  /** The day is over, with its grace, in every zone. */
  async close(day: number): Promise<void> {
    this.nowMs = START + (day + 1) * DAY_MS + 7 * HOUR_MS;
    await this.billing.step();
  }

  async entries(): Promise<readonly BillingEntry[]> {
    const entries: BillingEntry[] = [];
    for await (const page of this.billing.closed({ fromDay: '2000-01-01', toDay: '2090-01-01', apps: null })) entries.push(...page);
    return entries;
  }

  stored(events: number): Promise<true> {
    return eventually(`${events} events stored`, () => (this.collector.status().stored >= events && this.collector.status().lagSeconds < 2) || null, 900_000, 100)
      .catch((error: unknown) => { throw new Error(JSON.stringify(this.collector.status()), { cause: error }); });
  }
}

test(`${EVENTS} events of four days and zones: reports and bills equal their sums`, { skip: requires('chdb'), timeout: 1_800_000 }, async (t) => {
  const node = new BilledNode();
  t.after(async () => {
    await node.stop();
    rmSync(node.folder, { recursive: true, force: true });
  });
  const [spool, late] = [join(node.dataDir, 'spool'), join(node.folder, 'late')];
  for (const folder of [spool, late]) mkdirSync(folder, { recursive: true });
  const maker = join(fileURLToPath(import.meta.url), '..', `billed-events-maker.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`);
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, maker, spool, late, String(EVENTS), String(START)], { maxBuffer: 1e9 });
  const made = JSON.parse(stdout) as MadeDays;
  await node.start();
  await node.stored(made.counts.prompt - made.counts.lost);
  assert.ok(made.counts.lost > 0 && made.counts.late > 0 && made.counts.twice > 0);
  assert.equal(node.collector.status().stored, made.counts.prompt - made.counts.lost, 'each once');
  assert.ok(node.collector.status().repeats > 0, 'some lay there twice');

  const whole = billOf(made.lost, -1, billOf(made.prompt));
  await node.close(LATE_DAY);
  const first = await node.entries();
  assert.deepEqual(without(billed(first)), without(until(whole, dateOf(START + GAP_DAY * DAY_MS))));
  assert.ok(first.every(({ kind, complete, billable, over_quota: over }) => kind === 'usage' && complete && over === Math.max(0, billable - 1000)));
  assert.deepEqual(await node.entries(), first);

  // a node that was cut off comes back
  for (const stream of readdirSync(late)) renameSync(join(late, stream), join(spool, stream));
  await node.stored(made.counts.prompt - made.counts.lost + made.counts.late);
  await node.close(GAP_DAY);
  assert.deepEqual(await node.entries(), first, 'the day with the gap does not close');
  const gapDay = dateOf(START + GAP_DAY * DAY_MS);
  await assert.rejects(node.billing.close(gapDay, null, null), (error) => error instanceof TidegateError && error.code === 'billing_day_incomplete' && new RegExp(`${made.counts.lost} events of stream`).test(error.message));
  assert.ok((await node.billing.close(gapDay, null, 'a damaged frame')).every(({ complete, reason }) => !complete && reason === 'a damaged frame'));
  const second = await node.entries();
  assert.deepEqual(second.filter(({ day }) => day < gapDay), first, 'closed days are as they were');
  // in Kolkata some of what came late is of the day that was open then
  const withLate = billOf(made.late, 1, whole);
  assert.deepEqual(without(billed(second.filter(({ day, kind }) => day === gapDay && kind === 'usage'))), without(Object.fromEntries(Object.entries(withLate).filter(([key]) => key.endsWith(gapDay)))));
  const adjustments = second.filter(({ kind }) => kind === 'adjustment');
  assert.ok(adjustments.every(({ day }) => day === gapDay));
  assert.deepEqual(billed(adjustments), until(billOf(made.late), gapDay), 'what was late, once');

  // hours of each app, and statuses, by the reports
  const rows = async (parameters: Record<string, unknown>) => (await trafficReport({
    store: new ReportStore(node.collector.store), asOfMs: () => node.collector.asOfMs(), nowMs: Date.now, kept: () => RETENTION, completeness: () => Promise.resolve({ complete: true, reasons: [] }),
  }, parseTrafficQuery({ from: new Date(START).toISOString(), to: new Date(START + (DAYS + 1) * DAY_MS).toISOString(), ...parameters }, { nowMs: Date.now(), principal: { kind: 'operator' }, defaultTimeZone: 'UTC', accept: '' }))).rows;
  const expected = { hours: new Map<string, number[]>(), statuses: new Map<string, number>() };
  for (const [sums, sign] of [[made.prompt, 1], [made.late, 1], [made.lost, -1]] as const) {
    for (const [key, [received, refused]] of Object.entries(sums)) {
      const [app = 0, quarter = 0, status = 0] = key.split(' ').map(Number);
      const hour = `app-${app} ${new Date(Math.floor(quarter / 4) * HOUR_MS).toISOString().replace('.000', '')}`;
      const [all = 0, no = 0] = expected.hours.get(hour) ?? [];
      expected.hours.set(hour, [all + sign * received, no + sign * refused]);
      expected.statuses.set(String(status), (expected.statuses.get(String(status)) ?? 0) + sign * received);
    }
  }
  const sorted = <T>(map: Iterable<readonly [string, T]>): (readonly [string, T])[] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  const byHour = await rows({ interval: 'hour', group_by: ['app'] });
  assert.deepEqual(sorted(byHour.map((row) => [`${String(row.groups.app)} ${row.time}`, [row.requests, row.refused]] as const)), sorted([...expected.hours].filter(([, [all]]) => all !== 0)));
  const byStatus = await rows({ interval: 'total', group_by: ['status'] });
  assert.deepEqual(sorted(byStatus.map((row) => [String(row.groups.status), row.requests] as const)), sorted(expected.statuses));

  await node.stop();
  const backup = join(node.folder, 'backup');
  cpSync(node.dataDir, backup, { recursive: true });
  await node.start();
  assert.deepEqual(await node.entries(), second, 'after a restart');
  await node.close(DAYS - 1);
  const third = await node.entries();
  assert.deepEqual(third.slice(0, second.length), second);
  await node.stop();
  rmSync(node.dataDir, { recursive: true });
  renameSync(backup, node.dataDir);
  await node.start();
  assert.deepEqual(await node.entries(), second, 'after a backup was put back');
  await node.close(DAYS - 1);
  assert.deepEqual(await node.entries(), third, 'the day that closed after the backup was made closes again, the same');
  const all = new Map<string, number[]>();
  for (const { app, for_day: day, received, refused, billable } of third) {
    const [a = 0, b = 0, c = 0] = all.get(`${app} ${day}`) ?? [];
    all.set(`${app} ${day}`, [a + received, b + refused, c + billable]);
  }
  const lastDay = dateOf(START + DAYS * DAY_MS);
  assert.deepEqual(without(Object.fromEntries(all)), without(until(withLate, lastDay)));
  console.log(`${made.counts.prompt} events and ${made.counts.late} late ones of ${APPS} apps, ${made.counts.lost} in a damaged frame: ${third.length} entries, ${adjustments.length} adjustments, each equal to its sum`);
});
