/** A real Redis, started by the checker, and its faults. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { FaultKind } from './fault.js';
import { eventually, freePort, KeptChild } from './processes.js';
import { listens } from './upstream.js';

const STARTS_WITHIN_MS = 30_000;

export function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version']).status === 0;
}

export class Redis {
  readonly url: string;
  readonly #port: number;
  readonly #server: KeptChild;

  private constructor(folder: string, port: number) {
    this.#port = port;
    this.url = `redis://127.0.0.1:${port}`;
    const own = join(folder, 'redis');
    mkdirSync(own);
    this.#server = new KeptChild({
      command: 'redis-server', args: ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', own], logFile: join(folder, 'redis.log'),
    });
  }

  static async start(folder: string): Promise<Redis> {
    const redis = new Redis(folder, await freePort());
    await redis.whole();
    return redis;
  }

  async whole(): Promise<void> {
    this.signal('SIGCONT');
    this.#server.start();
    await eventually('Redis listens', () => listens(this.#port), STARTS_WITHIN_MS, 20);
  }

  signal(signal: NodeJS.Signals): void {
    this.#server.signal(signal);
  }

  async end(): Promise<void> {
    await this.#server.end();
  }

  async wipe(): Promise<void> {
    await new Promise<void>((resolve) => {
      const socket = net.connect(this.#port, '127.0.0.1', () => { socket.write('FLUSHALL\r\n'); });
      socket.setTimeout(5000, () => { socket.destroy(); });
      socket.once('data', () => { socket.destroy(); });
      socket.on('error', () => {});
      socket.once('close', () => { resolve(); });
    });
  }
}

export function redisFaults(redis: Redis): FaultKind[] {
  return [
    {
      name: 'redis killed', missing: null,
      plan: (random) => {
        const [ms, wiped] = [random.integer(0, 5000), random.chance(0.5)];
        return {
          detail: `kill -9 of Redis, away for ${ms} ms${wiped ? ', and wiped' : ''}`,
          run: async () => {
            await redis.end();
            await pause(ms);
            await redis.whole();
            if (wiped) await redis.wipe();
          },
        };
      },
    },
    {
      name: 'redis stopped', missing: null,
      plan: (random) => {
        const ms = random.pick([500, 4000, 10_000]);
        return {
          detail: `SIGSTOP of Redis for ${ms} ms`,
          run: async () => {
            redis.signal('SIGSTOP');
            await pause(ms);
            redis.signal('SIGCONT');
          },
        };
      },
    },
  ];
}
