/**
 * Whether the record of a time is whole, and the proof. Every stream that lived in it must be contiguous there, and either be sealed and stored to
 * its end, or live and be stored past the time's end.
 *
 * `complete` is what can be said now: nothing is missing that should be there. Of a time that is not over (`over`) it says so up to a minute ago.
 */
import type { Store } from '../store/store.js';
import { coverageOf, type DropFacts, type Edge, type LiveFacts, type StreamFacts } from './stream-coverage.js';

export interface StreamCompleteness {
  readonly stream: string;
  readonly node: string;
  readonly worker: number;
  /** RFC 3339 */
  readonly opened: string;
  readonly sealed: string | null;
  /** First and last seq that are stored, and how many; of the stream's whole life. -1: none. */
  readonly first_seq: number;
  readonly last_seq: number;
  readonly stored: number;
  /** Of its whole life: stored more than once. */
  readonly twice: number;
  /** Neither stored nor dropped, in this time. */
  readonly missing: number;
  /** Tallied and not recorded, in this time. */
  readonly dropped: number;
  /** False: the machine went down under it, so that what was not on the disk yet is gone, uncounted. */
  readonly proven: boolean;
  readonly silent_since: string | null;
}

export interface Completeness {
  readonly complete: boolean;
  /** Why not: one sentence each. */
  readonly reasons: readonly string[];
  /** The time has ended. */
  readonly over: boolean;
  readonly streams: readonly StreamCompleteness[];
  /** By app, in this time. */
  readonly dropped: readonly { readonly app: string; readonly count: number }[];
}

/** A stream of the spool, as the collector sees it now. */
export type SpooledFacts = StreamFacts & { readonly live: LiveFacts };

/** How long an event may be under way from the log to the store before it counts as missing. */
const GRACE_MS = 60_000;
/** A missing event's request may have been admitted this long before it ended. */
const LONGEST_REQUEST_MS = 3_600_000;

/** Of the time [fromMs, toMs), ms since the epoch. @throws store_failed */
export async function completeness(store: Store, spooled: readonly SpooledFacts[], fromMs: number, toMs: number, nowMs: number): Promise<Completeness> {
  const facts = await streamsOf(store, spooled, fromMs, toMs);
  const edges = await edgesOf(store, facts.map(({ stream }) => stream));
  const judged = facts.map((stream) => judge(stream, edges.get(stream.stream) ?? [], fromMs, toMs, nowMs));
  const dropped = new Map<string, number>();
  for (const { drops } of judged) for (const { app, count } of drops) dropped.set(app, (dropped.get(app) ?? 0) + count);
  const reasons = judged.flatMap((stream) => stream.reasons);
  return {
    complete: reasons.length === 0, reasons, over: toMs <= nowMs, streams: judged.map(({ row }) => row),
    dropped: [...dropped].map(([app, count]) => ({ app, count })).sort((a, b) => (a.app < b.app ? -1 : 1)),
  };
}

interface Judged { readonly row: StreamCompleteness; readonly reasons: readonly string[]; readonly drops: readonly DropFacts[] }

function judge(facts: StreamFacts, edges: readonly Edge[], fromMs: number, toMs: number, nowMs: number): Judged {
  const { stream, node, worker, openedMs, sealedMs, proven } = facts;
  const coverage = coverageOf(facts, edges);
  const within = (first: number, last: number): boolean => first < toMs && last >= fromMs;
  const lost = coverage.holes.filter((hole) => within(hole.fromMs - LONGEST_REQUEST_MS, hole.toMs));
  const drops = facts.drops.filter(({ firstMs, lastMs }) => within(firstMs, lastMs));
  const droppedEver = sum(facts.drops.map(({ count }) => count));
  const dropped = sum(drops.map(({ count }) => count));
  // holes do not say which of them are drops; of a stream's holes together it is known
  const missing = Math.max(0, Math.min(sum(lost.map(width)), sum(coverage.holes.map(width)) - droppedEver));
  const silentMs = silentSince(facts, coverage.lastEndMs, toMs, nowMs);
  const unprovenHere = !proven && within(coverage.lastEndMs, sealedMs ?? nowMs);
  const name = `stream ${stream} (node ${node}, worker ${worker})`;
  const reasons = [
    missing > 0 ? `${missing} events of ${name} are missing` : '',
    coverage.twice > 0 ? `${coverage.twice} events of ${name} are stored twice` : '',
    dropped > 0 ? `${dropped} events of ${name} were dropped` : '',
    unprovenHere ? `the machine went down under ${name} after ${iso(coverage.lastEndMs)}: its last events are not proven` : '',
    silentMs === null ? '' : `${name} is silent since ${iso(silentMs)}`,
    silentMs === null && unfinished(facts, coverage.lastEndMs, toMs, nowMs) ? `${name} is not stored to the end of this time yet` : '',
  ].filter((reason) => reason !== '');
  const row: StreamCompleteness = {
    stream, node, worker, opened: iso(openedMs), sealed: sealedMs === null ? null : iso(sealedMs), first_seq: coverage.firstSeq, last_seq: coverage.lastSeq,
    stored: coverage.stored, twice: coverage.twice, missing, dropped, proven, silent_since: silentMs === null ? null : iso(silentMs),
  };
  return { row, reasons, drops };
}

/** Since when nothing is known of a stream that is not sealed, or its known events do not come; null: it is as it should be. */
function silentSince({ live, sealedMs }: StreamFacts, lastEndMs: number, toMs: number, nowMs: number): number | null {
  // its directory went away unsealed: nobody can say what it held
  if (live === null) return sealedMs === null ? lastEndMs : null;
  if (sealedMs === null && live.markedMs < toMs && nowMs - live.markedMs > GRACE_MS) return live.markedMs;
  return live.behindSinceMs !== null && live.behindSinceMs < toMs && nowMs - live.behindSinceMs > GRACE_MS ? live.behindSinceMs : null;
}

/** Of a time that is over: the stream may hold events of it that are not stored. */
function unfinished({ live, sealedMs }: StreamFacts, lastEndMs: number, toMs: number, nowMs: number): boolean {
  if (toMs > nowMs || live === null || lastEndMs >= toMs) return false;
  if (sealedMs !== null) return !live.finished;
  return live.behindSinceMs !== null || live.markedMs < toMs;
}

async function streamsOf(store: Store, spooled: readonly SpooledFacts[], fromMs: number, toMs: number): Promise<StreamFacts[]> {
  const here = new Map<string, StreamFacts>(spooled.filter(({ openedMs, sealedMs }) => openedMs < toMs && (sealedMs ?? toMs) >= fromMs).map((facts) => [facts.stream, facts]));
  const bounds = { from: fromMs, to: toMs };
  const rows = await store.query<{ stream: string; node: string; worker: number; opened: number; sealed: number | null; last_seq: number; proven: boolean }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, node, worker, toUnixTimestamp64Milli(opened_at) AS opened,
       toUnixTimestamp64Milli(sealed_at) AS sealed, last_seq, proven
     FROM tidegate.streams AS streams FINAL
     WHERE opened_at < fromUnixTimestamp64Milli({to:Int64}) AND (sealed_at IS NULL OR sealed_at >= fromUnixTimestamp64Milli({from:Int64}))
     ORDER BY opened_at, streams.stream`, bounds);
  const drops = await store.query<{ stream: string; app: string; count: number; first: number; last: number }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, app, count, toUnixTimestamp64Milli(first) AS first, toUnixTimestamp64Milli(last) AS last
     FROM tidegate.drops FINAL`);
  const stored = rows.map((row): StreamFacts => here.get(row.stream) ?? {
    stream: row.stream, node: row.node, worker: row.worker, openedMs: row.opened, sealedMs: row.sealed, lastSeq: row.last_seq, proven: row.proven, live: null,
    drops: drops.filter(({ stream }) => stream === row.stream).map(({ app, count, first, last }) => ({ app, count, firstMs: first, lastMs: last })),
  });
  const known = new Set(stored.map(({ stream }) => stream));
  return [...stored, ...[...here.values()].filter(({ stream }) => !known.has(stream))];
}

async function edgesOf(store: Store, streams: readonly string[]): Promise<Map<string, Edge[]>> {
  const edges = new Map<string, Edge[]>();
  if (streams.length === 0) return edges;
  const rows = await store.query<{ stream: string; edge: number; delta: number; at: number }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, edge, sum(delta) AS delta, toUnixTimestamp64Milli(max(at)) AS at
     FROM tidegate.coverage AS coverage WHERE coverage.stream IN (${streams.map((stream) => `0x${stream}`).join(', ')})
     GROUP BY coverage.stream, edge HAVING delta != 0 ORDER BY coverage.stream, edge`);
  for (const { stream, edge, delta, at } of rows) {
    const list = edges.get(stream) ?? [];
    edges.set(stream, list);
    list.push({ edge, delta, atMs: at });
  }
  return edges;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const width = (hole: { readonly first: number; readonly end: number }): number => hole.end - hole.first;
const iso = (ms: number): string => new Date(ms).toISOString();
