import { TidegateError } from '../../errors/tidegate-error.js';
import type { KeyScope } from '../config/keys.js';
import type { JwtConfig } from '../config/schema.js';
import type { CompiledApp } from '../config/snapshot.js';
import { claimHeaderFault } from '../config/values.js';
import { ApiKeys } from './api-key.js';
import { readHmacSecret, readJwks } from './jwt-keys.js';
import { Tokens } from './jwt.js';
import type { IdentityLog, KeyPicker, RemoteKeySets } from './remote-key-sets.js';

/** Who may call, by what they show: built with each snapshot, and with it ends what it remembers. */
export interface IdentityIndex {
  readonly apiKeys: ApiKeys;
  readonly tokens: Tokens;
  /**
   * Every header (lower case) that any app's claims may set. A client's own field of such a name never goes upstream, on any
   * route: else a caller whose token lacks the claim, or who shows a key, could set it.
   */
  readonly claimHeaderNames: ReadonlySet<string>;
}

export interface IdentitySources {
  /** Which API keys let in: those for the gateway's traffic, or those for reports. Tokens are good for both. */
  readonly scope: KeyScope;
  /** The content of `file:PATH`, or the text itself. */
  readonly readSecret: (reference: string) => string;
  /** Kept from snapshot to snapshot by the worker. */
  readonly remoteKeySets: RemoteKeySets;
  readonly log: IdentityLog;
}

/** Throws TidegateError: config_duplicate, config_value, config_file. 100,000 apps with keys take about 0.2 s; a JWKS file about 0.1 ms a key. */
export function buildIdentityIndex(apps: ReadonlyMap<string, CompiledApp>, sources: IdentitySources): IdentityIndex {
  const apiKeys = new ApiKeys();
  const tokens = new Tokens(sources.log);
  const claimHeaderNames = new Set<string>();
  const urls = new Set<string>();
  for (const app of apps.values()) {
    for (const key of app.config.keys) apiKeys.add(app, key.id, key.sha256, key.scopes.includes(sources.scope));
    const jwt = app.config.jwt;
    if (jwt === undefined) continue;
    const where = `app ${app.name}`;
    for (const header of Object.values(jwt.claims)) {
      const fault = claimHeaderFault(header);
      if (fault !== null) throw new TidegateError('config_value', `${where}: ${fault}`);
      claimHeaderNames.add(header.toLowerCase());
    }
    tokens.add(app, jwt, keysOf(jwt, where, sources, urls));
  }
  sources.remoteKeySets.retain(urls);
  return { apiKeys, tokens, claimHeaderNames };
}

function keysOf(jwt: JwtConfig, where: string, sources: IdentitySources, urls: Set<string>): Uint8Array | KeyPicker {
  if (jwt.algorithm === 'HS256') {
    if (jwt.secret === undefined) throw new TidegateError('config_value', `${where}: HS256 needs a secret`);
    return readHmacSecret(sources.readSecret(jwt.secret), where);
  }
  if (jwt.jwks === undefined) throw new TidegateError('config_value', `${where}: ${jwt.algorithm} needs a JWKS`);
  if (/^https?:\/\//i.test(jwt.jwks)) {
    urls.add(jwt.jwks);
    return sources.remoteKeySets.get(jwt.jwks);
  }
  return readJwks(sources.readSecret(jwt.jwks), jwt.algorithm, where);
}
