import { KeyObject } from 'node:crypto';
import type { CryptoKey } from 'jose';

/**
 * What is wrong with an RSA key's public exponent, in words; null: nothing, or it is no RSA key. With exponent 1 every signature is its own message, so that anybody can sign; an
 * even one is none (RFC 8017 3.1: odd, 3 or more). No sound software makes either.
 */
export function exponentFault(key: KeyObject | CryptoKey): string | null {
  let exponent: bigint | undefined;
  if (key instanceof KeyObject) exponent = key.asymmetricKeyDetails?.publicExponent;
  else if ('publicExponent' in key.algorithm) exponent = BigInt(`0x${Buffer.from(key.algorithm.publicExponent as Uint8Array).toString('hex')}`);
  return exponent === undefined || (exponent >= 3n && exponent % 2n === 1n) ? null : `the RSA exponent ${exponent}`;
}
