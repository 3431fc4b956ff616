/**
 * Requests at a fixed rate, sent when they are due whether or not earlier ones are answered; each latency counts from the moment at which the request was
 * due, so that waiting for a connection behind a slow answer is in it (coordinated omission).
 * Timers of node have whole milliseconds: a thread beside this one wakes it when a request is due (rate-ticker).
 * Argument: a RateRun as JSON. Prints a RateFigures as one line of JSON.
 */
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { nodeProgram } from '../peers/node-proxies.js';
import { AnswerReader } from './answer-reader.js';
import { percentilesOf, type Percentiles } from './percentiles.js';
import { monotonicMs, Schedule } from './schedule.js';

export interface RateRun {
  readonly url: string;
  /** As `Name: value`. */
  readonly headers: readonly string[];
  readonly rate: number;
  /** Not counted: the client and its connections are made warm. */
  readonly warmSeconds: number;
  readonly seconds: number;
  readonly connections: number;
}

/** ms. */
export interface RateFigures {
  readonly latencies: Percentiles;
  /** From when a request was due to the client's turn for it: what of the latency is the client's own. */
  readonly lateness: Percentiles;
  readonly requests: number;
  /** Answered before the last request was due, and in time with it. */
  readonly answeredMeanwhile: number;
  /** Not answered with 200, or not at all; those count as long as it was waited for them. */
  readonly failed: number;
}

/** For the answers that are still to come when the last request was due. */
const DRAIN_MS = 2000;
/** So that connections and thread are there before anything is due. */
const BEGIN_AFTER_MS = 300;

class Connection {
  readonly socket: Socket;
  readonly reader = new AnswerReader();
  /** The request that it waits for; -1: none. */
  request = -1;

  constructor(socket: Socket) {
    this.socket = socket;
  }
}

class RateClient {
  readonly #schedule: Schedule;
  /** The first that counts. */
  readonly #first: number;
  readonly #bytes: Buffer;
  readonly #latencies: Float64Array;
  readonly #lateness: Float64Array;
  readonly #free: Connection[] = [];
  /** The next to be sent, and the next to fall due. */
  #next = 0;
  #due = 0;
  #answered = 0;
  #answeredMeanwhile = 0;
  #failed = 0;
  /** When all are answered. */
  onDone: () => void = () => {};

  constructor(schedule: Schedule, first: number, bytes: Buffer) {
    this.#schedule = schedule;
    this.#first = first;
    this.#bytes = bytes;
    this.#latencies = new Float64Array(schedule.count - first).fill(Number.NaN);
    this.#lateness = new Float64Array(schedule.count - first);
  }

  add(socket: Socket): void {
    const connection = new Connection(socket);
    socket.on('data', (chunk) => { this.#read(connection, chunk); });
    socket.on('error', () => { this.#lost(connection); });
    socket.on('close', () => { this.#lost(connection); });
    this.#free.push(connection);
  }

  /** Sends all that is due as far as connections are free. */
  send(): void {
    const nowMs = performance.now();
    const due = this.#schedule.dueBy(nowMs);
    for (; this.#due < due; this.#due++) if (this.#due >= this.#first) this.#lateness[this.#due - this.#first] = nowMs - this.#schedule.dueMs(this.#due);
    while (this.#next < due) {
      const connection = this.#free.pop();
      if (connection === undefined) return;
      connection.request = this.#next++;
      connection.socket.write(this.#bytes);
    }
  }

  /** @param untilMs when waiting ended: what is not answered has taken so long at least */
  figures(untilMs: number): RateFigures {
    const unanswered = this.#latencies.reduce((sum, latency) => sum + (Number.isNaN(latency) ? 1 : 0), 0);
    const latencies = this.#latencies.map((latency, i) => (Number.isNaN(latency) ? untilMs - this.#schedule.dueMs(this.#first + i) : latency));
    return {
      latencies: percentilesOf(latencies), lateness: percentilesOf(this.#lateness), requests: latencies.length,
      answeredMeanwhile: this.#answeredMeanwhile, failed: this.#failed + unanswered,
    };
  }

  #read(connection: Connection, chunk: Buffer): void {
    const nowMs = performance.now();
    const status = connection.reader.read(chunk);
    if (status === null) return;
    const { request } = connection;
    connection.request = -1;
    this.#answered++;
    if (request >= this.#first) {
      this.#latencies[request - this.#first] = nowMs - this.#schedule.dueMs(request);
      if (status !== 200) this.#failed++;
      if (nowMs <= this.#schedule.dueMs(this.#schedule.count)) this.#answeredMeanwhile++;
    }
    this.#free.push(connection);
    // what had to wait for a connection has one now
    this.send();
    if (this.#answered === this.#schedule.count) this.onDone();
  }

  /** Its request stays unanswered, and nobody takes its place. */
  #lost(connection: Connection): void {
    const index = this.#free.indexOf(connection);
    if (index !== -1) this.#free.splice(index, 1);
  }
}

const { url, headers, rate, warmSeconds, seconds, connections } = JSON.parse(process.argv[2] ?? '') as RateRun;
const { hostname, port, pathname, host } = new URL(url);
const sockets = await Promise.all(Array.from({ length: connections }, () => new Promise<Socket>((resolve, reject) => {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => { resolve(socket); });
  socket.once('error', reject);
})));
const startMs = performance.now() + BEGIN_AFTER_MS;
const schedule = new Schedule(startMs, rate, warmSeconds + seconds);
const client = new RateClient(schedule, Math.round(rate * warmSeconds), Buffer.from([`GET ${pathname} HTTP/1.1`, `Host: ${host}`, ...headers, '', ''].join('\r\n')));
for (const socket of sockets) client.add(socket);
const [ticker] = nodeProgram(import.meta.url, 'rate-ticker').slice(-1) as [string];
const worker = new Worker(ticker, { workerData: { startAtMs: monotonicMs() + BEGIN_AFTER_MS, rate, count: schedule.count } });
worker.on('message', () => { client.send(); });
await Promise.race([
  new Promise<void>((resolve) => { client.onDone = resolve; }),
  new Promise((resolve) => { setTimeout(resolve, schedule.dueMs(schedule.count) - performance.now() + DRAIN_MS); }),
]);
console.log(JSON.stringify(client.figures(performance.now())));
process.exit(0);
