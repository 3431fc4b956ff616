/**
 * Queries at size, as a part of the bench: a store full of made-up events, and how long what people ask of it takes, in processes that hold nothing else.
 */
import { writeFileSync } from 'node:fs';
import { nodeProgram } from '../peers/node-proxies.js';
import type { Processes } from '../processes.js';
import { PROXY_CORE } from '../request-path.js';
import { QUERIES } from './asked-queries.js';
import type { AnsweredQuery } from './ask-run.js';
import type { MakingTimes } from './made-store.js';
import { coldNote, makingText, queriesMarks, queriesTable, sizeTable, type Asked, type TableSize } from './queries-report.js';

const SEED = 5;
/** All queries with these words are asked; each once cold, and so often warm. */
export interface QueriesPlan {
  readonly events: number;
  readonly samples: number;
  /** Each query also in a process of its own, that is: a process and an opened store a query. */
  readonly cold: boolean;
}

export const QUERIES_FULL: QueriesPlan = { events: 5_000_000, samples: 20, cold: true };
export const QUERIES_QUICK: QueriesPlan = { events: 500_000, samples: 5, cold: false };

export type QueriesProgram = 'make-run' | 'ask-run' | 'size-run';

export interface QueriesTools {
  /** Absolute; a store of as many events that is there already is taken, one that was begun is gone on with. */
  readonly folder: string;
  /** Runs a neighbour of this file. @returns what it prints. @throws Error: it fails */
  run(this: void, program: QueriesProgram, args: readonly string[]): Promise<string>;
  say(this: void, line: string): void;
}

/** As a part of the bench: the events are made on one core, as the collector is measured; the queries have all of them. */
export function queriesTools(processes: Processes, folder: string, say: (line: string) => void): QueriesTools {
  return {
    folder, say,
    run: async (program, args) => {
      const child = processes.spawn(program, process.execPath, [...nodeProgram(import.meta.url, program), ...args], program === 'make-run' ? { core: PROXY_CORE } : {});
      const { code, output } = await child.ended;
      if (code !== 0) throw new Error(`${program} ended with exit code ${String(code)}:\n${output}`);
      return output;
    },
  };
}

/** @returns sections of markdown. @throws what `run` throws */
export async function queriesSections(plan: QueriesPlan, { folder, run, say }: QueriesTools): Promise<string[]> {
  const events = String(plan.events);
  say(`making ${plan.events.toLocaleString('en-US')} events`);
  const making = parsed<MakingTimes>(await run('make-run', [folder, events]))[0] as MakingTimes;
  const sizes = parsed<TableSize>(await run('size-run', [folder]));
  say(`asking ${QUERIES.length} queries, each ${plan.samples} times`);
  const warm = parsed<AnsweredQuery>(await run('ask-run', [folder, events, String(plan.samples), String(SEED)]));
  const cold = new Map<string, AnsweredQuery>();
  const dropped = plan.cold && dropPageCache();
  if (plan.cold) say('asking each of them in a process of its own');
  for (const { words } of plan.cold ? QUERIES : []) {
    if (dropped) dropPageCache();
    // of another seed: not the very ranges that were asked warm
    const [answered] = parsed<AnsweredQuery>(await run('ask-run', [folder, events, '1', String(SEED + 1), words]));
    if (answered !== undefined) cold.set(words, answered);
  }
  const asked = QUERIES.flatMap((query): Asked[] => {
    const answered = warm.find(({ words }) => words === query.words);
    return answered === undefined ? [] : [{ query, warm: answered, cold: cold.get(query.words) ?? null }];
  });
  return [makingText(plan.events, making), sizeTable(plan.events, sizes), queriesTable(asked, dropped), ...(plan.cold ? [coldNote(dropped)] : []), queriesMarks(asked)];
}

/** False: it is not ours to drop. */
function dropPageCache(): boolean {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

/** A line of JSON each. */
function parsed<T>(output: string): T[] {
  return output.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as T);
}
