/** Latencies and CPU at a fixed rate as markdown: medians of the rounds. */
import { ratios, spreadOf } from '../statistics.js';
import { atMost, figure, grouped, markdownTable } from '../table.js';
import type { RateFigures } from './rate-client.js';

const MARK_ADDED_MS = 1;
/** Of the requests, answered before the last was due. */
const KEEPS_UP = 0.98;

export interface RateRound extends RateFigures {
  /** Of the proxy a request, the warm-up's too. */
  readonly cpuUs: number;
}

export interface LatencyResult {
  readonly name: string;
  readonly rounds: readonly RateRound[];
}

export interface AtRate {
  readonly rate: number;
  /** What the rate is of what. */
  readonly words: string;
  /** The upstream itself. */
  readonly direct: LatencyResult;
  readonly proxies: readonly LatencyResult[];
}

export function latencyTable({ rate, words, direct, proxies }: AtRate): string {
  const head = [`${grouped(rate)} requests/s, ${words}`, 'p50, ms', 'p99, ms', 'p99.9, ms', 'p99 added, ms', 'least-most', 'answered in time', 'the client late by, p99, ms', 'CPU a request, us'];
  return markdownTable(head, [direct, ...proxies].map((result) => {
    const of = (figures: (round: RateRound) => number): string => figure(spreadOf(result.rounds.map(figures)).median);
    const { median, least, most } = p99Added(result, direct);
    return [
      result.name, of((r) => r.latencies.p50), of((r) => r.latencies.p99), of((r) => r.latencies.p999),
      ...(result === direct ? ['', ''] : [figure(median), `${figure(least)} to ${figure(most)}`]),
      `${(answered(result) * 100).toFixed(1)} %`, of((r) => r.lateness.p99),
      result === direct ? '' : of((r) => r.cpuUs),
    ];
  }));
}

/** Who does not keep up, and whose answers were not all good. */
export function latencyNotes({ rate, proxies, direct }: AtRate): string[] {
  return [direct, ...proxies].flatMap((result) => {
    const failed = result.rounds.reduce((sum, round) => sum + round.failed, 0);
    return [
      ...(answered(result) < KEEPS_UP ? [`${result.name} does not keep up with ${grouped(rate)} requests/s: its latencies are of a queue that grows.`] : []),
      ...(failed > 0 ? [`${result.name}: ${grouped(failed)} requests failed at ${grouped(rate)}/s.`] : []),
    ];
  });
}

export function latencyMark({ words, direct }: AtRate, own: LatencyResult): string {
  return `Mark: p99 added at ${words} at most ${MARK_ADDED_MS} ms: ${atMost(p99Added(own, direct).median, MARK_ADDED_MS)}.`;
}

/** Round by round, against the upstream in the same round. */
function p99Added(result: LatencyResult, direct: LatencyResult): ReturnType<typeof spreadOf> {
  return spreadOf(result.rounds.map(({ latencies }, round) => latencies.p99 - (direct.rounds[round]?.latencies.p99 ?? Number.NaN)));
}

function answered({ rounds }: LatencyResult): number {
  return spreadOf(ratios(rounds.map((round) => round.answeredMeanwhile), rounds.map((round) => round.requests))).median;
}
