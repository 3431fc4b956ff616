/**
 * Lines for the operator on requests without a good credential: for each reason one in ten seconds at most, with how many were left out since its last. Of the credential nothing is
 * written; each request's event has its reason.
 */
import { monotonicMs } from './deadlines.js';
import type { Refusal } from './exchange.js';
import type { ExchangeFacts } from './exchange-facts.js';

const LOG_EVERY_MS = 10_000;

type Refused = Pick<ExchangeFacts, 'client' | 'logNames' | 'route'>;

export class WrongCredentials {
  readonly #log: { info(fields: object, message: string): void };
  readonly #nowMs: () => number;
  /** By reason: as many as there are terms. */
  readonly #lines = new Map<string, { loggedAtMs: number; leftOut: number }>();

  /** @param nowMs of a clock that is never set */
  constructor(log: { info(fields: object, message: string): void }, nowMs: () => number = monotonicMs) {
    this.#log = log;
    this.#nowMs = nowMs;
  }

  note(exchange: Refused, { refusedBy, reason }: Pick<Refusal, 'refusedBy' | 'reason'>): void {
    const nowMs = this.#nowMs();
    const line = this.#lines.get(reason);
    if (line !== undefined && nowMs - line.loggedAtMs < LOG_EVERY_MS) {
      line.leftOut++;
      return;
    }
    this.#lines.set(reason, { loggedAtMs: nowMs, leftOut: 0 });
    // not before: under a flood of them nothing of these is looked at
    const { client, logNames, route } = exchange;
    this.#log.info({ refused_by: refusedBy, reason, service: route.service.name, route: route.name, client, suppressed: line?.leftOut ?? 0, ...logNames }, 'a request has no good credential');
  }
}
