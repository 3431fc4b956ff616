/** What the coverage's edges say of one stream: how much is stored, how often, and where the holes are. */
import type { DroppedOfApp } from '../../gateway/events/drop-page.js';

/** A row of the coverage: `delta` runs begin (or, below 0, end) in front of seq `edge`. */
export interface Edge {
  readonly edge: number;
  readonly delta: number;
  /** When the first, or last, request of the run ended; ms since the epoch. */
  readonly atMs: number;
}

export interface StreamFacts {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly node: string;
  /** Tells two nodes of one name apart; '': not known. */
  readonly instance: string;
  readonly worker: number;
  readonly openedMs: number;
  /** Null: not sealed. */
  readonly sealedMs: number | null;
  /** Last seq known to be written or dropped: the seal's, or the latest mark's. */
  readonly lastSeq: number;
  readonly proven: boolean;
  /** Null: the stream's directory has gone, stored to its end; or its log has said its last word. */
  readonly live: LiveFacts | null;
  readonly drops: readonly DropFacts[];
}

export interface LiveFacts {
  readonly markedMs: number;
  /** Sealed, and read to its end. */
  readonly finished: boolean;
  /** Since when, at the earliest, events are recorded that are not stored yet, as of this judgement; null: none are. */
  readonly behindSinceMs: number | null;
  /** Where only marks tell what is recorded: since when it is known to be behind, for an hour without traffic is none of being behind. Null: it is told at once. */
  readonly behindKnownMs: number | null;
  /** Seqs up to it should be stored by now, so what is not is missing. Null: the log is read in order, so every hole is missing, and what follows the last stored row is under way. */
  readonly dueSeq: number | null;
}

export interface DropFacts {
  /** '(others)': apps that found no room in the page. */
  readonly app: string;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** Seqs `first` up to `end`, without it, are not stored; the requests ended between the two times. */
export interface Hole {
  readonly first: number;
  readonly end: number;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface StreamCoverage {
  readonly stored: number;
  readonly twice: number;
  /** -1: none. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** When the last stored request ended; 0: none is. */
  readonly lastEndMs: number;
  readonly holes: readonly Hole[];
  /** What is not stored and not due, from its first seq on, and when the last request before it ended. Null: there is none, up to what is marked. */
  readonly pending: { readonly seq: number; readonly sinceMs: number } | null;
}

/** @param edges of one stream, in order */
export function coverageOf(facts: StreamFacts, edges: readonly Edge[]): StreamCoverage {
  const holes: Hole[] = [];
  // chunks may come out of order: a hole that is not due is one that may yet be filled
  const dueEnd = (facts.live?.dueSeq ?? Number.POSITIVE_INFINITY) + 1;
  let stored = 0;
  let twice = 0;
  let open = 0;
  let at = 0;
  let atMs = facts.openedMs;
  let pending: StreamCoverage['pending'] = null;
  for (const { edge, delta, atMs: edgeMs } of edges) {
    if (edge > at) {
      if (open > 0) stored += edge - at;
      else {
        if (at < dueEnd) holes.push({ first: at, end: Math.min(edge, dueEnd), fromMs: atMs, toMs: edgeMs });
        if (edge > dueEnd) pending ??= { seq: Math.max(at, dueEnd), sinceMs: atMs };
      }
      if (open > 1) twice += (edge - at) * (open - 1);
    }
    open += delta;
    at = edge;
    atMs = edgeMs;
  }
  // what a live stream has beyond the last stored row is under way, not lost
  const ended = facts.sealedMs !== null && (facts.live === null || facts.live.finished);
  if (ended && facts.lastSeq >= at) holes.push({ first: at, end: facts.lastSeq + 1, fromMs: atMs, toMs: facts.sealedMs ?? atMs });
  else if (!ended && facts.live !== null && facts.live.dueSeq !== null) {
    if (at < dueEnd) holes.push({ first: at, end: dueEnd, fromMs: atMs, toMs: facts.live.markedMs });
    if (Math.max(at, dueEnd) <= facts.lastSeq) pending ??= { seq: Math.max(at, dueEnd), sinceMs: atMs };
  }
  return { stored, twice, firstSeq: edges[0]?.edge ?? -1, lastSeq: at - 1, lastEndMs: edges.length === 0 ? 0 : atMs, holes, pending };
}

export function dropFacts(apps: readonly Pick<DroppedOfApp, 'app' | 'rows' | 'firstMs' | 'lastMs'>[]): DropFacts[] {
  return apps.map(({ app, rows, firstMs, lastMs }) => ({ app: app ?? '(others)', count: rows, firstMs, lastMs }));
}
