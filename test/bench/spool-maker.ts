/**
 * A spool as two busy workers leave it, written by the real recorder. Arguments: spool folder, events, shape.
 * Durations are lognormal, the gateway's own part too (median 250 us); 2.5 % are refused. Rows lie in the order in which requests ended, 31 to a turn.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KINDS, METHODS, outcomeId, PROTOCOLS, type EventFacts } from '../../gateway/events/event.js';
import { NOTHING_HELD } from '../../gateway/events/event-samples.fixture.js';
import { encodeLabels } from '../../gateway/events/labels.js';
import { Recorder } from '../../gateway/events/recorder.js';
import { sealStream } from '../../gateway/events/seal.js';
import { SHAPES, type ShapeName } from './spool-shapes.js';

const WORKERS = 2;
/** Of both workers together. */
const REQUESTS_A_SECOND = 25_000;
const ROWS_A_TURN = 31;
/** Ends are put in order within so many requests. */
const WINDOW = 20_000;
const QUIET = { info() {}, warn() {}, error(fields: object, message: string) { console.error(message, fields); } };

/** mulberry32: the same spool every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const random = seeded(20);
const among = (count: number): number => Math.floor(random() * count);
const lognormal = (median: number, sigma: number): number => Math.round(median * Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())));

const [spoolDir, wanted, shape] = [process.argv[2] as string, Number(process.argv[3]), SHAPES[process.argv[4] as ShapeName]];
const apps = Array.from({ length: shape.apps }, (_, i) => ({
  name: `app-${i}`, label: encodeLabels(`app-${i}`), clients: [`203.0.${i}.0`, `198.51.${i}.0`] as const,
}));
const routes = Array.from({ length: shape.routes }, (_, i) => ({
  label: encodeLabels(`service-${i % shape.services}`, `route-${i}`), target: encodeLabels(`http://10.0.0.${i % shape.services + 1}:9000`), size: 400 + 137 * i,
}));
const versionLabel = encodeLabels('3f2a9c01b7de');
const noTarget = encodeLabels('');

function someEvent(ordinal: number, timeMs: number): EventFacts {
  const app = apps[among(shape.apps)] as (typeof apps)[number];
  const route = routes[among(routes.length)] as (typeof routes)[number];
  const refused = random() < 0.025;
  const own = lognormal(250, 0.5);
  const upstreamUs = refused ? 0 : lognormal(shape.medianUs, 1);
  const size = shape.varyingBodies ? among(3) : 0;
  const failed = !refused && random() < 0.01;
  return {
    ordinal, timeMs, durationUs: upstreamUs + own, upstreamUs, bytesIn: 0, bytesOut: refused ? 180 : size === 0 ? route.size : size === 1 ? 1000 + 64 * among(200) : lognormal(6000, 1.2),
    status: refused ? 429 : failed ? 500 : 200, methodId: METHODS.GET, outcomeId: outcomeId(refused ? 'rate_limited' : 'answered'), protocolId: PROTOCOLS['http/1.1'], kindId: KINDS.request,
    requests: 1, counted: refused ? 0 : 1, billable: refused ? 0 : 1, attempts: refused ? 0 : 1,
    versionLabel, routeLabel: route.label, appLabel: app.label, appName: app.name, targetLabel: refused ? noTarget : route.target,
    client: app.clients[among(shape.networks)] as string, recordedPath: '', traceId: '',
  };
}

const recorders = Array.from({ length: WORKERS }, (_, i) => Recorder.open({ spoolDir, node: 'bench', worker: i + 1, segmentBytes: 64 * 1024 * 1024, log: QUIET }));
const startMs = Date.now() - wanted / REQUESTS_A_SECOND * 1000;
for (let made = 0; made < wanted;) {
  const window = Array.from({ length: Math.min(WINDOW, wanted - made) }, (_, i) => {
    const recorder = recorders[(made + i) % WORKERS] as Recorder;
    return { recorder, facts: someEvent(recorder.nextOrdinal(), Math.floor(startMs + (made + i) / REQUESTS_A_SECOND * 1000)) };
  });
  window.sort((a, b) => (a.facts.timeMs + a.facts.durationUs / 1000) - (b.facts.timeMs + b.facts.durationUs / 1000));
  let turn = 0;
  for (const { recorder, facts } of window) {
    recorder.record(facts, NOTHING_HELD);
    if (++turn % (ROWS_A_TURN * WORKERS) === 0) for (const each of recorders) each.flushNow();
  }
  made += window.length;
  await nextTurn();
}
for (const recorder of recorders) {
  await recorder.close();
  sealStream(join(spoolDir, recorder.stream), QUIET, () => false);
}
