/** A log that is longer than an insert may be in days. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../../../test/harness/requires.js';
import { logOf } from './imported-log.fixture.js';
import { allTaken, file, run, start, storedOnce } from './importing.fixture.js';

const DAY_MS = 86_400_000;
const OLD = Date.UTC(2015, 4, 17, 22);
const skip = requires('chdb');

test('a log of 200 days goes in by inserts of less than 100 days each, and back and forth in time', { skip, timeout: 180_000 }, async () => {
  const running = await start();
  // three lines a day, then the same days again
  const lines = 2 * 3 * 200;
  const path = file('access.log', [0, lines / 2].map((from) => logOf(lines / 2, OLD - from * DAY_MS / 3, DAY_MS / 3, from)).join(''));
  assert.equal((await run(path)).rows, lines);
  await allTaken();
  await storedOnce(running, lines);
  const inserts = await running.store.query<{ days: number }>('SELECT uniqExact(toDate(time)) AS days FROM tidegate.events GROUP BY stored_at');
  assert.ok(inserts.length >= 5 && inserts.every(({ days }) => days < 100), JSON.stringify(inserts));
});
