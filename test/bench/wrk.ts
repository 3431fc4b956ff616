/** One run of wrk, and what its report says. */
import type { Load } from './load.js';
import type { Processes } from './processes.js';

export interface WrkResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx and 3xx. */
  readonly refused: number;
  /** Connections that failed, or stood still. */
  readonly broken: number;
}

export interface WrkRun {
  readonly load: Omit<Load, 'idle' | 'refused'>;
  readonly seconds: number;
  readonly core: number;
}

export async function runWrk(processes: Processes, program: string, { load, seconds, core }: WrkRun): Promise<WrkResult> {
  const headers = load.headers.flatMap((header) => ['-H', header]);
  const script = load.script === null ? [] : ['-s', load.script];
  const duration = `${Math.max(1, Math.round(seconds))}s`;
  const child = processes.spawn('wrk', program, ['-t', '1', '-c', String(load.connections), '-d', duration, '--latency', ...script, ...headers, load.url], { core });
  const { code, output } = await child.ended;
  if (code !== 0) throw new Error(`wrk ended with exit code ${String(code)}:\n${output}`);
  return parseWrk(output);
}

/** @throws Error: not what wrk 4 prints with --latency */
export function parseWrk(output: string): WrkResult {
  const total = /^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),/m.exec(output);
  const [p50, p99] = [50, 99].map((percent) => new RegExp(`^\\s*${percent}%\\s+([\\d.]+)(us|ms|s|m|h)\\s*$`, 'm').exec(output));
  if (total === null || !p50 || !p99) throw new Error(`not a report of wrk --latency:\n${output}`);
  const refused = /^\s*Non-2xx or 3xx responses: (\d+)/m.exec(output);
  const broken = /^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/m.exec(output);
  return {
    requests: Number(total[1]),
    seconds: milliseconds(total[2], total[3]) / 1000,
    p50Ms: milliseconds(p50[1], p50[2]),
    p99Ms: milliseconds(p99[1], p99[2]),
    refused: Number(refused?.[1] ?? 0),
    broken: (broken?.slice(1) ?? []).reduce((sum, count) => sum + Number(count), 0),
  };
}

const MS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function milliseconds(number: string | undefined, unit: string | undefined): number {
  return Number(number) * (MS[unit ?? ''] ?? Number.NaN);
}
