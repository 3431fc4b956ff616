/**
 * Tells apps that their quota of today nears its end: once a day, threshold and limit, at 80 % and at 100 %. Looked at each second, away from every request.
 *
 *   reached -> noted (webhook-notes.ts) -> claimed, where nodes share limits (one node at a time tells) -> sent -> settled
 *                                              ^---- not taken: again, later and later, GIVE_UP_MS long ----'
 *
 * Sent at least once: a supervisor that dies between the receiver's answer and the note sends again, under the same id.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { LoadedConfig } from '../../config/load.js';
import { secretOf } from '../../config/secrets.js';
import type { WebhookResult } from '../../metrics/node-metrics.js';
import type { QuotaUse } from '../quota-use/quota-use.js';
import type { Claim, Notice } from '../quota-use/shared-use.js';
import type { Noted, WebhookNotes } from './webhook-notes.js';
import { SEND_TIMEOUT_MS, type Webhook, type WebhookMessage, type WebhookSender } from './webhook-sender.js';

/** Per cent of the limit. */
export const THRESHOLDS = [80, 100] as const;

export interface WebhookTimes {
  /** After the first failure, about so long; each time twice as long, up to `longestWaitMs`. */
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
  /** Since it was noticed. */
  readonly giveUpMs: number;
  /** A node that has claimed a notice, and died, is waited for so long. */
  readonly claimMs: number;
}

export const WEBHOOK_TIMES: WebhookTimes = { firstWaitMs: 1000, longestWaitMs: 300_000, giveUpMs: 6 * 3_600_000, claimMs: 4 * SEND_TIMEOUT_MS };

export interface WebhooksOptions {
  /** As far as this node counts. */
  readonly uses: () => readonly QuotaUse[];
  readonly notes: WebhookNotes;
  readonly sender: Pick<WebhookSender, 'send' | 'close'>;
  /** Null: no other node counts this node's quotas. */
  readonly shared: { claim(notice: Notice, forMs: number): Promise<Claim>; told(notice: Notice): Promise<void> } | null;
  readonly count: (result: WebhookResult) => void;
  readonly log: Readonly<Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>>;
  readonly nowMs: () => number;
  readonly times?: WebhookTimes;
}

/** Sent at once; the others wait. */
const MOST_AT_ONCE = 16;

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #times: WebhookTimes;
  readonly #ended = new AbortController();
  readonly #waiting: (() => void)[] = [];
  #hooks: ReadonlyMap<string, Webhook> = new Map();
  #sending = 0;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#times = options.times ?? WEBHOOK_TIMES;
  }

  /** Webhooks as they are from now on, for what is under way, too. */
  configure({ config, secrets }: Pick<LoadedConfig, 'config' | 'secrets'>): void {
    this.#hooks = new Map(config.apps.flatMap(({ name, webhook }) => (webhook === undefined ? [] : [[name, { url: webhook.url, secret: secretOf(webhook.secret, secrets) }] as const])));
  }

  /** Goes on with what an earlier supervisor left. */
  start(): void {
    for (const noted of this.#options.notes.due) void this.#tell(noted);
  }

  /** Call it each second. */
  tick(): void {
    const { uses, notes, nowMs } = this.#options;
    notes.tidy(nowMs());
    if (this.#hooks.size === 0) return;
    for (const { app, day, timeZone, limit, over, used, lent } of uses()) {
      // a quota that refuses is spoken for by the nodes whose ledgers lend of it
      if (used === null || (over === 'refuse' && !lent)) continue;
      for (const threshold of THRESHOLDS) {
        const id = `qpd.${app}.${day}.${threshold}.${limit}`;
        if (used * 100 < limit * threshold || notes.has(id) || !this.#hooks.has(app)) continue;
        const noted: Noted = { id, at: nowMs(), notice: { app, day, threshold, limit, timeZone, over }, used };
        notes.note(noted);
        void this.#tell(noted);
      }
    }
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await this.#options.sender.close();
  }

  /** Until it is settled, or the supervisor ends. Never throws. */
  async #tell(noted: Noted): Promise<void> {
    const { notes, nowMs } = this.#options;
    for (let attempt = 0; !this.#ended.signal.aborted; attempt++) {
      if (!this.#hooks.has(noted.notice.app)) return this.#settle(noted, 'dropped');
      const outcome = await this.#attempt(noted);
      if (this.#ended.signal.aborted) return;
      if (outcome === 'delivered') return this.#settle(noted, 'delivered');
      // another node has told it
      if (outcome === 'told') return notes.settle(noted.id);
      if (outcome instanceof TidegateError && nowMs() - noted.at >= this.#times.giveUpMs) {
        this.#options.log.error({ ...this.#named(noted), code: outcome.code, reason: outcome.message }, `an app's webhook was not taken, and is given up: ${outcome.remedy}`);
        return this.#settle(noted, 'failed');
      }
      if (outcome instanceof TidegateError && outcome.code.startsWith('webhook_')) {
        this.#options.count('retried');
        if (attempt === 0) this.#options.log.warn({ ...this.#named(noted), code: outcome.code, reason: outcome.message }, 'an app\'s webhook was not taken; it is sent again');
      }
      const waitMs = outcome === 'others' ? this.#times.claimMs / 10 : Math.min(this.#times.longestWaitMs, this.#times.firstWaitMs * 2 ** Math.min(attempt, 30));
      await pause(waitMs * (0.5 + Math.random() / 2), undefined, { signal: this.#ended.signal, ref: false }).catch(() => {});
    }
  }

  async #attempt(noted: Noted): Promise<'delivered' | 'told' | 'others' | TidegateError> {
    const { shared, sender, nowMs } = this.#options;
    await this.#enter();
    try {
      const claim = shared === null ? 'mine' : await shared.claim(noted.notice, this.#times.claimMs);
      if (claim !== 'mine') return claim;
      const hook = this.#hooks.get(noted.notice.app);
      // it goes at the next turn
      if (hook === undefined) return 'others';
      await sender.send(hook, messageOf(noted), nowMs());
      // if this fails, another node sends it again when the claim is over, under the same id
      await shared?.told(noted.notice).catch(() => {});
      return 'delivered';
    } catch (error) {
      return error instanceof TidegateError ? error : new TidegateError('webhook_unreachable', String(error), { cause: error });
    } finally {
      this.#leave();
    }
  }

  #settle(noted: Noted, result: WebhookResult): void {
    this.#options.notes.settle(noted.id);
    this.#options.count(result);
    if (result === 'delivered') this.#options.log.info(this.#named(noted), 'an app was told of its quota');
  }

  #named({ id, notice: { app } }: Noted): { readonly app: string; readonly webhook: string } {
    return { app, webhook: id };
  }

  async #enter(): Promise<void> {
    if (this.#sending < MOST_AT_ONCE) {
      this.#sending++;
      return;
    }
    await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#sending--;
    else next();
  }
}

/** The same bytes each time it is sent. */
function messageOf({ id, at, used, notice: { app, day, threshold, limit, timeZone, over } }: Noted): WebhookMessage {
  return {
    id,
    body: JSON.stringify({
      id, type: 'quota.threshold_reached', threshold, app, day, time_zone: timeZone, limit, used, share: Number((used / limit).toFixed(4)), over, time: new Date(at).toISOString(),
    }),
  };
}
