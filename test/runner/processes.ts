/** The processes of one test file: by its process group, and by a variable that all it has made inherit, whatever their group and parent. */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

export const FILE_VARIABLE = 'TIDEGATE_TEST_FILE';

export interface LeftProcess { readonly pid: number; readonly command: string }

/** Those that live. Linux; elsewhere none is known. */
export function processesOf(group: number, mark: string): LeftProcess[] {
  const pids = listed().filter((pid) => pid !== process.pid && (groupOf(pid) === group || read(pid, 'environ').includes(`${FILE_VARIABLE}=${mark}\0`)));
  return pids.filter((pid) => groupOf(pid) !== null).map((pid) => ({ pid, command: read(pid, 'cmdline').replaceAll('\0', ' ').trim() }));
}

/** Asks them to end, and ends those that have not within a while. */
export async function endProcesses(group: number, mark: string, withinMs: number): Promise<void> {
  signal(group, mark, 'SIGTERM');
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline && processesOf(group, mark).length > 0) await pause(50);
  signal(group, mark, 'SIGKILL');
}

/** What is left when a while has passed: an end that was ordered takes its time. */
export async function leftOver(group: number, mark: string, withinMs: number): Promise<LeftProcess[]> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const left = processesOf(group, mark);
    if (left.length === 0 || performance.now() >= deadline) return left;
    await pause(50);
  }
}

function signal(group: number, mark: string, name: NodeJS.Signals): void {
  for (const target of [-group, ...processesOf(group, mark).map(({ pid }) => pid)]) {
    try {
      process.kill(target, name);
    } catch {
      // it has ended meanwhile
    }
  }
}

function listed(): number[] {
  return process.platform === 'linux' ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number) : [];
}

/** Null: it has ended. */
function groupOf(pid: number): number | null {
  const text = read(pid, 'stat');
  const [state, , group] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return group === undefined || state === 'Z' || state === 'X' ? null : Number(group);
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
