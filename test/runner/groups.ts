/** Which test files there are, and how each is to be run: by its folder, and by the ending of its name. */
import { existsSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

export const GROUP_NAMES = ['house', 'unit', 'collector', 'conformance', 'e2e', 'faults'] as const;
export type GroupName = (typeof GROUP_NAMES)[number];

export interface Group {
  readonly name: GroupName;
  readonly folders: readonly string[];
  /** Of the places that the queue has: most of its files at once. `all`: what it measures wants the machine for itself. */
  readonly places: number | 'all';
  /** Of one file. */
  readonly timeoutMs: number;
}

/** `npm run faults`, or a part of it. */
const FULL_FORM = process.env['TEST_FAULTS'] === 'full' || process.env['TEST_KILLS'] !== undefined;

export const GROUPS: readonly Group[] = [
  { name: 'house', folders: ['test/house', 'test/bench', 'test/runner'], places: 1, timeoutMs: 300_000 },
  { name: 'unit', folders: ['errors', 'gateway', 'alerts', 'dashboards', 'cli', 'test/harness'], places: 1, timeoutMs: 300_000 },
  { name: 'collector', folders: ['collector'], places: 1, timeoutMs: 300_000 },
  // most of their time is waiting for time-outs
  { name: 'conformance', folders: ['test/conformance'], places: 1, timeoutMs: 900_000 },
  // whole nodes, of four processes each
  { name: 'e2e', folders: ['test/e2e'], places: 2, timeoutMs: 900_000 },
  { name: 'faults', folders: ['test/faults', 'test/checker'], places: 'all', timeoutMs: FULL_FORM ? 14_400_000 : 1_800_000 },
];

export interface TestFile {
  /** Below dist, with `/`. */
  readonly path: string;
  readonly group: Group;
  /** Ten seconds or more on a quiet machine, or in want of Kafka, haproxy or Prometheus: for `npm run test:all`. */
  readonly long: boolean;
}

export interface FoundFiles {
  readonly files: readonly TestFile[];
  /** Test files that no group takes. */
  readonly strays: readonly string[];
  /** Compiled once, of sources that are gone: what was renamed or removed is not run. */
  readonly stale: readonly string[];
}

/**
 * @param dist the folder of compiled files
 * @param root that of their sources
 */
export function findTestFiles(dist: string, root: string): FoundFiles {
  const paths = readdirSync(dist, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => relative(dist, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
  const files: TestFile[] = [];
  const strays: string[] = [];
  const stale: string[] = [];
  for (const path of paths) {
    if (!existsSync(join(root, sourceOf(path)))) {
      stale.push(path);
      continue;
    }
    const group = GROUPS.find(({ folders }) => folders.some((folder) => path.startsWith(`${folder}/`)));
    if (group === undefined) strays.push(path);
    else files.push({ path, group, long: path.endsWith('.long.test.js') });
  }
  return { files, strays, stale };
}

/** As it stands in the repository. */
export function sourceOf(path: string): string {
  return path.replace(/\.js$/, '.ts');
}
