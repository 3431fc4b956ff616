/** When the requests of a store ended, and how long after that they were inserted. Arguments: data folder of a node that has ended, file for the answer. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { ENDS_SQL, type Ended, type Lags } from '../harness/report-lags.js';

export interface StoredEnds {
  readonly ends: readonly Ended[];
  /** ms, from the end to the insert. */
  readonly stored: Lags;
}

const [dataDir, file] = process.argv.slice(2) as [string, string];
const store = await ChdbStore.open(join(dataDir, 'store'));
const [stored] = await store.query<Lags>(`SELECT quantile(0.5)(lag) AS p50, quantile(0.99)(lag) AS p99, max(lag) AS worst FROM
  (SELECT toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(time) - intDiv(duration_us, 1000) AS lag FROM tidegate.events)`);
if (stored === undefined) throw new Error('the store did not answer');
const answer: StoredEnds = { ends: await store.query<Ended>(ENDS_SQL), stored };
writeFileSync(file, JSON.stringify(answer));
await store.close();
