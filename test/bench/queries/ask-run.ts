/**
 * A collector with its API, in a process of its own, and the queries asked of it over HTTP as the supervisor does. Arguments: folder, events, how often each is asked
 * and measured, the seed, and the queries' words; none: all. Prints one line of JSON an answered query. Asked once, what is measured is cold.
 */
import { Agent, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import { createCollectorApi } from '../../../collector/api/server.js';
import { Collector } from '../../../collector/collector.js';
import { PRINCIPAL_FIELD } from '../../../collector/reports/principal.js';
import type { QueryParams, Store } from '../../../collector/store/store.js';
import { QUIET } from '../quiet-log.js';
import { SeededRandom } from '../seeded-random.js';
import { QUERIES, type Asked, type BenchQuery } from './asked-queries.js';
import { END_MS, MadeTime } from './made-time.js';

export interface AnsweredQuery {
  readonly words: string;
  /** Of tidegate, that the numbers were read from; '': none is known. */
  readonly table: string;
  /** That the engine would read, by its primary keys and partitions, of the last one asked; null: not known. */
  readonly rowsRead: number | null;
  /** Of those measured, ms. */
  readonly times: readonly number[];
  /** Code of a problem that was answered instead; null: none. */
  readonly refused: string | null;
}

const DAY_MS = 86_400_000;
/** No query takes longer in all, however often it was to be asked: what is slow is known after a few. */
const LONGEST_MS = 15_000;
const LEAST_TIMES = 3;

const [folder, events, times, seed, ...words] = [resolve(process.argv[2] as string), Number(process.argv[3]), Number(process.argv[4]), Number(process.argv[5]), ...process.argv.slice(6)];

/** The statements that go to the store, for EXPLAIN. */
class Watched {
  last: { readonly sql: string; readonly params: QueryParams } | null = null;
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  query(sql: string, params: QueryParams = {}): Promise<Record<string, unknown>[]> {
    if (/\bAS n_|\bAS bucket\b|\bordinal = /.test(sql)) this.last = { sql, params };
    return this.#store.query(sql, params);
  }

  async lastRead(): Promise<Pick<AnsweredQuery, 'table' | 'rowsRead'>> {
    if (this.last === null) return { table: '', rowsRead: null };
    const { sql, params } = this.last;
    const table = /FROM tidegate\.(\w+)/.exec(sql)?.[1] ?? '';
    const parts = await this.#store.query<{ rows: number }>(`EXPLAIN ESTIMATE ${sql}`, params).catch(() => null);
    return { table, rowsRead: parts?.reduce((sum, { rows }) => sum + Number(rows), 0) ?? null };
  }
}

const kept = { eventsMs: 36_500 * DAY_MS, minutesMs: 36_500 * DAY_MS, quarterHoursMs: 36_500 * DAY_MS };
const collector = await Collector.start({ dataDir: folder, retention: { ...kept, maxBytes: Number.MAX_SAFE_INTEGER }, log: QUIET });
const watched = new Watched(collector.store);
const api = createCollectorApi({
  store: watched, log: { ...QUIET }, quarantine: collector.quarantine, kept: () => kept, status: () => ({}),
  // it is asked within the last hour of the events, so that the live numbers have some; the clock goes on, for answers that are good for a second
  nowMs: () => END_MS - DAY_MS / 24 + performance.now(), asOfMs: () => END_MS - DAY_MS / 24,
  completeness: (spans) => collector.completenessOfEach(spans),
});
await api.listen({ host: '127.0.0.1', port: 0 });
const { port } = api.server.address() as AddressInfo;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const time = new MadeTime(events);

/** @returns the problem's code; null: it was answered */
function get(path: string): Promise<string | null> {
  return new Promise((done, failed) => {
    const asked = request({ host: '127.0.0.1', port, path, agent, headers: { [PRINCIPAL_FIELD]: 'operator' } }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece)).once('error', failed).once('end', () => {
        const text = Buffer.concat(pieces).toString('utf8');
        done(answer.statusCode === 200 ? null : String((JSON.parse(text) as { code?: string }).code ?? answer.statusCode));
      });
    });
    asked.once('error', failed).end();
  });
}

async function answer(asked: Asked): Promise<string | null> {
  if ('path' in asked) return get(asked.path);
  for (const { sql, params } of asked.statements) await watched.query(sql, params);
  return null;
}

async function measure(query: BenchQuery): Promise<AnsweredQuery> {
  const random = new SeededRandom(seed);
  const measured: number[] = [];
  const began = performance.now();
  let refused: string | null = null;
  watched.last = null;
  // of what is asked often, a quarter as many go before, so that their parts of the tables are in memory
  for (let i = times === 1 ? 0 : -Math.ceil(times / 4); i < times && refused === null; i++) {
    if (measured.length >= LEAST_TIMES && performance.now() - began > LONGEST_MS) break;
    const asked = query.ask(random, time);
    const before = performance.now();
    refused = await answer(asked);
    if (i >= 0) measured.push(Number((performance.now() - before).toFixed(3)));
  }
  return { words: query.words, times: measured, refused, ...await watched.lastRead() };
}

for (const query of QUERIES) {
  if (words.length === 0 || words.includes(query.words)) console.log(JSON.stringify(await measure(query)));
}
agent.destroy();
await api.close();
await collector.stop();
