/** One attempt to tell a receiver, signed as Standard Webhooks has it (https://www.standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`. */
import { createHmac } from 'node:crypto';
import { isIP } from 'node:net';
import { Agent, request } from 'undici';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { guardedLookup, isForbiddenAddress } from '../../upstream/forbidden-address.js';

export interface Webhook {
  readonly url: string;
  /** Itself, not a reference to it. */
  readonly secret: string;
}

export interface WebhookMessage { readonly id: string; readonly body: string }

const CONNECT_TIMEOUT_MS = 5000;
/** Connection, request and the answer's head together. */
export const SEND_TIMEOUT_MS = 15_000;
/** Of a secret as Standard Webhooks writes it, the rest is base64. */
const ENCODED = 'whsec_';

export class WebhookSender {
  readonly #agent = new Agent({ connect: { timeout: CONNECT_TIMEOUT_MS, lookup: guardedLookup }, headersTimeout: SEND_TIMEOUT_MS, pipelining: 0 });

  /**
   * Resolves when the receiver has said 2xx. Follows no redirect, reads no body.
   * @param nowMs ms since the epoch, for webhook-timestamp
   * @throws TidegateError webhook_address, webhook_refused, webhook_unreachable
   */
  async send({ url, secret }: Webhook, { id, body }: WebhookMessage, nowMs: number): Promise<void> {
    const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
    // an address is not looked up
    if (isIP(host) !== 0 && isForbiddenAddress(host)) throw new TidegateError('webhook_address', host);
    const timestamp = String(Math.floor(nowMs / 1000));
    const status = await this.#post(url, {
      'content-type': 'application/json', 'user-agent': 'tidegate', 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature(secret, `${id}.${timestamp}.${body}`)}`,
    }, body);
    if (status < 200 || status >= 300) throw new TidegateError('webhook_refused', `the receiver answered ${status}`);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #post(url: string, headers: Readonly<Record<string, string>>, body: string): Promise<number> {
    try {
      const answer = await request(url, { method: 'POST', headers, body, dispatcher: this.#agent, signal: AbortSignal.timeout(SEND_TIMEOUT_MS) });
      // whatever it says, and however long: nobody reads it
      answer.body.on('error', () => {}).destroy();
      return answer.statusCode;
    } catch (error) {
      if (error instanceof TidegateError) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      throw new TidegateError('webhook_unreachable', code ?? message, { cause: error });
    }
  }
}

export function signature(secret: string, text: string): string {
  return createHmac('sha256', secret.startsWith(ENCODED) ? Buffer.from(secret.slice(ENCODED.length), 'base64') : secret).update(text).digest('base64');
}
