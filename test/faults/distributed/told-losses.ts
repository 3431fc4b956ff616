/**
 * Losses made on purpose, and what is told of them: the spool full and the disk full while Kafka is away (dropped, per app), and parts of the spool removed
 * (missing, per stream). What was answered and is not stored must be told, to the event, and nothing else.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { framesOf } from '../../../collector/log/kafka/topic.fixture.js';
import { readSegment } from '../../../gateway/events/read-segment.js';
import { listSegments, type SegmentFile } from '../../../gateway/events/segment.js';
import { readState } from '../../../gateway/events/stream-state.js';
import { eventually } from '../../harness/deadline.js';
import type { TestNode } from '../../harness/tidegate.js';
import type { Engines } from './engines.js';

interface Completeness {
  readonly complete: boolean;
  readonly reasons: readonly string[];
  readonly streams: readonly { readonly stream: string; readonly missing: number; readonly twice: number }[];
  readonly dropped: readonly { readonly app: string; readonly count: number }[];
}

type PerApp = Record<string, number>;

export interface ToldLoss {
  readonly loss: string;
  readonly answered: number;
  readonly stored: number;
  readonly dropped: number;
  readonly missing: number;
  /** From the moment that Kafka is back. */
  readonly toldAfterSeconds: number;
}

/** With a row of this length a segment of the least size is full after some 55. */
const LONG = 'x'.repeat(1000);
const CLIENTS = 8;
/** Of each living and each dead stream, so that there is a middle. */
const SEGMENTS = 6;
const WITHIN_MS = 240_000;

export class ToldLosses {
  readonly lines: ToldLoss[] = [];
  readonly #engines: Engines;
  #phase = 0;

  constructor(engines: Engines) {
    this.#engines = engines;
  }

  /** Kafka is away, and the spool of a gateway reaches its bound, or its disk has no room. */
  async dropped(loss: string, gateway: TestNode, noRoom: () => void | Promise<void>, room: () => void | Promise<void>): Promise<void> {
    const { kafka } = this.#engines.network;
    const before = await this.#completeness();
    const client = new Client(gateway, this.#engines, ++this.#phase);
    await client.ask(50);
    await kafka.set({ kind: 'refuse' });
    await noRoom();
    await eventually('events are dropped', async () => {
      await client.ask(400);
      return (await gateway.control<{ spool: { dropped: number } }>('/v1/status')).spool.dropped > 100 ? true : null;
    }, WITHIN_MS);
    await client.ask(100);
    await room();
    await kafka.set(null);
    const backMs = performance.now();
    const told = await this.#until(`of each app, answered - stored = dropped: ${loss}`, async () => {
      const [stored, now] = await Promise.all([this.#stored(client.phase), this.#completeness()]);
      const dropped = difference(droppedOf(now), droppedOf(before));
      assert.deepEqual(dropped, difference(client.answered, stored));
      assert.deepEqual(missingOf(now), missingOf(before));
      return { stored, dropped, now };
    });
    assert.ok(Object.values(told.dropped).every((count) => count > 0), JSON.stringify(told.dropped));
    assert.equal(told.now.complete, false);
    this.lines.push({ loss, answered: sum(client.answered), stored: sum(told.stored), dropped: sum(told.dropped), missing: 0, toldAfterSeconds: (performance.now() - backMs) / 1000 });
  }

  /** While Kafka is away, of a living stream and of a dead one a segment in the middle, the last one and one frame go. */
  async gaps(gateway: TestNode): Promise<void> {
    const { kafka } = this.#engines.network;
    const [before, countedBefore] = [await this.#completeness(), await this.#counted()];
    const client = new Client(gateway, this.#engines, ++this.#phase);
    await client.ask(50);
    await kafka.set({ kind: 'refuse' });
    const spool = join(gateway.dataDir, 'spool');
    const streams = (): string[] => readdirSync(spool).filter((name) => /^[0-9a-f]{16}$/.test(name)).map((name) => join(spool, name)).filter((dir) => readState(dir)?.seal === null);
    await eventually('segments of both workers', async () => {
      await client.ask(200);
      return streams().length === 2 && streams().every((dir) => listSegments(dir).length >= SEGMENTS) ? true : null;
    }, WITHIN_MS);
    const [dead, living] = streams() as [string, string];
    const pid = readState(dead)?.pid ?? 0;
    await gateway.kill(pid);
    await eventually('the dead stream\'s seal, and the mark of the living one\'s last event', () => {
      const last = framesOf(living).at(-1);
      return readState(dead)?.seal !== null && last !== undefined && readState(living)?.lastSeq === last.firstSeq + last.count - 1 ? true : null;
    }, WITHIN_MS);
    const lost = new Map([dead, living].map((dir) => [basename(dir), injectGaps(dir)]));
    await kafka.set(null);
    const backMs = performance.now();
    const expected = { ...missingOf(before), ...Object.fromEntries(lost) };
    const injected = [...lost.values()].reduce((all, rows) => all + rows, 0);
    const stored = await this.#until('every injected gap is told, and no other', async () => {
      const [inStore, now, counted] = await Promise.all([this.#stored(client.phase), this.#completeness(), this.#counted()]);
      assert.deepEqual(missingOf(now), expected);
      assert.deepEqual(droppedOf(now), droppedOf(before));
      for (const [i, count] of counted.entries()) assert.equal(count - (countedBefore[i] ?? 0), injected, 'tidegate_event_gaps_total');
      assert.equal(sum(client.answered) - sum(inStore), injected);
      for (const [stream, rows] of lost) assert.match(now.reasons.join('\n'), new RegExp(`${rows} events of stream ${stream} .* are missing`));
      return inStore;
    });
    this.lines.push({
      loss: 'gaps: a middle and a last segment and a skipped seq, of a living and of a dead stream', answered: sum(client.answered), stored: sum(stored), dropped: 0, missing: injected,
      toldAfterSeconds: (performance.now() - backMs) / 1000,
    });
  }

  table(): string {
    const head = ['answered', 'stored', 'dropped', 'missing', 'told after s', 'loss'];
    const rows = this.lines.map(({ loss, answered, stored, dropped, missing, toldAfterSeconds }) => [...[answered, stored, dropped, missing].map(String), toldAfterSeconds.toFixed(1), loss]);
    return ['losses made on purpose', ...[head, ...rows].map((row) => row.map((cell, i) => (i === head.length - 1 ? cell : cell.padStart(12))).join('  '))].join('\n');
  }

  async #until<T>(what: string, ask: () => Promise<T>): Promise<T> {
    return eventually(what, ask, WITHIN_MS, 500).catch((error: unknown) => { throw new Error(`${what}: ${String((error as Error).cause)}\n${this.#engines.topology.said()}`, { cause: error }); });
  }

  /** Of today, as a collector tells it. */
  async #completeness(): Promise<Completeness> {
    const [collector] = this.#engines.topology.collectors;
    assert.ok(collector !== undefined);
    return collector.control<Completeness>(`/v1/completeness?day=${new Date().toISOString().slice(0, 10)}`);
  }

  /** By each collector. */
  async #counted(): Promise<number[]> {
    return Promise.all(this.#engines.topology.collectors.map(async (node) => Number(/^tidegate_event_gaps_total (\d+)$/m.exec(await node.metrics())?.[1] ?? Number.NaN)));
  }

  async #stored(phase: string): Promise<PerApp> {
    const rows = await this.#engines.topology.store.query<{ app: string; n: number }>(
      "SELECT e.app AS app, toUInt32(sum(e.requests)) AS n FROM tidegate.events AS e WHERE endsWith(e.path, {phase:String}) GROUP BY app", { phase });
    return Object.fromEntries(rows.map(({ app, n }) => [app, n]));
  }
}

/** Asks, and keeps count of what was answered. */
class Client {
  readonly answered: PerApp = {};
  /** At the end of its paths. */
  readonly phase: string;
  readonly #url: string;
  readonly #keys: readonly (readonly [app: string, key: string])[];
  #next = 0;

  constructor(node: TestNode, { topology }: Engines, phase: number) {
    // where a topology's gateway listens, it is told by the topology
    this.#url = `http://127.0.0.1:${topology.ports[topology.gateways.indexOf(node)] ?? 0}`;
    this.#keys = [...topology.keys];
    this.phase = `/loss-${phase}`;
  }

  /** So many, of every app in turn. A refusal is an answer, too, and recorded. */
  async ask(count: number): Promise<void> {
    const end = this.#next + count;
    await Promise.all(Array.from({ length: CLIENTS }, async () => {
      while (this.#next < end) {
        const [app, key] = this.#keys[this.#next++ % this.#keys.length] as readonly [string, string];
        const answer = await fetch(`${this.#url}/bytes/10/${LONG}${this.phase}`, { headers: { 'x-api-key': key } });
        await answer.arrayBuffer();
        this.answered[app] = (this.answered[app] ?? 0) + 1;
      }
    }));
  }
}

/** @returns how many events are gone */
function injectGaps(dir: string): number {
  const segments = listSegments(dir);
  const [skipped, middle, last] = [segments[1], segments[3], segments.at(-1)] as [SegmentFile, SegmentFile, SegmentFile];
  const rowsBefore = rowsIn(dir);
  const frames = [...readSegment(skipped, basename(dir), 0, true)].filter((item) => item.kind === 'frame');
  const gone = frames[2];
  assert.ok(gone !== undefined);
  const bytes = readFileSync(skipped.path);
  writeFileSync(skipped.path, Buffer.concat([bytes.subarray(0, gone.at.offset), bytes.subarray(gone.next.offset)]));
  for (const { path } of [middle, last]) rmSync(path);
  return rowsBefore - rowsIn(dir);
}

const rowsIn = (dir: string): number => framesOf(dir).reduce((rows, { count }) => rows + count, 0);
const sum = (counts: PerApp): number => Object.values(counts).reduce((all, count) => all + count, 0);
const difference = (a: PerApp, b: PerApp): PerApp => Object.fromEntries(Object.keys(a).sort().map((app) => [app, (a[app] ?? 0) - (b[app] ?? 0)]));
const droppedOf = ({ dropped }: Completeness): PerApp => Object.fromEntries(dropped.map(({ app, count }) => [app, count]));
const missingOf = ({ streams }: Completeness): PerApp => Object.fromEntries(streams.filter(({ missing }) => missing > 0).map(({ stream, missing }) => [stream, missing]));
