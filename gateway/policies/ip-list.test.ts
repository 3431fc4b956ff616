import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import { test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { AppConfig } from '../config/schema.js';
import { refusal as refusedAs, type PolicyExchange } from '../exchange.js';
import { appIpListPolicy, compileCidrs, ipListPolicy } from './ip-list.js';

const from = (clientAddress: string, app: string | null = null): PolicyExchange =>
  ({ clientAddress, app: app === null ? null : { name: app } }) as unknown as PolicyExchange;

test('deny wins over allow, and an allow list that is not empty allows only what it names', () => {
  const policy = ipListPolicy({ allow: ['10.0.0.0/8', '2001:db8::/32'], deny: ['10.6.6.0/24', '10.7.7.7'] });
  assert.ok(policy !== null);
  for (const address of ['10.0.0.1', '10.6.7.1', '2001:db8:ffff::1', '::ffff:10.1.1.1', '10.7.7.8']) assert.equal(policy(from(address)), null, address);
  for (const address of ['10.6.6.1', '10.7.7.7', '11.0.0.1', '::1', '2001:db9::', '::ffff:10.6.6.9', '', 'nonsense']) {
    assert.deepEqual(policy(from(address)), refusedAs('ip_denied', 'ip_denied', 'This address may not call.', 'ip_list'), address);
  }
});

test('a deny list alone allows the rest, but nothing that is no address', () => {
  const policy = ipListPolicy({ allow: [], deny: ['203.0.113.0/24', '::/0'] });
  assert.ok(policy !== null);
  assert.equal(policy(from('198.51.100.1')), null);
  for (const address of ['203.0.113.255', '::1', '2001:db8::1', '::ffff:203.0.113.1', 'unix']) assert.notEqual(policy(from(address)), null, address);
});

test('without lists there is no policy', () => {
  assert.equal(ipListPolicy({ allow: [], deny: [] }), null);
  assert.equal(appIpListPolicy([]), null);
  assert.equal(compileCidrs([]), null);
});

test('an app\'s lists bind that app only', () => {
  const policy = appIpListPolicy([{ name: 'a', ip: { allow: ['10.0.0.0/8'], deny: [] } }, { name: 'b', ip: { allow: [], deny: [] } }] as unknown as AppConfig[]);
  assert.ok(policy !== null);
  assert.equal(policy(from('10.1.1.1', 'a')), null);
  assert.notEqual(policy(from('11.1.1.1', 'a')), null);
  assert.equal(policy(from('11.1.1.1', 'b')), null);
  assert.equal(policy(from('11.1.1.1')), null);
});

test('what is no block is refused', () => {
  for (const text of ['', '10.0.0.0/33', '10.0.0/8', '10.0.0.0/', '10.0.0.0/08', '::/129', '::ffff:1.2.3.4/95', 'example.com', '10.0.0.0/8/8', ' 10.0.0.1', 'fe80::1%eth0', '10.0.0.0/-1', '1.2.3.4/1e1']) {
    assert.throws(() => compileCidrs([text]), (error) => error instanceof TidegateError && error.code === 'config_value', text);
  }
});

test('agrees with node:net BlockList on random blocks and addresses', () => {
  let state = 99;
  const random = (below: number): number => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8) % below;
  const v4 = (): string => `10.${random(2)}.${random(4)}.${random(256)}`;
  const v6 = (): string => `2001:db8:${random(2)}:${random(4)}::${random(65536).toString(16)}`;
  let inside = 0;
  for (let round = 0; round < 300; round++) {
    const list: string[] = [];
    const blocks = new BlockList();
    for (let n = 1 + random(6); n > 0; n--) {
      const [address, bits] = random(2) === 0 ? [v4(), 16 + random(17)] : [v6(), 40 + random(89)];
      list.push(`${address}/${bits}`);
      blocks.addSubnet(address, bits, isIP(address) === 4 ? 'ipv4' : 'ipv6');
    }
    const compiled = compileCidrs(list);
    assert.ok(compiled !== null);
    for (let n = 0; n < 100; n++) {
      const address = random(2) === 0 ? v4() : v6();
      const expected = blocks.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6');
      if (expected) inside++;
      assert.equal(compiled.contains(address), expected, `${address} in ${list.join(' ')}`);
    }
  }
  assert.ok(inside > 1000, String(inside));
});
