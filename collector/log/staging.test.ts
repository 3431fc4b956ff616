import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writevSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { isStaged, writeStaging } from './staging.js';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-staging-'));
after(() => { rmSync(folder, { recursive: true }); });

const PIECES = Array.from({ length: 600 }, (_, i) => Buffer.alloc(1 + i % 90, i));
const ALL = Buffer.concat(PIECES);

test('what a write leaves over is written by the next ones, from the very byte on', async () => {
  for (const most of [1000, 37, 90, 7]) {
    const path = join(folder, `short-${most}.rows`);
    const rows = await writeStaging(path, PIECES, true, (fd, pieces) => writevSync(fd, [Buffer.concat(pieces).subarray(0, most)]));
    assert.deepEqual(rows, { bytes: ALL.length, crc: crc32(ALL) });
    assert.ok(readFileSync(path).equals(ALL));
    assert.ok(isStaged(path, rows));
  }
});

test('where there is no room for the rest, the error is the system\'s', async () => {
  let writes = 0;
  const full = (fd: number, pieces: readonly Buffer[]): number => {
    if (++writes === 2) throw Object.assign(new Error('ENOSPC: no space left on device, writev'), { code: 'ENOSPC', syscall: 'writev' });
    return writevSync(fd, [Buffer.concat(pieces).subarray(0, 100)]);
  };
  await assert.rejects(writeStaging(join(folder, 'full.rows'), PIECES, true, full), { code: 'ENOSPC', syscall: 'writev' });
});
