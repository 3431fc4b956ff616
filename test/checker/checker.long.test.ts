/** The checker for a minute in each shape, with a seed that stays the same: nothing lost in silence, nothing twice, no phantom. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingForMany } from './shape-many.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

for (const [shape, seed, missing] of [['one', '41', null], ['many', '8', missingForMany()]] as const) {
  test(`every answer is stored once: shape ${shape}, seed ${seed}`, { skip: missing ?? false }, async () => {
    const { code, output } = await check('--shape', shape, '--for', '60s', '--seed', seed);
    console.log(output);
    assert.equal(code, 0, output);
    assert.match(output, /^all +\d+ +[1-9]\d{3,}/m, 'it had no load');
  });
}

function check(...args: readonly string[]): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text; });
  return new Promise((resolve) => { child.once('close', (code) => { resolve({ code, output }); }); });
}
