/** The collector's own state, asked over its Unix socket. */
import { Pool } from 'undici';
import type { CollectorStatus } from '../control/control-deps.js';
import type { CollectorCounts } from '../metrics/node-facts.js';

const WITHIN_MS = 500;

export interface CollectorAnswer {
  readonly status: CollectorStatus;
  /** For the metrics alone. Null: it does not say. */
  readonly counts: CollectorCounts | null;
  /** ms since the epoch: everything recorded before it is stored. Null: it does not say. */
  readonly caughtUpMs: number | null;
}

export class CollectorStatusClient {
  readonly #pool: Pool;

  constructor(socketPath: string) {
    this.#pool = new Pool('http://collector', { socketPath, connections: 3, connectTimeout: WITHIN_MS });
  }

  /** Null: it does not answer in time. */
  async read(withinMs: number = WITHIN_MS): Promise<CollectorAnswer | null> {
    try {
      const answer = await this.#pool.request({ method: 'GET', path: '/status', signal: AbortSignal.timeout(withinMs) });
      if (answer.statusCode !== 200) {
        await answer.body.dump();
        return null;
      }
      return parse(await answer.body.json());
    } catch {
      return null;
    }
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}

function parse(value: unknown): CollectorAnswer | null {
  if (typeof value !== 'object' || value === null) return null;
  const { lag_seconds, caught_up_at, stored, gaps, gaps_total, repeats, quarantined, in_quarantine, failing, publishing, billing, store, counts } = value as Record<string, unknown>;
  if (![stored, gaps, gaps_total, repeats, quarantined].every((count) => typeof count === 'number')) return null;
  const status: CollectorStatus = {
    lag_seconds: typeof lag_seconds === 'number' ? lag_seconds : null, failing: failingOf(failing), stored: stored as number, gaps: gaps as number, gaps_total: gaps_total as number, repeats: repeats as number,
    quarantined: quarantined as number, in_quarantine: typeof in_quarantine === 'number' ? in_quarantine : null, publishing: publishingOf(publishing), billing: billingOf(billing), store: storeOf(store),
  };
  const caughtUpMs = typeof caught_up_at === 'string' ? Date.parse(caught_up_at) : Number.NaN;
  return { status, counts: countsOf(counts), caughtUpMs: Number.isNaN(caughtUpMs) ? null : caughtUpMs };
}

/** Of our own process on a socket of our own user: that it is there is looked at, its fields are trusted; storeOf likewise. */
function countsOf(value: unknown): CollectorCounts | null {
  return typeof value === 'object' && value !== null ? value as CollectorCounts : null;
}

function storeOf(value: unknown): CollectorStatus['store'] {
  return typeof value === 'object' && value !== null ? value as CollectorStatus['store'] : null;
}

function publishingOf(value: unknown): CollectorStatus['publishing'] {
  if (typeof value !== 'object' || value === null) return null;
  const { ever, failing } = value as Record<string, unknown>;
  return { ever: ever === true, failing: failingOf(failing) };
}

function billingOf(value: unknown): CollectorStatus['billing'] {
  if (typeof value !== 'object' || value === null) return null;
  const { closing, closing_since: since, incomplete, failing } = value as Record<string, unknown>;
  return { closing: Number(closing), closing_since: typeof since === 'string' ? since : null, incomplete: Number(incomplete), failing: typeof failing === 'string' ? failing : null };
}

function failingOf(value: unknown): CollectorStatus['failing'] {
  if (typeof value !== 'object' || value === null) return null;
  const { code, detail, since } = value as Record<string, unknown>;
  return { code: String(code), detail: String(detail), since: String(since) };
}
