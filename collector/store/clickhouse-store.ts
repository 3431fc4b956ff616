/**
 * The store on a ClickHouse server or cluster, over HTTP. Statements need no line here: the client's pool runs several at once, and no more than
 * CONNECTIONS of them.
 *
 * Every answer is waited for whole (`wait_end_of_query`): the status then says whether all went well, and an answer that breaks off is never taken for a
 * complete one. What is read may be asked of the next host when one breaks; what changes something only when the first was never reached.
 */
import { open } from 'node:fs/promises';
import { ClickHouseLogLevel, createClient, type ClickHouseClient } from '@clickhouse/client';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { ClickHouseHosts } from './clickhouse-hosts.js';
import { insertDayFromBody, insertFromBody, type InsertPlan } from './insert-statement.js';
import { mendRange } from './mend-range.js';
import type { QueryParams, Store } from './store.js';
import { failureKind, isOfThisHost, storeError } from './store-error.js';

export interface ClickHouseConnection {
  /** `http://host:port` or `https://host:port`: one server, or replicas of one cluster. */
  readonly urls: readonly string[];
  readonly user: string;
  readonly password: string;
  /** PEM of the authority that signed the servers' certificates; null: those that Node trusts. */
  readonly ca: string | null;
  /** Name of the cluster whose replicas hold the tables; null: one server. */
  readonly cluster: string | null;
  /** Replicas that must have an insert before it counts; 0: one. */
  readonly insertQuorum: number;
  /** For how long a server may keep silent. */
  readonly timeoutMs: number;
  readonly compression: boolean;
}

const CONNECTIONS = 10;
/** Levels above 1 make the body little smaller, at the collector's cost. */
const GZIP_LEVEL = 1;
/** Clocks of collectors and servers agree to within a minute. */
const CLOCKS_WITHIN_MS = 120_000;

interface Host { readonly url: string; readonly client: ClickHouseClient }

/** Whatever the user's profile says. Sent beside each statement: unlike chDB, a server forgets it with the answer. */
const SETTINGS = { wait_end_of_query: 1, output_format_json_quote_64bit_integers: 0 } as const;

export class ClickHouseStore implements Store {
  readonly connection: ClickHouseConnection;
  readonly #hosts: ClickHouseHosts<Host>;
  readonly #log: SpoolLog | null;
  #insertSettings: readonly string[] = [];

  constructor(connection: ClickHouseConnection, log: SpoolLog | null = null) {
    this.#log = log;
    this.connection = connection;
    const { urls, user, password, ca, timeoutMs, compression } = connection;
    this.#hosts = new ClickHouseHosts(urls.map((url) => ({
      url,
      client: createClient({
        url, username: user, password, request_timeout: timeoutMs, max_open_connections: CONNECTIONS, clickhouse_settings: SETTINGS, application: 'tidegate',
        ...(ca === null ? {} : { tls: { ca_cert: Buffer.from(ca) } }),
        compression: { request: compression ? { codec: 'gzip', level: GZIP_LEVEL } : false, response: compression },
        // every error comes back to the caller, who says it
        log: { level: ClickHouseLogLevel.OFF },
      }),
    })));
    if (connection.insertQuorum > 0) this.#insertSettings = [`insert_quorum = ${connection.insertQuorum}`];
  }

  /** The setting is known to newer servers only; with it an insert that could not be recognised again is refused, not doubled. */
  demandStableInserts(): void {
    this.#insertSettings = [...this.#insertSettings, "deduplicate_insert_select = 'force_enable'"];
  }

  /** @param privilege as in GRANT. CHECK GRANT takes no FORMAT, so the answer is the default's: `1` or `0`. */
  async isGranted(privilege: string, on: string): Promise<boolean> {
    const query = `CHECK GRANT ${privilege} ON ${on}`;
    let answer = '';
    await this.#change(query, async ({ client }) => {
      const { stream } = await client.exec({ query });
      for await (const piece of stream) answer += String(piece);
    });
    return answer.trim() === '1';
  }

  async command(statement: string, params: QueryParams = {}): Promise<void> {
    await this.#change(statement, async ({ client }) => { await client.command({ query: statement, query_params: { ...params } }); });
  }

  async query<Row>(select: string, params: QueryParams = {}): Promise<Row[]> {
    let last: unknown = null;
    for (const host of this.#hosts.order(Date.now())) {
      try {
        const result = await host.client.query({ query: select, query_params: { ...params }, format: 'JSONEachRow' });
        const rows = await result.json<Row>();
        this.#hosts.answered(host);
        return rows;
      } catch (error) {
        last = error;
        if (failureKind(error) === 'answered' && !isOfThisHost(error)) break;
        this.#hosts.broke(host, Date.now());
      }
    }
    throw this.#error(last, select, failureKind(last) === 'answered' ? 'store_failed' : 'store_unavailable');
  }

  /** The staging file is the body. What decides on blocks stands in the plan, as with chDB, and the server cuts none smaller. */
  async insertRows(plan: InsertPlan, file: string, notAfterMs?: number, begunMs?: number): Promise<void> {
    await this.insertBody(insertFromBody(plan, notAfterMs, this.#insertSettings), file);
    if (begunMs !== undefined && await this.#wasKilledSince(begunMs - CLOCKS_WITHIN_MS)) await mendRange(this, plan, file, this.#log);
  }

  async insertBeside(plan: InsertPlan, file: string, day: string, token: string): Promise<void> {
    await this.insertBody(insertDayFromBody(plan, day, token, this.#insertSettings), file);
  }

  /** Of replicas the keeper knows the tokens, and learns them together with their parts. */
  async #wasKilledSince(ms: number): Promise<boolean> {
    if (this.connection.cluster !== null) return false;
    const [server] = await this.query<{ began: number }>('SELECT toUnixTimestamp64Milli(now64(3)) - uptime() * 1000 AS began');
    return (server?.began ?? ms) >= ms;
  }

  /** Settings that each insert here has beside its own: a quorum, say. */
  get insertSettings(): readonly string[] {
    return this.#insertSettings;
  }

  /** @param query an INSERT whose rows are the file's bytes. @param file absolute path. @throws as command, and what the file system says */
  async insertBody(query: string, file: string): Promise<void> {
    // opened first: a stream of a file that cannot be would say so before the client listens, and that would end the process
    const rows = await open(file);
    try {
      await this.#change(query, async ({ client }) => {
        const values = rows.createReadStream({ start: 0, autoClose: false, highWaterMark: 1024 * 1024 });
        // likewise of what cannot be read: who awaits the answer hears of it
        values.on('error', () => undefined);
        try {
          const { stream } = await client.exec({ query, values });
          for await (const _ of stream);
        } finally {
          values.destroy();
        }
      });
    } finally {
      await rows.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#hosts.all.map(({ client }) => client.close()));
  }

  async #change(statement: string, ask: (host: Host) => Promise<void>): Promise<void> {
    let last: unknown = null;
    for (const host of this.#hosts.order(Date.now())) {
      try {
        await ask(host);
        this.#hosts.answered(host);
        return;
      } catch (error) {
        last = error;
        const kind = failureKind(error);
        if (kind !== 'answered' || isOfThisHost(error)) this.#hosts.broke(host, Date.now());
        if (kind !== 'unreached') throw this.#error(error, statement, kind === 'answered' ? 'store_failed' : 'store_unknown');
      }
    }
    throw this.#error(last, statement, 'store_unavailable');
  }

  #error(cause: unknown, statement: string, otherwise: 'store_failed' | 'store_unavailable' | 'store_unknown'): TidegateError {
    const error = storeError(cause, statement, otherwise);
    if (error.code !== 'store_unavailable' && error.code !== 'store_unknown') return error;
    return new TidegateError(error.code, `${this.connection.urls.join(', ')}: ${error.message}`, { cause });
  }
}
