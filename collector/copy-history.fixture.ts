/** A data directory for a test, with its collectors, and the moving of its history to a server. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { Collector, type CollectorOptions } from './collector.js';
import { copyHistory, type CopyHistoryOptions } from './copy-history.js';
import { silentLog } from './log/random-events.fixture.js';
import { connection } from './store/stores.fixture.js';

const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };

export interface NodeWithHistory {
  readonly dataDir: string;
  readonly spoolDir: string;
  collector(more?: Partial<CollectorOptions>): Promise<Collector>;
  copy(more?: Partial<CopyHistoryOptions>): ReturnType<typeof copyHistory>;
}

export function nodeOn(t: TestContext, url: string): NodeWithHistory {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-history-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  return {
    dataDir, spoolDir: join(dataDir, 'spool'),
    collector: (more = {}) => Collector.start({ dataDir, retention: RETENTION, log: silentLog, ...more }),
    copy: (more = {}) => copyHistory({ dataDir, clickhouse: connection(url), kafka: null, log: silentLog, signal: new AbortController().signal, progress: () => undefined, ...more }),
  };
}
