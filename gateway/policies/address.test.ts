import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { parseAddress } from './address.js';

const parsed = (text: string): [number, ...number[]] => {
  const words = new Uint32Array(4);
  return [parseAddress(text, words), ...words];
};

test('reads IPv4 and every way to write IPv6', () => {
  assert.deepEqual(parsed('203.0.113.9'), [4, 0, 0, 0, 0xcb007109]);
  assert.deepEqual(parsed('255.255.255.255'), [4, 0, 0, 0, 0xffffffff]);
  assert.deepEqual(parsed('::'), [6, 0, 0, 0, 0]);
  assert.deepEqual(parsed('::1'), [6, 0, 0, 0, 1]);
  assert.deepEqual(parsed('2001:DB8::'), [6, 0x20010db8, 0, 0, 0]);
  assert.deepEqual(parsed('2001:db8:1:2:3:4:5:6'), [6, 0x20010db8, 0x10002, 0x30004, 0x50006]);
  assert.deepEqual(parsed('1::3:4'), [6, 0x10000, 0, 0, 0x30004]);
  assert.deepEqual(parsed('64:ff9b::192.0.2.1'), [6, 0x64ff9b, 0, 0, 0xc0000201]);
  assert.deepEqual(parsed('fe80::1%eth0'), [6, 0xfe800000, 0, 0, 1]);
});

test('an IPv4 address in IPv6 clothes is IPv4', () => {
  for (const text of ['::ffff:203.0.113.9', '::FFFF:cb00:7109', '0:0:0:0:0:ffff:203.0.113.9']) assert.deepEqual(parsed(text), [4, 0, 0, 0, 0xcb007109]);
  assert.equal(parsed('::203.0.113.9')[0], 6);
});

test('takes for an address exactly what node:net does', () => {
  const pieces = ['1', '25', '255', '256', '0', '00', '01', 'f', 'ffff', 'fffff', 'g', ':', ':', ':', '::', '.', '.', '1.2.3.4', '1.2.3', ' ', '-', 'A0'];
  let state = 7;
  const random = (below: number): number => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % below;
  for (const text of ['1:2:3:4:5:6:7::8', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8', '::1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8::', '1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:7:1.2.3.4', '1::2::3', ':1', '1:', ':', '', '::1.2.3.4.5', '1.2.3.4::', '::1.2.3.4:5']) {
    assert.equal(parsed(text)[0] !== 0, isIP(text) !== 0, text);
  }
  let addresses = 0;
  for (let round = 0; round < 300_000; round++) {
    let text = '';
    for (let n = 1 + random(round % 3 === 0 ? 16 : 7); n > 0; n--) text += pieces[random(pieces.length)] as string;
    if (round % 4 === 0) text = Array.from({ length: 8 }, () => random(65536).toString(16)).join(':').replace(/(:[^:]+){0,3}:[^:]+$/, random(2) === 0 ? '::' : '$&');
    const family = parsed(text)[0];
    assert.equal(family !== 0, isIP(text) !== 0, text);
    if (family !== 0) addresses++;
  }
  assert.ok(addresses > 1000, String(addresses));
});
