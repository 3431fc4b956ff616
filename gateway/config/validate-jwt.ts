/** An app's JSON Web Tokens: the key must be there, be of the algorithm's kind, and be strong enough (RFC 7518, RFC 8725). */
import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import type { Checker } from './checker.js';
import { formatPath } from './config-problem.js';
import type { ConfigPath } from './config-problem.js';
import type { AppConfig, JwtConfig } from './schema.js';
import { secretOf } from './secrets.js';
import type { Secrets } from './secrets.js';
import { claimHeaderFault, jwksUrlFault, shown } from './values.js';
import { durationMs } from './units.js';

/** RFC 7518 3.2: as long as the hash. */
const MIN_SECRET_BYTES = 32;
const MIN_RSA_BITS = 2048;

export function checkJwt(app: AppConfig, jwt: JwtConfig, path: ConfigPath, secrets: Secrets, issuers: Map<string, ConfigPath>, checker: Checker): void {
  const issuer = jwt.issuer ?? app.name;
  const other = issuers.get(issuer);
  const issuerPath = jwt.issuer === undefined ? path : [...path, 'issuer'];
  // the name may be what does not fit the schema
  if (typeof issuer !== 'string') return;
  if (issuer === '') checker.fail(issuerPath, 'config_value', 'must not be empty');
  else if (other !== undefined) checker.fail(issuerPath, 'config_duplicate', `tokens of the issuer ${shown(issuer)} are another app's already (${formatPath(other)})`, jwt.issuer === undefined ? 'key' : 'value');
  else issuers.set(issuer, path);

  if (durationMs(jwt.leeway) > 3_600_000) checker.fail([...path, 'leeway'], 'config_value', 'is longer than 1h: expired tokens would live on');
  for (const [claim, header] of Object.entries(jwt.claims)) checker.value([...path, 'claims', claim], claimHeaderFault(header));

  if (jwt.algorithm === 'HS256') checkSecret(jwt, path, secrets, checker);
  else checkKeySet(jwt, path, secrets, checker);
}

function checkSecret(jwt: JwtConfig, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  if (jwt.jwks !== undefined) checker.fail([...path, 'jwks'], 'config_value', 'HS256 has a secret, no key set', 'key');
  if (jwt.secret === undefined || jwt.secret === '') {
    checker.fail(jwt.secret === undefined ? path : [...path, 'secret'], 'config_value', 'HS256 needs a secret: ${ENV} or file:PATH', 'key');
    return;
  }
  if (jwt.secret.startsWith('file:') && !Object.hasOwn(secrets, jwt.secret)) return;
  const bytes = Buffer.byteLength(secretOf(jwt.secret, secrets));
  if (bytes < MIN_SECRET_BYTES) checker.fail([...path, 'secret'], 'config_value', `is ${bytes} bytes long; HS256 needs ${MIN_SECRET_BYTES} or more`);
}

function checkKeySet(jwt: JwtConfig, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  if (jwt.secret !== undefined) checker.fail([...path, 'secret'], 'config_value', `${jwt.algorithm} has a key set (jwks), no secret`, 'key');
  if (jwt.jwks === undefined || jwt.jwks === '') {
    checker.fail(jwt.jwks === undefined ? path : [...path, 'jwks'], 'config_value', `${jwt.algorithm} needs jwks: file:PATH or an https:// URL`, 'key');
    return;
  }
  if (!jwt.jwks.startsWith('file:')) {
    checker.value([...path, 'jwks'], jwksUrlFault(jwt.jwks));
    return;
  }
  if (!Object.hasOwn(secrets, jwt.jwks)) return;
  const fault = keySetFault(secretOf(jwt.jwks, secrets), jwt.algorithm);
  if (fault !== null) checker.fail([...path, 'jwks'], 'config_file', fault);
}

function keySetFault(content: string, algorithm: JwtConfig['algorithm']): string | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    return 'the file is not JSON';
  }
  const keys = (parsed as { readonly keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) return 'the file is not a JWK set: {"keys": [...]}';
  let usable = 0;
  for (const [i, key] of (keys as (JsonWebKey | null)[]).entries()) {
    if (typeof key !== 'object' || key === null) return `keys[${i}] is not a key`;
    if (key['d'] !== undefined) return `keys[${i}] holds a private key: the gateway needs the public half only`;
    // a symmetric key in a key set is never used: whoever reads the set could sign
    if (key.kty === 'oct') continue;
    let publicKey: KeyObject;
    try {
      publicKey = createPublicKey({ key, format: 'jwk' });
    } catch {
      return `keys[${i}] cannot be read as a public key`;
    }
    if (key['alg'] !== undefined && key['alg'] !== algorithm && !(algorithm === 'EdDSA' && key['alg'] === 'Ed25519')) continue;
    if (!fits(publicKey, algorithm)) continue;
    if (algorithm === 'RS256' && (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS) return `keys[${i}] is shorter than ${MIN_RSA_BITS} bits`;
    usable++;
  }
  return usable > 0 ? null : `no key in the file is for ${algorithm}`;
}

function fits(key: KeyObject, algorithm: JwtConfig['algorithm']): boolean {
  switch (algorithm) {
    case 'RS256': return key.asymmetricKeyType === 'rsa';
    case 'ES256': return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
    case 'EdDSA': return key.asymmetricKeyType === 'ed25519';
    case 'HS256': return false;
  }
}
