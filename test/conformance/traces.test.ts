/** What becomes of the trace context that clients send, whatever they send: to the upstream, to the event, to the spans. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { answerEach, oneService, RawClient, startDataPath, startRawUpstream, until, type DataPath } from './data-path.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const OURS = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]$/;

interface Traced {
  readonly path: DataPath;
  /** Sends a GET with these fields; answers with what the upstream got of them, names in lower case. */
  readonly get: (fields: readonly string[], target?: string) => Promise<ReadonlyMap<string, string>>;
}

/** `tracing`: its keys but for otlp, as YAML; null: there is none. */
async function traced(t: TestContext, tracing: string | null, answer = OK): Promise<Traced> {
  const upstream = await startRawUpstream(t, answerEach(answer));
  const path = await startDataPath(t, `${tracing === null ? '' : `tracing: { otlp: { url: "http://127.0.0.1:1" }, ${tracing} }\n`}${oneService(upstream.port)}`);
  return {
    path,
    get: async (fields, target = '/') => {
      const before = upstream.seen.join('').length;
      const client = await RawClient.connect(t, path.port);
      client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n${fields.map((field) => `${field}\r\n`).join('')}\r\n`);
      await client.until('\r\n\r\n');
      const lines = upstream.seen.join('').slice(before).split('\r\n').slice(1);
      return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));
    },
  };
}

const HOSTILE = [
  '', '00', 'x'.repeat(8000), `00-${TRACE}-${SPAN}`, `00-${TRACE}-${SPAN}-1`, `00-${TRACE}-${SPAN}-01-more`, `00-${TRACE}-${SPAN}-011`, `00-${TRACE.toUpperCase()}-${SPAN}-01`, `00-${TRACE}-${SPAN}-0G`,
  `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `ff-${TRACE}-${SPAN}-01`, `FF-${TRACE}-${SPAN}-01`, `0-${TRACE}-${SPAN}-01`, `00_${TRACE}_${SPAN}_01`, `cc-${TRACE}-${SPAN}-01.more`,
  `00-${TRACE}-${SPAN}-01,00-${TRACE}-${SPAN}-01`, `${TRACE}-${SPAN}-1`,
];

for (const [words, tracing] of [['that is traced', 'ratio: 0'], ['where nothing is', null]] as const) {
  test(`a malformed traceparent and what stands beside it go no further than a gateway ${words}`, async (t) => {
    const { get, path } = await traced(t, tracing);
    for (const value of HOSTILE) {
      const sent = await get([`traceparent: ${value}`, 'tracestate: vendor=1']);
      assert.match(sent.get('traceparent') ?? '', OURS, value);
      assert.doesNotMatch(`${sent.get('traceparent') ?? ''}`, new RegExp(`${TRACE}|-01$`, 'i'), value);
      assert.equal(sent.get('tracestate'), undefined, value);
    }
    const twice = await get([`traceparent: 00-${TRACE}-${SPAN}-01`, `Traceparent: 00-${TRACE}-${SPAN}-01`]);
    assert.doesNotMatch(twice.get('traceparent') ?? '', new RegExp(TRACE));
    assert.deepEqual(path.traced, []);
    assert.ok(path.rows().every(({ traceId }) => traceId === ''));
  });

  test(`a version to come is read as far as it is known by a gateway ${words}, and its state goes on`, async (t) => {
    const { get, path } = await traced(t, tracing);
    for (const value of [`00-${TRACE}-${SPAN}-01`, `cc-${TRACE}-${SPAN}-01`, `cc-${TRACE}-${SPAN}-ff-what-the-future-brings`, `01-${TRACE}-${SPAN}-09-`]) {
      const sent = await get([`traceparent: ${value}`, 'tracestate: a=1', 'tracestate: b=2']);
      assert.match(sent.get('traceparent') ?? '', new RegExp(`^00-${TRACE}-[0-9a-f]{16}-[0-9a-f]{2}$`), value);
      assert.equal(sent.get('tracestate'), 'a=1,b=2');
    }
    assert.ok((await path.rowsOf(4)).every(({ traceId }) => traceId === TRACE));
    assert.equal(path.traced.length, tracing === null ? 0 : 4);
  });
}

test('the upstream\'s parent is the attempt\'s span, whose parent is the request\'s, whose parent is the client\'s', async (t) => {
  const { get, path } = await traced(t, 'ratio: 0');
  const sent = await get([`traceparent: 00-${TRACE}-${SPAN}-01`, 'User-Agent: \tcurl/8 ', 'tracestate: a=1']);
  await until(() => path.traced.length === 1, 'its span');
  const [request] = path.traced;
  assert.deepEqual([request?.traceId, request?.parentId, request?.sampledBy, request?.state, request?.userAgent, request?.status, request?.outcome], [TRACE, SPAN, 'parent', 'a=1', 'curl/8', 200, 'answered']);
  assert.deepEqual(request?.attempts.map(({ status, failure }) => [status, failure]), [[200, '']]);
  assert.equal(sent.get('traceparent'), `00-${TRACE}-${request.attempts[0]?.spanId ?? ''}-01`);
  assert.equal(request.path, '', 'record_path says none');
  assert.equal(new Set([SPAN, request.spanId, request.attempts[0]?.spanId]).size, 3);
});

test('the sender decides on sampling, the ratio where there is none', async (t) => {
  const all = await traced(t, 'ratio: 1');
  assert.match((await all.get([`traceparent: 00-${TRACE}-${SPAN}-00`])).get('traceparent') ?? '', /-00$/);
  assert.match((await all.get([])).get('traceparent') ?? '', /-01$/);
  await until(() => all.path.traced.length === 1, 'its span');
  assert.equal(all.path.traced[0]?.sampledBy, 'ratio');
  const some = await traced(t, 'ratio: 0.5');
  const flags = new Set<string>();
  for (let i = 0; i < 64 && flags.size < 2; i++) flags.add((await some.get([])).get('traceparent')?.slice(-2) ?? '');
  assert.deepEqual([...flags].sort(), ['00', '01']);
});

test('a tracestate without end is cut behind a whole member', async (t) => {
  const { get } = await traced(t, 'ratio: 0');
  const members = Array.from({ length: 200 }, (_, i) => `vendor${i}=${'v'.repeat(20)}`);
  const kept = (await get([`traceparent: 00-${TRACE}-${SPAN}-01`, `tracestate: ${members.join(',')}`])).get('tracestate') ?? '';
  assert.ok(kept.length <= 512 && kept.length > 450, String(kept.length));
  assert.ok(`${members.join(',')},`.startsWith(`${kept},`));
  assert.equal((await get([`traceparent: 00-${TRACE}-${SPAN}-01`, `tracestate: a=${'v'.repeat(8000)}`])).get('tracestate'), undefined);
});

const B3 = 'propagation: [tracecontext, b3, b3multi], ratio: 0';

test('B3 is continued in either form, and written in both', async (t) => {
  const { get, path } = await traced(t, B3);
  for (const [fields, traceId, flag] of [
    [[`b3: ${TRACE}-${SPAN}-1`], TRACE, '1'], [[`B3: ${TRACE}-${SPAN}-0-${SPAN}`], TRACE, '0'], [[`b3: ${SPAN}-${SPAN}-1`], SPAN.padStart(32, '0'), '1'],
    [[`X-B3-TraceId: ${TRACE}`, `X-B3-SpanId: ${SPAN}`, 'X-B3-Sampled: 1', `X-B3-ParentSpanId: ${SPAN}`], TRACE, '1'], [[`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`], TRACE, '0'],
    [[`b3: ${TRACE}-${SPAN}-d`], TRACE, 'd'], [[`X-B3-TraceId: ${TRACE}`, `X-B3-SpanId: ${SPAN}`, 'X-B3-Flags: 1'], TRACE, 'd'],
    // the standard before what was there before it
    [[`traceparent: 00-${TRACE}-${SPAN}-01`, `b3: ${'1'.repeat(32)}-${SPAN}-0`], TRACE, '1'],
  ] as const) {
    const sent = await get(fields);
    const [, span] = /^00-\w{32}-(\w{16})-0[01]$/.exec(sent.get('traceparent') ?? '') ?? [];
    assert.notEqual(span, SPAN);
    assert.equal(sent.get('traceparent'), `00-${traceId}-${String(span)}-${flag === '0' ? '00' : '01'}`, fields.join());
    assert.equal(sent.get('b3'), `${traceId}-${String(span)}-${flag}`);
    assert.deepEqual([sent.get('x-b3-traceid'), sent.get('x-b3-spanid'), sent.get('x-b3-sampled'), sent.get('x-b3-flags'), sent.get('x-b3-parentspanid')],
      [traceId, span, flag === 'd' ? undefined : flag, flag === 'd' ? '1' : undefined, undefined]);
  }
  await until(() => path.traced.length === 6, 'the sampled ones');
});

test('malformed B3 goes no further; a decision alone is followed', async (t) => {
  const { get } = await traced(t, B3);
  for (const fields of [
    ['b3: 2'], ['b3: '], [`b3: ${TRACE.toUpperCase()}-${SPAN}-1`], [`b3: ${TRACE}-${SPAN}-1-${SPAN}-x`], [`b3: ${'0'.repeat(32)}-${SPAN}-1`], [`b3: ${TRACE}-${'0'.repeat(16)}-1`], [`b3: ${TRACE}${TRACE}-${SPAN}-1`],
    [`b3: ${TRACE}-${SPAN}-1`, `b3: ${TRACE}-${SPAN}-1`], [`X-B3-TraceId: ${TRACE}`, 'X-B3-Sampled: 1'], [`X-B3-TraceId: ${TRACE}x`, `X-B3-SpanId: ${SPAN}`, 'X-B3-Sampled: 1'], ['X-B3-Sampled: yes'],
    [`X_B3_TraceId: ${TRACE}`, `X_B3_SpanId: ${SPAN}`, 'X_B3_Sampled: 1'],
  ]) {
    const sent = await get(fields);
    assert.match(sent.get('traceparent') ?? '', /-00$/, fields.join());
    assert.match(sent.get('b3') ?? '', /^[0-9a-f]{32}-[0-9a-f]{16}-0$/, fields.join());
    assert.doesNotMatch(JSON.stringify([...sent]), new RegExp(TRACE, 'i'), fields.join());
  }
  for (const fields of [['b3: 1'], ['X-B3-Sampled: true'], ['b3: d']]) assert.match((await get(fields)).get('traceparent') ?? '', /-01$/, fields.join());
});

test('without B3 its fields are like any other, and what Connection names ends here', async (t) => {
  const { get } = await traced(t, 'ratio: 0');
  assert.equal((await get([`b3: ${TRACE}-${SPAN}-1`])).get('b3'), `${TRACE}-${SPAN}-1`);
  assert.doesNotMatch((await get(['Connection: traceparent', `traceparent: 00-${TRACE}-${SPAN}-01`])).get('traceparent') ?? '', new RegExp(TRACE));
});

test('whose trace is continued can be bounded to trusted proxies, and to nobody', async (t) => {
  const fields = [`traceparent: 00-${TRACE}-${SPAN}-01`, 'tracestate: a=1'];
  for (const [continues, more, isContinued] of [['nobody', '', false], ['trusted_proxies', '', false], ['trusted_proxies', 'trusted_proxies: ["127.0.0.1"]\n', true]] as const) {
    const upstream = await startRawUpstream(t, answerEach(OK));
    const path = await startDataPath(t, `${more}tracing: { otlp: { url: "http://127.0.0.1:1" }, ratio: 0, continue: ${continues} }\n${oneService(upstream.port)}`);
    const client = await RawClient.connect(t, path.port);
    client.send(`GET / HTTP/1.1\r\nHost: a\r\n${fields.join('\r\n')}\r\n\r\n`);
    await client.until('ok');
    assert.equal(upstream.seen.join('').includes(TRACE), isContinued, continues);
    assert.equal(/^tracestate: /m.test(upstream.seen.join('')), isContinued, continues);
  }
});

test('what nobody sampled is exported if it fails or is slow and that is asked for; its event says so', async (t) => {
  const broken = await traced(t, 'ratio: 0, always: { errors: true }', 'HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n');
  assert.match((await broken.get([`traceparent: 00-${TRACE}-${SPAN}-00`])).get('traceparent') ?? '', new RegExp(`^00-${TRACE}-.{16}-00$`));
  await until(() => broken.path.traced.length === 1, 'its span');
  const [failed] = broken.path.traced;
  assert.deepEqual([failed?.sampledBy, failed?.parentId, failed?.status, failed?.attempts[0]?.status], ['error', SPAN, 503, 503]);
  assert.deepEqual((await broken.path.rowsOf(1)).map(({ traceId }) => traceId), [TRACE]);

  const slow = await traced(t, 'ratio: 0, always: { slower_than: 1ms }', OK);
  // it is under way for as long as its head
  const client = await RawClient.connect(t, slow.path.port);
  client.send('GET / HTTP/1.1\r\n');
  const from = performance.now();
  await until(() => performance.now() - from > 20, '20 ms');
  client.send('Host: a\r\n\r\n');
  await until(() => slow.path.traced.length === 1, 'its span');
  assert.equal(slow.path.traced[0]?.sampledBy, 'slow');

  const good = await traced(t, 'ratio: 0, always: { errors: true, slower_than: 1h }', 'HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n');
  await good.get([]);
  assert.deepEqual((await good.path.rowsOf(1)).map(({ traceId }) => traceId), ['']);
  assert.deepEqual(good.path.traced, []);
});

test('a request that is refused has a span without attempts', async (t) => {
  const path = await startDataPath(t, 'tracing: { otlp: { url: "http://127.0.0.1:1" }, ratio: 1 }\n');
  const client = await RawClient.connect(t, path.port);
  client.send(`GET /nowhere HTTP/1.1\r\nHost: a\r\ntraceparent: 00-${TRACE}-${SPAN}-01\r\n\r\n`);
  await client.until('route_not_found');
  await until(() => path.traced.length === 1, 'its span');
  const [refused] = path.traced;
  assert.deepEqual([refused?.traceId, refused?.outcome, refused?.status, refused?.pattern, refused?.attempts], [TRACE, 'route_not_found', 404, '', []]);
});

test('an attempt that failed is a span of its own, and the request says what became of it', async (t) => {
  const gone = await startRawUpstream(t, (socket) => { socket.destroy(); });
  const path = await startDataPath(t, `tracing: { otlp: { url: "http://127.0.0.1:1" }, ratio: 1 }\n${oneService(gone.port)}`);
  const client = await RawClient.connect(t, path.port);
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await client.until('upstream_broken');
  await until(() => path.traced.length === 1, 'its span');
  const [request] = path.traced;
  assert.deepEqual([request?.outcome, request?.attempts.map(({ failure, status }) => [failure, status])], ['upstream_broken', [['broken', 0]]]);
});
