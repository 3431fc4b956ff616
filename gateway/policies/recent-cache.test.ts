import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentCache } from './recent-cache.js';

test('keeps what is in use, and never more than twice its limit', () => {
  const cache = new RecentCache<{ readonly n: number }>(100);
  cache.set('used', { n: -1 });
  for (let n = 0; n < 10_000; n++) {
    cache.set(`k${n}`, { n });
    if (n % 50 === 0) assert.equal(cache.get('used')?.n, -1);
    assert.ok(cache.size <= 200);
  }
  assert.equal(cache.get('k0'), undefined);
  assert.equal(cache.get('k9999')?.n, 9999);
});
