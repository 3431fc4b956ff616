import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { createLocalJWKSet, type JWK } from 'jose';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { JwtConfig } from '../config/schema.js';
import type { KeyPicker } from './remote-key-sets.js';
import { exponentFault } from './rsa-exponent.js';

/** A token's key must be of the kind that the app's one algorithm takes (RFC 8725 3.1); HS256 has a secret instead. */
const FITS: Readonly<Record<Exclude<JwtConfig['algorithm'], 'HS256'>, (key: KeyObject) => boolean>> = {
  RS256: (key) => key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= 2048,
  ES256: (key) => key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1',
  EdDSA: (key) => key.asymmetricKeyType === 'ed25519',
};

/**
 * Reads the text of a JWKS file. Each key is parsed now, so that a bad file is told at load. Keys of other kinds are passed over (a set may
 * serve several algorithms). Throws TidegateError config_file: not a JWKS, a key that is malformed or private, or none that fits.
 */
export function readJwks(text: string, algorithm: JwtConfig['algorithm'], where: string): KeyPicker {
  if (algorithm === 'HS256') throw new TidegateError('config_value', `${where}: HS256 takes a secret, not a JWKS`);
  let keys: unknown;
  try {
    const parsed: unknown = JSON.parse(text);
    keys = typeof parsed === 'object' && parsed !== null && 'keys' in parsed ? parsed.keys : undefined;
  } catch {
    // Not the parser's message: it quotes the text.
    throw new TidegateError('config_file', `${where}: the JWKS is not JSON`);
  }
  if (!Array.isArray(keys)) throw new TidegateError('config_file', `${where}: the JWKS has no list \`keys\``);
  const fitting: JWK[] = [];
  for (const [i, jwk] of (keys as (JWK | null)[]).entries()) {
    if (typeof jwk !== 'object' || jwk === null) throw new TidegateError('config_file', `${where}: key ${i} of the JWKS is no object`);
    if ('d' in jwk) throw new TidegateError('config_file', `${where}: key ${i} of the JWKS is private; only public keys belong there`);
    // Symmetric: whoever reads the set could sign.
    if (jwk.kty === 'oct') continue;
    let key: KeyObject;
    try {
      key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
    } catch {
      throw new TidegateError('config_file', `${where}: key ${i} of the JWKS is malformed or of an unknown kind`);
    }
    const fault = exponentFault(key);
    if (fault !== null) throw new TidegateError('config_file', `${where}: key ${i} of the JWKS has ${fault}, so anybody could sign with it`);
    const named: string = jwk.alg === 'Ed25519' ? 'EdDSA' : jwk.alg ?? algorithm;
    if (named === algorithm && (jwk.use ?? 'sig') === 'sig' && FITS[algorithm](key)) fitting.push({ ...jwk, alg: algorithm });
  }
  if (fitting.length === 0) throw new TidegateError('config_file', `${where}: no key of the JWKS fits ${algorithm}${algorithm === 'RS256' ? ' with 2048 bits or more' : ''}`);
  return createLocalJWKSet({ keys: fitting });
}

/** Reads an HS256 secret. Throws TidegateError config_value: shorter than 32 bytes (RFC 7518 3.2), or a PEM key, which is no secret. */
export function readHmacSecret(text: string, where: string): Uint8Array {
  const secret = new TextEncoder().encode(text);
  if (secret.length < 32) throw new TidegateError('config_value', `${where}: an HS256 secret has 32 bytes or more`);
  if (text.includes('-----BEGIN ')) throw new TidegateError('config_value', `${where}: a PEM key is no HS256 secret`);
  return secret;
}
