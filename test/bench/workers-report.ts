/** One worker beside two, as markdown. */
import type { Arm, Sample } from './request-path.js';
import { ratios, spreadOf, type Spread } from './statistics.js';
import { figure, grouped, markdownTable } from './table.js';

const WANTED = 100_000;

export interface ConnectionSpread {
  readonly connections: number;
  /** Of them, at the worker that has more. */
  readonly most: Spread;
  /** How often. */
  readonly opened: number;
}

export function workersTable(one: Arm, two: Arm, { connections, most, opened }: ConnectionSpread): string {
  const median = ({ samples }: Arm, of: (sample: Sample) => number): number => spreadOf(samples.map(of)).median;
  const row = (arm: Arm): string[] => [
    arm.peer.name, grouped(median(arm, (s) => s.rps)), figure(median(arm, (s) => s.cpuUs)), figure(median(arm, (s) => s.allCpuUs)), figure(median(arm, (s) => s.p99Ms)),
    figure(median(arm, (s) => s.rssBytes) / 1e6), figure(WANTED * median(arm, (s) => s.allCpuUs) / 1e6),
  ];
  const faster = spreadOf(ratios(two.samples.map(({ rps }) => rps), one.samples.map(({ rps }) => rps)));
  return [
    markdownTable(['the whole machine', 'requests/s', 'workers, CPU a request, us', 'whole node, us', 'p99, ms', 'RSS of the workers, MB', `cores for ${grouped(WANTED)} requests/s`], [row(one), row(two)]),
    '',
    `Two workers answer ${figure(faster.median)} times as much as one (${figure(faster.least)} to ${figure(faster.most)}), with client and upstream on the same two cores. The cores are extrapolated from the node's CPU a request: not measured. `
    + `Of ${connections} connections that stay, ${most.median} are at the worker that has more of them (${most.least} to ${most.most}, opened anew ${opened} times).`,
  ].join('\n');
}
