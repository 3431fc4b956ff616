/**
 * Bytes an event on disk, column by column, of three sets of made-up events: the figures that stand above `tidegate.events` in migrations/.
 * Rows go in by the collector's own INSERT, in ranges as it makes them; sizes are of the table after OPTIMIZE FINAL.
 * `node --import tsx test/bench/event-bytes.ts [events]` (default 1,000,000); it takes about 20 s of one core a set and prints Markdown.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrate } from '../../collector/store/migrate.js';
import { INSERT_SETTINGS, ROW_STRUCTURES } from '../../collector/store/insert-statement.js';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { RowEncoder } from '../../gateway/events/encoder.js';
import { KINDS, METHODS, outcomeId, PROTOCOLS, ROW_VERSION, type EventFacts } from '../../gateway/events/event.js';
import { encodeLabels, type Label } from '../../gateway/events/labels.js';
import { NOT_REFUSED } from '../../gateway/events/refusals.js';
import { cpuSeconds } from './proc-cpu.js';
import { SeededRandom } from './seeded-random.js';
import { figure, grouped, markdownTable } from './table.js';

interface EventSet {
  readonly words: string;
  readonly apps: number;
  readonly routes: number;
  /** Client networks an app. */
  readonly networks: number;
  /** Median of the lognormal (sigma 1) time the service takes. */
  readonly medianUs: number;
  /** Of answers: the route's one size; also one of 200 sizes; also any (lognormal, 6 kB). */
  readonly bodies: readonly ('fixed' | 'of_200' | 'any')[];
}

const SETS: readonly EventSet[] = [
  { words: '200 apps x 20 routes, two networks an app, mixed bodies', apps: 200, routes: 20, networks: 2, medianUs: 9000, bodies: ['fixed', 'of_200', 'any'] },
  { words: '200 apps x 20 routes, one network an app, bodies fixed or of 200 sizes', apps: 200, routes: 20, networks: 1, medianUs: 9000, bodies: ['fixed', 'of_200'] },
  { words: '4 apps x 4 routes, fixed bodies', apps: 4, routes: 4, networks: 1, medianUs: 1000, bodies: ['fixed'] },
];
const STREAMS = ['a3f19c0277de5b41', '5d20be8843f7c916'] as const;
/** Of both streams together. */
const REQUESTS_A_SECOND = 3000;
const ROWS_A_RANGE = 200_000;

interface MadeApp { readonly name: string; readonly label: Label; readonly clients: readonly string[] }
interface MadeRoute { readonly label: Label; readonly targets: readonly Label[]; readonly size: number; readonly methodId: number }

/** One event after the other, by their moments of admission. */
class EventMaker {
  readonly #random = new SeededRandom(20);
  readonly #set: EventSet;
  readonly #apps: readonly MadeApp[];
  readonly #routes: readonly MadeRoute[];
  readonly #version = encodeLabels('3f2a9c01b7de');
  readonly #noTarget = encodeLabels('');

  constructor(set: EventSet) {
    this.#set = set;
    this.#apps = Array.from({ length: set.apps }, (_, i) => ({ name: `app-${i}`, label: encodeLabels(`app-${i}`), clients: Array.from({ length: set.networks }, (_, n) => `203.${n}.${i}.0`) }));
    this.#routes = Array.from({ length: set.routes }, (_, i) => ({
      label: encodeLabels(`service-${i % 5}`, `route-${i}`), targets: [1, 2].map((n) => encodeLabels(`http://10.0.${i % 5}.${n}:9000`)), size: 400 + 137 * i,
      methodId: i % 4 === 3 ? METHODS.POST : METHODS.GET,
    }));
  }

  next(ordinal: number, timeMs: number): EventFacts {
    const random = this.#random;
    const app = this.#apps[random.below(this.#set.apps)] as MadeApp;
    const route = this.#routes[random.below(this.#set.routes)] as MadeRoute;
    const refused = random.next() < 0.025;
    const failed = !refused && random.next() < 0.01;
    const own = random.lognormal(250, 0.5);
    const upstreamUs = refused ? 0 : random.lognormal(this.#set.medianUs, 1);
    const body = this.#set.bodies[random.below(this.#set.bodies.length)];
    const size = body === 'fixed' ? route.size : body === 'of_200' ? 1000 + 64 * random.below(200) : random.lognormal(6000, 1.2);
    const posted = route.methodId === METHODS.POST;
    return {
      ordinal, timeMs, durationUs: upstreamUs + own, upstreamUs, bytesIn: !posted ? 0 : body === 'any' ? random.lognormal(900, 1) : 300 + 16 * random.below(20),
      bytesOut: refused ? 180 : failed ? 120 : size, status: refused ? 429 : failed ? 500 : 200,
      methodId: route.methodId === METHODS.GET && random.next() < 0.02 ? METHODS.HEAD : route.methodId,
      outcomeId: outcomeId(refused ? 'rate_limited' : 'answered'), protocolId: PROTOCOLS['http/1.1'], kindId: KINDS.request,
      requests: 1, counted: refused ? 0 : 1, billable: refused ? 0 : 1, attempts: refused ? 0 : 1,
      versionLabel: this.#version, routeLabel: route.label, appLabel: app.label, appName: app.name, targetLabel: refused ? this.#noTarget : route.targets[random.below(2)] as Label,
      client: app.clients[random.below(this.#set.networks)] as string, recordedPath: '', traceId: '', refusalLabel: NOT_REFUSED,
    };
  }
}

/** The rows of both streams, stream by stream in the order in which requests end, a range at a time. */
function* ranges(set: EventSet, events: number): Generator<Buffer> {
  const maker = new EventMaker(set);
  const encoders = STREAMS.map((stream, i) => new RowEncoder(stream, 'node-a', i + 1));
  const running: EventFacts[][] = STREAMS.map(() => []);
  const startMs = 1_795_260_000_000;
  const random = new SeededRandom(7);
  const ended = STREAMS.map(() => 0);
  const begun = STREAMS.map(() => 0);
  let rows = 0;
  let atMs = startMs;
  const flush = (all: boolean): Buffer => {
    for (const [i, encoder] of encoders.entries()) {
      const queue = (running[i] as EventFacts[]).sort((a, b) => endMs(a) - endMs(b));
      // what is not certain to end before all that is still to come waits for the next range
      const kept = all ? queue.length : Math.max(0, queue.length - Math.ceil(REQUESTS_A_SECOND / 4));
      for (const facts of queue.splice(0, kept)) encoder.append(facts, (ended[i] = (ended[i] as number) + 1) - 1);
    }
    const buffer = Buffer.concat(encoders.map((encoder) => encoder.rows));
    for (const encoder of encoders) encoder.clear();
    return buffer;
  };
  for (let n = 0; n < events; n++) {
    // arrivals as of many clients that know nothing of each other
    atMs -= Math.log(1 - random.next()) / REQUESTS_A_SECOND * 1000;
    const stream = Math.floor(random.next() * STREAMS.length);
    const ordinal = begun[stream] as number;
    begun[stream] = ordinal + 1;
    (running[stream] as EventFacts[]).push(maker.next(ordinal, Math.floor(atMs)));
    if (++rows % ROWS_A_RANGE === 0) yield flush(false);
  }
  yield flush(true);
}

const endMs = (facts: EventFacts): number => facts.timeMs + facts.durationUs / 1000;

interface SetFigures {
  readonly total: number;
  /** Column -> bytes an event. */
  readonly columns: ReadonlyMap<string, number>;
  readonly insertsPerCpuSecond: number;
  readonly mergeCpuSeconds: number;
}

async function measure(set: EventSet, events: number): Promise<SetFigures> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-event-bytes-'));
  const store = await ChdbStore.open(join(folder, 'store'));
  const cpu = (): number => cpuSeconds([process.pid]);
  try {
    await migrate(store);
    const file = join(folder, 'rows');
    let insertCpu = 0;
    let range = 0;
    // so that the inserts alone are measured; the merge comes in one go afterwards
    await store.command('SYSTEM STOP MERGES');
    for (const rows of ranges(set, events)) {
      writeFileSync(file, rows);
      const before = cpu();
      await store.insertRows({ token: `range-${++range}`, structure: ROW_STRUCTURES[ROW_VERSION], settings: INSERT_SETTINGS, paces: STREAMS.map((stream) => ({ stream, rowsASecond: REQUESTS_A_SECOND / STREAMS.length })), leaveOut: [] }, file);
      insertCpu += cpu() - before;
    }
    await store.command('SYSTEM START MERGES');
    const before = cpu();
    await store.command('OPTIMIZE TABLE tidegate.events FINAL');
    const mergeCpuSeconds = cpu() - before;
    const [whole] = await store.query<{ rows: number; bytes: number }>("SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts WHERE database = 'tidegate' AND table = 'events' AND active");
    if (whole?.rows !== events) throw new Error(`${events} events went in, ${String(whole?.rows)} are stored`);
    const columns = await store.query<{ column: string; bytes: number }>(
      "SELECT column, sum(column_bytes_on_disk) AS bytes FROM system.parts_columns WHERE database = 'tidegate' AND table = 'events' AND active GROUP BY column");
    return {
      total: whole.bytes / events, columns: new Map(columns.map(({ column, bytes }) => [column, bytes / events])),
      insertsPerCpuSecond: events / insertCpu, mergeCpuSeconds,
    };
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const events = Number(process.argv[2] ?? 1_000_000);
const results: SetFigures[] = [];
for (const set of SETS) results.push(await measure(set, events));
const row = (words: string, of: (result: SetFigures) => string): string[] => [words, ...results.map(of)];
const columns = [...(results[0] as SetFigures).columns].sort((a, b) => b[1] - a[1]).map(([column]) => column);
console.log(markdownTable([`bytes an event on disk, ${grouped(events)} events`, ...SETS.map(({ words }) => words)], [
  row('all', ({ total }) => figure(total)),
  ...columns.map((column) => row(column, (result) => (result.columns.get(column) ?? 0).toFixed(3))),
  row('events a CPU second, raw and rollups', ({ insertsPerCpuSecond }) => grouped(insertsPerCpuSecond)),
  row('CPU of the merge that follows, s', ({ mergeCpuSeconds }) => figure(mergeCpuSeconds)),
]));
