/** The kinds of kills, and what makes one of them count. */
import type { Role } from '../harness/tidegate.js';
import type { FoundAtStart, TableSums } from './found-at-start.js';

/** Kills of each kind that have to count. */
export const KILLS = Number(process.env['TEST_KILLS'] ?? 1);
/** A short run is made on any machine, however slow; of a long one the rate and the few refusals are judged too. */
export const LONG_RUN = KILLS >= 20;

export interface KillKind {
  readonly role: Role;
  readonly signal: 'SIGKILL' | 'SIGTERM';
  /** As in placed-kill.ts. Null: a random moment (of an insert, if it is the collector's). */
  readonly place: string | null;
}

/** What is known of a kill afterwards. */
export interface KillFacts {
  /** Answers that were under way and never ended. */
  readonly cut: number;
  /** Answers that the draining worker ended, with the word that it closes. */
  readonly closing: number;
  /** A random kill only: what was under way as the signal went, by what lay on the disk; null: nothing. */
  readonly underWay: string | null;
  /** What the next collector found; null: it was not the collector that was killed. */
  readonly found: FoundAtStart | null;
}

/** By role in turn, so that no role is killed twice in a row where that can be: who dies young waits longer for its next life. */
export function killKinds(): KillKind[] {
  const placed: Readonly<Record<Role, readonly string[]>> = {
    worker: ['after-write', 'mid-frame'],
    collector: ['after-manifest', 'mid-insert', 'between-raw-and-rollup', 'after-insert', 'before-delete'],
    supervisor: ['after-grant', 'mid-seal'],
  };
  const roles = ['worker', 'collector', 'supervisor'] as const;
  const byRole = roles.map((role): KillKind[] => [
    { role, signal: 'SIGKILL', place: null }, { role, signal: 'SIGTERM', place: null },
    ...placed[role].map((place): KillKind => ({ role, signal: 'SIGKILL', place })),
  ]);
  const longest = Math.max(...byRole.map((kinds) => kinds.length));
  return Array.from({ length: longest }, (_, i) => byRole.flatMap((kinds) => kinds.slice(i, i + 1))).flat();
}

export const nameOf = ({ role, signal, place }: KillKind): string => `${role} ${signal} ${place ?? 'random'}`;

/** Answers under way are only lost with their worker: with one that is killed, for a seal too. */
export const mayCut = ({ role, signal, place }: KillKind): boolean => (role === 'worker' && signal === 'SIGKILL') || place === 'mid-seal';

/**
 * Of the requests around it, how many may be refused for want of a ledger: workers go on with what they hold. One that is born while the supervisor is
 * away, as after `mid-seal`, holds nothing; and on a slow machine one that is born beside a living one may wait for its first units too long.
 */
export function mostRefused({ role, place }: KillKind): number {
  if (role !== 'supervisor') return LONG_RUN ? 0.002 : 0.02;
  return LONG_RUN && place !== 'mid-seal' ? 0.03 : 0.1;
}

/** What the kill cut, or met under way, in words; null: nothing, so it does not count. */
export function whatCounts(kind: KillKind, { cut, closing, underWay, found }: KillFacts): string | null {
  switch (kind.role) {
    case 'worker':
      if (kind.signal === 'SIGTERM') return closing > 0 ? `${closing} answers under way` : null;
      return cut > 0 ? `cut ${cut} answers` : null;
    case 'supervisor':
      if (kind.place === 'mid-seal') return 'cut a seal';
      if (kind.place === 'after-grant') return 'cut a grant';
      return underWay;
    case 'collector':
      if (kind.signal === 'SIGTERM') return underWay;
      if (kind.place === 'before-delete') return 'cut the tidying after an insert';
      if (kind.place === 'between-raw-and-rollup') return found?.unfinished === true && found.sums !== null ? halfInserted(found.sums) : null;
      return found?.unfinished === true ? `cut insert ${found.range}` : null;
  }
}

function halfInserted({ raw, minute, quarterHour, coverage }: TableSums): string | null {
  const without = Object.entries({ minute, quarterHour, coverage }).filter(([, requests]) => requests < raw).map(([table]) => table);
  return without.length === 0 ? null : `raw in, not in ${without.join(', ')}`;
}
