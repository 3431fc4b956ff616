/** The ClickHouse engine behind HTTP: the test server as a process by its own command line (`test/harness/clickhouse-server-process.ts`), and its faults. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { FaultKind } from './fault.js';
import { eventually, freePort, KeptChild } from './processes.js';
import { listens } from './upstream.js';

const STARTS_WITHIN_MS = 60_000;
const INSERT = '^\\s*INSERT INTO tidegate\\.events';

export class Engine {
  readonly url: string;
  readonly storeDir: string;
  readonly #port: number;
  readonly #controlPort: number;
  readonly #server: KeptChild;

  private constructor(folder: string, port: number, controlPort: number) {
    this.#port = port;
    this.#controlPort = controlPort;
    this.url = `http://127.0.0.1:${port}`;
    const own = join(folder, 'engine');
    mkdirSync(own);
    this.storeDir = join(own, 'store');
    this.#server = new KeptChild({
      command: process.execPath, args: [fileURLToPath(new URL('../harness/clickhouse-server-process.js', import.meta.url)), '--data', own, '--port', String(port), '--control', String(controlPort)],
      logFile: join(folder, 'engine.log'), env: { UV_THREADPOOL_SIZE: '12' },
    });
  }

  static async start(folder: string): Promise<Engine> {
    const engine = new Engine(folder, await freePort(), await freePort());
    await engine.whole().catch((error: unknown) => { throw new Error(`the engine does not start:\n${readFileSync(join(folder, 'engine.log'), 'utf8').slice(-2000)}`, { cause: error }); });
    return engine;
  }

  async whole(): Promise<void> {
    this.signal('SIGCONT');
    await eventually('the engine listens', () => {
      this.start();
      return listens(this.#controlPort);
    }, STARTS_WITHIN_MS);
    await this.fault(null);
    await this.#tell('/listening', true);
    await eventually('the engine takes statements', () => listens(this.#port), STARTS_WITHIN_MS);
  }

  start(): void {
    this.#server.start();
  }

  signal(signal: NodeJS.Signals): void {
    this.#server.signal(signal);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.#server.end(signal);
  }

  /** Of inserts into events; null: all is well. */
  async fault(fault: Readonly<Record<string, unknown>> | null): Promise<void> {
    await this.#tell('/faults', fault === null ? [] : [{ statement: INSERT, ...fault }]);
  }

  async refuse(): Promise<void> {
    await this.#tell('/listening', false);
  }

  get running(): boolean { return this.#server.running; }

  async #tell(path: string, body: unknown): Promise<void> {
    await fetch(`http://127.0.0.1:${this.#controlPort}${path}`, { method: 'PUT', body: JSON.stringify(body), signal: AbortSignal.timeout(10_000) });
  }
}

export function engineFaults(engine: Engine): FaultKind[] {
  return [
    {
      name: 'engine killed', missing: null,
      plan: (random) => {
        const ms = random.integer(0, 4000);
        return {
          detail: `kill -9 of the engine, away for ${ms} ms`,
          run: async () => {
            await engine.end();
            await pause(ms);
            await engine.whole();
          },
        };
      },
    },
    {
      name: 'engine stopped', missing: null,
      plan: (random) => {
        const ms = random.pick([1000, 5000, 14_000]);
        return {
          detail: `SIGSTOP of the engine for ${ms} ms`,
          run: async () => {
            engine.signal('SIGSTOP');
            await pause(ms);
            engine.signal('SIGCONT');
          },
        };
      },
    },
    {
      name: 'engine insert', missing: null,
      plan: (random) => {
        const [kind, at, ms] = [random.pick(['stall', 'exception', 'status', 'cut', 'kill'] as const), random.pick(['before', 'during', 'after'] as const), random.integer(1, 40)];
        const [code, status, stallMs] = [random.pick([252, 242, 241, 159, 319]), random.pick([500, 503]), random.pick([500, 3000, 12_000])];
        // only a kill can be in the midst of it
        const when = kind !== 'kill' && at === 'during' ? 'after' : at;
        const what = { stall: `held for ${stallMs} ms`, exception: `answered ${code}`, status: `answered ${status}`, cut: 'cut', kill: 'the end of the engine' }[kind];
        return {
          detail: `an insert is ${what}, ${when} the engine has it`,
          run: async () => {
            await engine.fault({ kind, at: when, times: kind === 'kill' ? 1 : random.integer(1, 3), code, status, ms: kind === 'stall' ? stallMs : ms });
            await pause(6000);
            if (engine.running) await engine.fault(null).catch(() => undefined);
            await engine.whole();
          },
        };
      },
    },
    {
      name: 'engine refuses', missing: null,
      plan: (random) => {
        const ms = random.integer(500, 6000);
        return {
          detail: `every connection to the engine is cut, and none taken for ${ms} ms`,
          run: async () => {
            await engine.refuse();
            await pause(ms);
            await engine.whole();
          },
        };
      },
    },
  ];
}
