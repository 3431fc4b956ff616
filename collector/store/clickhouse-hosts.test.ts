import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClickHouseHosts } from './clickhouse-hosts.js';

test('the host that answered is stayed with; one that broke is passed over, longer each time, and asked last', () => {
  const hosts = new ClickHouseHosts(['a', 'b', 'c']);
  assert.deepEqual(hosts.order(0), ['a', 'b', 'c']);
  hosts.broke('a', 0);
  assert.deepEqual(hosts.order(0), ['b', 'c', 'a']);
  hosts.answered('b');
  assert.deepEqual(hosts.order(1000), ['b', 'c', 'a'], 'its time is over, and it is not gone back to');
  hosts.broke('b', 1000);
  hosts.broke('b', 1500);
  assert.deepEqual(hosts.order(1999), ['c', 'a', 'b']);
  assert.deepEqual(hosts.order(2000), ['b', 'c', 'a'], 'two faults at once are one');
  hosts.broke('b', 2000);
  assert.deepEqual(hosts.order(3999), ['c', 'a', 'b'], 'twice as long the second time');
  hosts.answered('b');
  hosts.broke('b', 5000);
  assert.deepEqual(hosts.order(6000), ['b', 'c', 'a'], 'an answer wipes the slate');
  for (const host of ['a', 'b', 'c']) hosts.broke(host, 10_000);
  assert.deepEqual([...hosts.order(10_000)].sort(), ['a', 'b', 'c'], 'with none left all are asked');
});

test('however long a host breaks, it is asked again within a minute', () => {
  const hosts = new ClickHouseHosts(['a', 'b']);
  hosts.answered('b');
  let nowMs = 0;
  for (let i = 0; i < 20; i++) hosts.broke('a', nowMs += 60_000);
  hosts.broke('b', nowMs + 60_000);
  assert.deepEqual(hosts.order(nowMs + 60_000), ['a', 'b']);
});
