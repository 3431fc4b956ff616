/** Forms that a schema's pattern cannot judge. Each answers null, or what is wrong in words that follow a path. */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { foldFieldName } from '../http1/fields.js';
import { isForbiddenAddress } from '../upstream/forbidden-address.js';

/** Text that may come out in a message is cut, so that a line stays a line. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

const LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const HOST_NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);

/** A host name or an IPv4 address, or an IPv6 address in brackets. */
function isHost(text: string): boolean {
  if (text.startsWith('[')) return text.endsWith(']') && isIPv6(text.slice(1, -1)) && !text.includes('%');
  // 1.2.3.400 is no name either: the last label of a name is never a number (RFC 1123 2.1)
  if (/(?:^|\.)\d+$/.test(text)) return isIPv4(text);
  return text.length <= 253 && HOST_NAME.test(text);
}

/** In place of host:port: the socket that another process has opened and hands over (inherited-socket.ts). */
export const INHERITED_ADDRESS = 'fd:3';

/** `host:port`, `[::1]:port`; port 0 lets the system choose. */
export function addressFault(text: string): string | null {
  const match = /^(.*):(\d{1,5})$/.exec(text);
  if (match === null) return `${shown(text)} is not host:port`;
  const [, host = '', port = ''] = match;
  if (Number(port) > 65_535) return `port ${port} is beyond 65535`;
  if (host.includes(':') && !host.startsWith('[')) return `${shown(text)}: an IPv6 address stands in brackets, [::1]:8080`;
  return isHost(host) ? null : `${shown(text)}: ${shown(host)} is not a host`;
}

/** `api.example.com` or `*.example.com`. */
export function hostPatternFault(text: string): string | null {
  if (text === '*') return 'leave hosts empty to match any host';
  if (/:\d+$/.test(text) && !text.startsWith('[')) return `${shown(text)}: the port takes no part in the match; leave it out`;
  if (text.endsWith('.')) return `${shown(text)}: leave the last dot out`;
  const name = text.startsWith('*.') ? text.slice(2) : text;
  if (name.includes('*')) return `${shown(text)}: one * may stand, as the first label`;
  if (!isHost(name) || (name !== text && isIP(name.replace(/^\[|\]$/g, '')) !== 0)) return `${shown(text)} is not a host`;
  return null;
}

/** What is sent as Host: a host, with or without a port. */
export function hostHeaderFault(text: string): string | null {
  const host = /^(.*?)(?::\d{1,5})?$/.exec(text)?.[1] ?? '';
  return isHost(text) || isHost(host) ? null : `${shown(text)} is neither preserve, nor target, nor a host`;
}

/** A target of HTTP/1.1: scheme, host, port and perhaps a base path. The text itself is not repeated where it holds a password. */
export function targetUrlFault(text: string): string | null {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#\\]*)([^?#]*)([?#].*)?$/s.exec(text);
  if (match === null) return 'must be a URL: http://host:port or https://host:port';
  const [, scheme = '', authority = '', path = '', rest] = match;
  if (!['http', 'https'].includes(scheme.toLowerCase())) return `${scheme}:// is not spoken to targets: http:// or https://`;
  if (authority.includes('@')) return 'holds credentials: a URL is shown in reports and logs';
  if (rest !== undefined) return `has a ${rest.startsWith('?') ? 'query' : 'fragment'}: a target is host, port and base path`;
  const port = /:(\d*)$/.exec(authority)?.[1];
  const host = port === undefined ? authority : authority.slice(0, -port.length - 1);
  if (!isHost(host)) return `${shown(host)} is not a host`;
  if (port !== undefined && (port === '' || Number(port) < 1 || Number(port) > 65_535)) return `${shown(port)} is not a port (1 to 65535)`;
  if (/[\u0000-\u0020\u007f-\uffff\\]/.test(path)) return 'the base path holds characters that a URL cannot';
  if (/(?:^|\/)\.{1,2}(?:\/|$)|\/\//.test(path)) return 'the base path holds empty or dot segments';
  return null;
}

/** A ClickHouse server's HTTP interface. What it says elsewhere (user, password, settings) has keys of its own. */
export function clickHouseUrlFault(text: string): string | null {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#\\]*)\/?(.*)$/s.exec(text);
  if (match === null) return 'must be a URL: http://host:port or https://host:port';
  const [, scheme = '', authority = '', rest = ''] = match;
  if (!['http', 'https'].includes(scheme.toLowerCase())) return `${scheme}:// is not spoken to the store: http:// or https://, the port of ClickHouse's HTTP interface`;
  if (authority.includes('@')) return 'holds credentials: they stand in user and password';
  if (rest !== '') return 'is host and port only: the database is tidegate, settings go with each statement';
  const port = /:(\d+)$/.exec(authority)?.[1];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) return 'names no port (ClickHouse: 8123, with TLS 8443)';
  const host = authority.slice(0, -port.length - 1);
  return isHost(host) ? null : `${shown(host)} is not a host`;
}

/** Key sets come over https; over http from this machine only. */
export function jwksUrlFault(text: string): string | null {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'must be file:PATH or an https:// URL';
  }
  if (url.username !== '' || url.password !== '') return 'holds credentials: a URL is shown in reports and logs';
  if (url.protocol === 'https:') return null;
  if (url.protocol !== 'http:') return 'must be file:PATH or an https:// URL';
  return isLoopbackUrl(text) ? null : 'http:// only from this machine: whoever can change the answer makes every token valid';
}

/** Where an app's webhook goes. */
export function webhookUrlFault(text: string): string | null {
  if (!URL.canParse(text)) return 'must be an https:// or http:// URL';
  const { protocol, username, password, hostname, hash } = new URL(text);
  if (protocol !== 'https:' && protocol !== 'http:') return 'must be an https:// or http:// URL';
  if (username !== '' || password !== '') return 'holds credentials: a URL is shown in status and logs, and what is sent is signed with the secret';
  if (hash !== '') return 'has a #fragment, which is never sent';
  return isForbiddenAddress(hostname.replace(/^\[(.*)\]$/, '$1')) ? `${shown(hostname)} is link-local, a cloud's metadata, or no single machine: webhooks never go there` : null;
}

/** What takes OTLP over HTTP. */
export function receiverUrlFault(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return 'must be a URL: http://host:4318 or https://host:4318';
  if (url.username !== '' || url.password !== '') return 'holds credentials: they stand in headers';
  if (url.port === '4317') return 'is port 4317, where OTLP over gRPC is spoken: over HTTP it is 4318';
  return url.search !== '' || url.hash !== '' ? 'has a query or a fragment: a receiver is host, port and path' : null;
}

/** This machine, by name or address. @param text a URL */
export function isLoopbackUrl(text: string): boolean {
  const { hostname } = new URL(text);
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'));
}

/** An address or `address/bits`. */
export function cidrFault(text: string): string | null {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text);
  const address = match?.[1] ?? '';
  const family = address.includes('%') ? 0 : isIP(address);
  if (match === null || family === 0) return `${shown(text)} is neither an address nor a CIDR block`;
  if (match[2] !== undefined && Number(match[2]) > (family === 4 ? 32 : 128)) return `${shown(text)}: an IPv${family} prefix has at most ${family === 4 ? 32 : 128} bits`;
  if (/^::ffff:\d+\./i.test(address)) return `${shown(text)}: write the IPv4 address; clients that come mapped into IPv6 are counted as IPv4`;
  return null;
}

const knownZones = new Map<string, boolean>();

/** An IANA name in its own spelling: what stores and tools look up minds the case. */
export function timeZoneFault(text: string): string | null {
  let known = knownZones.get(text);
  if (known === undefined) {
    known = isTimeZone(text);
    // a bound, so that a file of made-up names does not stay in memory
    if (knownZones.size < 1000) knownZones.set(text, known);
  }
  return known ? null : `${shown(text)} is not an IANA time zone such as Asia/Kolkata`;
}

function isTimeZone(text: string): boolean {
  if (!/^[A-Z]/.test(text)) return false;
  let resolved: string;
  try {
    resolved = new Intl.DateTimeFormat('en-US', { timeZone: text }).resolvedOptions().timeZone;
  } catch {
    return false;
  }
  // an alias resolves to another name (Asia/Kolkata: Asia/Calcutta), whose spelling says nothing about this one
  if (resolved.toLowerCase() === text.toLowerCase()) return resolved === text;
  return text.split('/').every((part) => /^[A-Z]/.test(part) && (part.length <= 3 || !text.includes('/') || /[a-z]/.test(part) || /\d/.test(part)));
}

const FIELD_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** The name of a header field (RFC 9110 5.1). */
export function fieldNameFault(text: string): string | null {
  return FIELD_NAME.test(text) ? null : `${shown(text)} is not the name of a header field`;
}

/** Fields that the gateway itself sets or that frame the message: a claim must not write them. */
const OWN_FIELDS = new Set([
  'connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'content-length', 'host', 'expect',
  'x-app', 'x-request-id', 'x-client-request-id', 'x-api-key', 'authorization', 'forwarded', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'traceparent', 'tracestate',
  'b3', 'x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled', 'x-b3-flags',
]);

export function claimHeaderFault(text: string): string | null {
  return fieldNameFault(text) ?? (OWN_FIELDS.has(foldFieldName(text)) ? `${shown(text)} is set by the gateway itself` : null);
}
