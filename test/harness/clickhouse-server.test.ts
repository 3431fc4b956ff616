/** The test server speaks as ClickHouse does, as far as anything here asks it: looked at without the client, over plain HTTP. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { TEST_USERS, TestClickHouse } from './clickhouse-server.js';
import { formatOf, insertFromFile, insertWithData, isSeveral } from './clickhouse-server-statement.js';
import { requires } from './requires.js';

interface Answer { readonly status: number; readonly headers: NodeJS.Dict<string | string[]>; readonly body: Buffer }

function ask(server: TestClickHouse, query: Readonly<Record<string, string>>, body: Buffer | string = '', headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ agent: false, host: '127.0.0.1', port: server.port, method: 'POST', path: `/?${new URLSearchParams(query).toString()}`, headers }, (response) => {
      response.toArray().then((pieces) => { resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces as Buffer[]) }); }, reject);
    });
    asked.once('error', reject).end(body);
  });
}

const text = async (answer: Promise<Answer>): Promise<string> => (await answer).body.toString();

test('an insert\'s text ends where its rows begin', () => {
  const whole = "INSERT INTO t SETTINGS a = ' FORMAT x' SELECT * FROM input('a UInt8') WHERE a != 'FORMAT y' FORMAT RowBinary\n\u0001\u0002";
  assert.deepEqual(insertWithData(whole), { text: whole.slice(0, whole.indexOf(' FORMAT RowBinary')), format: 'RowBinary', dataFrom: whole.indexOf('\u0001') });
  assert.equal(insertWithData('SELECT 1 FORMAT RowBinary'), null);
  assert.equal(insertWithData('INSERT INTO t SELECT 1'), null);
  assert.equal(insertFromFile({ text: "INSERT INTO t (a) SELECT a FROM input('a UInt8, b String') WHERE a = 1", format: 'TSV', dataFrom: 0 }, "/x'y"),
    "INSERT INTO t (a) SELECT a FROM file('/x\\'y', 'TSV', 'a UInt8, b String') WHERE a = 1");
  assert.equal(insertFromFile({ text: 'INSERT INTO t (a)', format: 'CSV', dataFrom: 0 }, '/x'), "INSERT INTO t (a) SELECT * FROM file('/x', 'CSV')");
  assert.deepEqual(['SELECT 1; SELECT 2', "SELECT ';'; -- end\n", 'SELECT 1'].map(isSeveral), [true, false, false]);
  assert.equal(formatOf("SELECT 'FORMAT a' FORMAT JSONCompact"), 'JSONCompact');
});

test('statements, settings, parameters and formats as over ClickHouse\'s own interface', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();

  await t.test('the statement comes in the URL, in the body or in both', async () => {
    assert.equal(await text(ask(server, { query: 'SELECT 1' })), '1\n');
    assert.equal(await text(ask(server, {}, 'SELECT 2')), '2\n');
    assert.equal(await text(ask(server, { query: 'SELECT' }, '3')), '3\n');
    assert.equal(await (await fetch(`${server.url}/ping`)).text(), 'Ok.\n');
  });

  await t.test('what stands beside a statement is forgotten with its answer', async () => {
    assert.equal(await text(ask(server, { query: "SELECT getSetting('max_threads')", max_threads: '7' })), '7\n');
    for (let i = 0; i < 8; i++) assert.notEqual(await text(ask(server, { query: "SELECT getSetting('max_threads')" })), '7\n');
    assert.equal(await text(ask(server, { query: 'SELECT {a:String}, {n:UInt8}', param_a: "it's\\ta\\\\b", param_n: '9' })), "it\\'s\\ta\\\\b\t9\n");
    for (let i = 0; i < 8; i++) assert.equal((await ask(server, { query: 'SELECT {a:String}' })).headers['x-clickhouse-exception-code'], '456');
    await ask(server, { query: 'CREATE DATABASE other' });
    assert.equal(await text(ask(server, { query: 'SELECT currentDatabase()', database: 'other' })), 'other\n');
    for (let i = 0; i < 8; i++) assert.equal(await text(ask(server, { query: 'SELECT currentDatabase()' })), 'default\n');
  });

  await t.test('formats, the query\'s id, and an answer that streams', async () => {
    const compact = await ask(server, { query: 'SELECT 1 AS one FORMAT JSONCompact', query_id: 'mine' });
    assert.deepEqual((JSON.parse(compact.body.toString()) as { data: unknown }).data, [[1]]);
    assert.equal(compact.headers['x-clickhouse-query-id'], 'mine');
    assert.equal(compact.headers['x-clickhouse-format'], 'JSONCompact');
    assert.equal(await text(ask(server, { query: 'SELECT 1 AS one', default_format: 'JSONEachRow' })), '{"one":1}\n');
    assert.equal((await ask(server, { query: "SELECT toUInt16(513), 'ab' FORMAT RowBinary" })).body.toString('hex'), '0102026162');
    const many = await ask(server, { query: 'SELECT number FROM numbers(300000)' });
    assert.equal(many.headers['transfer-encoding'], 'chunked');
    assert.equal(many.body.toString().split('\n').length, 300_001);
    const whole = await ask(server, { query: 'SELECT number FROM numbers(300000)', wait_end_of_query: '1' });
    assert.equal(Number(whole.headers['content-length']), many.body.length);
  });

  await t.test('gzip both ways', async () => {
    await ask(server, { query: 'CREATE TABLE packed (a UInt8, b String) ENGINE = MergeTree ORDER BY a' });
    const stored = await ask(server, { query: 'INSERT INTO packed (a, b) FORMAT RowBinary' }, gzipSync(Buffer.from([1, 2, 0x68, 0x69, 2, 1, 0xff])), { 'content-encoding': 'gzip' });
    assert.equal(stored.status, 200, stored.body.toString());
    for (const wait of ['0', '1']) {
      const answer = await ask(server, { query: 'SELECT repeat(hex(b), 2000) FROM packed ORDER BY a', enable_http_compression: '1', wait_end_of_query: wait }, '', { 'accept-encoding': 'gzip' });
      assert.equal(answer.headers['content-encoding'], 'gzip');
      assert.equal(gunzipSync(answer.body).toString(), `${'6869'.repeat(2000)}\n${'FF'.repeat(2000)}\n`);
    }
  });

  await t.test('rows come behind the text too, in any format', async () => {
    await ask(server, { query: 'CREATE TABLE rows (a UInt8, b String) ENGINE = MergeTree ORDER BY a' });
    await ask(server, {}, Buffer.concat([Buffer.from('INSERT INTO rows FORMAT RowBinary\n'), Buffer.from([1, 1, 0xfe])]));
    await ask(server, {}, 'INSERT INTO rows FORMAT JSONEachRow\n{"a":2,"b":"two"}\n{"a":3,"b":"é"}\n');
    await ask(server, {}, "INSERT INTO rows VALUES (4, 'vier')");
    await ask(server, { query: "INSERT INTO rows (a, b) SELECT a + 1, b FROM input('a UInt8, b String') FORMAT TSV" }, '4\tfünf\n');
    assert.equal(await text(ask(server, { query: 'SELECT a, hex(b) FROM rows ORDER BY a' })), '1\tFE\n2\t74776F\n3\tC3A9\n4\t76696572\n5\t66C3BC6E66\n');
  });

  await t.test('exceptions have their number and status', async () => {
    const of = async (query: string): Promise<unknown[]> => {
      const { status, headers, body } = await ask(server, { query });
      return [status, headers['x-clickhouse-exception-code'], /^Code: \d+\. DB::Exception: [\s\S]+\(([A-Z_]+)\) \(version [\d.]+ \(official build\)\)\n$/.exec(body.toString())?.[1]];
    };
    assert.deepEqual(await of('SELEC 1'), [400, '62', 'SYNTAX_ERROR']);
    assert.deepEqual(await of('SELECT * FROM nowhere'), [404, '60', 'UNKNOWN_TABLE']);
    assert.deepEqual(await of('SELECT throwIf(1)'), [500, '395', 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO']);
    assert.deepEqual(await of('SELECT 1; SELECT 2'), [400, '62', 'SYNTAX_ERROR']);
    assert.deepEqual(await of('CHECK GRANT SELECT ON x.* FORMAT TSV'), [400, '62', 'SYNTAX_ERROR']);
  });

  await t.test('users, by every way to name one', async () => {
    const { name, password } = TEST_USERS.writer;
    const key = { 'x-clickhouse-user': name, 'x-clickhouse-key': password };
    assert.equal((await ask(server, { query: 'SELECT 1' }, '', key)).status, 200);
    assert.equal((await ask(server, { query: 'SELECT 1' }, '', { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` })).status, 200);
    assert.equal((await ask(server, { query: 'SELECT 1', user: name, password })).status, 200);
    const wrong = await ask(server, { query: 'SELECT 1', user: name, password: 'x' });
    assert.deepEqual([wrong.status, wrong.headers['x-clickhouse-exception-code']], [403, '516']);
    assert.equal((await ask(server, { query: 'CREATE TABLE no (a UInt8) ENGINE = MergeTree ORDER BY a' }, '', key)).headers['x-clickhouse-exception-code'], '497');
    assert.equal(await text(ask(server, { query: 'CHECK GRANT INSERT, ALTER DELETE ON tidegate.*' }, '', key)), '1\n');
    assert.equal(await text(ask(server, { query: 'CHECK GRANT INSERT, CREATE TABLE ON tidegate.*' }, '', key)), '0\n');
    const reading = { query: 'SELECT 1', user: TEST_USERS.reader.name, password: TEST_USERS.reader.password };
    assert.equal((await ask(server, reading)).status, 200);
    assert.equal((await ask(server, { ...reading, max_threads: '1' })).headers['x-clickhouse-exception-code'], '164');
  });
});

test('faults strike what they are meant for, as often as they are meant to', { skip: requires('chdb') }, async () => {
  await using server = await TestClickHouse.start();
  await server.faults({ kind: 'exception', code: 252, statement: '^insert', times: 2 }, { kind: 'status', status: 503, statement: 'numbers' });
  await ask(server, { query: 'CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a' });
  const insert = async (): Promise<number> => (await ask(server, { query: 'INSERT INTO t SELECT 1' })).status;
  assert.deepEqual([await insert(), await insert(), await insert()], [500, 500, 200]);
  assert.equal((await ask(server, { query: 'SELECT * FROM numbers(3)' })).status, 503);
  assert.deepEqual(await server.hits(), [2, 1]);
  await server.faults({ kind: 'cut', at: 'after', statement: '^insert', times: 1 });
  await assert.rejects(insert());
  assert.equal(await text(ask(server, { query: 'SELECT count() FROM t' })), '2\n');
  await server.refuse();
  await assert.rejects(ask(server, { query: 'SELECT 1' }), (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED');
  await server.accept();
  await server.restart();
  assert.equal(await text(ask(server, { query: 'SELECT count() FROM t' })), '2\n', 'what was answered is there after kill -9');
});
