/** What the queries at size say, as markdown. */
import { percentileOf } from '../statistics.js';
import { atLeast, figure, grouped, markdownTable } from '../table.js';
import type { BenchQuery } from './asked-queries.js';
import type { AnsweredQuery } from './ask-run.js';
import type { MakingTimes } from './made-store.js';
import { DAYS, WORKERS } from './made-time.js';
import { APPS, SERVICES } from './made-traffic.js';

/** Events a second of the generator. */
const MAKING_MARK = 200_000;

export interface TableSize {
  readonly table: string;
  readonly rows: number;
  readonly bytes: number;
}

export interface Asked {
  readonly query: BenchQuery;
  /** Null: it was not asked cold. */
  readonly cold: AnsweredQuery | null;
  readonly warm: AnsweredQuery;
}

export function makingText(events: number, times: MakingTimes): string {
  const what = `${grouped(events)} events over ${DAYS} days, ${APPS.toLocaleString('en-US')} apps, ${SERVICES} services, ${WORKERS} workers.`;
  if (times.events === 0) return `${what} They were there already.`;
  return `${what} Made and stored with their rollups, over ${grouped(times.events)} of them: ${grouped(times.events / times.cpuSeconds)} per second of CPU. `
    + `Mark: at least ${grouped(MAKING_MARK)} a second: ${atLeast(times.events / times.wallSeconds, MAKING_MARK)}.`;
}

export function sizeTable(events: number, sizes: readonly TableSize[]): string {
  const all = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  return markdownTable(['on disk, merged to the end', 'rows', 'bytes a row', 'bytes an event'], [
    ...sizes.map(({ table, rows, bytes }) => [table, grouped(rows), figure(bytes / rows), figure(bytes / events)]),
    ['all', '', '', figure(all / events)],
  ]);
}

/** @param dropped the page cache was, before each that was asked cold */
export function queriesTable(asked: readonly Asked[], dropped: boolean): string {
  const anyCold = asked.some(({ cold }) => cold !== null);
  const head = ['query', 'table', 'rows read', ...(anyCold ? [dropped ? 'cold, ms' : 'new process, ms'] : []), 'p50, ms', 'p95, ms', 'mark'];
  return markdownTable(head, asked.map(({ query, cold, warm }) => [
    query.words, warm.table, warm.rowsRead === null ? '' : grouped(warm.rowsRead), ...(anyCold ? [told(cold, (times) => times[0] ?? Number.NaN)] : []),
    told(warm, (times) => rank(times, 50)), told(warm, (times) => rank(times, 95)), verdict(query, warm),
  ]));
}

export function queriesMarks(asked: readonly Asked[]): string {
  const missed = asked.filter(({ query, warm }) => !meets(query, warm)).length;
  return `Marks, of the warm p95: ${grouped(asked.length - missed)} of ${asked.length} queries met, ${missed} missed.`;
}

export function coldNote(dropped: boolean): string {
  return dropped
    ? 'Cold: the first query of a process that has just opened the store, with the page cache dropped before it.'
    : 'The page cache could not be dropped (it takes root, and a machine that nobody else uses): the first query of a process that has just opened the store.';
}

const told = (answered: AnsweredQuery | null, of: (times: readonly number[]) => number): string =>
  answered === null ? '' : answered.refused ?? figure(of(answered.times));

function meets({ markMs }: BenchQuery, { refused, times }: AnsweredQuery): boolean {
  return refused === null && rank(times, 95) <= markMs;
}

const verdict = (query: BenchQuery, warm: AnsweredQuery): string => `${grouped(query.markMs)}, ${meets(query, warm) ? 'met' : 'missed'}`;

const rank = (times: readonly number[], percent: number): number => percentileOf(times.toSorted((a, b) => a - b), percent);
