/** The product's public API, as its documents have it: `/v1/requests`, `/v1/reports/traffic`, `/v1/completeness`, `/v1/billing/days`. */
import { eventually } from './processes.js';

export interface Row {
  readonly id: string;
  readonly time: string;
  readonly app: string;
  readonly path: string;
  readonly method: string;
  readonly status: number;
  readonly outcome: string;
  readonly bytes_out: number;
  readonly requests: number;
}

export interface Completeness {
  readonly complete: boolean;
  readonly reasons: readonly string[];
  readonly dropped: readonly { readonly app: string; readonly count: number }[];
  readonly streams: readonly { readonly stream: string; readonly missing: number; readonly twice: number; readonly dropped: number }[];
}

export interface Range { readonly fromMs: number; readonly toMs: number }

const PAGE = 1000;
const ANSWER_MS = 30_000;

export class PublicApi {
  readonly #origin: () => string;
  readonly #token: string;
  readonly #patienceMs: number;

  /** @param origin asked anew each time: of several nodes, any that lives. @param patienceMs how long a question is repeated while it is refused */
  constructor(origin: () => string, token: string, patienceMs = 120_000) {
    this.#origin = origin;
    this.#token = token;
    this.#patienceMs = patienceMs;
  }

  /** Every call of the range, page by page. */
  async* calls({ fromMs, toMs }: Range): AsyncGenerator<readonly Row[]> {
    const range = { from: iso(fromMs), to: iso(toMs) };
    let cursor: string | null = null;
    do {
      const page: { rows: readonly Row[]; next: string | null } = await this.#get('/v1/requests', cursor === null ? { ...range, limit: PAGE } : { cursor, limit: PAGE });
      yield page.rows;
      cursor = page.next;
    } while (cursor !== null);
  }

  /** Requests by app, as raw events have them, or as the rollups do. */
  async totals({ fromMs, toMs }: Range, from: 'raw' | 'rollups'): Promise<ReadonlyMap<string, number>> {
    const { rows } = await this.#get<{ rows: readonly { app: string; requests: number }[] }>('/v1/reports/traffic', {
      from: iso(fromMs), to: iso(toMs), interval: 'total', group_by: from === 'raw' ? 'app,outcome' : 'app',
    });
    const sums = new Map<string, number>();
    for (const { app, requests } of rows) sums.set(app, (sums.get(app) ?? 0) + requests);
    return sums;
  }

  /** @param day of UTC, `2026-11-21` */
  async completeness(day: string): Promise<Completeness> {
    return this.#get<Completeness>('/v1/completeness', { day, time_zone: 'UTC' });
  }

  /** What each app's days have come to, `received` summed up. @param fromDay, toDay half open */
  async billed(fromDay: string, toDay: string): Promise<ReadonlyMap<string, number>> {
    const { days } = await this.#get<{ days: readonly { app: string; received: number }[] }>('/v1/billing/days', { from: fromDay, to: toDay });
    const sums = new Map<string, number>();
    for (const { app, received } of days) sums.set(app, (sums.get(app) ?? 0) + received);
    return sums;
  }

  async #get<T>(path: string, parameters: Readonly<Record<string, string | number>>): Promise<T> {
    const query = new URLSearchParams(Object.entries(parameters).map(([name, value]): [string, string] => [name, String(value)]));
    return eventually(`GET ${path}?${query.toString()}`, async () => {
      const answer = await fetch(`${this.#origin()}${path}?${query.toString()}`, { headers: { authorization: `Bearer ${this.#token}` }, signal: AbortSignal.timeout(ANSWER_MS) });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text) as T;
      throw new Error(`${answer.status} ${text}`);
    }, this.#patienceMs, 250);
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();
