/**
 * Both shapes beside each other under one Prometheus: `many` stores into a ClickHouse through Kafka and shares limits through Redis, `one` has all of it on its own
 * disk. What can go wrong with them, each cause by itself.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DEFAULT_BOARDS_URL, DEFAULT_DOCS_URL, ruleFiles } from '../../../alerts/files.js';
import { Windows } from '../../../alerts/windows.js';
import { entryChecksum, entryId } from '../../../collector/billing/entry-checksum.js';
import { Ledger } from '../../../collector/billing/ledger.js';
import { ClickHouseStore } from '../../../collector/store/clickhouse-store.js';
import { migrate } from '../../../collector/store/migrate.js';
import { connection } from '../../../collector/store/stores.fixture.js';
import { hashKey } from '../../../gateway/config/keys.js';
import { eventually } from '../../harness/deadline.js';
import { TestClickHouse } from '../../harness/clickhouse-server.js';
import { TestKafka } from '../../harness/kafka.js';
import { OtlpReceiver } from '../../harness/otlp-receiver.js';
import { TestPrometheus } from '../../harness/prometheus.js';
import { TestRedis } from '../../harness/redis.js';
import { isGone, OPERATOR_TOKEN, TestNode, type TestConfig } from '../../harness/tidegate.js';
import { TestUpstream } from '../../harness/upstream.js';
import { WebhookReceiver } from '../../harness/webhook-receiver.js';
import type { Stores } from '../../../dashboards/preview/ask.js';

const KEY = 'key-of-acme-0123456789abcdef';
const HOOK_SECRET = `whsec_${Buffer.from('a-secret-of-32-bytes-for-a-webhook').toString('base64')}`;
const DAY_MS = 86_400_000;
/** The rules record each second, over four. */
const WINDOWS = new Windows(30);
/** Of a day, so that load uses it up. */
const QUOTA = 60;
/** So long that some dozens of them fill a segment. */
const LONG_PATH = `/open/bytes/1/${'x'.repeat(1000)}`;

const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** As far as it is edited here. */
interface EditedConfig { workers: unknown; services: [{ alerts?: object }] }

/** What has started is kept, and ended, though another of them did not start. */
async function allOf<T extends readonly Promise<unknown>[]>(starting: readonly [...T]): Promise<{ -readonly [Index in keyof T]: Awaited<T[Index]> }> {
  await Promise.allSettled(starting);
  return Promise.all(starting);
}

export class World implements AsyncDisposable {
  readonly #closers: (() => Promise<unknown>)[] = [];
  readonly #controllers: AbortController[] = [];
  /** Two days ago, noon UTC: its month is asked of billing, whatever day it is today. */
  readonly billedMs = Math.floor(Date.now() / DAY_MS) * DAY_MS - 1.5 * DAY_MS;
  kafka!: TestKafka;
  redis!: TestRedis;
  clickhouse!: TestClickHouse;
  prometheus!: TestPrometheus;
  many!: TestNode;
  one!: TestNode;
  #targets: TestUpstream[] = [];
  #ledger!: Ledger;

  static async start(): Promise<World> {
    const world = new World();
    try {
      await world.#start();
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  get stores(): Stores {
    return { prometheus: this.prometheus.url, clickhouse: this.clickhouse.url, reports: { url: this.many.controlUrl, token: OPERATOR_TOKEN } };
  }

  async #start(): Promise<void> {
    const keep = <T extends AsyncDisposable>(resource: T): T => {
      this.#closers.push(async () => { await resource[Symbol.asyncDispose](); });
      return resource;
    };
    this.#targets = [await TestUpstream.start(), await TestUpstream.start()];
    for (const target of this.#targets) this.#closers.push(() => target.stop().catch(() => {}));
    const [kafka, redis, clickhouse, hook, spans] = await allOf([
      TestKafka.start().then(keep), TestRedis.start().then(keep), TestClickHouse.start().then(keep), WebhookReceiver.start(HOOK_SECRET).then(keep), OtlpReceiver.start().then(keep),
    ]);
    [this.kafka, this.redis, this.clickhouse] = [kafka, redis, clickhouse];
    await this.#billedBefore();
    const [many, one] = await allOf([
      TestNode.start(this.#config(hook.url, spans.url, {
        node: 'many', event_log: { kafka: { brokers: kafka.brokers, partitions: 2 } }, store: { clickhouse: { url: clickhouse.url, timeout: '5s' } }, shared_state: { redis: { url: redis.url } },
      })).then(keep),
      TestNode.start(this.#config(hook.url, spans.url, { node: 'one', event_log: { spool: { max_bytes: '8MiB', segment_bytes: '64KiB' } } })).then(keep),
    ]);
    [this.many, this.one] = [many, one];
    this.prometheus = keep(await TestPrometheus.start({ nodes: [many, one].map(({ controlUrl }) => controlUrl.slice('http://'.length)), rules: this.#rules(), every: '1s' }));
  }

  /** Those of the repository, in a folder of their own. */
  #rules(): string {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-rules-'));
    this.#closers.push(async () => { rmSync(folder, { recursive: true }); });
    for (const [name, text] of ruleFiles({ windows: WINDOWS, docsUrl: DEFAULT_DOCS_URL, boardsUrl: DEFAULT_BOARDS_URL })) writeFileSync(join(folder, name), text);
    return folder;
  }

  #config(hook: string, spans: string, more: TestConfig): TestConfig {
    return {
      workers: 2, tracing: { otlp: { url: spans }, ratio: 0.1 }, billing: { grace: '6s' },
      services: [{
        name: 'shop', team: 'storefront', record_path: 'full', slo: { availability: 99.9, latency: { threshold: '100ms', share: 99 } },
        upstream: { targets: this.#targets.map(({ url }) => ({ url })), skip_refused: '500ms', timeouts: { headers: '4s', total: '5s' } },
        routes: [
          { name: 'open', match: { path: '/open/*' }, strip_prefix: '/open', authentication: [] },
          { name: 'slow', match: { path: '/shop/slow/*' }, strip_prefix: '/shop' },
          { name: 'all', match: { path: '/shop/*' }, strip_prefix: '/shop' },
        ],
      }],
      apps: [{ name: 'acme', customer: 'C-1001', services: ['shop'], keys: [{ id: 'k', sha256: hashKey(KEY) }], limits: { qps: 200, burst: 200, qpd: { limit: QUOTA, over: 'refuse' } }, webhook: { url: hook, secret: HOOK_SECRET } }],
      ...more,
    };
  }

  /** The app was named three days ago, one of its days is closed, and since yesterday a stream is silent: the day that is due is not whole. */
  async #billedBefore(): Promise<void> {
    const store = new ClickHouseStore(connection(this.clickhouse.url));
    this.#closers.push(() => store.close());
    await migrate(store);
    const midnight = Math.floor(Date.now() / DAY_MS) * DAY_MS;
    await store.command(`INSERT INTO tidegate.billing_terms (app, from_ms, customer, time_zone, quota, over, removed, least_day) VALUES ('acme', ${midnight - 2 * DAY_MS}, 'C-1001', 'UTC', ${QUOTA}, 'refuse', false, '')`);
    await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven) VALUES (4711, 'gone', 1, fromUnixTimestamp64Milli(toInt64(${midnight - DAY_MS / 2}), 'UTC'), NULL, 6, true)`);
    this.#ledger = new Ledger(store);
    await this.#closeDay('acme', 120);
  }

  /** As another collector would: the day two days ago, of an app with a quota of 100 and `over: bill`, closed in spite of a gap. */
  async #closeDay(app: string, billable: number): Promise<void> {
    const [startMs, endMs] = [this.billedMs - DAY_MS / 2, this.billedMs + DAY_MS / 2];
    const day = dayOf(startMs);
    const entry = {
      entry_id: entryId('usage', app, day), kind: 'usage', customer: 'C-1001', app, day, for_day: day, time_zone: 'UTC', day_start: new Date(startMs).toISOString(), day_end: new Date(endMs).toISOString(),
      received: billable, refused: 0, requests: billable, billable, quota: 100, over_quota: Math.max(0, billable - 100), status: 'closed', complete: false, reason: 'a disk was lost',
    } as const;
    const batch = await this.#ledger.lastBatch() + 1;
    if (!await this.#ledger.append(batch, [{ ...entry, checksum: entryChecksum(entry), over: 'bill' }], { asOfMs: Date.now(), coverage: '' })) throw new Error('another collector wrote to the ledger');
  }

  async call(node: TestNode, path: string, { key = KEY, body }: { readonly key?: string; readonly body?: string } = {}): Promise<void> {
    try {
      const answer = await fetch(node.url + path, { headers: { 'x-api-key': key }, ...(body === undefined ? {} : { method: 'POST', body }) });
      await answer.arrayBuffer();
    } catch {
      // a worker was killed, or its upstream: that is what is done here
    }
  }

  /** Requests one after the other, until `quiet` or the end. */
  #goOn(perSecond: number, next: (index: number) => Promise<void>): void {
    const controller = new AbortController();
    this.#controllers.push(controller);
    void (async () => {
      for (let index = 0; !controller.signal.aborted; index++) await Promise.all([next(index), pause(1000 / perSecond)]);
    })();
  }

  /** Some requests of each kind but bad ones, all the time. */
  trickle(): void {
    for (const node of [this.many, this.one]) {
      this.#goOn(4, (index) => this.call(node, index % 8 === 0 ? '/shop/bytes/10' : '/open/bytes/10', index % 4 === 0 ? { body: 'a' } : {}));
    }
  }

  /** Errors, slow answers, large bodies, refusals of all kinds, and more of everything. */
  load(): void {
    const large = 'b'.repeat(50_000);
    for (const node of [this.many, this.one]) {
      for (let i = 0; i < 3; i++) this.#goOn(15, (index) => this.call(node, index % 2 === 0 ? '/shop/bytes/30000' : '/open/status/500', index % 3 === 0 ? { body: large } : {}));
      for (let i = 0; i < 6; i++) this.#goOn(2, () => this.call(node, '/shop/slow/2600'));
      for (let i = 0; i < 4; i++) this.#goOn(2, () => this.call(node, '/open/slow/2600'));
      this.#goOn(5, () => this.call(node, '/shop/bytes/1', { key: 'nobody' }));
      this.#goOn(5, () => this.call(node, '/nowhere'));
    }
  }

  quiet(): void {
    for (const controller of this.#controllers.splice(0)) controller.abort();
  }

  /** All at once, each for as long as it takes to be seen; `seen` waits for that. */
  async faults(seen: () => Promise<void>): Promise<void> {
    const { many, one } = this;
    await this.#targets[1]?.stop();
    await many.kill(many.pids('worker')[0] ?? 0);
    const stopped = [...one.pids('worker'), ...one.pids('supervisor')];
    // several times: a worker's delay is of the last second alone
    for (let i = 0; i < 5; i++) {
      for (const pid of stopped) process.kill(pid, 'SIGSTOP');
      await pause(500);
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
      await pause(400);
    }
    const [collector = 0] = one.pids('collector');
    process.kill(collector, 'SIGSTOP');
    // what stands still does not see its node end
    this.#closers.push(async () => { if (!isGone(collector)) process.kill(collector, 'SIGCONT'); });
    const read = this.#segments();
    await this.#fillSegments();
    this.#damageSpool(read);
    // segments that are not stored yet: the spool is full, and events are dropped
    const ballast = join([...this.#segments().keys()][0] ?? '', '..', '99999999.seg');
    writeFileSync(ballast, Buffer.alloc(9 * 1024 * 1024));
    // an edit that applies, then one that does not
    for (const node of [many, one]) {
      await this.#edit(node, (config) => { config.services[0].alerts = { error_ratio: 0.05 }; });
      await this.#edit(node, (config) => { config.workers = 'many'; });
    }
    const connections = await Promise.all(Array.from({ length: 30 }, () => fetch(`${many.controlUrl}/v1/reports/live`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, accept: 'text/event-stream' } })));
    // inserts take long, and the ledger cannot be read: an edit makes the collector look at it
    await this.clickhouse.faults({ kind: 'stall', ms: 2600, statement: '^INSERT INTO tidegate.events' }, { kind: 'exception', code: 241, statement: 'billing_' });
    await this.#edit(many, (config) => {
      config.workers = 2;
      config.services[0].alerts = { error_ratio: 0.04 };
    });
    await eventually('the ledger cannot be read', async () => (await this.prometheus.query('tidegate_billing_failing == 1')).length > 0 || null, 30_000, 200);
    await pause(4000);
    await this.clickhouse.faults();
    await this.clickhouse.refuse();
    await this.kafka.kill();
    this.redis.pause();
    await pause(3000);
    rmSync(ballast);
    process.kill(collector, 'SIGCONT');
    await seen();
    for (const connection of connections) await connection.body?.cancel();
    this.redis.resume();
    await this.kafka.restart();
    await this.clickhouse.accept();
  }

  async #fillSegments(): Promise<void> {
    await Promise.all(Array.from({ length: 6 }, async () => { for (let i = 0; i < 60; i++) await this.call(this.one, LONG_PATH); }));
  }

  async #edit(node: TestNode, change: (config: EditedConfig) => void): Promise<void> {
    node.rewriteConfig((config) => { change(config as unknown as EditedConfig); });
    // what is not applied is answered with its errors
    await node.control('/v1/reload', { method: 'POST' }).catch(() => {});
  }

  /** Bits of events that the collector has not read yet. @param read what it may have read: segments and their bytes */
  #damageSpool(read: ReadonlyMap<string, number>): void {
    const [most] = [...this.#segments()].map(([file, bytes]) => ({ file, from: read.get(file) ?? 0, added: bytes - (read.get(file) ?? 0) })).sort((a, b) => b.added - a.added);
    if (most === undefined || most.added < 10_000) throw new Error(`no segment has grown: ${JSON.stringify(most)}`);
    const bytes = readFileSync(most.file);
    const at = most.from + (most.added >> 1);
    bytes.fill(0x55, at, at + 64);
    writeFileSync(most.file, bytes);
  }

  /** Those of `one`, and their bytes. */
  #segments(): ReadonlyMap<string, number> {
    const spool = join(this.one.dataDir, 'spool');
    return new Map(readdirSync(spool, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.seg')).map((name) => [join(spool, name), statSync(join(spool, name)).size]));
  }

  /** Another collector closes a day of another app, and an operator the one that is not whole. */
  async closing(): Promise<void> {
    await this.#closeDay('globex', 150);
    const day = dayOf(this.billedMs + DAY_MS / 2);
    await this.many.control('/v1/billing/close', { method: 'POST', body: JSON.stringify({ day, app: 'acme', accept_gap: 'the machine is gone' }) });
    await this.#edit(this.many, (config) => {
      config.workers = 2;
      config.services[0].alerts = { error_ratio: 0.2 };
    });
  }

  async away(): Promise<void> {
    await this.one.stop('SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.quiet();
    for (const close of this.#closers.reverse()) await close();
  }
}
