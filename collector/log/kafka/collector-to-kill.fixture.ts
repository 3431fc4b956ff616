/**
 * A collector of Kafka's log in a process of its own, that stores until the store holds so many events and ends; or dies by SIGKILL at one place on the way, the
 * first time it comes by. A kill from outside cannot meet a place that lasts microseconds, so this program stands between the event log, its offers and its store.
 * Argument: CollectorToKill as JSON.
 */
import { eventually } from '../../../test/harness/deadline.js';
import { Collector } from '../../collector.js';
import { ChdbStore } from '../../store/chdb-store.js';
import { silentLog } from '../random-events.fixture.js';
import { isBegun } from './intent.js';
import { Offer } from './offer.js';
import { testSettings } from './topic.fixture.js';

export type KillPlace =
  | 'before-intent'
  /** The intent is committed, the insert has not begun. */
  | 'after-intent'
  /** While the engine inserts: so many ms after it was told to. */
  | 'mid-insert'
  /** Raw rows are in, no rollup is. */
  | 'between-raw-and-rollup'
  | 'after-insert'
  /** Rows and notes on streams are in, the offset has not moved. */
  | 'before-commit'
  | 'after-commit';

export interface CollectorToKill {
  readonly dataDir: string;
  readonly brokers: string;
  readonly topic: string;
  readonly partitions: number;
  /** A range. */
  readonly rows: number;
  /** It ends when the store holds so many; null: it goes on. */
  readonly total: number | null;
  /** Of a server; null: chDB. */
  readonly clickhouse: string | null;
  /** A member that is silent for so long has lost its partitions; absent: 3 s. */
  readonly sessionTimeoutMs?: number;
  readonly place?: KillPlace;
  readonly afterMs?: number;
}

const DAY_MS = 86_400_000;
const { dataDir, brokers, topic, partitions, rows, total, clickhouse, sessionTimeoutMs = 3000, place, afterMs } = JSON.parse(process.argv[2] ?? '{}') as CollectorToKill;

function passes(passed: KillPlace): void {
  if (passed === place) process.kill(process.pid, 'SIGKILL');
}

const commit: Offer['commit'] = Reflect.get(Offer.prototype, 'commit');
Offer.prototype.commit = async function (this: Offer, offset: number, metadata: string): Promise<void> {
  passes(!isBegun(metadata) ? 'before-commit' : 'before-intent');
  await commit.call(this, offset, metadata);
  passes(!isBegun(metadata) ? 'after-commit' : 'after-intent');
};

const insertRows: ChdbStore['insertRows'] = Reflect.get(ChdbStore.prototype, 'insertRows');
ChdbStore.prototype.insertRows = async function (this: ChdbStore, ...args: Parameters<ChdbStore['insertRows']>): Promise<void> {
  if (place === 'between-raw-and-rollup') await this.command('DETACH TABLE tidegate.traffic_minute_view SYNC');
  const run = insertRows.apply(this, args);
  if (place === 'mid-insert') setTimeout(passes, afterMs, place);
  await run;
  passes('between-raw-and-rollup');
  passes('after-insert');
};

const collector = await Collector.start({
  dataDir,
  retention: { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 },
  limits: { rows, bytes: 64 * 1024 * 1024 },
  kafka: { settings: testSettings(brokers, topic, partitions), sessionTimeoutMs },
  clickhouse: clickhouse === null ? null : { urls: [clickhouse], user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 10_000, compression: true },
  log: { ...silentLog, error: (fields, message) => { console.error(message, fields); } },
});
if (total !== null) {
  await eventually(`${total} events stored`, async () => {
    const [row] = await collector.store.query<{ n: number }>('SELECT count() AS n FROM tidegate.events');
    return (row?.n ?? 0) >= total ? true : null;
  }, 60_000, 100);
  await collector.stop();
}
