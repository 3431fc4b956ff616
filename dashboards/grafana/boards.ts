/** All boards, as the files that Grafana is given. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { billing } from './billing.js';
import { CLICKHOUSE } from './clickhouse-questions.js';
import { events } from './events.js';
import { overview } from './overview.js';
import { REPORT_API } from './report-questions.js';
import { runtime } from './runtime.js';
import { service } from './service.js';
import { tenants } from './tenants.js';

/** Folder of the files, below the repository's. */
export const BOARDS_FOLDER = 'deploy/grafana/boards';

/**
 * Path below BOARDS_FOLDER to board. `prometheus/` is for every Grafana, and one of `clickhouse/` and `report-api/`: theirs have the same uids, so that links lead to the one that is there.
 */
export function boards(): ReadonlyMap<string, Dashboard> {
  const files = new Map<string, Dashboard>([['prometheus/overview.json', overview()], ['prometheus/service.json', service()], ['prometheus/events.json', events()], ['prometheus/runtime.json', runtime()]]);
  for (const store of [CLICKHOUSE, REPORT_API]) {
    files.set(`${store.folder}/tenants.json`, tenants(store));
    files.set(`${store.folder}/billing.json`, billing(store));
  }
  return files;
}

/** The same bytes for the same board: what the repository holds. */
export const render = (board: Dashboard): string => `${JSON.stringify(board, null, 2)}\n`;
