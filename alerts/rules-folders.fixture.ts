/** Where the rules in the repository and their tests stand, and what writes them. */
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// the compiled test stands in dist, beside none of these
const here = dirname(fileURLToPath(import.meta.url));
export const root = here.endsWith(join('dist', 'alerts')) ? join(here, '..', '..') : join(here, '..');
export const rulesFolder = join(root, 'alerts', 'rules');
export const testsFolder = join(root, 'alerts', 'tests');
export const main = here === join(root, 'alerts') ? ['--import', 'tsx', join(here, 'main.ts')] : [join(here, 'main.js')];
export const filesOf = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith('.yml')).sort();
