/**
 * Requests at fixed rates, one after the other, sent when they are due whether or not earlier ones are answered; each latency counts from the moment at which the request was
 * due, so that waiting for a connection behind a slow answer is in it (coordinated omission).
 * Timers of node have whole milliseconds: a thread beside this one wakes it when a request is due (rate-ticker).
 * Argument: a RateRun as JSON. Prints a RateFigures for each step, together as one line of JSON.
 */
import { connect, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { nodeProgram } from '../peers/node-proxies.js';
import { AnswerReader } from './answer-reader.js';
import { percentilesOf, type Percentiles } from './percentiles.js';
import { monotonicMs, Schedule, type RateStep } from './schedule.js';

export interface RateRun {
  readonly url: string;
  /** As `Name: value`. */
  readonly headers: readonly string[];
  readonly steps: readonly RateStep[];
  readonly connections: number;
  /** Whoever has waited so long for a connection goes; null: nobody does. */
  readonly patienceMs: number | null;
}

/** Of the requests that were due in a step; ms. */
export interface RateFigures {
  /** Of those that were not given up; all were: how long they waited. */
  readonly latencies: Percentiles;
  /** From when a request was due to the client's turn for it: what of the latency is the client's own. */
  readonly lateness: Percentiles;
  readonly requests: number;
  /** Answered before the step was over. */
  readonly answeredMeanwhile: number;
  /** Not answered with 200, or not at all; those count as long as it was waited for them. */
  readonly failed: number;
  /** Never sent: all connections waited for their answers for longer than who asks has patience. */
  readonly givenUp: number;
  /** Answers with 200 that came within the step, whenever they were asked for. */
  readonly good: number;
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

/** In place of the latency: the request was given up; absent is NaN. */
const GIVEN_UP = -1;

class RateClient {
  readonly #schedule: Schedule;
  readonly #steps: number;
  readonly #bytes: Buffer;
  readonly #patienceMs: number;
  readonly #latencies: Float64Array;
  readonly #lateness: Float64Array;
  readonly #free: Connection[] = [];
  /** By step. */
  readonly #counts: { answeredMeanwhile: number; failed: number; good: number }[];
  /** The next to be sent, and the next to fall due. */
  #next = 0;
  #due = 0;
  /** Answered, or given up. */
  #settled = 0;
  /** When all are. */
  onDone: () => void = () => {};

  constructor(schedule: Schedule, { steps, patienceMs }: RateRun, bytes: Buffer) {
    this.#schedule = schedule;
    this.#steps = steps.length;
    this.#bytes = bytes;
    this.#patienceMs = patienceMs ?? Number.POSITIVE_INFINITY;
    this.#latencies = new Float64Array(schedule.count).fill(Number.NaN);
    this.#lateness = new Float64Array(schedule.count);
    this.#counts = steps.map(() => ({ answeredMeanwhile: 0, failed: 0, good: 0 }));
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
    for (; this.#due < due; this.#due++) this.#lateness[this.#due] = nowMs - this.#schedule.dueMs(this.#due);
    while (this.#next < due) {
      if (nowMs - this.#schedule.dueMs(this.#next) > this.#patienceMs) {
        this.#latencies[this.#next++] = GIVEN_UP;
        this.#settle();
        continue;
      }
      const connection = this.#free.pop();
      if (connection === undefined) return;
      connection.request = this.#next++;
      connection.socket.write(this.#bytes);
    }
  }

  /** By step. @param untilMs when waiting ended: what is not answered has taken so long at least */
  figures(untilMs: number): RateFigures[] {
    return Array.from({ length: this.#steps }, (_, step) => {
      const [first, end] = this.#schedule.requestsOf(step);
      const all = this.#latencies.subarray(first, end);
      const asked = all.map((latency, i) => (Number.isNaN(latency) ? untilMs - this.#schedule.dueMs(first + i) : latency)).filter((latency) => latency !== GIVEN_UP);
      const unanswered = all.reduce((sum, latency) => sum + (Number.isNaN(latency) ? 1 : 0), 0);
      const { answeredMeanwhile, failed, good } = this.#counts[step] as { answeredMeanwhile: number; failed: number; good: number };
      return {
        latencies: percentilesOf(asked.length === 0 ? Float64Array.of(this.#patienceMs) : asked), lateness: percentilesOf(this.#lateness.subarray(first, end)), requests: end - first,
        answeredMeanwhile, failed: failed + unanswered, givenUp: end - first - asked.length, good,
      };
    });
  }

  #read(connection: Connection, chunk: Buffer): void {
    const nowMs = performance.now();
    const status = connection.reader.read(chunk);
    if (status === null) return;
    const { request } = connection;
    // a word that nobody asked for, as before a connection is closed
    if (request === -1) return;
    connection.request = -1;
    this.#latencies[request] = nowMs - this.#schedule.dueMs(request);
    const [asked, now] = [this.#schedule.stepOf(request), this.#schedule.stepAt(nowMs)];
    const ofStep = this.#counts[asked];
    const meanwhile = this.#counts[now];
    if (ofStep !== undefined && status !== 200) ofStep.failed++;
    if (ofStep !== undefined && asked === now && nowMs <= this.#schedule.endMs) ofStep.answeredMeanwhile++;
    if (meanwhile !== undefined && status === 200 && nowMs <= this.#schedule.endMs) meanwhile.good++;
    this.#free.push(connection);
    this.#settle();
    // what had to wait for a connection has one now
    this.send();
  }

  #settle(): void {
    if (++this.#settled === this.#schedule.count) this.onDone();
  }

  /** Its request stays unanswered, and nobody takes its place. */
  #lost(connection: Connection): void {
    const index = this.#free.indexOf(connection);
    if (index !== -1) this.#free.splice(index, 1);
  }
}

const run = JSON.parse(process.argv[2] ?? '') as RateRun;
const { hostname, port, pathname, host } = new URL(run.url);
const sockets = await Promise.all(Array.from({ length: run.connections }, () => new Promise<Socket>((resolve, reject) => {
  const socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => { resolve(socket); });
  socket.once('error', reject);
})));
const schedule = new Schedule(performance.now() + BEGIN_AFTER_MS, run.steps);
const client = new RateClient(schedule, run, Buffer.from([`GET ${pathname} HTTP/1.1`, `Host: ${host}`, ...run.headers, '', ''].join('\r\n')));
for (const socket of sockets) client.add(socket);
const [ticker] = nodeProgram(import.meta.url, 'rate-ticker').slice(-1) as [string];
const worker = new Worker(ticker, { workerData: { startAtMs: monotonicMs() + BEGIN_AFTER_MS, steps: run.steps } });
worker.on('message', () => { client.send(); });
await Promise.race([
  new Promise<void>((resolve) => { client.onDone = resolve; }),
  new Promise((resolve) => { setTimeout(resolve, schedule.endMs - performance.now() + DRAIN_MS); }),
]);
console.log(JSON.stringify(client.figures(performance.now())));
process.exit(0);
