/** The ramp's figures as markdown. */
import { figure, grouped, markdownTable } from '../table.js';
import type { RateFigures } from './rate-client.js';

export interface OverloadStep extends RateFigures {
  /** Of the saturating rate. */
  readonly times: number;
  readonly seconds: number;
}

/** Resident bytes of the worker. */
export interface OverloadMemory {
  readonly before: number;
  readonly most: number;
  readonly after: number;
}

/** Of the p99 before the ramp. */
const AS_BEFORE = 2;

export function overloadTable(steps: readonly OverloadStep[], saturating: number): string {
  return markdownTable([`of ${grouped(saturating)} requests/s, one step after the other`, 'asked/s', 'answered well/s', 'given up', 'refused or failed', 'p50, ms', 'p99, ms', 'the client late by, p99, ms'], steps.map((step) => [
    `${step.times} times, ${step.seconds} s`, grouped(step.requests / step.seconds), grouped(step.good / step.seconds), percent(step.givenUp / step.requests), grouped(step.failed),
    figure(step.latencies.p50), figure(step.latencies.p99), figure(step.lateness.p99),
  ]));
}

/** @param ramp steps that are the ramp; the rest is the calm behind it, by seconds */
export function overloadMarks(steps: readonly OverloadStep[], ramp: number, { before, most, after }: OverloadMemory): string {
  const calm = steps[0];
  const worst = steps.slice(0, ramp).toSorted((a, b) => b.times - a.times)[0];
  if (calm === undefined || worst === undefined) return '';
  const second = steps.slice(ramp).findIndex(({ latencies, failed, givenUp }) => failed === 0 && givenUp === 0 && latencies.p99 <= AS_BEFORE * calm.latencies.p99);
  const recovered = second === -1 ? `not within ${steps.length - ramp} s` : `in second ${second + 1}`;
  const best = Math.max(1, ...steps.slice(0, ramp).map(({ good, seconds }) => good / seconds));
  const kept = worst.good / worst.seconds / best;
  return `At ${worst.times} times the rate ${percent(kept)} of the best step's answers. Back at half of it, p99 is within ${AS_BEFORE} times what it was (${figure(calm.latencies.p99)} ms) ${recovered}. `
    + `The worker's memory: ${figure(before / 1e6)} MB before, ${figure(most / 1e6)} at most, ${figure(after / 1e6)} afterwards.`;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
