import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createClient } from '@clickhouse/client';
import { RowEncoder } from './encoder.js';
import { EVENT_COLUMNS, KINDS, METHODS, PROTOCOLS, outcomeId, type EventFacts } from './event.js';
import { sampleFacts, type Names } from './event-samples.fixture.js';
import { encodeLabels } from './labels.js';
import { OUTCOMES, type Outcome } from './outcomes.js';
import { decodeRows } from './read-rows.js';

/** Not a literal in the import, so that the project compiles where the optional dependency is absent. */
const CHDB: string = 'chdb/connection';
const hasChdb = ((): boolean => {
  try {
    createRequire(import.meta.url).resolve(CHDB);
    return true;
  } catch {
    return false;
  }
})();

const ENUMS: Readonly<Record<string, readonly (readonly [string, number])[]>> = {
  method: Object.entries(METHODS), protocol: Object.entries(PROTOCOLS), kind: Object.entries(KINDS),
  outcome: Object.entries(OUTCOMES).map(([name, { id }]) => [name, id]),
};
const STRUCTURE = EVENT_COLUMNS.map(([name, type]) => `${name} ${type === 'Enum8' ? `Enum8(${ENUMS[name]?.map(([label, id]) => `'${label}'=${id}`).join(',')})` : type}`).join(', ');

test('ClickHouse reads every column of the rows as it was written', { skip: !hasChdb && 'chdb is not installed (npm ci, without --omit=optional)' }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-columns-'));
  const chdb = await import(CHDB) as { createChdbConnection(options: { readonly path: string }): unknown };
  const client = createClient({ connection: chdb.createChdbConnection({ path: join(folder, 'store') }) } as never);
  try {
    const encoder = new RowEncoder('fedcba9876543210', 'node-ü', 65_535);
    const rows: [Partial<EventFacts>, Partial<Names>][] = [
      [{}, {}],
      [{ durationUs: 2 ** 45 + 1, upstreamUs: 2 ** 32, bytesIn: 2 ** 33 + 7, bytesOut: Number.MAX_SAFE_INTEGER, status: 599, requests: 0, counted: 0, billable: 0, attempts: 255 }, {}],
      [{ refusalLabel: encodeLabels('jwt', 'unknown_kid') }, {}],
      [{ timeMs: 0, client: '', recordedPath: '', traceId: '' }, { service: '', route: '', app: '', target: '', version: '' }],
      [{ client: '2001:db8::', recordedPath: `/ü/${'x'.repeat(900)}`, traceId: '0af7651916cd43dd8448eb211c80319c' }, { target: 't'.repeat(300), route: 'ü€' }],
      ...Object.values(METHODS).map((methodId): [Partial<EventFacts>, Partial<Names>] => [{ methodId }, {}]),
      ...(Object.keys(OUTCOMES) as Outcome[]).map((name): [Partial<EventFacts>, Partial<Names>] => [{ outcomeId: outcomeId(name) }, {}]),
      ...Object.values(PROTOCOLS).map((protocolId): [Partial<EventFacts>, Partial<Names>] => [{ protocolId }, {}]),
      ...Object.values(KINDS).map((kindId): [Partial<EventFacts>, Partial<Names>] => [{ kindId }, {}]),
    ];
    rows.forEach(([changes, names], seq) => { encoder.append(sampleFacts(2 ** 40 + seq, changes, names), 2 ** 42 + seq); });
    const file = join(folder, 'rows');
    writeFileSync(file, encoder.rows);
    await client.command({ query: `CREATE TABLE events (${STRUCTURE}) ENGINE = MergeTree ORDER BY seq` });
    await client.command({ query: `INSERT INTO events SELECT * FROM file('${file}', 'RowBinary', '${STRUCTURE.replaceAll("'", "\\'")}')` });
    const columns = EVENT_COLUMNS.map(([name, type]) => (name === 'stream' ? 'lower(leftPad(hex(stream), 16, \'0\')) AS stream' : type.startsWith('DateTime64') ? `toInt64(toUnixTimestamp64Milli(${name})) AS ${name}` : name));
    const result = await client.query({ query: `SELECT ${columns.join(', ')} FROM events ORDER BY events.seq SETTINGS output_format_json_quote_64bit_integers = 0`, format: 'JSONCompactEachRow' });
    const stored = await result.json<unknown[]>();
    const expected = [...decodeRows(encoder.rows)].map((row) => [
      row.stream, row.node, row.worker, row.seq, row.ordinal, row.timeMs, row.durationUs, row.upstreamUs, row.bytesIn, row.bytesOut, row.status, row.method, row.outcome,
      row.protocol, row.kind, row.requests, row.counted, row.billable, row.attempts, row.configVersion, row.service, row.route, row.app, row.target, row.client, row.path, row.traceId, row.refusedBy, row.reason,
    ]);
    assert.equal(stored.length, rows.length);
    assert.deepEqual(stored, expected);
  } finally {
    await client.close();
    rmSync(folder, { recursive: true });
  }
});
