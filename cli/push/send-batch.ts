/** A batch of entries, sent until something is known of each, or as often as makes sense. */
import { setTimeout as pause } from 'node:timers/promises';
import type { BillingEntry } from '../../collector/billing/entry.js';
import { post, retryAfterMs, type Posted } from './post.js';
import type { Receiver } from './receivers.js';

export interface SendDeps {
  readonly receiver: Receiver;
  readonly url: string;
  readonly bearer: string | null;
  readonly meter: string;
  readonly timeoutMs: number;
  /** The first wait before it is sent again; each is twice the one before. */
  readonly retryFromMs: number;
  readonly signal: AbortSignal;
  /** Asked before each request: which of the entries may be sent as of now. What was allowed a while ago may not be any more. */
  stillAllowed(entries: readonly BillingEntry[]): Promise<readonly BillingEntry[]>;
}

export interface Sent {
  readonly received: readonly string[];
  /** Not taken, and never was in this attempt: id and why. */
  readonly refused: ReadonlyMap<string, string>;
  /** Sent, and not known to be taken: id and why. */
  readonly silent: ReadonlyMap<string, string>;
  /** Why nothing more should be sent to this receiver; null: go on. */
  readonly stop: string | null;
  /** Of the last answer; 0: there was none. */
  readonly status: number;
}

const MOST_TRIES = 6;
const LONGEST_WAIT_MS = 30_000;
/** A receiver that asks for more is asked another time, by another run. */
const LONGEST_ASKED_WAIT_MS = 300_000;
/** What is wrong with the address or the credential is wrong for all. */
const OF_ALL: ReadonlySet<number> = new Set([401, 402, 403, 404, 405, 407, 410, 421]);

/** @throws what stillAllowed throws */
export async function sendBatch(deps: SendDeps, batch: readonly BillingEntry[]): Promise<Sent> {
  const received: string[] = [];
  const refused = new Map<string, string>();
  const silent = new Map<string, string>();
  let rest = batch;
  let status = 0;
  const done = (stop: string | null): Sent => ({ received, refused, silent, stop, status });
  for (let tries = 1; ; tries++) {
    rest = await deps.stillAllowed(rest);
    if (rest.length === 0 || deps.signal.aborted) return done(null);
    const posted = await post({ ...deps, ...deps.receiver.request(rest, deps.meter) });
    status = posted.kind === 'answered' ? posted.status : 0;
    if (posted.kind === 'answered' && status >= 200 && status < 300) {
      for (const { entry_id: id } of rest) taken(id);
      return done(null);
    }
    const again = readingOf(posted);
    if (again.kind === 'rejected') {
      const { known, refused: not } = deps.receiver.rejection(rest, again.status, again.body);
      for (const id of known) taken(id);
      // it may have been taken before this answer: then nobody knows
      for (const [id, why] of not) if (!silent.has(id)) refused.set(id, why);
      rest = rest.filter(({ entry_id: id }) => !known.includes(id) && !not.has(id));
      if (rest.length === 0) return done(null);
      continue;
    }
    if (again.kind === 'unknown') for (const { entry_id: id } of rest) silent.set(id, again.why);
    const waitMs = again.waitMs ?? Math.min(LONGEST_WAIT_MS, deps.retryFromMs * 2 ** (tries - 1));
    if (again.kind === 'stop' || tries === MOST_TRIES || waitMs > LONGEST_ASKED_WAIT_MS || deps.signal.aborted) {
      for (const { entry_id: id } of rest) if (!silent.has(id)) refused.set(id, again.why);
      return done(waitMs > LONGEST_ASKED_WAIT_MS ? `${again.why}; it asks for ${Math.ceil(waitMs / 1000)} s` : again.why);
    }
    await pause(waitMs, undefined, { signal: deps.signal }).catch(() => undefined);
  }

  function taken(id: string): void {
    received.push(id);
    silent.delete(id);
  }
}

type Reading =
  | { readonly kind: 'rejected'; readonly status: number; readonly body: string }
  | { readonly kind: 'stop' | 'unknown' | 'not_taken'; readonly why: string; readonly waitMs: number | null };

/** What an answer other than 2xx, or none, means for what was sent. */
function readingOf(posted: Posted): Reading {
  if (posted.kind !== 'answered') return { kind: posted.kind === 'unsent' ? 'not_taken' : 'unknown', why: posted.why, waitMs: null };
  const { status, body, retryAfter } = posted;
  const why = `it answers ${status}${body === '' ? '' : `: ${body.replaceAll(/\s+/g, ' ').slice(0, 200)}`}`;
  const waitMs = retryAfterMs(retryAfter, Date.now());
  if (status === 429) return { kind: 'not_taken', why, waitMs };
  // it may have failed after it had stored what came
  if (status === 408 || status >= 500) return { kind: 'unknown', why, waitMs };
  if (status < 400 || OF_ALL.has(status)) return { kind: 'stop', why: status < 400 ? `${why}; a redirect is not followed: give the URL that answers` : why, waitMs: null };
  return { kind: 'rejected', status, body };
}
