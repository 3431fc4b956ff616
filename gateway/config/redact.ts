/** A Config as it may be shown: by the control API, in diffs, in the history. */
import type { AppConfig, Config } from './schema.js';

/** Stands where a secret is. */
export const HIDDEN = '***';

/** A copy without secrets: references (`file:PATH`) stay, what they or a variable hold does not, and of a key's hash so much as tells keys apart. */
export function redactConfig(config: Config): Config {
  return {
    ...config,
    control: config.control.token === undefined ? config.control : { ...config.control, token: redactSecret(config.control.token) },
    apps: config.apps.map(redactApp),
  };
}

export function redactApp(app: AppConfig): AppConfig {
  return {
    ...app,
    keys: app.keys.map(({ id, sha256 }) => ({ id, sha256: redactHash(sha256) })),
    ...(app.jwt?.secret === undefined ? {} : { jwt: { ...app.jwt, secret: redactSecret(app.jwt.secret) } }),
  };
}

function redactSecret(secret: string): string {
  return secret === '' || secret.startsWith('file:') ? secret : HIDDEN;
}

function redactHash(sha256: string): string {
  return `${sha256.slice(0, 8)}...`;
}
