/** A ledger in memory, for tests of what is made of one: the same order, pages and refusals as the store's. */
import { createHash } from 'node:crypto';
import { bucketBounds } from '../reports/calendar.js';
import { ENTRY_FIELDS, ENTRY_KINDS, type BillingEntry, type ClosedEntries, type EntrySelection } from './entry.js';

const DAY_MS = 86_400_000;

/** An entry of a day, its identity and bounds made of what it says. */
export function madeEntry(said: Partial<BillingEntry> & Pick<BillingEntry, 'app' | 'day'>): BillingEntry {
  const zone = said.time_zone ?? 'UTC';
  const noonMs = Date.parse(`${said.day}T12:00:00Z`);
  const bounds = bucketBounds('day', zone, noonMs - DAY_MS, noonMs + DAY_MS);
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short' });
  const at = bounds.findIndex((start) => format.format(start) === said.day);
  const received = said.received ?? 100;
  const refused = said.refused ?? 10;
  const kind = said.kind ?? 'usage';
  const entry: BillingEntry = {
    entry_id: createHash('sha256').update(`${said.app} ${said.day} ${kind} ${said.reason ?? ''}`).digest('hex').slice(0, 32), kind, customer: '', for_day: said.day, time_zone: zone,
    day_start: new Date(bounds[at] as number).toISOString(), day_end: new Date(bounds[at + 1] as number).toISOString(),
    received, refused, requests: received - refused, billable: received - refused, quota: null, over_quota: 0, status: 'closed', complete: true, reason: '', checksum: '', ...said,
  };
  return { ...entry, checksum: createHash('sha256').update(JSON.stringify(ENTRY_FIELDS.map((name) => (name === 'checksum' ? '' : entry[name])))).digest('hex') };
}

/** A month of some apps: zones on both sides of UTC, names that a spreadsheet would run, a credit, an adjustment, a quota that was passed. */
export function madeMonth(apps: number): BillingEntry[] {
  const zones = ['UTC', 'Asia/Kolkata', 'America/New_York', 'Pacific/Kiritimati', 'Australia/Lord_Howe'];
  const entries: BillingEntry[] = [];
  for (let app = 0; app < apps; app++) {
    const of = { app: app === 0 ? '=cmd|calc' : `app-${app}`, customer: app === 1 ? '-1+1' : app === 2 ? '' : `C-${1000 + app}`, time_zone: zones[app % zones.length] as string };
    for (let day = 1; day <= 30; day++) {
      const date = `2026-11-${String(day).padStart(2, '0')}`;
      entries.push(madeEntry({ ...of, day: date, received: 1000 * app + day, refused: day % 7, quota: app % 2 === 0 ? null : 500, over_quota: app % 2 === 0 ? 0 : Math.max(0, 1000 * app - 500) }));
      if (day === 12) entries.push(madeEntry({ ...of, day: date, for_day: '2026-11-11', kind: 'adjustment', received: 3, refused: 1, reason: 'late' }));
      if (day === 20) entries.push(madeEntry({ ...of, day: date, for_day: '2026-11-02', kind: 'credit', received: 0, refused: 0, requests: -7, billable: -7, reason: '@outage, "agreed"' }));
    }
  }
  return entries;
}

const order = ({ day, app, kind, entry_id: id }: BillingEntry): string => JSON.stringify([day, app, ENTRY_KINDS.indexOf(kind), id]);

export class MemoryLedger implements ClosedEntries {
  entries: readonly BillingEntry[];
  open: { readonly app: string; readonly day: string; readonly status: 'open' | 'closing'; readonly reasons: readonly string[] }[] = [];
  /** Pages that were read, and readings that were ended. */
  pagesRead = 0;
  ended = 0;

  constructor(entries: readonly BillingEntry[]) {
    this.entries = entries;
  }

  async *closed(selection: EntrySelection): AsyncGenerator<readonly BillingEntry[]> {
    const found = this.entries.filter((entry) => within(selection, entry)).sort((a, b) => (order(a) < order(b) ? -1 : 1));
    try {
      for (let at = 0; at < found.length; at += 200) {
        this.pagesRead += 1;
        // as a store is asked
        await new Promise((resolve) => { setImmediate(resolve); });
        yield found.slice(at, at + 200);
      }
    } finally {
      this.ended += 1;
    }
  }

  unclosed(selection: EntrySelection, limit: number): Promise<MemoryLedger['open']> {
    return Promise.resolve(this.open.filter((one) => within(selection, one)).slice(0, limit));
  }
}

const within = ({ fromDay, toDay, apps }: EntrySelection, { app, day }: { readonly app: string; readonly day: string }): boolean => day >= fromDay && day < toDay && (apps === null || apps.includes(app));
