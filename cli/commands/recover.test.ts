/** What `tidegate recover` says of what the node answers, and its exit code. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { RecoverLine } from '../../collector/recover/recover.js';
import { progress } from '../render/progress.js';
import { recover } from './recover.js';

const ROWS = { type: 'rows', day: '2026-11-22', stream: '00000000000000bb', missing: 1200, in_log: 1000, put_back: 0 } as const;
const NOT_WHOLE = { type: 'not_whole', day: '2026-11-22', reasons: ['200 rows are not in the store any more'] } as const;

test('rows that Kafka no longer has are told, and the exit code is 2 until every day is whole', async (t) => {
  const asked: (string | undefined)[] = [];
  let lines: readonly RecoverLine[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  }).listen(0, '127.0.0.1');
  t.after(() => { server.close(); server.closeAllConnections(); });
  await once(server, 'listening');
  const options = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 'a-token-of-sixteen' };
  const run = async (putBack: boolean, ...told: readonly RecoverLine[]): Promise<readonly [number, string]> => {
    lines = [{ type: 'progress', done: 1, all: 2, what: '5 of 1200 rows found' }, ...told];
    let out = '';
    const silent = { columns: 80, colour: false, write: () => undefined };
    const code = await recover({ ...options, putBack }, { ...silent, write: (text: string) => { out += text; } }, progress(silent, false, () => 0));
    return [code, out];
  };
  assert.deepEqual(await run(false, { type: 'end', days: 3, missing: 0, in_log: 0, put_back: 0, not_whole: 0 }), [0, '3 days: no row is missing.\n']);
  assert.deepEqual(await run(false, ROWS, NOT_WHOLE, { type: 'end', days: 3, missing: 1200, in_log: 1000, put_back: 0, not_whole: 1 }), [2,
    '2026-11-22 stream 00000000000000bb: 1,200 rows missing, 1,000 in Kafka; Kafka no longer has 200\n2026-11-22 (UTC) is not whole: 200 rows are not in the store any more\n'
    + '1,200 rows missing, 1,000 in Kafka. tidegate recover --put-back puts them back.\n']);
  assert.deepEqual(await run(true, { ...ROWS, put_back: 1000 }, NOT_WHOLE, { type: 'end', days: 3, missing: 1200, in_log: 1000, put_back: 1000, not_whole: 1 }), [2,
    '2026-11-22 stream 00000000000000bb: 1,200 rows missing, 1,000 in Kafka, 1,000 put back; Kafka no longer has 200\n2026-11-22 (UTC) is not whole: 200 rows are not in the store any more\n'
    + '1,000 rows put back. 200 rows still missing: docs/runbooks/StoredRowsMissing.md says what else there is. tidegate rebuild compares the rollups with raw events.\n']);
  assert.deepEqual(await run(true, { ...ROWS, in_log: 1200, put_back: 1200 }, { type: 'end', days: 3, missing: 1200, in_log: 1200, put_back: 1200, not_whole: 0 }), [0,
    '2026-11-22 stream 00000000000000bb: 1,200 rows missing, 1,200 in Kafka, 1,200 put back\n1,200 rows put back. tidegate rebuild compares the rollups with raw events.\n']);
  assert.deepEqual(asked, ['false', 'false', 'true', 'true'].map((put) => `POST /v1/recover?put_back=${put}`));
});
