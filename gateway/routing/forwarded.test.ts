import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileCidrs } from '../policies/ip-list.js';
import { clientAddress } from './forwarded.js';

const trusted = compileCidrs(['127.0.0.0/8', '10.0.0.0/8', '2001:db8::/32']);
const seen = (peer: string, ...fields: string[]): string => clientAddress(peer, fields.flatMap((value) => ['X-Forwarded-For', value]), trusted);

test('an untrusted peer is the client, whatever it says', () => {
  assert.equal(seen('203.0.113.9', '1.2.3.4'), '203.0.113.9');
  assert.equal(clientAddress('127.0.0.1', ['x-forwarded-for', '1.2.3.4'], null), '127.0.0.1');
});

test('behind trusted proxies it is the rightmost hop that is not trusted, never the leftmost', () => {
  assert.equal(seen('127.0.0.1', '6.6.6.6, 203.0.113.9'), '203.0.113.9');
  assert.equal(seen('127.0.0.1', '6.6.6.6, 203.0.113.9, 10.0.0.1,10.0.0.2'), '203.0.113.9');
  assert.equal(seen('127.0.0.1', '6.6.6.6', '203.0.113.9', '10.0.0.1'), '203.0.113.9');
  assert.equal(seen('2001:db8::5', '6.6.6.6,2001:DB9::7'), '2001:db9::7');
  assert.equal(clientAddress('127.0.0.1', ['Host', 'h', 'x-FORWARDED-for', '1.2.3.4', 'Accept', '*/*'], trusted), '1.2.3.4');
});

test('when every hop is trusted it is the farthest of them', () => {
  assert.equal(seen('127.0.0.1', '10.0.0.3, 10.0.0.4'), '10.0.0.3');
  assert.equal(seen('127.0.0.1'), '127.0.0.1');
  assert.equal(seen('127.0.0.1', ''), '127.0.0.1');
});

test('a hop that is no address ends the search at the last good one', () => {
  assert.equal(seen('127.0.0.1', '6.6.6.6, unknown, 10.0.0.1'), '10.0.0.1');
  for (const bad of ['_hidden', '1.2.3', '1.2.3.4.5', '"1.2.3.4"', '[::1', '[1.2.3.4]', '::1]', '1.2.3.4:', '1.2.3.4:x', '1.2.3.4:123456', '01.2.3.4', '[::1]x', '[]:80']) {
    assert.equal(seen('127.0.0.1', `6.6.6.6, ${bad}`), '127.0.0.1', bad);
  }
  assert.equal(seen('127.0.0.1', '6.6.6.6', 'nonsense'), '127.0.0.1');
});

test('an IPv4 address in IPv6 clothes, ports, zones and empty hops are plain addresses', () => {
  assert.equal(seen('::ffff:203.0.113.9'), '203.0.113.9');
  assert.equal(seen('::ffff:127.0.0.1', '6.6.6.6, ::FFFF:203.0.113.9'), '203.0.113.9');
  assert.equal(seen('127.0.0.1', '203.0.113.9:4711'), '203.0.113.9');
  assert.equal(seen('127.0.0.1', '[2001:db9::1]:4711'), '2001:db9::1');
  assert.equal(seen('127.0.0.1', '[2001:db9::1]'), '2001:db9::1');
  assert.equal(seen('fe80::1%eth0'), 'fe80::1');
  assert.equal(seen('127.0.0.1', '6.6.6.6,, 203.0.113.9 , ,'), '203.0.113.9');
});
