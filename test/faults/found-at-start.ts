/**
 * What a collector finds that follows a killed one, noted before its own first line runs and replays anything: the durable evidence of what the
 * kill cut. An insert was cut where the manifest's staging file is still there: it goes when the insert has returned.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readManifest } from '../../collector/log/spool/manifest.js';
import { ChdbStore } from '../../collector/store/chdb-store.js';

/** Folder of these notes beside the orders; each is `<when, ms since the epoch>.<pid>.json`. */
export const FOUND_DIR = 'found';
/** An order to the next collector: look into the store as well. Other kinds leave the first look after a kill to the product. */
export const LOOK_ORDER = 'collector.look';

/** Requests by each table of the chain: all four agree except in the midst of an insert. */
export interface TableSums {
  readonly raw: number;
  readonly minute: number;
  readonly quarterHour: number;
  readonly coverage: number;
}

export interface FoundAtStart {
  /** Of the last manifest; 0: there is none. */
  readonly range: number;
  /** The last insert has not returned. */
  readonly unfinished: boolean;
  /** Null: nobody ordered a look. */
  readonly sums: TableSums | null;
}

/** Whether the insert of the last manifest is under way, or was cut. */
export function lastInsert(dataDir: string): { readonly range: number; readonly unfinished: boolean } {
  const manifest = readManifest(join(dataDir, 'collector', 'manifest.json'));
  if (manifest === null) return { range: 0, unfinished: false };
  return { range: manifest.range, unfinished: manifest.rows > 0 && existsSync(join(dataDir, 'collector', 'staging', `${manifest.range}.rows`)) };
}

/** Runs in the collector's process, before the collector. The node's configuration file is JSON here, as the harness writes it. */
export async function noteFound(orders: string, configFile: string): Promise<void> {
  const { data_dir: dataDir } = JSON.parse(readFileSync(configFile, 'utf8')) as { data_dir: string };
  const look = join(orders, LOOK_ORDER);
  const found: FoundAtStart = { ...lastInsert(dataDir), sums: existsSync(look) ? await tableSums(join(dataDir, 'store')) : null };
  rmSync(look, { force: true });
  writeFileSync(join(orders, FOUND_DIR, `${Date.now()}.${process.pid}.json`), JSON.stringify(found));
}

async function tableSums(path: string): Promise<TableSums> {
  const store = await ChdbStore.open(path);
  try {
    const [sums] = await store.query<TableSums>(`SELECT (SELECT toFloat64(count()) FROM tidegate.events) AS raw,
      (SELECT toFloat64(sum(requests)) FROM tidegate.traffic_minute) AS minute, (SELECT toFloat64(sum(requests)) FROM tidegate.traffic_quarter_hour) AS quarterHour,
      (SELECT -toFloat64(sum(toInt64(edge) * delta)) FROM tidegate.coverage) AS coverage`);
    return sums as TableSums;
  } finally {
    await store.close();
  }
}
