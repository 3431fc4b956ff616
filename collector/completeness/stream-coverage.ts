/** What the coverage's edges say of one stream: how much is stored, how often, and where the holes are. */
import type { StreamDrops } from '../../gateway/events/drop-page.js';

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
  readonly worker: number;
  readonly openedMs: number;
  /** Null: not sealed. */
  readonly sealedMs: number | null;
  /** Last seq known to be written or dropped: the seal's, or the latest mark's. */
  readonly lastSeq: number;
  readonly proven: boolean;
  /** Null: the stream's directory has gone, stored to its end. */
  readonly live: LiveFacts | null;
  readonly drops: readonly DropFacts[];
}

export interface LiveFacts {
  readonly markedMs: number;
  /** Sealed, and read to its end. */
  readonly finished: boolean;
  /** Since when events are known to be written that are not stored yet; null: none are. */
  readonly behindSinceMs: number | null;
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
}

/** @param edges of one stream, in order */
export function coverageOf(facts: StreamFacts, edges: readonly Edge[]): StreamCoverage {
  const holes: Hole[] = [];
  let stored = 0;
  let twice = 0;
  let open = 0;
  let at = 0;
  let atMs = facts.openedMs;
  for (const { edge, delta, atMs: edgeMs } of edges) {
    if (edge > at) {
      if (open === 0) holes.push({ first: at, end: edge, fromMs: atMs, toMs: edgeMs });
      else stored += edge - at;
      if (open > 1) twice += (edge - at) * (open - 1);
    }
    open += delta;
    at = edge;
    atMs = edgeMs;
  }
  // what a live stream has beyond the last stored row is under way, not lost
  const ended = facts.sealedMs !== null && (facts.live === null || facts.live.finished);
  if (ended && facts.lastSeq >= at) holes.push({ first: at, end: facts.lastSeq + 1, fromMs: atMs, toMs: facts.sealedMs ?? atMs });
  return { stored, twice, firstSeq: edges[0]?.edge ?? -1, lastSeq: at - 1, lastEndMs: edges.length === 0 ? 0 : atMs, holes };
}

export function dropFacts(drops: StreamDrops | null): DropFacts[] {
  return (drops?.apps ?? []).map(({ app, rows, firstMs, lastMs }) => ({ app: app ?? '(others)', count: rows, firstMs, lastMs }));
}
