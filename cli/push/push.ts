/**
 * Pushes entries to a receiver, each counted there once: what is about to be sent is noted at the collector first, what came of it afterwards. Whatever ends this
 * in between, the same push goes on where it was.
 */
import { randomUUID } from 'node:crypto';
import type { BillingEntry } from '../../collector/billing/entry.js';
import type { Standing } from '../../collector/billing/receipts.js';
import type { ControlClient } from '../control-client.js';
import type { Receiver } from './receivers.js';
import { sendBatch, type Sent } from './send-batch.js';

export interface PushOptions {
  readonly client: Pick<ControlClient, 'post'>;
  readonly receiver: Receiver;
  readonly url: string;
  /** Under which name receipts are kept. */
  readonly target: string;
  readonly bearer: string | null;
  readonly meter: string;
  /** Null: the receiver knows an id for ever. */
  readonly windowSeconds: number | null;
  readonly timeoutMs: number;
  readonly retryFromMs?: number;
  /** For how long what the collector allowed may be sent. */
  readonly allowedForMs?: number;
  readonly nowMs?: () => number;
  readonly signal: AbortSignal;
  /** Told with each chunk. */
  readonly onDone?: (entries: number) => void;
}

export interface PushOutcome {
  /** Taken now. */
  received: number;
  /** Had been received before. */
  before: number;
  /** Not taken: the entry and why. */
  readonly refused: { readonly entry: BillingEntry; readonly why: string }[];
  /** Sent, by this run or another, and not known to be taken. `resendable`: the receiver would know it again, so the same push may be run once more. */
  readonly unknown: { readonly entry: BillingEntry; readonly why: string; readonly resendable: boolean }[];
  /** Why it stopped before the end; null: it did not. */
  stop: string | null;
}

/** Of one note. What is noted and not sent, because all ends, waits for the next run. */
const CHUNK = 100;
const RETRY_FROM_MS = 500;
/** A note is good for so long: a machine that stood still asks anew before it sends. */
const ALLOWED_FOR_MS = 60_000;

/** @throws what the control origin throws */
export async function push(options: PushOptions, pages: AsyncIterable<readonly BillingEntry[]>): Promise<PushOutcome> {
  const outcome: PushOutcome = { received: 0, before: 0, refused: [], unknown: [], stop: null };
  for await (const page of pages) {
    for (let at = 0; at < page.length; at += CHUNK) {
      const chunk = page.slice(at, at + CHUNK);
      await pushChunk(options, chunk, outcome);
      options.onDone?.(chunk.length);
      if (outcome.stop !== null || options.signal.aborted) return outcome;
    }
  }
  return outcome;
}

async function pushChunk(options: PushOptions, chunk: readonly BillingEntry[], outcome: PushOutcome): Promise<void> {
  const { receiver, meter, url, bearer, timeoutMs, signal, nowMs = Date.now, retryFromMs = RETRY_FROM_MS, allowedForMs = ALLOWED_FOR_MS } = options;
  const unfit = new Map(chunk.flatMap((entry) => {
    const why = receiver.unfit(entry, nowMs());
    return why === null ? [] : [[entry.entry_id, why] as const];
  }));
  const attempt = randomUUID();
  let allowed = await intend(chunk.filter(({ entry_id: id }) => !unfit.has(id)));
  let askedMs = Date.now();
  let asked = performance.now();
  // what can not be sent any more may have been, in its time
  const looked = await note(options, 'look', chunk.filter(({ entry_id: id }) => unfit.has(id)), attempt);
  for (const entry of chunk) {
    const standing = allowed.get(entry.entry_id) ?? looked.get(entry.entry_id);
    if (standing?.standing === 'received') outcome.before += 1;
    else if (standing?.standing === 'unknown' || (standing?.since !== null && unfit.has(entry.entry_id))) outcome.unknown.push({ entry, why: `sent ${standing?.since ?? ''}, never answered`, resendable: false });
    else if (unfit.has(entry.entry_id)) outcome.refused.push({ entry, why: unfit.get(entry.entry_id) ?? '' });
  }
  const sendable = chunk.filter(({ entry_id: id }) => allowed.get(id)?.standing === 'send');
  const batches = Array.from({ length: Math.ceil(sendable.length / receiver.batch) }, (_, index) => sendable.slice(index * receiver.batch, (index + 1) * receiver.batch));
  const results: Sent[] = [];
  const worker = async (): Promise<void> => {
    for (let batch = batches.shift(); batch !== undefined && outcome.stop === null && !signal.aborted; batch = batches.shift()) {
      const sent = await sendBatch({ receiver, url, bearer, meter, timeoutMs, retryFromMs, signal, stillAllowed }, batch);
      results.push(sent);
      outcome.stop ??= sent.stop;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: receiver.parallel }, worker));
  // what is known is noted, whatever else went wrong
  await settle();
  for (const one of ended) if (one.status === 'rejected') throw one.reason;

  function intend(entries: readonly BillingEntry[]): Promise<Map<string, Standing>> {
    return note(options, 'intend', entries, attempt);
  }

  async function stillAllowed(entries: readonly BillingEntry[]): Promise<readonly BillingEntry[]> {
    // neither clock sees all: one is set, the other stands while the machine sleeps
    if (Math.max(Date.now() - askedMs, performance.now() - asked) > allowedForMs) {
      const renewed = await intend(sendable);
      allowed = renewed;
      askedMs = Date.now();
      asked = performance.now();
    }
    return entries.filter(({ entry_id: id }) => allowed.get(id)?.standing === 'send');
  }

  async function settle(): Promise<void> {
    const ids = (of: (sent: Sent) => Iterable<string>): Set<string> => new Set(results.flatMap((sent) => [...of(sent)]));
    const [received, refused, silent] = [ids((sent) => sent.received), ids((sent) => sent.refused.keys()), ids((sent) => sent.silent.keys())];
    const status = results.at(-1)?.status ?? 0;
    await note(options, 'received', sendable.filter(({ entry_id: id }) => received.has(id)), attempt, status);
    // what was never sent is not pending either
    const left = sendable.filter(({ entry_id: id }) => !received.has(id) && !silent.has(id));
    await note(options, 'not_taken', left, attempt, status, results.map((sent) => [...sent.refused.values()][0]).find((why) => why !== undefined));
    outcome.received += received.size;
    for (const entry of sendable) {
      const why = (of: (sent: Sent) => ReadonlyMap<string, string>): string => results.map((sent) => of(sent).get(entry.entry_id)).find((text) => text !== undefined) ?? '';
      if (refused.has(entry.entry_id)) outcome.refused.push({ entry, why: why((sent) => sent.refused) });
      else if (silent.has(entry.entry_id)) outcome.unknown.push({ entry, why: why((sent) => sent.silent), resendable: true });
      else if (received.has(entry.entry_id)) continue;
      else if (allowed.get(entry.entry_id)?.standing === 'received') outcome.before += 1;
      // what a stop has left is said by the stop
      else if (outcome.stop === null && !signal.aborted) outcome.unknown.push({ entry, why: 'not sent by this run, which stood still', resendable: true });
    }
  }
}

/** What stands of each entry, once it is noted. */
async function note(options: PushOptions, action: string, entries: readonly BillingEntry[], attempt: string, status = 0, detail = ''): Promise<Map<string, Standing>> {
  if (entries.length === 0) return new Map();
  const { standings } = await options.client.post<{ readonly standings: readonly Standing[] }>('/v1/billing/receipts', 'application/json', JSON.stringify({
    target: options.target, action, entry_ids: entries.map(({ entry_id: id }) => id), attempt, status, detail,
    ...(options.windowSeconds === null ? {} : { window_seconds: options.windowSeconds }),
  }));
  return new Map(standings.map((standing) => [standing.entry_id, standing]));
}
