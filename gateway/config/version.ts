/** What a configuration is known by: a hash of its content, the same for the same content however it was written. */
import { createHash } from 'node:crypto';
import type { Config } from './schema.js';
import type { Secrets } from './secrets.js';

/** JSON with sorted keys and without spaces: one text for one value. `undefined` members are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/**
 * First 12 hexadecimal digits of the SHA-256 of the content; a changed key file changes it too. The node's own name is no part of it: nodes that
 * have one file with `node: "${…}"` have one version, and versions that differ are a drift.
 */
export function configVersion({ node: _own, ...config }: Config, secrets: Secrets): string {
  const digests = Object.fromEntries(Object.entries(secrets).map(([reference, content]) => [reference, sha256(content)]));
  return sha256(canonicalJson({ config, secrets: digests })).slice(0, 12);
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
