/**
 * The access log (`log.access`): a line for each request that has ended, for those who collect lines; the record is the event. On the request's way one
 * reference is kept; the rest is done once the answers of the turn are out.
 */
import { PROTOCOLS } from './events/event.js';
import { OUTCOMES } from './events/outcomes.js';
import { headerValue } from './exchange.js';
import type { ExchangeFacts } from './exchange-facts.js';

/** Names as in the event. */
export interface AccessFields {
  /** When it had ended: RFC 3339. */
  readonly time: string;
  readonly request_id: string;
  readonly trace_id?: string;
  /** As `privacy.client` keeps it. */
  readonly client: string;
  readonly method: string;
  readonly host: string;
  /** Without the query, which may hold credentials. */
  readonly path: string;
  readonly protocol: string;
  /** As sent; 0: none. */
  readonly status: number;
  readonly outcome: string;
  readonly app: string;
  readonly service: string;
  readonly route: string;
  readonly target: string;
  readonly attempts: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_us: number;
  readonly upstream_us: number;
  readonly user_agent?: string;
  /** Without its query. */
  readonly referer?: string;
}

type Ended = Pick<ExchangeFacts, 'logNames' | 'client' | 'method' | 'host' | 'path' | 'protocolId' | 'status' | 'outcomeId' | 'appName' | 'route' | 'target' | 'attempts'
  | 'totalBytesIn' | 'totalBytesOut' | 'durationUs' | 'upstreamUs' | 'rawHeaders'>;

const byId = (table: Readonly<Record<string, number>>): ReadonlyMap<number, string> => new Map(Object.entries(table).map(([name, id]) => [id, name]));
const PROTOCOL_NAMES = byId(PROTOCOLS);
const OUTCOME_NAMES = byId(Object.fromEntries(Object.entries(OUTCOMES).map(([name, { id }]) => [name, id])));

export class AccessLog {
  readonly #write: (rows: readonly AccessFields[]) => void;
  #ended: Ended[] = [];

  constructor(write: (rows: readonly AccessFields[]) => void) {
    this.#write = write;
  }

  /** Its last row is in the spool, and its answer about to go. */
  note(exchange: Ended): void {
    if (this.#ended.length === 0) setImmediate(() => { this.flush(); });
    this.#ended.push(exchange);
  }

  flush(): void {
    const ended = this.#ended;
    this.#ended = [];
    const time = new Date().toISOString();
    if (ended.length > 0) this.#write(ended.map((exchange) => fieldsOf(exchange, time)));
  }
}

function fieldsOf(exchange: Ended, time: string): AccessFields {
  const { route, target, rawHeaders } = exchange;
  const userAgent = headerValue(rawHeaders, 'user-agent');
  const referer = headerValue(rawHeaders, 'referer');
  return {
    time, ...exchange.logNames, client: exchange.client, method: exchange.method, host: exchange.host, path: exchange.path,
    protocol: PROTOCOL_NAMES.get(exchange.protocolId) ?? '', status: exchange.status, outcome: OUTCOME_NAMES.get(exchange.outcomeId) ?? '',
    app: exchange.appName, service: route.service.name, route: route.name, target: target?.url ?? '', attempts: exchange.attempts,
    bytes_in: exchange.totalBytesIn, bytes_out: exchange.totalBytesOut, duration_us: exchange.durationUs, upstream_us: exchange.upstreamUs,
    ...(userAgent === null ? {} : { user_agent: userAgent }), ...(referer === null ? {} : { referer: referer.split(/[?#]/, 1)[0] ?? '' }),
  };
}
