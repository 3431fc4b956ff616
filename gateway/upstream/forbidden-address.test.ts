import assert from 'node:assert/strict';
import type { LookupAddress, LookupOptions } from 'node:dns';
import { test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import { guardedLookup, isForbiddenAddress } from './forbidden-address.js';

test('link-local and cloud metadata addresses are forbidden, however they are written', () => {
  const forbidden = [
    '169.254.169.254', '169.254.0.1', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '64:ff9b::169.254.169.254', '2002:a9fe:a9fe::1', '::169.254.169.254', 'fe80::1', 'fe80::1%eth0', 'febf::1',
    '100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254', 'fd20:ce::254', '0.0.0.0', '0.1.2.3', '::', '224.0.0.1', '255.255.255.255', 'ff02::1',
  ];
  assert.deepEqual(forbidden.filter((address) => !isForbiddenAddress(address)), []);
  const allowed = ['127.0.0.1', '::1', '10.0.0.7', '192.168.1.1', '172.16.0.1', '100.100.100.201', '169.253.255.255', '169.255.0.0', 'fd00::1', 'fec0::1', '2001:db8::1', '8.8.8.8', 'example.com', ''];
  assert.deepEqual(allowed.filter(isForbiddenAddress), []);
});

test('a name is what it resolves to: what is connected to is what was looked at', async () => {
  const ask = (host: string, options: LookupOptions): Promise<string | readonly LookupAddress[]> => new Promise((resolve, reject) => {
    guardedLookup(host, options, (error, address) => { if (error === null) resolve(address); else reject(error); });
  });
  assert.deepEqual(await ask('127.0.0.1', { all: true }), [{ address: '127.0.0.1', family: 4 }]);
  assert.equal(await ask('127.0.0.1', {}), '127.0.0.1');
  // the resolver takes these for what they are, as it would a name of the tenant's own
  for (const host of ['169.254.169.254', '2852039166', '0xa9fea9fe', '0251.0376.0251.0376']) {
    await assert.rejects(ask(host, { all: true }), (error) => error instanceof TidegateError && error.code === 'webhook_address', host);
    await assert.rejects(ask(host, {}), (error) => error instanceof TidegateError && error.code === 'webhook_address', host);
  }
});
