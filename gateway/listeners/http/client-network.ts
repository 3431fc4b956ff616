import { isIPv4, isIPv6 } from 'node:net';

/**
 * The network of an address, as events keep it: IPv4 by /24, IPv6 by /48 (`groups` of 16 bits: 3). What is no address stays empty.
 */
export function clientNetwork(address: string, kept = 3): string {
  if (isIPv4(address)) return `${address.slice(0, address.lastIndexOf('.'))}.0/24`;
  if (!isIPv6(address)) return '';
  const [head, tail] = address.split('%', 1)[0]?.split('::', 2) as [string, string | undefined];
  const groups = head === '' ? [] : head.split(':');
  if (tail !== undefined) {
    const rest = tail === '' ? [] : tail.split(':');
    while (groups.length + rest.length < 8) groups.push('0');
    groups.push(...rest);
  }
  return `${groups.slice(0, kept).map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/${kept * 16}`;
}
