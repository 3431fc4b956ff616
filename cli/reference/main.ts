/** `npm run docs`: writes the pages that are rendered from the code. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packageRoot } from '../version.js';
import { renderPages } from './pages.js';

for (const [path, text] of renderPages()) {
  const file = join(packageRoot(), path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  console.log(path);
}
