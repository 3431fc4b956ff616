/** What a schema cannot say of tracing: where spans go, and with what. */
import type { Checker } from './checker.js';
import type { ConfigPath } from './config-problem.js';
import type { TracingConfig } from './schema.js';
import { secretOf, type Secrets } from './secrets.js';
import { durationMs } from './units.js';
import { fieldNameFault, isLoopbackUrl, receiverUrlFault } from './values.js';

/** Beyond a minute the spans that wait are given up anyway, because more have come. */
const MOST_TIMEOUT_MS = 60_000;
/** What frames the export, and is the exporter's to say. */
const OWN_FIELDS = new Set(['content-type', 'content-length', 'content-encoding', 'transfer-encoding', 'host', 'connection', 'user-agent']);

export function checkTracing({ otlp, always, continue: continues }: TracingConfig, trusted: readonly string[], path: ConfigPath, secrets: Secrets, checker: Checker): void {
  const at = [...path, 'otlp'];
  if (otlp.timeout !== undefined && !(durationMs(otlp.timeout) >= 100 && durationMs(otlp.timeout) <= MOST_TIMEOUT_MS)) checker.fail([...at, 'timeout'], 'config_value', 'must be at least 100ms, and no more than 1m');
  if (always.slower_than !== undefined && !(durationMs(always.slower_than) >= 1)) checker.fail([...path, 'always', 'slower_than'], 'config_value', 'must be at least 1ms');
  if (continues === 'trusted_proxies' && trusted.length === 0) checker.warn([...path, 'continue'], 'continues nobody\'s trace: trusted_proxies is empty');
  for (const [name, value] of Object.entries(otlp.headers)) checkField(name, value, [...at, 'headers', name], secrets, checker);
  const ca = otlp.tls?.ca;
  if (ca !== undefined) {
    if (!ca.startsWith('file:')) checker.fail([...at, 'tls', 'ca'], 'config_value', 'must be file:PATH');
    else if (Object.hasOwn(secrets, ca) && !secrets[ca]?.includes('-----BEGIN CERTIFICATE-----')) checker.fail([...at, 'tls', 'ca'], 'config_file', `${ca} holds no PEM certificate`);
    else if (!/^https:/i.test(otlp.url)) checker.warn([...at, 'tls', 'ca'], 'is of no use: url does not begin with https://');
  }
  if (otlp.url === '') return;
  const fault = receiverUrlFault(otlp.url);
  checker.value([...at, 'url'], fault);
  if (fault === null && /^http:/i.test(otlp.url) && !isLoopbackUrl(otlp.url) && Object.keys(otlp.headers).length > 0) checker.warn([...at, 'url'], 'is http://: the headers travel in the clear');
}

function checkField(name: string, value: string, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  checker.value(path, fieldNameFault(name) ?? (OWN_FIELDS.has(name.toLowerCase()) ? 'is set by the exporter itself' : null));
  // of a file that cannot be read it is said that it cannot
  if (value.startsWith('file:') && !Object.hasOwn(secrets, value)) return;
  if (/[^\t\u0020-\u007e]|^[ \t]|[ \t]$/.test(secretOf(value, secrets))) checker.fail(path, 'config_value', 'is a value that no header field can have');
}
