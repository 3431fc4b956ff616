/** A proxy under measurement: how it is started, where it answers, and which of its processes do the work. */
import { eventually } from '../../harness/deadline.js';
import type { BenchProcess, Processes } from '../processes.js';
import { processTree } from '../proc-cpu.js';

export interface PeerContext {
  readonly processes: Processes;
  /** For the peer's own files. */
  readonly folder: string;
  /** Everything is sent on to here, `http://127.0.0.1:port`. */
  readonly upstream: string;
  /** A free port on 127.0.0.1. */
  readonly port: number;
  /** The proxy's; null: any. */
  readonly core: number | null;
}

export interface RunningPeer {
  readonly url: string;
  /** Sent with each request, as `Name: value`. */
  readonly headers: readonly string[];
  /** The processes that proxy. */
  readonly own: () => readonly number[];
  /** With those that stand beside them. */
  readonly all: () => readonly number[];
  /** Changes its configuration; answers with the seconds until it is in force. */
  readonly reload?: () => Promise<number>;
}

export interface Peer {
  readonly name: string;
  /** Null: it can run here; else what is missing. */
  readonly missing: () => string | null;
  readonly start: (context: PeerContext) => Promise<RunningPeer>;
}

/** What every peer passes on; Tidegate's route. */
export const AREA = '/v1/products/';
/** The path of the small answer. */
export const PATH = `${AREA}17`;

/** Waits until a proxy that is one process with its children answers. */
export async function answering(child: BenchProcess, port: number): Promise<RunningPeer> {
  const url = `http://127.0.0.1:${port}${PATH}`;
  await child.until(answers(url, []));
  const tree = processTree(child.pid);
  return { url, headers: [], own: () => tree, all: () => tree };
}

/** Resolves when `url` is answered with 200. */
export async function answers(url: string, headers: readonly string[]): Promise<void> {
  const fields = headerFields(headers);
  await eventually(`200 from ${url}`, async () => {
    const answer = await fetch(url, { headers: fields });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status} ${text}`);
    return true;
  }, 60_000, 50);
}

/** `Name: value` as fetch takes them. */
export function headerFields(headers: readonly string[]): [string, string][] {
  return headers.map((header) => [header.slice(0, header.indexOf(':')), header.slice(header.indexOf(':') + 1).trim()]);
}
