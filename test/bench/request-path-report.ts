/** The request path's figures as markdown. Medians of the rounds; a ratio is the median of the rounds' ratios. */
import type { Bar } from './chart.js';
import { EVERYTHING_ON } from './peers/tidegate.js';
import type { Arm, LeftOut, Sample } from './request-path.js';
import { ratios, spreadOf } from './statistics.js';
import { atMost, figure, grouped, markdownTable } from './table.js';

const MARK_NGINX = 2;
const MARK_BEATEN = 1.5;
const HEAD = ['proxy', 'CPU a request, us', 'least-most', 'x nginx', 'x Go', 'requests/s', 'p50, ms', 'p99, ms', 'RSS, MB'];

/** `references`: the names of nginx and Go, in the order of the head. */
export function peerTable(arms: readonly Arm[], references: readonly [string, string]): string {
  const [nginx, go] = references.map((name) => arms.find(({ peer }) => peer.name === name) ?? null) as [Arm | null, Arm | null];
  const rows = arms.flatMap((arm) => {
    const row = (name: string, cpu: (sample: Sample) => number, memory: (sample: Sample) => number, speed: readonly string[]): string[] => {
      const values = arm.samples.map(cpu);
      const { median, least, most } = spreadOf(values);
      const to = (other: Arm | null): string => (other === null ? '-' : figure(spreadOf(ratios(values, other.samples.map((sample) => sample.cpuUs))).median));
      return [name, figure(median), `${figure(least)}-${figure(most)}`, to(nginx), to(go), ...speed, figure(medianOf(arm, memory) / 1e6)];
    };
    const speed = [grouped(medianOf(arm, (s) => s.rps)), figure(medianOf(arm, (s) => s.p50Ms)), figure(medianOf(arm, (s) => s.p99Ms))];
    const own = row(arm.peer.name, (s) => s.cpuUs, (s) => s.rssBytes, speed);
    return arm.peer.name === EVERYTHING_ON ? [own, row('- its whole node', (s) => s.allCpuUs, (s) => s.allRssBytes, ['', '', ''])] : [own];
  });
  return markdownTable(HEAD, rows);
}

/** CPU a request, from the least. */
export function peerBars(arms: readonly Arm[]): Bar[] {
  const bars = arms.map((arm) => ({ words: arm.peer.name, value: medianOf(arm, (s) => s.cpuUs), own: arm.peer.name.startsWith('Tidegate') }));
  return bars.sort((a, b) => a.value - b.value);
}

/** The marks for everything on, as a line: at most so many times the CPU of nginx, of Go, of @fastify/http-proxy. '' where a peer is missing. */
export function peerMarks(arms: readonly Arm[], references: readonly [nginx: string, go: string, fastify: string]): string {
  const cpuOf = (name: string): readonly number[] | undefined => arms.find(({ peer }) => peer.name === name)?.samples.map((sample) => sample.cpuUs);
  const [own, nginx, go, fastify] = [EVERYTHING_ON, ...references].map(cpuOf);
  if (own === undefined || nginx === undefined || go === undefined || fastify === undefined) return '';
  const times = (other: readonly number[]): number => spreadOf(ratios(own, other)).median;
  const beaten = (other: readonly number[]): string => `${figure(1 / times(other))} times, ${times(other) <= 1 / MARK_BEATEN ? 'met' : 'missed'}`;
  return `Marks, everything on: at most ${MARK_NGINX} times nginx: ${atMost(times(nginx), MARK_NGINX)}; Go's and @fastify/http-proxy's CPU at least ${MARK_BEATEN} times Tidegate's: ${beaten(go)}; ${beaten(fastify)}.`;
}

/** The data path whole, beside itself with something left out. The mark is of all of recording. */
export function recordingTable(leftOut: 'recording' | 'metrics', whole: readonly Sample[], without: readonly Sample[], lives: number): string {
  const cpu = (samples: readonly Sample[]): number[] => samples.map((sample) => sample.cpuUs);
  const added = spreadOf(ratios(cpu(whole), cpu(without)).map((ratio) => (ratio - 1) * 100));
  const row = (name: string, samples: readonly Sample[]): string[] => {
    const { median, least, most } = spreadOf(cpu(samples));
    return [name, median.toFixed(2), `${least.toFixed(2)}-${most.toFixed(2)}`];
  };
  const [what, left] = leftOut === 'recording' ? ['Recording adds', 'answers together at the turn\'s end, not recorded'] : ['The metrics alone add', 'recorded before answered, counted in no metric'];
  const line = `${what} ${added.median.toFixed(1)} % of CPU a request (median of ${whole.length} pairs of ${lives} processes each, ${added.least.toFixed(1)} to ${added.most.toFixed(1)} %).`;
  return [
    markdownTable(['the data path alone, both at once', 'CPU a request, us', 'least-most'], [row(left, without), row('recorded before answered, counted in metrics', whole)]),
    '',
    leftOut === 'recording' ? `${line} Mark: at most 3 %: ${atMost(added.median, 3)}.` : line,
  ].join('\n');
}

/** Of each pair what tracing adds, to the worker and to the whole node: spans are made at the supervisor. */
export function tracingTable(pairs: readonly (readonly [without: Arm, traced: Arm])[]): string {
  const rows = pairs.map(([without, traced]) => {
    const of = (arm: Arm, cpu: (sample: Sample) => number): number[] => arm.samples.map(cpu);
    const added = (cpu: (sample: Sample) => number): string => {
      const { median, least, most } = spreadOf(ratios(of(traced, cpu), of(without, cpu)).map((ratio) => (ratio - 1) * 100));
      return `${median.toFixed(1)} % (${least.toFixed(1)} to ${most.toFixed(1)})`;
    };
    const worker = (sample: Sample): number => sample.cpuUs;
    const node = (sample: Sample): number => sample.allCpuUs;
    return [
      traced.peer.name, medianOf(without, worker).toFixed(2), medianOf(traced, worker).toFixed(2), added(worker), medianOf(without, node).toFixed(2), medianOf(traced, node).toFixed(2), added(node),
    ];
  });
  return markdownTable(['everything on, beside itself untraced', 'worker, CPU a request, us: untraced', 'traced', 'added', 'whole node, us: untraced', 'traced', 'added'], rows);
}

/** This tree and another revision of it. */
export function againstTable(own: Arm, other: Arm): string {
  const cpu = (arm: Arm): number[] => arm.samples.map((sample) => sample.cpuUs);
  const { median, least, most } = spreadOf(ratios(cpu(own), cpu(other)));
  const row = (arm: Arm): string[] => {
    const spread = spreadOf(cpu(arm));
    return [arm.peer.name, spread.median.toFixed(2), `${spread.least.toFixed(2)}-${spread.most.toFixed(2)}`, grouped(medianOf(arm, (s) => s.rps)), figure(medianOf(arm, (s) => s.rssBytes) / 1e6)];
  };
  return [
    markdownTable(['', 'CPU a request, us', 'least-most', 'requests/s', 'RSS, MB'], [row(other), row(own)]),
    '',
    `This tree costs ${median.toFixed(3)} times the other (median of ${own.samples.length} pairs, ${least.toFixed(3)} to ${most.toFixed(3)}).`,
  ].join('\n');
}

export interface ScaleRow {
  readonly arm: Arm;
  /** CPU a request against one among few, round by round; empty: these are the few. */
  readonly timesFew: readonly number[];
  /** Seconds. */
  readonly reload: string;
}

const MARK_TIMES_FEW = 1.1;

export function scaleTable(rows: readonly ScaleRow[]): string {
  const times = rows.flatMap(({ timesFew }) => (timesFew.length === 0 ? [] : [spreadOf(timesFew).median]));
  return [
    markdownTable(['asked for the last of them', 'CPU a request, us', 'x few', 'RSS of the worker, MB', 'of the whole node, MB', 'reload, s'], rows.map(({ arm, timesFew, reload }) => [
      arm.peer.name, figure(medianOf(arm, (s) => s.cpuUs)), timesFew.length === 0 ? '1.00' : figure(spreadOf(timesFew).median),
      figure(medianOf(arm, (s) => s.rssBytes) / 1e6), figure(medianOf(arm, (s) => s.allRssBytes) / 1e6), reload,
    ])),
    '',
    `Mark: one among many at most ${MARK_TIMES_FEW} times one among few: ${times.map((value) => atMost(value, MARK_TIMES_FEW)).join('; ')}.`,
  ].join('\n');
}

/** Each layer beside the one above it: medians of the differences within each round. */
export function layersTable(layers: readonly Arm[], nginx: Arm | null): string {
  const cpu = (arm: Arm): number[] => arm.samples.map((sample) => sample.cpuUs);
  return markdownTable(['layer by layer', 'CPU a request, us', 'least-most', 'added, us', 'least-most', 'x nginx', 'requests/s', 'RSS, MB'], layers.map((layer, i) => {
    const own = spreadOf(cpu(layer));
    const above = layers[i - 1];
    const added = above === undefined ? null : spreadOf(cpu(layer).map((value, round) => value - (cpu(above)[round] as number)));
    return [
      layer.peer.name, figure(own.median), `${figure(own.least)}-${figure(own.most)}`, ...(added === null ? ['', ''] : [figure(added.median), `${figure(added.least)} to ${figure(added.most)}`]),
      nginx === null ? '-' : figure(spreadOf(ratios(cpu(layer), cpu(nginx))).median), grouped(medianOf(layer, (s) => s.rps)), figure(medianOf(layer, (s) => s.rssBytes) / 1e6),
    ];
  }));
}

/** Who is missing, and whose answers were not all good. */
export function notes(arms: readonly Arm[], leftOut: readonly LeftOut[]): string[] {
  const failures = arms.map(({ peer, samples }) => ({ name: peer.name, failed: samples.reduce((sum, sample) => sum + sample.failed, 0) }));
  return [
    ...leftOut.map(({ name, why }) => `Left out: ${name} (${why.split('\n')[0] ?? ''}).`),
    ...failures.filter(({ failed }) => failed > 0).map(({ name, failed }) => `${name}: ${grouped(failed)} requests failed; its figures mean little.`),
  ];
}

function medianOf(arm: Arm, of: (sample: Sample) => number): number {
  return spreadOf(arm.samples.map(of)).median;
}
