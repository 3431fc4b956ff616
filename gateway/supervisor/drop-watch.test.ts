import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropWatch } from './drop-watch.js';

function reasonsAfter(...looks: readonly (readonly [recorded: number, spoolFull: number, diskFull: number])[]): readonly string[] {
  const watch = new DropWatch();
  for (const [recorded, spoolFull, diskFull] of looks) watch.look({ recorded, dropped: new Map([['spool_full', spoolFull], ['disk_full', diskFull]]) });
  return watch.reasons.map((text) => /\((\w+)\)$/.exec(text)?.[1] ?? text);
}

test('what is dropped for want of room is a reason until events are recorded again', () => {
  assert.deepEqual(reasonsAfter([5, 3, 3]), [], 'dropped before anybody looked: there may be room again');
  assert.deepEqual(reasonsAfter([5, 0, 0], [5, 1, 0]), ['spool_full']);
  assert.deepEqual(reasonsAfter([5, 0, 0], [9, 1, 0]), ['spool_full'], 'some of them fit');
  assert.deepEqual(reasonsAfter([5, 0, 0], [5, 1, 0], [5, 1, 0]), ['spool_full'], 'nobody has asked since');
  assert.deepEqual(reasonsAfter([5, 0, 0], [5, 1, 0], [6, 1, 0]), []);
  assert.deepEqual(reasonsAfter([5, 0, 0], [5, 1, 0], [5, 1, 2]), ['spool_write_failed']);
});
