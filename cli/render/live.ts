/** The live numbers for the terminal: requests a second and in flight, and a bar of each quota. */
import type { NodeLive, QuotaStatus } from '../../gateway/control/control-deps.js';
import { count, share } from './figures.js';
import { bar } from './graph.js';
import { renderTable } from './table.js';
import { styled, type Style, type Terminal } from './terminal.js';

/** As `GET /v1/reports/live` answers, as far as it is shown. */
export interface LiveAnswer extends NodeLive {
  readonly site: { readonly qps: number };
  readonly apps: Readonly<Record<string, { readonly qps: number }>>;
}

const BAR = 20;
const MOST_QUOTAS = 10;
/** From here on the app should know. */
const NEARLY = 0.8;

/** @param apps only these; empty: all, of which those are shown that have used most */
export function renderLive(terminal: Terminal, live: LiveAnswer, apps: readonly string[] = []): string {
  const qps = apps.length === 0 ? live.site.qps : apps.reduce((sum, app) => sum + (live.apps[app]?.qps ?? 0), 0);
  const inFlight = live.in_flight === null ? null : apps.length === 0 ? live.in_flight.site : apps.reduce((sum, app) => sum + (live.in_flight?.apps[app] ?? 0), 0);
  const now = `now          ${qps.toFixed(1)} requests a second${inFlight === null ? '' : `, ${count(inFlight)} in flight at this node`}\n`;
  const quotas = Object.entries(live.quotas).filter(([app]) => apps.length === 0 || apps.includes(app)).sort(([, a], [, b]) => (b.share ?? 0) - (a.share ?? 0));
  if (quotas.length === 0) return now;
  const table = renderTable(terminal, [
    { head: 'quota of', align: 'left', shrinks: true }, { head: 'day', align: 'left' }, { head: 'used', align: 'right' }, { head: 'of', align: 'right' }, { head: '', align: 'right' }, { head: '', align: 'left' },
  ], quotas.slice(0, MOST_QUOTAS).map(([app, quota]) => [
    app, quota.day, quota.used === null ? '-' : count(quota.used), `${count(quota.limit)}${quota.over === 'bill' ? ' billed over' : ''}`,
    quota.used === null ? '-' : share(quota.used, quota.limit), barOf(quota),
  ]));
  return `${now}${table}${quotas.length > MOST_QUOTAS ? `${styled(terminal, 'dim', `${quotas.length - MOST_QUOTAS} more: GET /v1/reports/live`)}\n` : ''}`;
}

function barOf({ used, limit, over }: QuotaStatus): { readonly text: string; readonly style: Style } {
  const part = (used ?? 0) / limit;
  return { text: bar(used ?? 0, limit, BAR), style: part >= 1 && over === 'refuse' ? 'red' : part >= NEARLY ? 'yellow' : 'green' };
}
