/** What a node's processes take, as markdown. */
import type { Spread } from './statistics.js';
import { figure, grouped, markdownTable } from './table.js';

export interface ProcessRow {
  readonly name: string;
  readonly restBytes: number;
  /** Cores in use. */
  readonly restCores: number;
  readonly loadedBytes: number;
  readonly idleBytes: number;
}

export function memoryTable(rows: readonly ProcessRow[], { ready, rps, idle }: { readonly ready: Spread; readonly rps: number; readonly idle: number }): string {
  const row = ({ name, restBytes, restCores, loadedBytes, idleBytes }: ProcessRow): string[] => [
    name, figure(restBytes / 1e6), `${(restCores * 100).toFixed(2)} %`, figure(loadedBytes / 1e6), figure(idleBytes / 1e6),
  ];
  const sum = (name: string, of: readonly ProcessRow[]): ProcessRow => of.reduce((all, one) => ({
    name, restBytes: all.restBytes + one.restBytes, restCores: all.restCores + one.restCores, loadedBytes: all.loadedBytes + one.loadedBytes, idleBytes: all.idleBytes + one.idleBytes,
  }), { name, restBytes: 0, restCores: 0, loadedBytes: 0, idleBytes: 0 });
  return [
    markdownTable(['a node, one worker', 'at rest, MB', 'of a core at rest', `after ${grouped(rps)} requests/s, MB`, `with ${grouped(idle)} connections that rest, MB`], [
      ...rows.map(row), row(sum('without the collector', rows.slice(0, -1))), row(sum('all', rows)),
    ]),
    '',
    `Ready, with its first request answered, ${figure(ready.median)} s after its start (${figure(ready.least)} to ${figure(ready.most)}).`,
  ].join('\n');
}
