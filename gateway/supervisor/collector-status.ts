/** The collector's own state, asked over its Unix socket. */
import { Pool } from 'undici';
import type { CollectorStatus } from '../control/control-deps.js';

const WITHIN_MS = 500;

export class CollectorStatusClient {
  readonly #pool: Pool;

  constructor(socketPath: string) {
    this.#pool = new Pool('http://collector', { socketPath, connections: 2, headersTimeout: WITHIN_MS, bodyTimeout: WITHIN_MS, connectTimeout: WITHIN_MS });
  }

  /** Null: it does not answer in time. */
  async read(): Promise<CollectorStatus | null> {
    try {
      const answer = await this.#pool.request({ method: 'GET', path: '/status', signal: AbortSignal.timeout(WITHIN_MS) });
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

function parse(value: unknown): CollectorStatus | null {
  if (typeof value !== 'object' || value === null) return null;
  const { lag_seconds, stored, gaps, gaps_total, repeats, quarantined, failing } = value as Record<string, unknown>;
  if (![stored, gaps, gaps_total, repeats, quarantined].every((count) => typeof count === 'number')) return null;
  return {
    lag_seconds: typeof lag_seconds === 'number' ? lag_seconds : null, failing: failingOf(failing), stored: stored as number, gaps: gaps as number, gaps_total: gaps_total as number, repeats: repeats as number,
    quarantined: quarantined as number,
  };
}

function failingOf(value: unknown): CollectorStatus['failing'] {
  if (typeof value !== 'object' || value === null) return null;
  const { code, detail, since } = value as Record<string, unknown>;
  return { code: String(code), detail: String(detail), since: String(since) };
}
