/** One call of a script for one limit, and what its answer changes. Everything that goes over the wire is here. */
import type { NodeQuota, NodeRate, SharingLedger } from '../ledger/shared-limits.js';
import { QUOTA_SCRIPT, RATE_SCRIPT } from './scripts.js';
import type { SharedKey } from './shared-key.js';

/** What is the same in every call of a node. */
export interface Caller {
  readonly node: string;
  readonly name: string;
  readonly prefix: string;
  /** Living nodes, and those expected to declare. */
  readonly count: number;
  readonly expected: string;
  /** What Redis's clock said just now, ms since the epoch. */
  clock(nowMs: number): void;
  run(script: string, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
}

/** `again`: nothing was granted or refused yet, but the next call knows more; `settling`: others have to declare first. */
export type CallResult =
  | { readonly status: 'again' | 'settling' }
  | { readonly status: 'ok'; readonly granted: number; readonly waitMs: number };

export function hashOf(prefix: string, key: string): string {
  return `${prefix}:{${key}}`;
}

/**
 * The first answer of a day says what Redis counts of this node. It is nearly always what the ledger says; more after a lost journal, and that is used:
 * who had it cannot be known any more. Only then what the ledger says takes the place of what Redis counts.
 */
export async function callQuota(caller: Caller, k: SharedKey, quota: NodeQuota | null, ledger: SharingLedger): Promise<CallResult> {
  const hash = hashOf(caller.prefix, k.key);
  const common = [k.epoch, caller.node, caller.name, k.version, caller.expected];
  const keys = [hash, `${hash}:recorded`];
  if (quota === null) {
    const { status } = readQuota(caller, k, await caller.run(QUOTA_SCRIPT, keys, [...common, '', 0, 0, 0, 0, 0, caller.count]));
    return status === 'ok' ? { status, granted: 0, waitMs: 0 } : { status: status === 'settling' ? status : 'again' };
  }
  const { dated, day, startMs, endMs, committed, limit, agreed } = quota;
  const stated = k.ceiling(dated, committed);
  const want = agreed ? k.asking : 0;
  const answer = readQuota(caller, k, await caller.run(QUOTA_SCRIPT, keys, [...common, day, startMs, endMs, stated, want, limit, caller.count, agreed ? 0 : 1]));
  if (answer.status === 'early') ledger.early(k.key);
  if (answer.status === 'epoch' || answer.status === 'early') return { status: 'again' };
  // granted under a limit that is not in force any more: not taken, and the next call says so
  if (want > 0 && ledger.quota(k.key)?.limit !== limit) return { status: 'again' };
  if (answer.day === day) {
    const beyond = answer.mine - stated;
    if (!agreed && answer.status !== 'version') ledger.agree(dated, Math.max(0, beyond));
    if (agreed && beyond > 0) k.ceilings.set(dated, (k.ceilings.get(dated) ?? 0) + beyond);
    if (answer.status === 'ok') {
      k.left = answer.left;
      if (want < k.asking) return { status: 'again' };
      return { status: 'ok', granted: beyond, waitMs: 0 };
    }
  } else if (answer.status === 'day') ledger.turn(k.key, answer.day, answer.startMs, answer.endMs);
  return { status: answer.status === 'settling' ? 'settling' : 'again' };
}

export async function callRate(caller: Caller, k: SharedKey, rate: NodeRate | null, back: number, ledger: SharingLedger): Promise<CallResult> {
  const { held = 0, limit = { qps: 0, burst: 0 }, idleMs = 0, made = 0 } = rate ?? {};
  const reply = await caller.run(RATE_SCRIPT, [hashOf(caller.prefix, k.key)], [
    k.epoch, caller.node, caller.name, k.version, caller.expected, held, back, k.asking, limit.qps, limit.burst, caller.count, Math.min(1e15, made), Math.min(1e15, Math.round(idleMs)),
  ]);
  const [status, epoch, version, granted, left, waitMs] = reply as [string, string, number, string, string, string];
  k.epoch = epoch;
  k.version = Number(version);
  if (status === 'settling') return { status };
  if (status !== 'ok') return { status: 'again' };
  if (made > 0) ledger.told(k.key, made);
  k.toldHeld = held + Number(granted);
  k.left = Number(left);
  return { status, granted: Number(granted), waitMs: Number(waitMs) };
}

function readQuota(caller: Caller, k: SharedKey, reply: unknown): { readonly status: string; readonly mine: number; readonly left: number; readonly day: string; readonly startMs: number; readonly endMs: number } {
  const [status, epoch, version, mine, left, day, start, end, time] = reply as [string, string, number, string, string, string, string, string, string];
  caller.clock(Number(time));
  k.epoch = epoch;
  k.version = Number(version);
  return { status, mine: Number(mine), left: Number(left), day, startMs: Number(start), endMs: Number(end) };
}
