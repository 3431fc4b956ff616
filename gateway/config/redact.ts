/** A Config as it may be shown: by the control API, in diffs, in the history. */
import type { AppConfig, Config } from './schema.js';

/** Stands where a secret is. */
export const HIDDEN = '***';

/** A copy without secrets, of a configuration as written (written.ts): references (`file:PATH`, `${NAME}`) stay, what they hold does not, and of a key's hash so much as tells keys apart. */
export function redactConfig(config: Config): Config {
  return {
    ...config,
    control: redactControl(config.control),
    store: redactStore(config.store),
    shared_state: redactSharedState(config.shared_state),
    event_log: redactEventLog(config.event_log),
    privacy: redactPrivacy(config.privacy),
    tracing: redactTracing(config.tracing),
    apps: config.apps.map(redactApp),
  };
}

function redactControl(control: Config['control']): Config['control'] {
  // absent in a configuration that an earlier version left in the history
  const { tokens } = control as Partial<Config['control']>;
  return {
    ...control,
    ...(control.token === undefined ? {} : { token: redactSecret(control.token) }),
    ...(tokens === undefined ? {} : { tokens: tokens.map((token) => ({ ...token, sha256: redactHash(token.sha256) })) }),
  };
}

/** The keys of `tls` are `file:` references always. */
function redactEventLog(log: Config['event_log']): Config['event_log'] {
  // absent in a configuration that an earlier version left in the history
  const { kafka } = log as Partial<Config['event_log']> ?? {};
  return kafka?.sasl === undefined ? log : { ...log, kafka: { ...kafka, sasl: { ...kafka.sasl, password: redactSecret(kafka.sasl.password) } } };
}

export function redactApp(app: AppConfig): AppConfig {
  return {
    ...app,
    keys: app.keys.map((key) => ({ ...key, sha256: redactHash(key.sha256) })),
    ...(app.webhook === undefined ? {} : { webhook: { ...app.webhook, secret: redactSecret(app.webhook.secret) } }),
    ...(app.jwt?.secret === undefined ? {} : { jwt: { ...app.jwt, secret: redactSecret(app.jwt.secret) } }),
  };
}

function redactPrivacy(privacy: Config['privacy']): Config['privacy'] {
  // absent in a configuration that an earlier version left in the history
  const { key } = privacy as Partial<Config['privacy']> ?? {};
  return key === undefined ? privacy : { ...privacy, key: redactSecret(key) };
}

/** Of a receiver's header fields the values: any may be a credential. */
function redactTracing(tracing: Config['tracing']): Config['tracing'] {
  // absent in a configuration that an earlier version left in the history
  const { otlp } = tracing as Partial<Config['tracing']> ?? {};
  if (otlp === undefined) return tracing;
  return { ...tracing, otlp: { ...otlp, headers: Object.fromEntries(Object.entries(otlp.headers).map(([name, value]) => [name, redactSecret(value)])) } };
}

function redactStore(store: Config['store']): Config['store'] {
  // absent in a configuration that an earlier version left in the history
  const { clickhouse } = store as Partial<Config['store']> ?? {};
  return clickhouse?.password === undefined ? store : { ...store, clickhouse: { ...clickhouse, password: redactSecret(clickhouse.password) } };
}

/** A password may also stand in the url. */
function redactSharedState(state: Config['shared_state']): Config['shared_state'] {
  const { redis } = state as Partial<Config['shared_state']> ?? {};
  if (redis === undefined) return state;
  const url = redis.url.replaceAll(/(\/\/[^:/@,]*):[^/,]*@/g, `$1:${HIDDEN}@`);
  return { ...state, redis: { ...redis, url, ...(redis.password === undefined ? {} : { password: redactSecret(redis.password) }) } };
}

function redactSecret(secret: string): string {
  return secret === '' || secret.startsWith('file:') || isVariable(secret) ? secret : HIDDEN;
}

/** A variable alone, as asWritten puts it in: no default, which could be the secret itself. */
function isVariable(text: string): boolean {
  return /^(?:\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$TIDEGATE__\w+)$/.test(text);
}

function redactHash(sha256: string): string {
  if (isVariable(sha256)) return sha256;
  // of one that is redacted already, the same
  return /^[0-9a-f]{8}(?:[0-9a-f]{56}|\.\.\.)$/.test(sha256) ? `${sha256.slice(0, 8)}...` : HIDDEN;
}
