/**
 * Which process a pid meant: a pid alone is used again, so a stream and a lock also keep the process's start time and the kernel's boot id.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';

/** What proves that a process is the one that was meant. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot (/proc/<pid>/stat, field 22); null where there is no /proc. */
  readonly pidStart: number | null;
  /** Changes with every boot of the kernel; null where it cannot be told. */
  readonly bootId: string | null;
}

/** Ticks since boot at which the process began; null: no such process, or no /proc. A zombie still has one. */
export function pidStart(pid: number): number | null {
  return readStat(pid)?.start ?? null;
}

let cachedBootId: string | null | undefined;

/** This boot's id. It cannot change while this process lives, so it is read once. */
export function bootId(): string | null {
  cachedBootId ??= readBootId();
  return cachedBootId;
}

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, pidStart: pidStart(process.pid), bootId: bootId() };
}

/**
 * Whether that very process runs. Dead: no such pid, another start time (the pid was used again), state Z or X, another boot.
 * Without /proc (macOS) only the pid can be asked, so a pid that was used again looks alive until it ends.
 */
export function isAlive(pid: number, start: number | null, boot: string | null): boolean {
  if (pid <= 0) return false; // kill(0) would ask the process group
  if (boot !== null && bootId() !== null && boot !== bootId()) return false;
  if (start === null) return answersSignal(pid);
  const stat = readStat(pid);
  if (stat === null) return process.platform === 'linux' ? false : answersSignal(pid);
  return stat.start === start && stat.state !== 'Z' && stat.state !== 'X';
}

/** State letter and start time from /proc/<pid>/stat: `pid (comm) state …`; comm may itself hold spaces and brackets. */
function readStat(pid: number): { readonly state: string; readonly start: number } | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return null;
  }
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const start = Number(fields[19]);
  return state === undefined || !Number.isSafeInteger(start) ? null : { state, start };
}

/** Of this process, as `pid:[4026531836]`: a pid means something in its own namespace only. null: the system has none. */
export function pidNamespace(): string | null {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return null;
  }
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and someone else's
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function readBootId(): string | null {
  try {
    return process.platform === 'linux'
      ? readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
      : execFileSync('sysctl', ['-n', 'kern.bootsessionuuid'], { encoding: 'latin1', timeout: 2000 }).trim() || null;
  } catch {
    return null;
  }
}
