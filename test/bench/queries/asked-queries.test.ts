import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketBounds } from '../../../collector/reports/calendar.js';
import { parseTrafficQuery } from '../../../collector/reports/traffic-query.js';
import { SeededRandom } from '../seeded-random.js';
import { QUERIES } from './asked-queries.js';
import { END_MS, FIRST_MS, MadeTime } from './made-time.js';

const time = new MadeTime(1_000_000);

test('every report is one that the API takes, and lies within the events', () => {
  const random = new SeededRandom(4);
  for (const { words, ask } of QUERIES) {
    for (let i = 0; i < 5; i++) {
      const asked = ask(random, time);
      if (!('path' in asked) || !asked.path.startsWith('/v1/reports/traffic?')) continue;
      const values = new URLSearchParams(asked.path.split('?')[1]);
      const parameters = Object.fromEntries([...values].map(([name, value]) => [name, ['app', 'service', 'group_by'].includes(name) ? [value] : value]));
      const query = parseTrafficQuery(parameters, { nowMs: END_MS, principal: { kind: 'operator' }, defaultTimeZone: 'UTC', accept: '' });
      const { fromMs, toMs, interval, timeZone } = query;
      assert.ok(fromMs > FIRST_MS - 86_400_000 && toMs < END_MS + 86_400_000, `${words}: ${asked.path}`);
      if (interval === 'hour' || interval === 'day') {
        const bounds = bucketBounds(interval, timeZone, fromMs, toMs);
        assert.deepEqual([bounds[0], bounds.at(-1)], [fromMs, toMs], `${words} asks for whole ${interval}s`);
      }
    }
  }
});

test('the same seed asks the same, and each query has a name of its own', () => {
  const all = (seed: number): string => JSON.stringify(QUERIES.map(({ ask }) => ask(new SeededRandom(seed), time)));
  assert.equal(all(1), all(1));
  assert.notEqual(all(1), all(2));
  assert.equal(new Set(QUERIES.map(({ words }) => words)).size, QUERIES.length);
});
