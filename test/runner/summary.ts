/** What is told at the end: what failed, what was left out and why, how to get it, what took longest, and the counts. */
import { missingPrograms } from '../harness/requires.js';
import type { FileRun } from './file-run.js';
import { sourceOf, type TestFile } from './groups.js';
import { indented } from './reporter.js';

export interface Ran { readonly file: TestFile; readonly run: FileRun }

export interface Counts { readonly passed: number; readonly failed: number; readonly skipped: number; readonly todo: number }

const SLOWEST = 10;

/** A file that is at fault as a whole counts as one test that failed. */
export function countsOf(ran: readonly Ran[]): Counts {
  const of = (wanted: string): number => ran.reduce((sum, { run }) => sum + run.results.filter(({ verdict }) => verdict === wanted).length, 0);
  return { passed: of('passed'), failed: of('failed') + ran.filter(({ run }) => run.faults.length > 0).length, skipped: of('skipped'), todo: of('todo') };
}

/** One line, which is also read by machines. */
export function closingLine({ passed, failed, skipped, todo }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}${todo > 0 ? `, ${todo} todo` : ''}`;
}

/** What failed, whole: an hour of output may have passed since. */
export function failures(ran: readonly Ran[]): string[] {
  return ran.flatMap(({ file, run }) => {
    const told = [
      ...run.results.filter(({ verdict, why }) => verdict === 'failed' && why !== '').map(({ name, why }) => `  ✖ ${name}\n${indented(why, '    ')}`),
      ...run.faults.map((fault) => `  ✖ ${indented(fault, '    ').trimStart()}`),
    ];
    return told.length === 0 ? [] : [`\n== failed in ${sourceOf(file.path)}\n${told.join('\n')}`];
  });
}

/** Tests that were skipped, under the reason for it, which says how to get what is missing. */
export function skips(ran: readonly Ran[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { file, run } of ran) {
    for (const { verdict, name, why } of run.results) {
      if (verdict !== 'skipped') continue;
      const reason = why === '' ? 'no reason given' : why;
      byReason.set(reason, [...byReason.get(reason) ?? [], `${sourceOf(file.path)}: ${name}`]);
    }
  }
  return [...byReason].map(([reason, tests]) => `skipped, ${reason}\n${tests.map((test) => `  ${test}`).join('\n')}`);
}

/** The long files that were not asked for, and what this machine lacks of what they need. */
export function leftOut(files: readonly TestFile[]): string[] {
  if (files.length === 0) return [];
  const missing = missingPrograms();
  return [
    `left out, ${files.length} long files (ten seconds or more each, or in want of Kafka, haproxy or Prometheus): npm run test:all\n${files.map(({ path }) => `  ${sourceOf(path)}`).join('\n')}`,
    ...(missing.length === 0 ? [] : [`  some of them would be skipped here:\n${missing.map((what) => `    ${what}`).join('\n')}`]),
  ];
}

export function slowest(ran: readonly Ran[]): string {
  const files = [...ran].sort((a, b) => b.run.durationMs - a.run.durationMs).slice(0, SLOWEST);
  return `slowest files, seconds (CPU of what they waited for):\n${files.map(({ file, run }) => `  ${seconds(run.durationMs).padStart(6)} (${run.cpuMs === null ? '-' : seconds(run.cpuMs)}) ${sourceOf(file.path)}`).join('\n')}`;
}

export const seconds = (ms: number): string => (ms / 1000).toFixed(1);
