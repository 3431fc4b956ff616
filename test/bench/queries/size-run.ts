/** What the store's tables take on disk, largest first, a line of JSON each. Argument: folder. In a process of its own: one chDB directory, one process. */
import { resolve } from 'node:path';
import { openStore } from '../../../collector/store/open-store.js';
import { QUIET } from '../quiet-log.js';
import type { TableSize } from './queries-report.js';

/** What is smaller says nothing about an event. */
const LEAST_ROWS = 1000;

const store = await openStore({ dataDir: resolve(process.argv[2] as string), clickhouse: null, log: QUIET });
const sizes = await store.query<TableSize>(
  `SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'tidegate' AND active GROUP BY table HAVING rows >= ${LEAST_ROWS} ORDER BY bytes DESC`);
for (const size of sizes) console.log(JSON.stringify(size));
await store.close();
