/** Where a target is. */
export interface TargetAddress {
  readonly tls: boolean;
  /** Name or IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** host:port as it stands in a Host field; without the scheme's default port. */
  readonly authority: string;
  /** Put in front of every path; '' for none, never ends with '/'. */
  readonly basePath: string;
}

/** Takes apart a target's URL, which the configuration has checked. */
export function parseTargetUrl(text: string): TargetAddress {
  const url = new URL(text);
  const secure = url.protocol === 'https:';
  const basePath = url.pathname.replace(/\/+$/, '');
  return {
    tls: secure,
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    authority: url.host,
    basePath,
  };
}
