import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyProgress } from './progress.js';

test('on a terminal one line is drawn over itself and fits; elsewhere a line is told now and then', () => {
  let written = '';
  const terminal = { columns: 60, colour: false, write: (text: string) => { written += text; } };
  const bar = copyProgress(terminal, true, () => 0);
  bar.show(0, 0, 'comparing');
  bar.show(500, 2000, 'events/20261122');
  bar.end();
  bar.end();
  assert.equal(written, `\r\x1b[K${'█'.repeat(30)} 0 of 0 rows (0 %), comparing\r\x1b[K${'█'.repeat(7)}${'░'.repeat(23)} 500 of 2,000 rows (25 %), ev\n`);

  written = '';
  let nowMs = 1000;
  const lines = copyProgress(terminal, false, () => nowMs);
  for (const [atMs, done] of [[1000, 1], [5000, 2], [11_000, 3]] as const) {
    nowMs = atMs;
    lines.show(done, 4, 'events/20261122');
  }
  lines.end();
  assert.equal(written, '1 of 4 rows (25 %), events/20261122\n3 of 4 rows (75 %), events/20261122\n');
});
