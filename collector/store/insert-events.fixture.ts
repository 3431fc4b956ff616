/** Events put into the store as the collector does, without a spool. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EVENT_COLUMNS, KINDS, METHODS, PROTOCOLS, ROW_VERSION, type Kind, type Method, type Protocol } from '../../gateway/events/event.js';
import { OUTCOMES, type Outcome } from '../../gateway/events/outcomes.js';
import type { EventRow } from '../../gateway/events/read-rows.js';
import type { ChdbStore } from './chdb-store.js';
import { insertSelect, quoted, ROW_STRUCTURES, type InsertPlan } from './insert-statement.js';
import type { Store } from './store.js';

export type MadeEvent = Partial<Omit<EventRow, 'method' | 'outcome' | 'protocol' | 'kind'>>
  & { readonly method?: Method; readonly outcome?: Outcome; readonly protocol?: Protocol; readonly kind?: Kind };

/** A statement is at most 256 KB. */
const ROWS_A_STATEMENT = 500;

/** What an event does not say is 0, '', or an ordinary request's. */
export async function insertEvents(store: Store, events: readonly MadeEvent[], paces: InsertPlan['paces'] = []): Promise<void> {
  const rows = events.map(valuesOf);
  for (let i = 0; i < rows.length; i += ROWS_A_STATEMENT) {
    await store.command(insertSelect(`values(${quoted(ROW_STRUCTURES[ROW_VERSION])}, ${rows.slice(i, i + ROWS_A_STATEMENT).join(', ')})`, paces));
  }
}

/** The same of very many, into a store in this process: it reads them from a file in `folder`. */
export async function insertManyEvents(store: ChdbStore, events: readonly MadeEvent[], folder: string): Promise<void> {
  const file = join(folder, 'events.values');
  writeFileSync(file, events.map(valuesOf).join(','));
  await store.command(insertSelect(`file(${quoted(file)}, 'Values', ${quoted(ROW_STRUCTURES[ROW_VERSION])})`, []));
}

const valuesOf = (event: MadeEvent): string => `(${EVENT_COLUMNS.map(([name]) => valueOf(event, name)).join(', ')})`;

function valueOf(event: MadeEvent, column: (typeof EVENT_COLUMNS)[number][0]): string {
  switch (column) {
    // literals, which the engine reads many times faster than expressions
    case 'stream': return BigInt(`0x${event.stream ?? '1'}`).toString();
    case 'node': return quoted(event.node ?? 'n');
    case 'worker': return String(event.worker ?? 1);
    case 'seq': return String(event.seq ?? 0);
    case 'ordinal': return String(event.ordinal ?? 0);
    case 'time': return quoted(new Date(event.timeMs ?? Date.now()).toISOString().slice(0, -1).replace('T', ' '));
    case 'duration_us': return String(event.durationUs ?? 0);
    case 'upstream_us': return String(event.upstreamUs ?? 0);
    case 'bytes_in': return String(event.bytesIn ?? 0);
    case 'bytes_out': return String(event.bytesOut ?? 0);
    case 'status': return String(event.status ?? 200);
    case 'method': return String(METHODS[event.method ?? 'GET']);
    case 'outcome': return String(OUTCOMES[event.outcome ?? 'answered'].id);
    case 'protocol': return String(PROTOCOLS[event.protocol ?? 'http/1.1']);
    case 'kind': return String(KINDS[event.kind ?? 'request']);
    case 'requests': return String(event.requests ?? 1);
    case 'counted': return String(event.counted ?? 1);
    case 'billable': return String(event.billable ?? 1);
    case 'attempts': return String(event.attempts ?? 1);
    case 'config_version': return quoted(event.configVersion ?? '');
    case 'service': return quoted(event.service ?? '');
    case 'route': return quoted(event.route ?? '');
    case 'app': return quoted(event.app ?? '');
    case 'target': return quoted(event.target ?? '');
    case 'client': return quoted(event.client ?? '');
    case 'path': return quoted(event.path ?? '');
    case 'trace_id': return quoted(event.traceId ?? '');
    case 'refused_by': return quoted(event.refusedBy ?? '');
    case 'reason': return quoted(event.reason ?? '');
  }
}
