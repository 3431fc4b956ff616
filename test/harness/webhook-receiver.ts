/** Receives webhooks as an app does: checks each signature as Standard Webhooks has it, and keeps what came. */
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly id: string;
  readonly timestamp: string;
  /** The signature is that of what came. */
  readonly genuine: boolean;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export class WebhookReceiver implements AsyncDisposable {
  readonly received: Received[] = [];
  /** What it answers from now on. */
  status = 204;
  readonly #server: Server;

  private constructor(secret: string) {
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (piece: string) => { text += piece; }).on('end', () => {
        const [id, timestamp, signature] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => String(request.headers[name]));
        const expected = createHmac('sha256', secret).update(`${id}.${timestamp}.${text}`).digest('base64');
        this.received.push({ id: id ?? '', timestamp: timestamp ?? '', genuine: signature === `v1,${expected}`, text, body: JSON.parse(text) as Record<string, unknown> });
        response.writeHead(this.status, this.status >= 300 && this.status < 400 ? { location: '/elsewhere' } : {}).end();
      });
    });
  }

  /** @param port one that was free a moment ago; default: any */
  static async start(secret: string, port = 0): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(secret);
    await once(receiver.#server.listen(port, '127.0.0.1'), 'listening');
    return receiver;
  }

  get url(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/quota`; }

  /** Ids, sorted; each as often as it came. */
  get ids(): readonly string[] { return this.received.map(({ id }) => id).sort(); }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => { this.#server.close(resolve); });
  }
}
