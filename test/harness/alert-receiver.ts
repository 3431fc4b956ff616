/** What Alertmanager's webhooks go to: who was sent which alert, and how it stands. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Labels } from './prometheus.js';

export interface ReceivedAlert {
  readonly receiver: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  /** The newest word. */
  readonly status: 'firing' | 'resolved';
}

export class AlertReceiver implements AsyncDisposable {
  readonly #alerts = new Map<string, ReceivedAlert>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (piece: string) => { text += piece; }).on('end', () => {
        const { alerts } = JSON.parse(text) as { alerts: Omit<ReceivedAlert, 'receiver'>[] };
        const receiver = (request.url ?? '').slice(1);
        for (const { labels, annotations, status } of alerts) {
          const key = `${receiver} ${JSON.stringify(labels)}`;
          // the end of an alert that was inhibited may be told with the end of what inhibited it: nobody was called for it
          if (status === 'firing' || this.#alerts.has(key)) this.#alerts.set(key, { receiver, labels, annotations, status });
        }
        response.writeHead(204).end();
      });
    });
  }

  static async start(): Promise<AlertReceiver> {
    const receiver = new AlertReceiver();
    await once(receiver.#server.listen(0, '127.0.0.1'), 'listening');
    return receiver;
  }

  get url(): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; }

  /** All that ever fired here, each once. */
  get alerts(): readonly ReceivedAlert[] { return [...this.#alerts.values()]; }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }
}
