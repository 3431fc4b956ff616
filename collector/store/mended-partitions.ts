/** What is put beside a table that views read (`events_mended`, `traffic_minute_mended`), and moved there as a part: no view counts it a second time. */
import type { Store } from './store.js';

export type MendedTable = 'events' | 'traffic_minute';

/** Takes away what is left there by somebody who was cut off. @throws what the store throws */
export async function clearMended(store: Pick<Store, 'query' | 'command'>, table: MendedTable, partition: string): Promise<void> {
  const left = await store.query(`SELECT 1 FROM tidegate.${table}_mended WHERE _partition_id = '${partition}' LIMIT 1`);
  if (left.length > 0) await store.command(`ALTER TABLE tidegate.${table}_mended DROP PARTITION ID '${partition}'`);
}

/** It is there, and beside the table no more, in one step. @throws what the store throws */
export async function moveMended(store: Pick<Store, 'command'>, table: MendedTable, partition: string): Promise<void> {
  await store.command(`ALTER TABLE tidegate.${table}_mended MOVE PARTITION ID '${partition}' TO TABLE tidegate.${table}`);
}
