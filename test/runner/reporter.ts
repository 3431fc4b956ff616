/**
 * What node:test tells in the process of one test file: a line a test to stdout, and a line of JSON a test to the file that RESULTS_VARIABLE names. Written at once
 * each, so that what was told before a process died is there.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { inspect } from 'node:util';

export const RESULTS_VARIABLE = 'TIDEGATE_TEST_RESULTS';

export type Verdict = 'passed' | 'failed' | 'skipped' | 'todo';

export interface TestResult {
  readonly verdict: Verdict;
  readonly name: string;
  /** Why it was skipped, or what went wrong; empty where a part of it did, which has a result of its own. */
  readonly why: string;
}

/** The last line: the file came to its end. */
export interface FileEnd { readonly end: true; /** Of the process and of all that it waited for; null: not to be had. */ readonly cpuMs: number | null }

/** The part of node's events that is read here. */
export interface TestEvent {
  readonly type: string;
  readonly data: {
    readonly name?: string; readonly nesting?: number; readonly skip?: string | boolean; readonly todo?: string | boolean;
    readonly details?: { readonly duration_ms?: number; readonly type?: string; readonly error?: Error & { readonly cause?: unknown; readonly failureType?: string } };
  };
}

const MARKS: Readonly<Record<Verdict, string>> = { passed: '✔', failed: '✖', skipped: '﹣', todo: '⚠' };
/** Of one error: a difference of two long values is not read to its end. */
const MOST_OF_AN_ERROR = 8_000;

async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const results = process.env[RESULTS_VARIABLE];
  const keep = (line: TestResult | FileEnd): void => { if (results !== undefined) appendFileSync(results, `${JSON.stringify(line)}\n`); };
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    const result = resultOf(type === 'test:pass', data);
    if (data.details?.type !== 'suite') keep(result);
    yield line(result, data);
  }
  keep({ end: true, cpuMs: cpuMs() });
}

function resultOf(passed: boolean, { name = '', skip, todo, details }: TestEvent['data']): TestResult {
  if (skip !== undefined && skip !== false) return { verdict: 'skipped', name, why: typeof skip === 'string' ? skip : '' };
  if (todo !== undefined && todo !== false) return { verdict: 'todo', name, why: typeof todo === 'string' ? todo : '' };
  if (passed) return { verdict: 'passed', name, why: '' };
  const error = details?.error;
  const why = error?.failureType === 'subtestsFailed' ? '' : inspect(error?.cause ?? error).slice(0, MOST_OF_AN_ERROR);
  return { verdict: 'failed', name, why };
}

function line({ verdict, name, why }: TestResult, { nesting = 0, details }: TestEvent['data']): string {
  const indent = '  '.repeat(nesting);
  const took = verdict === 'passed' || verdict === 'failed' ? ` (${Math.round(details?.duration_ms ?? 0)} ms)` : '';
  const more = why === '' ? '' : verdict === 'failed' ? `\n${indented(why, `${indent}  `)}` : ` # ${why}`;
  return `${indent}${MARKS[verdict]} ${name}${took}${more}\n`;
}

export function indented(text: string, indent: string): string {
  return text.split('\n').map((one) => `${indent}${one}`).join('\n');
}

/** Linux counts in hundredths of a second: utime, stime, and those of children that were waited for. */
function cpuMs(): number | null {
  try {
    const text = readFileSync('/proc/self/stat', 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]) * 10, 0);
  } catch {
    return null;
  }
}

// node takes a reporter as a module's default export
// eslint-disable-next-line no-restricted-exports
export default report;
