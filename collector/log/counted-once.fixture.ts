/** A collector whose steps fail a while, and what it has counted by their end. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from '../../test/harness/deadline.js';
import { Collector } from '../collector.js';
import type { TestTopic } from './kafka/topic.fixture.js';
import { silentLog } from './random-events.fixture.js';

const DAY_MS = 86_400_000;

export function dataDirOf(t: TestContext): string {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-counted-once-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  return dataDir;
}

/** What comes second is found by three steps that fail, having no place for its new rows, and by one that does not. */
export async function totalsOf(dataDir: string, topic: TestTopic | null, first: () => void | Promise<void>, second: () => void | Promise<void>): Promise<{ readonly stored: number; readonly repeats: number; readonly quarantined: number }> {
  let failures = 0;
  const collector = await Collector.start({
    dataDir, retention: { eventsMs: DAY_MS, minutesMs: DAY_MS, quarterHoursMs: DAY_MS, maxBytes: 1e12 }, log: { ...silentLog, error: (_fields, text) => { if (text.startsWith('storing failed')) failures++; } },
    kafka: topic === null ? null : topic.options(),
  });
  try {
    await first();
    await eventually('the first are stored', () => collector.status().stored === 310 || null, 60_000);
    const staging = join(dataDir, 'collector', 'staging');
    rmSync(staging, { recursive: true });
    writeFileSync(staging, '');
    await second();
    await eventually('three steps fail', () => failures >= 3 || null, 60_000);
    rmSync(staging);
    mkdirSync(staging);
    await eventually('all is stored', () => collector.status().stored === 620 || null, 60_000);
    const { stored, repeats, quarantined } = collector.status();
    return { stored, repeats, quarantined };
  } finally {
    await collector.stop();
  }
}
