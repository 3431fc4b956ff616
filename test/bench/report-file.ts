/** docs/benchmarks.md: what stands between the markers is written by the bench, the rest by people. */
import { readFileSync, writeFileSync } from 'node:fs';

const BEGIN = '<!-- bench: begin, written by npm run bench -->';
const END = '<!-- bench: end -->';

/** @throws Error: the markers are not there, once each and in order */
export function between(document: string, content: string): string {
  const [head, rest, ...more] = document.split(BEGIN);
  const [, tail, ...others] = rest?.split(END) ?? [];
  if (head === undefined || tail === undefined || more.length > 0 || others.length > 0) throw new Error(`the document needs one '${BEGIN}' and one '${END}' after it`);
  return `${head}${BEGIN}\n${content.trim()}\n${END}${tail}`;
}

export function writeReport(path: string, content: string): void {
  writeFileSync(path, between(readFileSync(path, 'utf8'), content));
}
