/** The checker's upstream as a process, and its faults. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import net from 'node:net';
import type { FaultKind } from './fault.js';
import { eventually, freePort, KeptChild } from './processes.js';

const STARTS_WITHIN_MS = 30_000;

export class Upstream {
  readonly url: string;
  readonly #port: number;
  readonly #child: KeptChild;

  private constructor(folder: string, port: number) {
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#child = new KeptChild({
      command: process.execPath, args: [fileURLToPath(new URL('./upstream-process.js', import.meta.url)), '--port', String(port)], logFile: join(folder, 'upstream.log'),
    });
  }

  static async start(folder: string): Promise<Upstream> {
    const upstream = new Upstream(folder, await freePort());
    await upstream.whole();
    return upstream;
  }

  async whole(): Promise<void> {
    this.signal('SIGCONT');
    this.#child.start();
    await eventually('the upstream listens', () => listens(this.#port), STARTS_WITHIN_MS, 20);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.signal(signal);
  }

  async end(): Promise<void> {
    await this.#child.end();
  }
}

export function upstreamFaults(upstream: Upstream): FaultKind[] {
  return [
    {
      name: 'kill upstream', missing: null,
      plan: (random) => {
        const ms = random.integer(0, 3000);
        return {
          detail: `kill -9 of the upstream, for ${ms} ms`,
          run: async () => {
            await upstream.end();
            await pause(ms);
            await upstream.whole();
          },
        };
      },
    },
    {
      name: 'stop upstream', missing: null,
      plan: (random) => {
        const ms = random.pick([700, 3000, 12_000]);
        return {
          detail: `SIGSTOP of the upstream for ${ms} ms`,
          run: async () => {
            upstream.signal('SIGSTOP');
            await pause(ms);
            upstream.signal('SIGCONT');
          },
        };
      },
    },
  ];
}

export function listens(port: number): Promise<true | null> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => { socket.destroy(); resolve(true); });
    socket.once('error', () => { resolve(null); });
  });
}
