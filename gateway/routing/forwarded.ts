import { parseAddress } from '../policies/address.js';
import type { CompiledCidrs } from '../policies/ip-list.js';

const scratch = new Uint32Array(4);

/**
 * The client's address: the peer's, unless the peer is a trusted proxy; then the rightmost hop of X-Forwarded-For that is not trusted
 * (all its fields together, in order). What stands further left was written by the client and is never looked at. A hop that is no
 * address (`unknown`, an obfuscated name) ends the search at the last good one, as does the list's end. `::ffff:` and zones are taken off.
 * A hop may carry a port (`192.0.2.1:4711`, `[2001:db8::1]:4711`), as some proxies write it; empty hops are passed over (RFC 9110 5.6.1.2).
 */
export function clientAddress(peer: string, rawHeaders: readonly string[], trusted: CompiledCidrs | null): string {
  const address = plain(peer);
  if (trusted === null || !trusted.contains(address)) return address;
  let client = address;
  for (let i = rawHeaders.length - 2; i >= 0; i -= 2) {
    const name = rawHeaders[i] as string;
    if (name.length !== 15 || name.toLowerCase() !== 'x-forwarded-for') continue;
    const list = rawHeaders[i + 1] as string;
    for (let end = list.length; end > 0;) {
      const comma = list.lastIndexOf(',', end - 1);
      const hop = list.slice(comma + 1, end).trim();
      end = comma;
      if (hop === '') continue;
      const found = plain(withoutPort(hop));
      if (parseAddress(found, scratch) === 0) return client;
      client = found;
      if (!trusted.contains(found)) return client;
    }
  }
  return client;
}

/** Takes off the zone, and `::ffff:` in front of an IPv4 address. */
function plain(address: string): string {
  if (!address.includes(':')) return address;
  const zone = address.indexOf('%');
  const text = (zone === -1 ? address : address.slice(0, zone)).toLowerCase();
  return text.startsWith('::ffff:') && text.includes('.') ? text.slice(7) : text;
}

function withoutPort(hop: string): string {
  if (hop.startsWith('[')) {
    const close = hop.indexOf(']');
    const rest = hop.slice(close + 1);
    return close !== -1 && (rest === '' || isPort(rest)) && hop.includes(':') ? hop.slice(1, close) : '';
  }
  const colon = hop.indexOf(':');
  return colon !== -1 && hop.includes('.') && colon === hop.lastIndexOf(':') && isPort(hop.slice(colon)) ? hop.slice(0, colon) : hop;
}

function isPort(text: string): boolean {
  if (text.length < 2 || text.length > 6 || text.charCodeAt(0) !== 0x3a) return false;
  for (let i = 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x30 || code > 0x39) return false;
  }
  return true;
}
