/** A collector with a ledger in memory behind a control origin, and receivers in processes of their own: all clocks are set by the test. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createCollectorApi, listenCollectorApi } from '../../collector/api/server.js';
import type { BillingEntry } from '../../collector/billing/entry.js';
import { madeEntry, MemoryLedger } from '../../collector/billing/memory-ledger.fixture.js';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { migrate } from '../../collector/store/migrate.js';
import type { ControlDeps } from '../../gateway/control/control-deps.js';
import { ReportQuota } from '../../gateway/control/report-quota.js';
import { createControlServer } from '../../gateway/control/server.js';
import { WrongTokens } from '../../gateway/control/wrong-tokens.js';
import type { Fault, Orders, Told } from './receiver-process.fixture.js';

const CHILD = fileURLToPath(new URL(`./receiver-process.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
const TOKEN = 'operator-token-0123456789';
export const DAY_MS = 86_400_000;

export class TestReceiver implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(kind: string, nowMs: number): Promise<TestReceiver> {
    const child = spawn(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, kind], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const ended = once(child, 'exit').then(([code]) => { throw new Error(`the receiver ended: ${String(code)}`); });
    // of one that ends later nobody waits
    ended.catch(() => undefined);
    const [{ port }] = await Promise.race([once(child, 'message'), ended]) as [{ port: number }];
    const receiver = new TestReceiver(child, `http://127.0.0.1:${port}`);
    await receiver.order({ nowMs });
    return receiver;
  }

  /** Resolves when it has been told. */
  order(orders: Orders): Promise<Told> {
    return new Promise((resolve) => {
      const heard = (message: { told?: Told }): void => {
        if (message.told === undefined) return;
        this.#child.off('message', heard);
        resolve(message.told);
      };
      this.#child.on('message', heard);
      this.#child.send(orders);
    });
  }

  /** Resolves with the request of this number. */
  seen(number: number): Promise<void> {
    return new Promise((resolve) => {
      const heard = (message: { seen?: number }): void => {
        if (message.seen === undefined || message.seen < number) return;
        this.#child.off('message', heard);
        resolve();
      };
      this.#child.on('message', heard);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.disconnect();
    await once(this.#child, 'exit');
  }
}

export const times = (count: number, fault: Fault): Fault[] => Array.from({ length: count }, () => fault);

export class TestBilling implements AsyncDisposable {
  readonly place: { readonly url: string; readonly token: string; readonly tokenOf: null };
  readonly ledger: MemoryLedger;
  readonly #end: () => Promise<void>;
  readonly #clock: { nowMs: number };

  private constructor(url: string, ledger: MemoryLedger, clock: { nowMs: number }, end: () => Promise<void>) {
    this.place = { url, token: TOKEN, tokenOf: null };
    this.ledger = ledger;
    this.#clock = clock;
    this.#end = end;
  }

  get nowMs(): number {
    return this.#clock.nowMs;
  }

  /** Of the collector. */
  set nowMs(nowMs: number) {
    this.#clock.nowMs = nowMs;
  }

  static async start(entries: readonly BillingEntry[]): Promise<TestBilling> {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-push-'));
    const collectorSocket = join(folder, 'collector.sock');
    const store = await ChdbStore.open(join(folder, 'store'));
    await migrate(store);
    const ledger = new MemoryLedger(entries);
    const clock = { nowMs: Date.now() };
    const api = createCollectorApi({
      store, billing: { entries: ledger, store }, nowMs: () => clock.nowMs, asOfMs: () => clock.nowMs, status: () => ({}), quarantine: { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) },
      completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [] }]), kept: () => ({ eventsMs: 1, minutesMs: 1, quarterHoursMs: 1 }),
      log: { debug: () => undefined, warn: () => undefined, error: (fields, text) => { console.error(fields, text); } },
    });
    await listenCollectorApi(api, collectorSocket);
    const control = createControlServer({
      token: () => TOKEN, tokens: () => [], quota: new ReportQuota(() => 1_000_000), collectorSocket, collectorStandsStill: () => false, identify: () => Promise.resolve(null), wrongTokens: new WrongTokens({ count: () => undefined, log: { warn: () => undefined } }), trustedProxies: () => null, timeZoneOf: () => null, address: () => '127.0.0.1:9180',
      log: { info: () => undefined, warn: () => undefined, error: (fields: unknown, text: string) => { console.error(fields, text); } },
    } as unknown as ControlDeps, '0');
    await control.listen({ host: '127.0.0.1', port: 0 });
    const { port } = control.server.address() as AddressInfo;
    return new TestBilling(`http://127.0.0.1:${port}`, ledger, clock, async () => {
      await control.close();
      await api.close();
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }
}

/** The days before today (UTC), newest last: `2026-11-21`. */
export const dayBefore = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString().slice(0, 10);

/** Of four days and 30 apps, with a credit; old enough to be closed, young enough for Stripe. */
export function recentEntries(): BillingEntry[] {
  const entries: BillingEntry[] = [];
  for (let app = 0; app < 30; app++) {
    for (let days = 6; days > 2; days--) entries.push(madeEntry({ app: `app-${app}`, customer: `cus_${app}`, day: dayBefore(days), received: 100 * app + days, refused: app % 3 }));
    if (app % 10 === 0) entries.push(madeEntry({ app: `app-${app}`, customer: `cus_${app}`, day: dayBefore(4), kind: 'credit', received: 0, refused: 0, requests: -5, billable: -5, reason: 'agreed' }));
  }
  return entries;
}
