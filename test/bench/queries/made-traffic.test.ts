import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../seeded-random.js';
import { appName, APPS, ENDINGS, MadeTraffic, type Call, type Ending } from './made-traffic.js';

const DRAWN = 300_000;

test('the traffic of apps follows Zipf\'s law, and every app has some', () => {
  const traffic = new MadeTraffic();
  const random = new SeededRandom(2);
  const requests = new Map<string, number>();
  for (let i = 0; i < DRAWN; i++) {
    const { app } = traffic.calls[traffic.call(random)] as Call;
    requests.set(app, (requests.get(app) ?? 0) + 1);
  }
  assert.equal(requests.size, APPS);
  const first = requests.get(appName(0)) as number;
  // 1 / (1 + 1/2 + ... + 1/1000)
  assert.equal((first / DRAWN).toFixed(2), '0.13');
  for (const rank of [2, 5, 10, 20]) assert.equal(Math.round(first / (requests.get(appName(rank - 1)) as number) / rank * 10) / 10, 1, `app of rank ${rank}`);
});

test('an app calls one to four services, and always the same ones', () => {
  const calls = (): string[] => new MadeTraffic().calls.map(({ app, route }) => `${app} ${Buffer.from(route.label.words.buffer).toString('latin1')}`);
  assert.deepEqual(calls(), calls());
  const services = new Map<string, Set<string>>();
  for (const call of calls()) {
    const [app, service] = [call.split(' ')[0] as string, /service-\d\d/.exec(call)?.[0] as string];
    services.set(app, (services.get(app) ?? new Set()).add(service));
  }
  assert.deepEqual([...new Set([...services.values()].map(({ size }) => size))].sort(), [1, 2, 3, 4]);
});

test('a few are refused, fewer are errors, and the rest is answered', () => {
  const traffic = new MadeTraffic();
  const random = new SeededRandom(3);
  let refused = 0;
  let errors = 0;
  for (let i = 0; i < DRAWN; i++) {
    const { letThrough, status } = ENDINGS[traffic.ending(random)] as Ending;
    if (!letThrough) refused++;
    else if (status >= 500) errors++;
  }
  assert.equal((100 * refused / DRAWN).toFixed(1), '2.4');
  assert.equal((100 * errors / DRAWN).toFixed(1), '0.5');
  assert.equal(ENDINGS.reduce((sum, { share }) => sum + share, 0).toFixed(9), '1.000000000');
});
