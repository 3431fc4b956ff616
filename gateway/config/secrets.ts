/**
 * Secrets and key files that the configuration refers to as `file:PATH`. Their content is kept apart from the Config, under the reference
 * as written, so that what shows a Config shows none of it.
 */
import { resolve } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { readBounded } from './bounded-file.js';
import type { ConfigPath, Finding } from './config-problem.js';
import type { Config, KafkaConfig } from './schema.js';

/** Content by reference (`file:acme.jwks.json`). Plain data: it can be sent to another process. */
export type Secrets = Readonly<Record<string, string>>;

const PREFIX = 'file:';
const MAX_BYTES = 1024 * 1024;

/** Absolute path of a `file:` reference, relative ones from the configuration file's folder; null: no file. */
export function secretFile(reference: string, baseDir: string): string | null {
  return reference.startsWith(PREFIX) ? resolve(baseDir, reference.slice(PREFIX.length)) : null;
}

/**
 * The secret that `reference` stands for: itself, or the file's content without the line end that editors add.
 * @throws TidegateError config_file
 */
export function readSecret(reference: string, baseDir: string): string {
  const path = secretFile(reference, baseDir);
  if (path === null) return reference;
  const read = readBounded(path, MAX_BYTES);
  if (read.bytes === null) throw new TidegateError('config_file', `${reference} ${read.code === null ? read.why : `cannot be read: ${read.code}`}`);
  const content = read.bytes.toString('utf8').replace(/\r?\n$/, '');
  if (content === '') throw new TidegateError('config_file', `${reference} is empty`);
  return content;
}

/** The content that a value of the Config stands for. */
export function secretOf(reference: string, secrets: Secrets): string {
  return secrets[reference] ?? reference;
}

/** Every place of a Config where `file:` may stand, with what stands there. */
export function secretReferences(config: Config): { readonly path: ConfigPath; readonly reference: string }[] {
  const found: { path: ConfigPath; reference: string }[] = [];
  if (typeof config.control?.token === 'string') found.push({ path: ['control', 'token'], reference: config.control.token });
  const { clickhouse } = config.store ?? {};
  if (typeof clickhouse?.password === 'string') found.push({ path: ['store', 'clickhouse', 'password'], reference: clickhouse.password });
  if (typeof clickhouse?.tls?.ca === 'string') found.push({ path: ['store', 'clickhouse', 'tls', 'ca'], reference: clickhouse.tls.ca });
  const kafka = config.event_log?.kafka as Partial<KafkaConfig> | undefined;
  if (typeof kafka?.sasl?.password === 'string') found.push({ path: ['event_log', 'kafka', 'sasl', 'password'], reference: kafka.sasl.password });
  if (typeof kafka?.tls === 'object') {
    for (const [key, reference] of Object.entries(kafka.tls)) if (typeof reference === 'string') found.push({ path: ['event_log', 'kafka', 'tls', key], reference });
  }
  const redis = config.shared_state?.redis;
  if (typeof redis?.password === 'string') found.push({ path: ['shared_state', 'redis', 'password'], reference: redis.password });
  if (typeof redis?.tls?.ca === 'string') found.push({ path: ['shared_state', 'redis', 'tls', 'ca'], reference: redis.tls.ca });
  if (typeof config.privacy?.key === 'string') found.push({ path: ['privacy', 'key'], reference: config.privacy.key });
  for (const [name, reference] of Object.entries(config.tracing?.otlp?.headers ?? {})) if (typeof reference === 'string') found.push({ path: ['tracing', 'otlp', 'headers', name], reference });
  if (typeof config.tracing?.otlp?.tls?.ca === 'string') found.push({ path: ['tracing', 'otlp', 'tls', 'ca'], reference: config.tracing.otlp.tls.ca });
  for (const [i, app] of (Array.isArray(config.apps) ? config.apps : []).entries()) {
    if (typeof app?.jwt?.secret === 'string') found.push({ path: ['apps', i, 'jwt', 'secret'], reference: app.jwt.secret });
    if (typeof app?.webhook?.secret === 'string') found.push({ path: ['apps', i, 'webhook', 'secret'], reference: app.webhook.secret });
    if (typeof app?.jwt?.jwks === 'string') found.push({ path: ['apps', i, 'jwt', 'jwks'], reference: app.jwt.jwks });
  }
  return found;
}

/** Reads every `file:` reference, each file once. `files`: their absolute paths, also of those that cannot be read (to be watched). */
export function readSecrets(config: Config, baseDir: string): { readonly secrets: Secrets; readonly files: readonly string[]; readonly findings: readonly Finding[] } {
  const secrets: Record<string, string> = {};
  const failed = new Map<string, string>();
  const files = new Set<string>();
  const findings: Finding[] = [];
  for (const { path, reference } of secretReferences(config)) {
    const file = secretFile(reference, baseDir);
    if (file === null) continue;
    files.add(file);
    if (!Object.hasOwn(secrets, reference) && !failed.has(reference)) {
      try {
        secrets[reference] = readSecret(reference, baseDir);
      } catch (error) {
        failed.set(reference, (error as Error).message);
      }
    }
    const message = failed.get(reference);
    if (message !== undefined) findings.push({ path, at: 'value', code: 'config_file', message });
  }
  return { secrets, files: [...files], findings };
}
