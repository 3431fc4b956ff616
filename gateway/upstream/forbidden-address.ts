/** Where a webhook never goes, whatever its name resolves to: what a tenant's URL could have this machine ask for on its behalf (SSRF). */
import { lookup, type LookupAddress, type LookupOptions } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import { TidegateError } from '../../errors/tidegate-error.js';

const forbidden = new BlockList();
// of link-local, the metadata of most clouds: also written as an IPv6 address that leads there (NAT64, Teredo, 6to4, IPv4-compatible; BlockList itself knows ::ffff:)
forbidden.addSubnet('169.254.0.0', 16, 'ipv4');
forbidden.addSubnet('fe80::', 10, 'ipv6');
forbidden.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');
forbidden.addSubnet('64:ff9b:1::', 48, 'ipv6');
forbidden.addSubnet('2001::', 32, 'ipv6');
forbidden.addSubnet('2002:a9fe::', 32, 'ipv6');
forbidden.addSubnet('::a9fe:0', 112, 'ipv6');
// metadata elsewhere: Alibaba, Oracle, Azure's host, AWS and Google over IPv6
for (const address of ['100.100.100.200', '192.0.0.192', '168.63.129.16']) forbidden.addAddress(address, 'ipv4');
for (const address of ['fd00:ec2::254', 'fd20:ce::254']) forbidden.addAddress(address, 'ipv6');
// no single other machine
forbidden.addSubnet('0.0.0.0', 8, 'ipv4');
forbidden.addSubnet('224.0.0.0', 3, 'ipv4');
forbidden.addAddress('::', 'ipv6');
forbidden.addSubnet('ff00::', 8, 'ipv6');

/** @param address an IP address, IPv6 without brackets; a name is not looked up */
export function isForbiddenAddress(address: string): boolean {
  const family = isIP(address.split('%', 1)[0] as string);
  return family !== 0 && forbidden.check(address.split('%', 1)[0] as string, family === 4 ? 'ipv4' : 'ipv6');
}

type LookupDone = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/** For net.connect: answers with the addresses that are connected to, so no second answer of the resolver can be another (DNS rebinding). One that is forbidden forbids the name. */
export function guardedLookup(host: string, options: LookupOptions, done: LookupDone): void {
  lookup(host, { ...options, all: true }, (error, addresses) => {
    const bad = error === null ? addresses.find(({ address }) => isForbiddenAddress(address)) : undefined;
    if (error !== null) done(error, []);
    else if (bad !== undefined) done(new TidegateError('webhook_address', `${host} is ${bad.address}`), []);
    else if (options.all === true) done(null, addresses);
    else done(null, addresses[0]?.address ?? '', addresses[0]?.family ?? 4);
  });
}
