/** What events keep of a client's address: `privacy.client`. */
import { createHmac } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { Config } from '../../config/schema.js';
import { clientNetwork } from './client-network.js';

/** '' of what is no address. */
export type RecordedClient = (address: string) => string;

/** 96 bits: of a billion clients, two that are alike are not to be expected. */
const HASH_DIGITS = 24;

/**
 * `hash`: HMAC-SHA256 of an IPv4 address, or of the /64 that an IPv6 client chooses its addresses from. There are so few addresses that without the key all could be tried.
 * @param key of `hash`; null: there is none, which is good enough for a trial
 */
export function recordedClient(kept: Config['privacy']['client'], key: string | null): RecordedClient {
  switch (kept) {
    case 'prefix': return networkOf;
    case 'none': return nothingOf;
    case 'hash': return (address) => {
      if (key === null) throw new TidegateError('internal_error', 'no key to hash clients with');
      if (isIP(address) === 0) return '';
      return createHmac('sha256', key).update(isIPv4(address) ? address : clientNetwork(address, 4)).digest('hex').slice(0, HASH_DIGITS);
    };
  }
}

const networkOf: RecordedClient = (address) => clientNetwork(address);
const nothingOf: RecordedClient = () => '';
