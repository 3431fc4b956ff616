/** What processes have used, from /proc (Linux). */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

let cachedTicks = 0;

/** Clock ticks a second of /proc/<pid>/stat: 100 nearly everywhere. */
function ticksPerSecond(): number {
  if (cachedTicks === 0) cachedTicks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'latin1' }));
  return cachedTicks;
}

interface Stat {
  readonly parent: number;
  /** User and system time of all its threads, in ticks. */
  readonly ticks: number;
}

/** `pid (comm) state ppid …`; comm may itself hold spaces and brackets. utime and stime are fields 14 and 15. Null: not a process's line. */
export function parseStat(text: string): Stat | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const parent = Number(fields[1]);
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isSafeInteger(parent) && Number.isSafeInteger(ticks) ? { parent, ticks } : null;
}

/** Seconds of CPU that these processes have used since they began; those that are gone count nothing. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readStat(pid)?.ticks ?? 0), 0) / ticksPerSecond();
}

/** Resident memory of these processes together; what they share is counted for each. */
export function rssBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + Number(/^VmRSS:\s+(\d+) kB$/m.exec(readProc(pid, 'status'))?.[1] ?? 0), 0) * 1024;
}

/** Open descriptors of these processes together. */
export function descriptorsOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);
}

/** Connections to a port of this machine that the process has accepted, and not closed: by the inodes of its sockets (proc(5), /proc/net/tcp). */
export function acceptedConnections(pid: number, port: number): number {
  const established = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 01 \S+ \S+ \S+\s+\d+\s+\d+ (\d+)/;
  const inodes = new Set<string>();
  for (const line of readProc(pid, 'net/tcp').split('\n')) {
    const [, local, inode] = established.exec(line) ?? [];
    if (local !== undefined && inode !== undefined && Number.parseInt(local, 16) === port) inodes.add(`socket:[${inode}]`);
  }
  return readdirSync(`/proc/${pid}/fd`).filter((descriptor) => inodes.has(linkOf(`/proc/${pid}/fd/${descriptor}`))).length;
}

/** A process and all that descend from it. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : null;
    if (stat !== null) parents.set(Number(name), stat.parent);
  }
  const tree = [root];
  // grows while it is walked
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child);
  return tree;
}

export function commandLine(pid: number): string {
  return readProc(pid, 'cmdline').replaceAll('\0', ' ');
}

/** Waits until these processes rest, so that what they still do is not laid to the next round; `withinMs` at most. */
export async function untilQuiet(pids: () => readonly number[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  let before = cpuSeconds(pids());
  while (performance.now() < deadline) {
    await pause(250);
    const now = cpuSeconds(pids());
    if (now - before < 0.025) return;
    before = now;
  }
}

/** '': it is gone. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function readStat(pid: number): Stat | null {
  return parseStat(readProc(pid, 'stat'));
}

/** '': the process is gone. */
function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
