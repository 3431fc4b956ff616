/** What workers tell reaches a receiver of OTLP, or is counted as dropped; whatever the receiver does, memory and time stay bounded. */
import assert from 'node:assert/strict';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { eventually } from '../../../test/harness/deadline.js';
import { OtlpReceiver } from '../../../test/harness/otlp-receiver.js';
import { freePorts } from '../../../test/harness/tidegate.js';
import { loadConfigText } from '../../config/load.js';
import type { ConfigInForce } from '../run-files.js';
import { tracedRequest } from '../../tracing/traced-request.fixture.js';
import { Tracing } from './tracing.js';

const LISTENERS = 'version: 1\nlisteners: { http: { address: "127.0.0.1:0" } }\n';

function configured(tracing: string): ConfigInForce {
  const { loaded, errors } = loadConfigText(`${LISTENERS}node: one\n${tracing}`, '/nowhere/tidegate.yaml', {});
  if (loaded === null) throw new Error(JSON.stringify(errors));
  return loaded;
}
/** Less than the exporter waits before it tries again, so that it tries once; and longer than a busy machine needs for an answer. */
const SHORT = ', timeout: 900ms';
const to = (url: string, more = ''): ConfigInForce => configured(`tracing: { otlp: { url: "${url}"${more} } }\n`);

function begin(): { readonly tracing: Tracing; readonly said: string[] } {
  const said: string[] = [];
  const say = (fields: object, message: string): void => { said.push(`${JSON.stringify(fields)} ${message}`); };
  return { tracing: new Tracing('9.9', { info: say, warn: say }), said };
}

test('what no convention knows is told as the conventions say', async () => {
  await using receiver = await OtlpReceiver.start();
  const { tracing } = begin();
  await tracing.configure(configured(`tracing: { otlp: { url: "${receiver.url}/v1/traces/" }, service_name: edge }\n`));
  const odd = tracedRequest({
    method: 'BREW', authority: '[::1]:8443', state: 'a=1,\u0000=x', path: '/pot/\ud800', userAgent: 'é\u0001', status: 0, outcome: 'client_aborted', app: '', route: '', service: '', pattern: '',
    attempts: [{ spanId: '00000000000000aa', target: 'https://[::1]/base', beganUs: 0, durationUs: 2400, status: 0, failure: 'client_aborted' }],
  });
  const failed = tracedRequest({ status: 504, outcome: 'upstream_timeout', sampledBy: 'error' });
  const missing = tracedRequest({ status: 404, attempts: [{ ...tracedRequest().attempts[0] ?? assert.fail(), status: 404 }] });
  tracing.take({ type: 'spans', requests: [odd, failed, missing], dropped: 3 });
  await tracing.close();
  const [server, client] = await receiver.trace(odd.traceId, 2);
  assert.deepEqual([server?.name, server?.traceState, server?.error, server?.resource], ['HTTP', 'a=1', false, { 'service.name': 'edge', 'service.version': '9.9', 'service.instance.id': 'one' }]);
  assert.deepEqual(server?.attributes, {
    'http.request.method': '_OTHER', 'http.request.method_original': 'BREW', 'url.scheme': 'http', 'url.path': '/pot/\ufffd', 'server.address': '::1', 'server.port': 8443, 'user_agent.original': 'é\u0001',
    'network.protocol.version': '1.1', 'tidegate.request_id': odd.requestId, 'tidegate.outcome': 'client_aborted', 'tidegate.config_version': '0123456789ab', 'tidegate.sampled_by': 'ratio',
  });
  assert.deepEqual([client?.attributes['server.address'], client?.attributes['server.port'], client?.attributes['error.type']], ['::1', 443, 'client_aborted']);
  assert.equal(server !== undefined && server.end - server.start, 2_500_000n);
  const [timedOut] = await receiver.trace(failed.traceId, 2);
  assert.deepEqual([timedOut?.name, timedOut?.error, timedOut?.attributes['error.type'], timedOut?.attributes['tidegate.app']], ['GET /products/:id', true, 'upstream_timeout', 'acme']);
  const [fine, notFound] = await receiver.trace(missing.traceId, 2);
  assert.deepEqual([fine?.error, notFound?.error, notFound?.attributes['error.type']], [false, true, '404'], 'a 404 is the client\'s error, and we are the upstream\'s client');
  assert.deepEqual(tracing.counts, { exported: 6, dropped: 3 });
  assert.deepEqual(receiver.faults, []);
});

test('a receiver that is away costs spans beyond a bound and a word; when it is back, nothing more', async () => {
  const [port = 0] = await freePorts(1);
  const { tracing, said } = begin();
  await tracing.configure(to(`http://127.0.0.1:${port}`, SHORT));
  const flood = Array.from({ length: 10_000 }, () => tracedRequest());
  tracing.take({ type: 'spans', requests: flood, dropped: 0 });
  assert.deepEqual(tracing.counts, { exported: 0, dropped: 20_000 - 4096 }, 'no more than so many wait');
  await eventually('all are given up', () => (tracing.counts.dropped === 20_000 ? true : null), 30_000);
  assert.equal(said.length, 2, said.join('\n'));
  assert.match(said[0] ?? '', /spans_not_taken.*4096 wait already/);
  assert.match(said[1] ?? '', /spans_not_taken.*(?:ECONNREFUSED|socket hang up).*tracing\.otlp\.url/, 'refused, or on a busy machine given up before that');
  await using receiver = await OtlpReceiver.start(port);
  let more = 0;
  // those that a busy machine takes too late are dropped, and the next ones are not
  await eventually('spans are taken', () => {
    tracing.take({ type: 'spans', requests: [tracedRequest()], dropped: 0 });
    more += 2;
    return tracing.counts.exported > 0 ? true : null;
  }, 60_000, 250);
  await eventually('it is said', () => (said.length > 2 ? true : null));
  assert.match(said[2] ?? '', /taken again/);
  await tracing.close();
  const { exported, dropped } = tracing.counts;
  assert.deepEqual([exported + dropped, receiver.spans.length >= exported], [20_000 + more, true]);
});

test('a receiver that refuses is told of, and one that never answers does not hold a node up that stops', { timeout: 60_000 }, async (t) => {
  await using receiver = await OtlpReceiver.start();
  receiver.status = 401;
  const { tracing, said } = begin();
  await tracing.configure(to(receiver.url));
  tracing.take({ type: 'spans', requests: [tracedRequest()], dropped: 0 });
  await eventually('they are given up', () => (tracing.counts.dropped === 2 ? true : null), 20_000);
  assert.match(said.join('\n'), /Unauthorized/);
  const silent = createServer((socket) => { t.after(() => { socket.destroy(); }); });
  await new Promise<void>((resolve) => { silent.listen(0, '127.0.0.1', resolve); });
  t.after(() => { silent.close(); });
  await tracing.configure(to(`http://127.0.0.1:${(silent.address() as AddressInfo).port}`, ', timeout: 1m'));
  tracing.take({ type: 'spans', requests: [tracedRequest()], dropped: 0 });
  await tracing.close();
  assert.match(said.join('\n'), /"spans":2,.*not take them in time/);
});

test('a receiver that answers a byte now and then, and never whole, holds nothing up for longer than the time-out', { timeout: 60_000 }, async (t) => {
  let status = 503;
  let whole = false;
  const open = new Set<ServerResponse>();
  const trickling = createHttpServer((request, response) => {
    request.resume();
    response.writeHead(status);
    if (whole) return void response.end();
    open.add(response.once('close', () => { open.delete(response); }));
    const drip = setInterval(() => { response.write('.'); }, 20);
    response.once('close', () => { clearInterval(drip); });
  });
  await new Promise<void>((resolve) => { trickling.listen(0, '127.0.0.1', resolve); });
  t.after(() => { trickling.close(); trickling.closeAllConnections(); });
  const { tracing, said } = begin();
  await tracing.configure(to(`http://127.0.0.1:${(trickling.address() as AddressInfo).port}`, SHORT));
  const flood = Array.from({ length: 3000 }, () => tracedRequest());
  tracing.take({ type: 'spans', requests: flood, dropped: 0 });
  assert.match(said.join('\n'), /^[^\n]*spans_not_taken[^\n]*4096 wait already[^\n]*$/, 'said, and once');
  await eventually('the first batch is given up', () => (tracing.counts.dropped >= 6000 - 4096 + 512 ? true : null), 20_000);
  status = 200;
  await eventually('the next one is taken: its status is known', () => (tracing.counts.exported > 0 ? true : null), 20_000);
  assert.ok(open.size <= 1, 'no more than the one under way is open');
  whole = true;
  const last = tracedRequest();
  tracing.take({ type: 'spans', requests: [last], dropped: 0 });
  await eventually('the rest is taken', () => (tracing.counts.exported + tracing.counts.dropped === 6002 ? true : null), 20_000);
  assert.ok(tracing.counts.exported >= 4096 - 2 * 512 + 2, JSON.stringify(tracing.counts));
  await tracing.close();
});

test('a reload that changes the receiver loses nothing that was taken; one that changes nothing of it changes nothing', async () => {
  await using before = await OtlpReceiver.start();
  await using after = await OtlpReceiver.start();
  const { tracing } = begin();
  const first = tracedRequest();
  const second = tracedRequest();
  await tracing.configure(to(before.url));
  tracing.take({ type: 'spans', requests: [first], dropped: 0 });
  await tracing.configure(to(before.url));
  await tracing.configure(to(after.url, ', headers: { X-Key: two }, compression: gzip'));
  assert.equal(before.spans.length, 2, 'they have gone before the new one is in force');
  tracing.take({ type: 'spans', requests: [second], dropped: 0 });
  await tracing.configure(configured(''));
  assert.deepEqual([after.spans.length, after.headers[0]?.['x-key'], after.headers[0]?.['content-encoding']], [2, 'two', 'gzip']);
  tracing.take({ type: 'spans', requests: [tracedRequest()], dropped: 0 });
  await tracing.close();
  assert.deepEqual(tracing.counts, { exported: 4, dropped: 2 });
});
