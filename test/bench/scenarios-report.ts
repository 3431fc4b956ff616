/** The scenarios' figures as markdown, those of Tidegate unless a column says otherwise. */
import type { Arm, Sample } from './request-path.js';
import { MANY_CONNECTIONS } from './scenarios.js';
import { ratios, spreadOf } from './statistics.js';
import { atMost, figure, grouped, markdownTable } from './table.js';

const MARK_RSS_MB = 120;

export interface ScenarioResult {
  readonly words: string;
  readonly own: Arm;
  readonly nginx: Arm;
}

export function scenariosTable(results: readonly ScenarioResult[]): string {
  const head = ['everything on', 'CPU a request, us', 'least-most', 'nginx, us', 'x nginx', 'requests/s', 'of nginx', 'p50, ms', 'p99, ms', 'RSS of the worker, MB'];
  return markdownTable(head, results.map(({ words, own, nginx }) => {
    const cpu = ({ samples }: Arm): number[] => samples.map(({ cpuUs }) => cpuUs);
    const { median, least, most } = spreadOf(cpu(own));
    return [
      words, figure(median), `${figure(least)}-${figure(most)}`, figure(spreadOf(cpu(nginx)).median), figure(spreadOf(ratios(cpu(own), cpu(nginx))).median),
      grouped(medianOf(own, (s) => s.rps)), grouped(medianOf(nginx, (s) => s.rps)), figure(medianOf(own, (s) => s.p50Ms)), figure(medianOf(own, (s) => s.p99Ms)), figure(rssMb(own)),
    ];
  }));
}

/** '' where the scenario is missing. */
export function scenariosMark(results: readonly ScenarioResult[]): string {
  const many = results.find(({ own }) => own.load.connections === MANY_CONNECTIONS);
  return many === undefined ? '' : `Mark: the worker at ${MANY_CONNECTIONS} connections at most ${MARK_RSS_MB} MB: ${atMost(rssMb(many.own), MARK_RSS_MB)}.`;
}

const rssMb = (arm: Arm): number => medianOf(arm, (s) => s.rssBytes) / 1e6;

function medianOf(arm: Arm, of: (sample: Sample) => number): number {
  return spreadOf(arm.samples.map(of)).median;
}
