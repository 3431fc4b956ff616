/**
 * Whether the record of a time is whole, and the proof. Every stream that lived in it must be contiguous there, and either be sealed and stored to
 * its end, or live and be stored past the time's end.
 *
 * `complete` is what can be said now: nothing is missing that should be there. Of a time that is not over (`over`) it says so up to a minute ago.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { GAP_WORKER, IMPORT_WORKER } from '../../gateway/events/event.js';
import { REPORT_SETTINGS } from '../reports/report-store.js';
import type { LogPart } from '../log/event-log.js';
import type { Store } from '../store/store.js';
import type { DayFault, DaysCompared } from './stored-days.js';
import { coverageOf, type DropFacts, type Edge, type StreamCoverage, type StreamFacts } from './stream-coverage.js';

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
  /** Why not: one sentence each; of what is wrong with streams, the first MAX_STREAM_REASONS and how many more there are. */
  readonly reasons: readonly string[];
  /** The time has ended. */
  readonly over: boolean;
  /** RFC 3339: since when there is a record, by the oldest stream that the store knows. Null: it knows none. */
  readonly recorded_from: string | null;
  /** Where one time is judged: of several, none. */
  readonly streams: readonly StreamCompleteness[];
  /** What is not as it should be, and leaves nothing out of the record. */
  readonly warnings: readonly string[];
  /** By app, in this time. */
  readonly dropped: readonly { readonly app: string; readonly count: number }[];
}

/** With what the store holds by now of what was stored (stored-days.ts). */
export interface HeldCompleteness extends Completeness {
  /** Streams of which it holds other rows than were stored, by day (UTC). */
  readonly differing: readonly DayFault[];
  /** Days (UTC) that could not be compared. */
  readonly not_compared: readonly string[];
}

export function withDays(judged: Completeness, { reasons, warnings, faults, notCompared }: DaysCompared): HeldCompleteness {
  const all = [...judged.reasons, ...reasons];
  return { ...judged, complete: all.length === 0, reasons: all, warnings: [...judged.warnings, ...warnings], differing: faults, not_compared: notCompared };
}

/** How long an event may be under way from the log to the store before it counts as missing. */
const GRACE_MS = 60_000;
/** A missing event's request may have been admitted this long before it ended. */
const LONGEST_REQUEST_MS = 3_600_000;

/** Parts of the log named one by one. */
const MOST_PARTS = 10;

/** Of one time: a year of days may have the same 200 streams each. */
export const MAX_STREAM_REASONS = 20;

/** Streams named in one statement: the engine takes a text of 256 KB, and a name is 20 bytes of it. */
const STREAMS_AT_ONCE = 5000;

/** ms since the epoch, half open. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Circumstances {
  readonly nowMs: number;
  /** Parts of the log that may hold streams of which nothing is known, begun since they were stored; absent: all streams are known. */
  readonly parts?: readonly LogPart[];
  /** Names of nodes that should be there. */
  readonly nodes?: readonly string[];
}

/** @param known streams of which the log knows more than the store's notes say. @throws store_failed, also past the bounds of REPORT_SETTINGS */
export async function completeness(store: Pick<Store, 'query'>, known: readonly StreamFacts[], { fromMs, toMs, ...rest }: Span & Circumstances): Promise<Completeness> {
  const [only] = await completenessOfEach(store, known, [{ fromMs, toMs }], rest);
  return only as Completeness;
}

/**
 * The same of times that follow each other: the store is read once. A stream is looked at in the times it lived in alone, and between two times the event loop
 * turns: days of years and all their streams take seconds, in which storing goes on.
 * @param spans one or more, ascending. @throws as completeness
 */
export async function completenessOfEach(store: Pick<Store, 'query'>, known: readonly StreamFacts[], spans: readonly Span[], { nowMs, parts = [], nodes = [] }: Circumstances): Promise<readonly Completeness[]> {
  const [fromMs, toMs] = [(spans[0] as Span).fromMs, (spans.at(-1) as Span).toMs];
  const facts = await streamsOf(store, known, fromMs, toMs);
  const edges = await edgesOf(store, facts.map(({ stream }) => stream));
  // a node may be listed later than a day that is over
  const absent = toMs > nowMs ? await absentNodes(store, known, nodes) : [];
  const recordedFrom = await recordedFromMs(store, known);
  const warnings = sharedNames(known, nowMs);
  const opening = openingIn(facts, spans);
  const told: Completeness[] = [];
  let living: readonly Living[] = [];
  for (const [index, span] of spans.entries()) {
    if (index > 0) await turn();
    const opened = (opening[index] ?? []).map((one): Living => ({ ...one, coverage: coverageOf(one.facts, edges.get(one.facts.stream) ?? []) }));
    living = [...living.filter(({ last }) => last >= index), ...opened].sort((a, b) => a.place - b.place);
    const judged = living.map((one) => judge(one, span, nowMs));
    const dropped = new Map<string, number>();
    for (const { drops } of judged) for (const { app, count } of drops) dropped.set(app, (dropped.get(app) ?? 0) + count);
    const over = span.toMs <= nowMs;
    const reasons = [
      ...firstOf(judged.flatMap((stream) => stream.reasons)), ...(over ? [] : absent).map((node) => `nothing was ever heard of node ${node}, which is expected`),
      ...unheard(parts, over ? span.toMs : nowMs - GRACE_MS),
    ];
    told.push({
      complete: reasons.length === 0, reasons, over, recorded_from: recordedFrom === null ? null : iso(recordedFrom), streams: spans.length === 1 ? judged.map(({ row }) => row) : [],
      warnings, dropped: [...dropped].map(([app, count]) => ({ app, count })).sort((a, b) => (a.app < b.app ? -1 : 1)),
    });
  }
  return told;
}

function firstOf(reasons: readonly string[]): readonly string[] {
  const more = reasons.length - MAX_STREAM_REASONS;
  return more > 0 ? [...reasons.slice(0, MAX_STREAM_REASONS), `and ${more} more of its streams`] : reasons;
}

/** A stream and the last of the times that it lived in. */
interface Opening { readonly facts: StreamFacts; readonly place: number; readonly last: number }
interface Living extends Opening, Covered {}

/** By the first of the times that they lived in. */
function openingIn(facts: readonly StreamFacts[], spans: readonly Span[]): readonly (readonly Opening[])[] {
  const opening = spans.map((): Opening[] => []);
  for (const [place, one] of facts.entries()) {
    const first = firstWhere(spans, (span) => hasBegun(one, span));
    const last = firstWhere(spans, (span) => hasEnded(one, span)) - 1;
    if (first <= last) opening[first]?.push({ facts: one, place, last });
  }
  return opening;
}

/** @param holds of all that follow one that it holds of, too @returns how many there are, where it holds of none */
function firstWhere(spans: readonly Span[], holds: (span: Span) => boolean): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(spans[middle] as Span)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** When the oldest stream that is known was opened; what is noted of one goes when no number of its time is left. Null: none is known. */
async function recordedFromMs(store: Pick<Store, 'query'>, known: readonly StreamFacts[]): Promise<number | null> {
  const [row] = await store.query<{ n: number; opened: number }>(`SELECT count() AS n, toUnixTimestamp64Milli(min(opened_at)) AS opened FROM tidegate.streams WHERE worker < ${GAP_WORKER} ${REPORT_SETTINGS}`);
  const opened = [...(Number(row?.n ?? 0) > 0 ? [Number(row?.opened)] : []), ...known.filter(({ worker }) => worker < GAP_WORKER).map(({ openedMs }) => openedMs)];
  return opened.length === 0 ? null : opened.reduce((least, ms) => Math.min(least, ms));
}

/** Parts that are not known to be stored up to the time. */
function unheard(parts: readonly LogPart[], untilMs: number): string[] {
  const behind = parts.filter(({ asOfMs }) => asOfMs === null || asOfMs < untilMs);
  const more = behind.length - MOST_PARTS;
  return [
    ...behind.slice(0, MOST_PARTS).map(({ log, asOfMs }) => (asOfMs === null
      ? `no collector has said yet how far ${log} is stored: streams in it may not be known`
      : `${log} is stored up to ${iso(asOfMs)} only, as far as any collector says: streams that began later may not be known`)),
    ...(more > 0 ? [`the same holds of ${more} more partitions`] : []),
  ];
}

interface Judged { readonly row: StreamCompleteness; readonly reasons: readonly string[]; readonly drops: readonly DropFacts[] }

interface Covered { readonly facts: StreamFacts; readonly coverage: StreamCoverage }

function judge({ facts, coverage }: Covered, { fromMs, toMs }: Span, nowMs: number): Judged {
  const { stream, node, worker, openedMs, sealedMs, proven } = facts;
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
  const reasons = worker === GAP_WORKER ? [gapText(facts)] : [
    missing > 0 ? `${missing} events of ${name} are missing` : '',
    coverage.twice > 0 ? `${coverage.twice} events of ${name} are stored twice` : '',
    dropped > 0 ? `${dropped} events of ${name} were dropped` : '',
    unprovenHere ? `the machine went down under ${name} after ${iso(coverage.lastEndMs)}: its last events are not proven` : '',
    silentMs === null ? '' : `${name} is silent since ${iso(silentMs)}`,
    silentMs === null && unfinished(facts, coverage, toMs, nowMs) ? `${name} is not stored to the end of this time yet` : '',
  ].filter((reason) => reason !== '');
  const row: StreamCompleteness = {
    stream, node, worker, opened: iso(openedMs), sealed: sealedMs === null ? null : iso(sealedMs), first_seq: coverage.firstSeq, last_seq: coverage.lastSeq,
    stored: coverage.stored, twice: coverage.twice, missing, dropped, proven, silent_since: silentMs === null ? null : iso(silentMs),
  };
  return { row, reasons, drops };
}

/** An empty stream that nobody wrote (gateway/events/gap-stream.ts). */
function gapText({ node, openedMs, sealedMs }: StreamFacts): string {
  return `the data directory of node ${node} went back to how it was at ${iso(openedMs)}: what the node answered from then until ${iso(sealedMs ?? openedMs)} may be missing`;
}

/** Since when nothing is known of a stream that is not sealed, or its known events do not come; null: it is as it should be. */
function silentSince({ live, sealedMs }: StreamFacts, lastEndMs: number, toMs: number, nowMs: number): number | null {
  // its directory went away unsealed: nobody can say what it held
  if (live === null) return sealedMs === null ? lastEndMs : null;
  if (sealedMs === null && live.markedMs < toMs && nowMs - live.markedMs > GRACE_MS) return live.markedMs;
  if (live.behindSinceMs === null) return null;
  // what is not stored ended after what is
  const behindMs = Math.max(live.behindSinceMs, live.behindKnownMs ?? lastEndMs);
  return behindMs - LONGEST_REQUEST_MS < toMs && nowMs - behindMs > GRACE_MS ? behindMs : null;
}

/** Of a time that is over: the stream may hold events of it that are not stored, or no mark made since its end says that it does not. */
function unfinished({ live, sealedMs }: StreamFacts, { lastEndMs, pending }: StreamCoverage, toMs: number, nowMs: number): boolean {
  if (toMs > nowMs || live === null || (pending?.sinceMs ?? lastEndMs) >= toMs) return false;
  if (sealedMs !== null) return !live.finished;
  // within the grace, what ended after this time does not keep it open: something always has just ended
  return (live.behindSinceMs !== null && live.behindSinceMs < toMs) || live.markedMs < toMs;
}

/** Those that no stream ever came from. */
async function absentNodes(store: Pick<Store, 'query'>, known: readonly StreamFacts[], expected: readonly string[]): Promise<readonly string[]> {
  if (expected.length === 0) return [];
  const noted = await store.query<{ node: string }>(`SELECT DISTINCT node FROM tidegate.streams WHERE worker < ${GAP_WORKER} ${REPORT_SETTINGS}`);
  const heard = new Set([...noted, ...known.filter(({ worker }) => worker < GAP_WORKER)].map(({ node }) => node));
  return expected.filter((node) => !heard.has(node));
}

/** Two nodes of one name make streams of their own, so nothing is mixed up but the name. */
function sharedNames(known: readonly StreamFacts[], nowMs: number): string[] {
  const instances = new Map<string, Set<string>>();
  for (const { node, instance, live, sealedMs } of known) {
    if (instance === '' || live === null || sealedMs !== null || nowMs - live.markedMs > GRACE_MS) continue;
    instances.set(node, (instances.get(node) ?? new Set()).add(instance));
  }
  return [...instances].filter(([, of]) => of.size > 1).map(([node, of]) => `${of.size} nodes call themselves ${node} (${[...of].sort().join(', ')}): give each its own name`);
}

/**
 * Of a row of `streams`. An imported log is no record of the time in which it was imported, nor of its own, which this gateway did not see. What a gap may lack was answered in
 * it, and admitted in it or before.
 */
const LIVED_IN_IT = `if(worker = ${GAP_WORKER},
  opened_at < fromUnixTimestamp64Milli({to:Int64} + ${LONGEST_REQUEST_MS}) AND sealed_at > fromUnixTimestamp64Milli({from:Int64}),
  worker != ${IMPORT_WORKER} AND opened_at < fromUnixTimestamp64Milli({to:Int64}) AND (sealed_at IS NULL OR sealed_at >= fromUnixTimestamp64Milli({from:Int64})))`;

/** The same of what the log knows. */
const livedIn = (facts: StreamFacts, span: Span): boolean => facts.worker !== IMPORT_WORKER && hasBegun(facts, span) && !hasEnded(facts, span);
const hasBegun = ({ worker, openedMs }: StreamFacts, { toMs }: Span): boolean => openedMs < toMs + (worker === GAP_WORKER ? LONGEST_REQUEST_MS : 0);
const hasEnded = ({ worker, sealedMs }: StreamFacts, { fromMs }: Span): boolean => sealedMs !== null && (worker === GAP_WORKER ? sealedMs <= fromMs : sealedMs < fromMs);

async function streamsOf(store: Pick<Store, 'query'>, known: readonly StreamFacts[], fromMs: number, toMs: number): Promise<StreamFacts[]> {
  const ofLog = new Map<string, StreamFacts>(known.map((facts) => [facts.stream, facts]));
  const bounds = { from: fromMs, to: toMs };
  const rows = await store.query<{ stream: string; node: string; worker: number; opened: number; sealed: number | null; last_seq: number; proven: boolean }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, node, worker, toUnixTimestamp64Milli(opened_at) AS opened,
       toUnixTimestamp64Milli(sealed_at) AS sealed, last_seq, proven
     FROM tidegate.streams AS streams FINAL
     WHERE ${LIVED_IN_IT}
     ORDER BY opened_at, streams.stream
     ${REPORT_SETTINGS}`, bounds);
  const drops = await store.query<{ stream: string; app: string; count: number; first: number; last: number }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, app, count, toUnixTimestamp64Milli(first) AS first, toUnixTimestamp64Milli(last) AS last
     FROM tidegate.drops AS drops FINAL
     WHERE drops.stream IN (SELECT streams.stream FROM tidegate.streams AS streams FINAL WHERE ${LIVED_IN_IT})
     ${REPORT_SETTINGS}`, bounds);
  const dropsOf = byStream(drops);
  const stored = rows.map((row): StreamFacts => ofLog.get(row.stream) ?? {
    stream: row.stream, node: row.node, instance: '', worker: row.worker, openedMs: row.opened, sealedMs: row.sealed, lastSeq: row.last_seq, proven: row.proven, live: null,
    drops: (dropsOf.get(row.stream) ?? []).map(({ app, count, first, last }) => ({ app, count, firstMs: first, lastMs: last })),
  });
  const noted = new Set(stored.map(({ stream }) => stream));
  // by what the log knows, which may be more than the note that was found: the stream may have been over by then
  return [...stored, ...[...ofLog.values()].filter(({ stream }) => !noted.has(stream))].filter((facts) => livedIn(facts, { fromMs, toMs }));
}

/** Of each stream, in order. @throws store_failed */
export async function edgesOf(store: Pick<Store, 'query'>, streams: readonly string[]): Promise<Map<string, Edge[]>> {
  const edges = new Map<string, Edge[]>();
  for (let from = 0; from < streams.length; from += STREAMS_AT_ONCE) {
    const named = streams.slice(from, from + STREAMS_AT_ONCE).map((stream) => `0x${stream}`);
    const rows = await store.query<{ stream: string; edge: number; delta: number; at: number }>(
      `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, edge, sum(delta) AS delta, toUnixTimestamp64Milli(max(at)) AS at
       FROM tidegate.coverage AS coverage WHERE coverage.stream IN (${named.join(', ')})
       GROUP BY coverage.stream, edge HAVING delta != 0 ORDER BY coverage.stream, edge
       ${REPORT_SETTINGS}`);
    for (const [stream, its] of byStream(rows)) edges.set(stream, its.map(({ edge, delta, at }) => ({ edge, delta, atMs: at })));
  }
  return edges;
}

/** In the order they come in. */
function byStream<T extends { readonly stream: string }>(rows: readonly T[]): Map<string, T[]> {
  const grouped = new Map<string, T[]>();
  for (const row of rows) {
    const its = grouped.get(row.stream);
    if (its === undefined) grouped.set(row.stream, [row]);
    else its.push(row);
  }
  return grouped;
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);
const width = (hole: { readonly first: number; readonly end: number }): number => hole.end - hole.first;
/** RFC 3339, in UTC, to the millisecond. */
export const iso = (ms: number): string => new Date(ms).toISOString();
