/**
 * What counts against quotas and is stored already: asked by the supervisor when its ledger has lost its journal, or meets an app's quota for
 * the first time; and every few seconds, of some apps, where no ledger counts (over: bill). Rows that it has read from the spool itself are left out: of a stream named, all from `before` on.
 */
import Type, { type Static } from 'typebox';
import type { QueryStore, Row } from './report-store.js';

const Instant = Type.Integer({ minimum: 0 });
export const CountedQuestion = Type.Object({
  days: Type.Array(Type.Object({ startMs: Instant, endMs: Instant }, { additionalProperties: false }), { maxItems: 1000 }),
  streams: Type.Array(Type.Object({ stream: Type.String({ pattern: '^[0-9a-f]{16}$' }), before: Type.Integer({ minimum: 0 }) }, { additionalProperties: false }), { maxItems: 100_000 }),
  apps: Type.Optional(Type.Array(Type.String({ maxLength: 64 }), { maxItems: 100_000, description: 'Only these; default: all.' })),
}, { additionalProperties: false });
export type CountedQuestion = Static<typeof CountedQuestion>;

/** `day`: position in the question. */
export interface CountedAnswer {
  readonly counts: readonly { readonly day: number; readonly app: string; readonly stream: string; readonly count: number }[];
}

/** UInt64's last value: of a stream not named, all rows. */
const NO_BOUND = '18446744073709551615';

const sql = (named: boolean, ofApps: boolean): string => `SELECT toString(t.app) AS app, lower(leftPad(hex(t.stream), 16, '0')) AS stream, sum(t.requests) AS n_requests
FROM tidegate.events AS t
WHERE t.time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND t.time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
  AND t.counted = 1 AND t.requests = 1${named ? `
  AND t.seq < transform(t.stream, arrayMap(id -> toUInt64(id), {streams:Array(String)}), {befores:Array(UInt64)}, ${NO_BOUND})` : ''}${ofApps ? `
  AND t.app IN {apps:Array(String)}` : ''}
GROUP BY t.app, t.stream
SETTINGS max_execution_time = 25`;

/** Not in the line of reports: quotas wait for it. */
export async function countedRequests(store: QueryStore, question: CountedQuestion): Promise<CountedAnswer> {
  const named = question.streams.length > 0 ? {
    streams: question.streams.map(({ stream }) => BigInt(`0x${stream}`).toString()), befores: question.streams.map(({ before }) => before),
  } : {};
  const counts: CountedAnswer['counts'][number][] = [];
  for (const [day, { startMs, endMs }] of question.days.entries()) {
    const rows = await store.query(sql(question.streams.length > 0, question.apps !== undefined), { from_ms: startMs, to_ms: endMs, ...named, ...(question.apps === undefined ? {} : { apps: question.apps }) }) as readonly Row[];
    for (const row of rows) counts.push({ day, app: String(row['app']), stream: String(row['stream']), count: Number(row['n_requests']) });
  }
  return { counts };
}
