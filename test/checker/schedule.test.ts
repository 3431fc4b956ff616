/** A seed gives the same faults again, on any machine; another seed, others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conversation } from './conversation.js';
import type { FaultKind } from './fault.js';
import { schedule } from './schedule.js';
import { SeededRandom } from './seeded-random.js';

const kinds = (missing: string | null): FaultKind[] => ['a', 'b', 'c', 'd'].map((name) => ({
  name, missing: name === 'c' ? missing : null, plan: (random) => ({ detail: `${name} ${random.integer(0, 1_000_000)}`, run: () => Promise.resolve() }),
}));

function first(count: number, seed: string, missing: string | null = null): string[] {
  const steps = schedule(kinds(missing), new SeededRandom(seed));
  return Array.from({ length: count }, () => steps.next().value).map(({ fault, calmMs, withCompanion, random }) => `${fault.detail} ${calmMs} ${withCompanion} ${random.next()}`);
}

test('the sequence follows from the seed alone', () => {
  assert.deepEqual(first(20, '7'), first(20, '7'));
  assert.deepEqual(first(20, '7', 'cannot be had here'), first(20, '7'));
  assert.notDeepEqual(first(20, '7'), first(20, '8'));
});

test('each round has every kind once', () => {
  const names = first(12, '7').map((step) => step.slice(0, 1));
  for (const round of [names.slice(0, 4), names.slice(4, 8), names.slice(8)]) assert.deepEqual([...round].sort(), ['a', 'b', 'c', 'd']);
});

test('the load has all that it is said to have', () => {
  const random = new SeededRandom('load');
  const all = Array.from({ length: 3000 }, () => conversation(random));
  const requests = all.flatMap((one) => one.requests);
  const has = {
    pipelined: all.some(({ pipelined, leaves }) => pipelined && leaves === null), halfCloses: all.some(({ halfCloses }) => halfCloses), leaves: all.some(({ leaves }) => leaves?.reset === false),
    halfOfTheHead: all.some(({ leaves }) => leaves?.at === 'half of the head'), head: requests.some(({ method }) => method === 'HEAD'), expect: requests.some(({ body }) => body?.expect === true),
    http10: requests.some(({ version }) => version === '1.0'), chunkedUp: requests.some(({ body }) => body?.framing === 'chunked'), chunkedDown: requests.some(({ tail }) => tail?.startsWith('chunk/')),
    closes: requests.some(({ connection }) => connection === 'close'), refused: requests.some(({ caller }) => caller === 'nobody') && requests.some(({ caller }) => caller === 'limited'),
    cut: requests.some(({ tail }) => tail?.startsWith('cut/')),
  };
  assert.deepEqual(Object.entries(has).filter(([, there]) => !there), []);
});
