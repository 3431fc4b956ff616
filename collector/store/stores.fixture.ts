/** A store of each kind for a test, and staged rows to put into one. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sampleFacts } from '../../gateway/events/event-samples.fixture.js';
import { RowEncoder } from '../../gateway/events/encoder.js';
import { ROW_VERSION, type RowVersion } from '../../gateway/events/event.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { ChdbStore } from './chdb-store.js';
import { ClickHouseStore, type ClickHouseConnection } from './clickhouse-store.js';
import { INSERT_SETTINGS, ROW_STRUCTURES, type InsertPlan } from './insert-statement.js';
import type { Store } from './store.js';

export const BACKENDS = ['chDB', 'ClickHouse over HTTP'] as const;
export type Backend = (typeof BACKENDS)[number];

export interface OpenedStore extends AsyncDisposable {
  readonly store: Store;
  /** For the test's files. */
  readonly folder: string;
}

/** `default` at `urls`, without a password; `changes` in place of its own. */
export function connection(urls: string | readonly string[], changes: Partial<ClickHouseConnection> = {}): ClickHouseConnection {
  return { urls: [urls].flat(), user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 60_000, compression: true, ...changes };
}

export async function openBackend(backend: Backend): Promise<OpenedStore> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-store-'));
  const server = backend === 'chDB' ? null : await TestClickHouse.start();
  const store = server === null ? await ChdbStore.open(join(folder, 'store')) : new ClickHouseStore(connection(server.url));
  return {
    store, folder,
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await server?.[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** For the test's files; gone with it. */
export function folderOf(t: { after(job: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-http-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  return folder;
}

export interface StagedRange { readonly file: string; readonly plan: InsertPlan }

/**
 * Rows `first` to `first + rows - 1` of a stream, as the collector stages a range: 20 apps, a row each 10 ms unless `timeMs` says otherwise.
 * @param version 1: as a program staged it whose store was at a migration before 12
 */
export function stageRange(folder: string, stream: string, first: number, rows: number, timeMs = (seq: number): number => 1_795_260_000_000 + seq * 10, version: RowVersion = ROW_VERSION): StagedRange {
  const encoder = new RowEncoder(stream, 'node-a', 1);
  const pieces: Buffer[] = [];
  for (let seq = first; seq < first + rows; seq++) {
    encoder.append(sampleFacts(seq, { timeMs: timeMs(seq) }, { app: `app-${seq % 20}` }), seq);
    // it had no Strings for refusals, which are empty here
    pieces.push(Buffer.from(version === 1 ? encoder.rows.subarray(0, -2) : encoder.rows));
    encoder.clear();
  }
  const file = join(folder, `${stream}-${first}.rows`);
  writeFileSync(file, Buffer.concat(pieces));
  return { file, plan: { token: `range-${stream}-${first}-${rows}`, structure: ROW_STRUCTURES[version], settings: INSERT_SETTINGS, paces: [{ stream, rowsASecond: 100 }], leaveOut: [] } };
}

export interface StoredRows { readonly rows: number; readonly minutes: number; readonly quarters: number; readonly bytes: number; readonly edges: readonly (readonly [edge: number, delta: number])[] }

/** What raw, the rollups and the coverage hold. */
export async function storedRows(store: Store): Promise<StoredRows> {
  const [sums] = await store.query<Omit<StoredRows, 'edges'>>(`SELECT (SELECT count() FROM tidegate.events) AS rows, (SELECT sum(requests) FROM tidegate.traffic_minute) AS minutes,
    (SELECT sum(requests) FROM tidegate.traffic_quarter_hour) AS quarters, (SELECT sum(bytes_out) FROM tidegate.traffic_minute) AS bytes`);
  const edges = await store.query<{ edge: number; delta: number }>('SELECT edge, sum(delta) AS delta FROM tidegate.coverage GROUP BY stream, edge HAVING delta != 0 ORDER BY stream, edge');
  return { ...sums as Omit<StoredRows, 'edges'>, edges: edges.map(({ edge, delta }) => [edge, delta] as const) };
}

/** What storedRows must answer when rows 0 to `rows` - 1 of one stream are stored, each once. */
export function eachOnce(rows: number): StoredRows {
  return { rows, minutes: rows, quarters: rows, bytes: rows * 4321, edges: rows === 0 ? [] : [[0, 1], [rows, -1]] };
}
