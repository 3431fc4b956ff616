/** What happened, as Grafana marks it on a board: reloads, deploys, closed days. */
import { ask, type AnnotationJson, type BoardJson, type Stores } from './ask.js';
import type { Shown } from './expand.js';

export interface Mark {
  /** Of what kind, as the board's annotation is named. */
  readonly name: string;
  /** Grafana's name of it. */
  readonly colour: string;
  /** Seconds since the epoch; it may lie outside of what is shown. */
  readonly time: number;
}

/** Prometheus answers no more points. */
const MOST_POINTS = 11_000;

/** Each mark once. @throws as ask */
export async function marksOf(board: BoardJson, shown: Shown, stores: Stores): Promise<readonly Mark[]> {
  const marks: Mark[] = [];
  for (const annotation of board.annotations.list ?? []) {
    const times = new Set(await timesOf(annotation, shown, stores));
    for (const time of times) marks.push({ name: annotation.name, colour: annotation.iconColor, time });
  }
  return marks;
}

async function timesOf({ expr, step, target, useValueForTime }: AnnotationJson, shown: Shown, stores: Stores): Promise<readonly number[]> {
  const stepS = Math.max(Number.parseInt(step ?? '1'), Math.ceil((shown.toMs - shown.fromMs) / 1000 / MOST_POINTS));
  const answer = await ask(target ?? { refId: 'A', datasource: { type: 'prometheus' }, ...(expr === undefined ? {} : { expr }) }, { ...shown, stepS }, stores);
  if (answer.kind === 'series') return answer.series.flatMap(({ times, values }) => (useValueForTime === true ? values.flatMap((ms) => (ms === null ? [] : [ms / 1000])) : times));
  const column = answer.columns.indexOf('time');
  return answer.rows.map((row) => Date.parse(String(row[column])) / 1000);
}
