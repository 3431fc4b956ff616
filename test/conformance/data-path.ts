/**
 * The data path alone in this process: a configuration, a listener on a free port, its spool in a temporary folder; no supervisor, no
 * collector. For the tests of what travels over the wires, byte by byte.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { compile, type CompileContext } from '../../gateway/config/compile.js';
import { loadConfigText } from '../../gateway/config/load.js';
import { workerConfig } from '../../gateway/config/worker-config.js';
import { Deadlines } from '../../gateway/deadlines.js';
import { decodeRows, type EventRow } from '../../gateway/events/read-rows.js';
import { readFrames, STREAM_START } from '../../gateway/events/read-segment.js';
import { Recorder } from '../../gateway/events/recorder.js';
import { SYSTEM_CALLS, type SegmentCalls } from '../../gateway/events/segment-writer.js';
import { HttpListener, httpSettings } from '../../gateway/listeners/http/http-listener.js';
import { WorkerMetrics } from '../../gateway/metrics/worker-metrics.js';
import { Pipeline } from '../../gateway/pipeline.js';
import { ClientIpTable } from '../../gateway/policies/client-ip-limit.js';
import { systemClock } from '../../gateway/policies/limits/clock.js';
import { LeaseBook } from '../../gateway/policies/limits/lease-book.js';
import { RemoteKeySets } from '../../gateway/policies/remote-key-sets.js';
import type { TracedRequest } from '../../gateway/tracing/traced-request.js';
import { TargetRegistry } from '../../gateway/upstream/target.js';

const QUIET = { debug() {}, info() {}, warn() {}, error() {} };

export interface DataPath {
  readonly port: number;
  readonly listener: HttpListener;
  readonly pipeline: Pipeline;
  readonly recorder: Recorder;
  readonly targets: TargetRegistry;
  /** What was said of targets. */
  readonly said: readonly string[];
  /** What has ended and is to be seen as spans. */
  readonly traced: readonly TracedRequest[];
  /** Every row in the spool, in order. */
  rows(): EventRow[];
  /** Resolves with all rows once there are `count`; fails after 5 s. */
  rowsOf(count: number): Promise<EventRow[]>;
}

/** `yaml`: services and apps; the listener is added. `http`: further lines of the listener. */
export async function startDataPath(t: TestContext, yaml: string, http = '', watch: SpoolWatch | null = null): Promise<DataPath> {
  const dir = mkdtempSync(join(tmpdir(), 'tidegate-path-'));
  const text = `version: 1\nlisteners:\n  http:\n    address: "127.0.0.1:0"\n${http}\n${yaml}`;
  const { loaded, errors } = loadConfigText(text, join(dir, 'tidegate.yaml'), {});
  if (loaded === null) throw new Error(JSON.stringify(errors, null, 1));
  const { version } = loaded;
  const { config, secrets } = workerConfig(loaded, null);
  const deadlines = new Deadlines();
  const recorder = Recorder.open({ spoolDir: join(dir, 'spool'), node: 'test', worker: 1, segmentBytes: 64 * 1024 * 1024, log: QUIET, calls: watch?.calls ?? SYSTEM_CALLS });
  const metrics = new WorkerMetrics({ recorded: () => 0, dropped: () => [], leases: () => [], connections: () => [], targets: () => [], inFlight: () => [], sockets: () => ({ client: 0, upstream: 0 }) });
  const leases = new LeaseBook({
    send: () => {}, clock: systemClock, lastWrittenSeq: () => recorder.lastWrittenSeq,
  });
  const said: string[] = [];
  const say = (fields: object, message: string): void => { said.push(`${JSON.stringify(fields)} ${message}`); };
  const targets = new TargetRegistry(deadlines, { info: say, warn: say });
  const context: CompileContext = {
    targets, leases, clientIpTable: new ClientIpTable(), remoteKeySets: new RemoteKeySets(QUIET),
    attachMetrics: (names) => metrics.attach(names), log: QUIET,
  };
  const traced: TracedRequest[] = [];
  const pipeline = new Pipeline({ snapshot: compile(config, version, secrets, context), recorder, metrics, log: QUIET, quotas: leases, spans: traced });
  const listener = new HttpListener(pipeline, deadlines, httpSettings(config.listeners.http));
  const address = await listener.listen();
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  if (watch !== null) watch.port = port;
  t.after(async () => {
    listener.destroyAll();
    // A test's own drain ends with the last of them.
    await until(() => listener.connectionCount === 0, 'every connection to be gone');
    await listener.drain();
    targets.retireUnused();
    targets.retireUnused();
    await recorder.close();
    metrics.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const rows = (): EventRow[] => {
    const found: EventRow[] = [];
    for (const item of readFrames(join(dir, 'spool', recorder.stream), STREAM_START)) {
      if (item.kind === 'frame') found.push(...decodeRows(item.rows));
      else break;
    }
    return found;
  };
  return {
    port, listener, pipeline, recorder, targets, said, traced, rows,
    rowsOf: async (count) => {
      await until(() => rows().length >= count, `${count} rows`);
      return rows();
    },
  };
}

/**
 * Looks at the wires at the moment a frame is about to be written to the spool: what has not been given to a socket by then was held.
 * Shows the gateway's ends of its clients' connections, too.
 */
export class SpoolWatch {
  /** For each frame: bytes given so far to each connection from a client, in order of accepting. */
  readonly given: number[][] = [];
  /** In order of accepting. */
  readonly clientSockets: net.Socket[] = [];
  /** Called before each frame is written; what it throws, the write throws. */
  onFrame: () => void = () => {};
  /** The data path's; it sets it. */
  port = 0;
  /** The data path's calls of the file system. */
  readonly calls: SegmentCalls;

  constructor(t: TestContext) {
    let header = true;
    this.calls = {
      ...SYSTEM_CALLS,
      write: (fd, bytes, offset, length, position) => {
        if (header) header = false;
        else {
          this.given.push(this.clientSockets.map((socket) => socket.bytesWritten));
          this.onFrame();
        }
        return SYSTEM_CALLS.write(fd, bytes, offset, length, position);
      },
    };
    const accepted = (message: unknown): void => {
      const { socket } = message as { socket: net.Socket };
      if (socket.localPort === this.port) this.clientSockets.push(socket);
    };
    subscribe('net.server.socket', accepted);
    t.after(() => { unsubscribe('net.server.socket', accepted); });
  }
}

/** Waits for `condition`, looking at every turn of the loop; fails after `withinMs`. */
export async function until(condition: () => boolean, what: string, withinMs = 60_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resolves when every deadline of the data path has been looked at once more. */
export async function nextSweep({ listener: { deadlines } }: DataPath): Promise<void> {
  await new Promise<void>((resolve) => {
    const entry = {
      deadlineMs: 0, deadlineSlot: -1,
      onDeadline: () => {
        deadlines.remove(entry);
        resolve();
      },
    };
    deadlines.add(entry);
  });
}

/** A client that speaks bytes. */
export class RawClient {
  readonly socket: net.Socket;
  received = '';
  closed = false;
  /** The connection was reset, not ended. */
  wasReset = false;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text) => { this.received += String(text); });
    socket.on('error', (error: NodeJS.ErrnoException) => { this.wasReset ||= error.code === 'ECONNRESET'; });
    socket.on('close', () => { this.closed = true; });
  }

  /** @param from of 127.0.0.0/8 (Linux) */
  static async connect(t: TestContext, port: number, from = '127.0.0.1'): Promise<RawClient> {
    const socket = net.connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true });
    const client = new RawClient(socket);
    t.after(() => { socket.destroy(); });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  send(bytes: string): void {
    this.socket.write(bytes, 'latin1');
  }

  async until(pattern: RegExp | string): Promise<string> {
    const met = (): boolean => (typeof pattern === 'string' ? this.received.includes(pattern) : pattern.test(this.received));
    await until(() => met() || this.closed, `${String(pattern)} in ${JSON.stringify(this.received.slice(0, 2000))}`);
    if (!met()) throw new Error(`closed without ${String(pattern)}: ${JSON.stringify(this.received.slice(0, 2000))}`);
    return this.received;
  }

  async untilClosed(): Promise<string> {
    await until(() => this.closed, `the connection to be closed after ${JSON.stringify(this.received.slice(0, 500))}`);
    return this.received;
  }
}

export interface RawUpstream {
  readonly port: number;
  /** Everything each connection sent, in order of connection. */
  readonly seen: string[];
  readonly sockets: net.Socket[];
}

/** An upstream that speaks bytes: `answer` is called for every piece a connection sends, with all that it has sent so far. */
export async function startRawUpstream(t: TestContext, answer: (socket: net.Socket, sofar: string, connection: number) => void, port = 0): Promise<RawUpstream> {
  const seen: string[] = [];
  const sockets: net.Socket[] = [];
  const server = net.createServer({ noDelay: true }, (socket) => {
    const index = seen.push('') - 1;
    sockets.push(socket);
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('data', (text) => {
      seen[index] += String(text);
      answer(socket, seen[index] as string, index);
    });
  });
  await new Promise<void>((resolve) => { server.listen(port, '127.0.0.1', resolve); });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as net.AddressInfo).port, seen, sockets };
}

/** Answers each complete request that has no body with `response`. */
export const answerEach = (response: string) => (socket: net.Socket, sofar: string): void => {
  if (sofar.endsWith('\r\n\r\n')) socket.write(response, 'latin1');
};

/** One open service in front of `port`. */
export const oneService = (port: number, more = ''): string => `services:
  - name: echo
    upstream:
      targets: [{ url: "http://127.0.0.1:${port}" }]
${more}
    routes: [{ name: all, match: { path: "/*" }, authentication: [] }]
`;
