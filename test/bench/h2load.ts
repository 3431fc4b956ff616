/** One run of h2load (nghttp2), and what its report says. */
import type { RunningPeer } from './peers/peer.js';
import type { Processes } from './processes.js';

export interface H2LoadResult {
  readonly calls: number;
  readonly failed: number;
}

export interface H2LoadRun {
  readonly load: Pick<RunningPeer, 'url' | 'headers'>;
  /** Holds the message of each call. */
  readonly body: string;
  readonly calls: number;
  readonly connections: number;
  /** Calls at once on each. */
  readonly streams: number;
  readonly core: number;
}

export async function runH2Load(processes: Processes, program: string, { load, body, calls, connections, streams, core }: H2LoadRun): Promise<H2LoadResult> {
  const headers = load.headers.flatMap((header) => ['-H', header]);
  const child = processes.spawn('h2load', program, ['-n', String(calls), '-c', String(connections), '-m', String(streams), '-t', '1', '-N', '30s', '-d', body, ...headers, load.url], { core });
  const { code, output } = await child.ended;
  if (code !== 0) throw new Error(`h2load ended with exit code ${String(code)}:\n${output}`);
  return parseH2Load(output);
}

/** @throws Error: not what h2load prints */
export function parseH2Load(output: string): H2LoadResult {
  const counts = /^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, \d+ failed/m.exec(output);
  if (counts === null) throw new Error(`not a report of h2load:\n${output}`);
  return { calls: Number(counts[1]), failed: Number(counts[1]) - Number(counts[2]) };
}
