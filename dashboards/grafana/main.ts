/** `npm run boards`: writes the boards' JSON. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { boards, BOARDS_FOLDER, render } from './boards.js';

for (const [path, board] of boards()) {
  const file = join(BOARDS_FOLDER, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, render(board));
  console.log(file);
}
