/** Where an app is told of its quota, and with what it is signed. */
import type { Checker } from './checker.js';
import type { ConfigPath } from './config-problem.js';
import type { AppConfig, WebhookConfig } from './schema.js';
import { secretOf, type Secrets } from './secrets.js';
import { isLoopbackUrl, webhookUrlFault } from './values.js';

/** Short ones can be guessed from one message. */
const LEAST_SECRET = 24;

export function checkWebhook(app: AppConfig, { url, secret }: WebhookConfig, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  checker.value([...path, 'url'], webhookUrlFault(url));
  if (webhookUrlFault(url) === null && /^http:/i.test(url) && !isLoopbackUrl(url)) checker.warn([...path, 'url'], 'is http://: what the app has used travels in the clear');
  if (checker.sound([...path.slice(0, -1), 'limits']) && app.limits.qpd === undefined) checker.warn(path, 'is never called: the app has no quota (limits.qpd)');
  // what could not be read has a finding of its own
  if (secret.startsWith('file:') && !Object.hasOwn(secrets, secret)) return;
  const content = secretOf(secret, secrets);
  if (content.startsWith('whsec_') ? !/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/.test(content) : content.length < LEAST_SECRET) {
    checker.fail([...path, 'secret'], 'config_value', `must have ${LEAST_SECRET} characters or more, or be whsec_ and ${LEAST_SECRET} bytes or more as base64: openssl rand -base64 32`);
  }
}
