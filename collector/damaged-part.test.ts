/**
 * A collector over a store in which a part of `events` was damaged while it was down. Without the comparison with what was stored the day is complete, its bill is closed with `received` 0, and
 * a rebuild takes what is left of raw events for all there was.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../errors/tidegate-error.js';
import { eventually } from '../test/harness/deadline.js';
import { requires } from '../test/harness/requires.js';
import { ALL, app } from './billing/billing-store.fixture.js';
import { Collector } from './collector.js';
import { RandomStream, silentLog } from './log/random-events.fixture.js';
import { storedSums } from './log/stored-sums.fixture.js';
import type { RebuildLine } from './rebuild/rebuild.js';
import { damagePart, partsOf } from './store/damaged-part.fixture.js';

const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };

test('a day that lost rows is incomplete, is closed by nothing but an operator\'s word, and no rebuild makes its rollups of what is left', { skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-damaged-part-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const midnightMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;
  const yesterday = new Date(midnightMs - DAY_MS).toISOString().slice(0, 10);
  const streams = [1, 2].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, midnightMs - DAY_MS + 36_000_000));
  t.after(async () => { for (const { recorder } of streams) await recorder.close(); });
  const start = (): Promise<Collector> => Collector.start({ dataDir, retention: RETENTION, log: silentLog });
  const lines = async (collector: Collector, swap: boolean): Promise<RebuildLine[]> => {
    const told: RebuildLine[] = [];
    await collector.rebuild({ swap, signal: new AbortController().signal, tell: (line) => { if (line.type !== 'progress') told.push(line); } });
    return told;
  };

  let collector = await start();
  await collector.store.command('ALTER TABLE tidegate.events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1');
  let stored = 0;
  for (const [number, stream] of streams.entries()) {
    stream.write(1000 * (number + 1)).mark().seal();
    stored += 1000 * (number + 1);
    await eventually('all is stored', () => collector.status().stored === stored || null);
  }
  const complete = await collector.completeness(midnightMs - DAY_MS, midnightMs);
  assert.deepEqual([complete.complete, complete.reasons], [true, []]);
  const before = await storedSums(collector.store);
  const [lost] = await collector.store.query<{ name: string; stream: string; rows: number }>("SELECT _part AS name, leftPad(lower(hex(any(stream))), 16, '0') AS stream, count() AS rows FROM tidegate.events GROUP BY name ORDER BY rows LIMIT 1");
  await collector.stop();
  assert.ok(lost !== undefined && partsOf(join(dataDir, 'store'), 'events').has(lost.name));
  damagePart(join(dataDir, 'store'), 'events', lost.name, 'count.txt emptied');

  collector = await start();
  t.after(() => collector.stop());
  const after = await collector.completeness(midnightMs - DAY_MS, midnightMs);
  assert.equal(after.complete, false);
  assert.match(after.reasons.join(), new RegExp(`^${lost.rows} rows of stream ${lost.stream} \\(node node-a, worker \\d\\), stored of ${yesterday} \\(UTC\\), are not in the store any more$`));
  assert.deepEqual(after.differing, [{ day: yesterday, stream: lost.stream, missing: lost.rows, unknown: 0 }]);

  const found = await eventually('the store was looked at', () => collector.status().store);
  assert.deepEqual(found.rowsMissing, [{ day: yesterday, rows: lost.rows }]);
  assert.deepEqual(found.detached?.map(({ table, parts, names }) => [table, parts, names.every((name) => name.startsWith('broken-on-start_'))]), [['events', 1, true]]);

  const told = await lines(collector, true);
  assert.deepEqual(told.map((line) => (line.type === 'left' ? line.days : line.type)), [[yesterday], 'end']);
  await assert.rejects(collector.recover({ putBack: false, signal: new AbortController().signal, tell: () => undefined }),
    (error: TidegateError) => error.code === 'events_not_kept' && error.message.includes(`${lost.rows} rows of ${yesterday}`));
  const { minutes, quarterHours } = await storedSums(collector.store);
  assert.deepEqual([minutes, quarterHours], [before.minutes, before.quarterHours]);

  const { billing } = collector;
  billing.configure({ apps: [app('app-1')], graceMs: 0, keepEventsMs: RETENTION.eventsMs, sinceMs: midnightMs - DAY_MS + 1 });
  await billing.step();
  await eventually('it was judged', () => billing.status().incomplete === 1 || null);
  const closed = async (): Promise<unknown[]> => {
    const all: unknown[] = [];
    for await (const page of billing.closed(ALL)) all.push(...page.map(({ day, complete: whole, reason }) => [day, whole, reason]));
    return all;
  };
  assert.deepEqual(await closed(), []);
  await assert.rejects(billing.close(yesterday, null, null), (error: TidegateError) => error.code === 'billing_day_incomplete' && error.message.includes(lost.stream));
  await billing.close(yesterday, null, 'the disk lost it');
  assert.deepEqual(await closed(), [[yesterday, false, 'the disk lost it']]);
});
