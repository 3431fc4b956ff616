/** The collector alone: from the spool's segments to rollups that can be queried, on one core. */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { nodeProgram } from './peers/node-proxies.js';
import type { Processes } from './processes.js';
import { PROXY_CORE } from './request-path.js';
import { SHAPES, type ShapeName } from './spool-shapes.js';
import { figure, grouped, markdownTable } from './table.js';

export interface CollectorFigures {
  readonly events: number;
  /** From the spool's appearance until the last event was stored, the collector's pause before it looked included. */
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  /** What the engine's merges took afterwards. */
  readonly mergeCpuSeconds: number;
  readonly rssBytes: number;
  /** On disk, after OPTIMIZE FINAL. */
  readonly rawBytes: number;
  readonly minuteBytes: number;
}

export interface CollectorResult extends CollectorFigures {
  readonly shape: ShapeName;
  readonly spoolBytes: number;
}

/** Null: it can run here; else what is missing. */
export function collectorMissing(): string | null {
  try {
    createRequire(import.meta.url).resolve('chdb');
    return null;
  } catch {
    return 'chdb';
  }
}

export async function benchCollector(processes: Processes, folder: string, shape: ShapeName, events: number, say: (line: string) => void): Promise<CollectorResult> {
  const own = join(folder, `collector-${shape}`);
  const spool = join(own, 'made');
  mkdirSync(spool, { recursive: true });
  say(`making a spool of ${grouped(events)} events, ${SHAPES[shape].words}`);
  await run(processes, 'spool-maker', [spool, String(events), shape]);
  const spoolBytes = (readdirSync(spool, { recursive: true }) as string[]).reduce((sum, name) => sum + (name.endsWith('.seg') ? statSync(join(spool, name)).size : 0), 0);
  say('collecting it');
  const output = await run(processes, 'collector-run', [join(own, 'data'), String(events), spool]);
  rmSync(own, { recursive: true, force: true });
  const figures = JSON.parse(output.trim().split('\n').at(-1) ?? '') as CollectorFigures;
  return { ...figures, shape, spoolBytes };
}

export function collectorTable(results: readonly CollectorResult[]): string {
  const row = (words: string, of: (result: CollectorResult) => string): string[] => [words, ...results.map(of)];
  return markdownTable(['the collector alone', ...results.map(({ shape }) => SHAPES[shape].words)], [
    row('events', ({ events }) => grouped(events)),
    row('events/s on one core, until every rollup holds them', ({ events, wallSeconds }) => grouped(events / wallSeconds)),
    row('events per second of CPU', ({ events, cpuSeconds }) => grouped(events / cpuSeconds)),
    row('the same, with the merges that follow', ({ events, cpuSeconds, mergeCpuSeconds }) => grouped(events / (cpuSeconds + mergeCpuSeconds))),
    row('bytes an event in the spool', ({ events, spoolBytes }) => figure(spoolBytes / events)),
    row('bytes an event on disk, raw', ({ events, rawBytes }) => figure(rawBytes / events)),
    row('bytes an event on disk, rollups by minute', ({ events, minuteBytes }) => figure(minuteBytes / events)),
    row('RSS, MB', (result) => figure(result.rssBytes / 1e6)),
  ]);
}

async function run(processes: Processes, program: string, args: readonly string[]): Promise<string> {
  const child = processes.spawn(program, process.execPath, [...nodeProgram(import.meta.url, program), ...args], { core: PROXY_CORE });
  const { code, output } = await child.ended;
  if (code !== 0) throw new Error(`${program} ended with exit code ${String(code)}:\n${output}`);
  return output;
}
