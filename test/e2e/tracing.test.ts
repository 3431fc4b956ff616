/** Traces of a whole node: client and upstream are traced by OpenTelemetry's own SDK, and a receiver of OTLP sees what all three export. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ROOT_CONTEXT, SpanKind, defaultTextMapGetter, defaultTextMapSetter, trace, type Tracer } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { eventually } from '../harness/deadline.js';
import { OtlpReceiver } from '../harness/otlp-receiver.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const CREDENTIAL = 'a-credential-of-the-receiver';

function tracerOf(service: string, receiver: OtlpReceiver): Tracer {
  const exporter = new OTLPTraceExporter({ url: `${receiver.url}/v1/traces` });
  return new TracerProvider({ resource: resourceFromAttributes({ 'service.name': service }), spanProcessors: [new SimpleSpanProcessor({ exporter })] }).getTracer('test');
}

/** An upstream that makes a span of each request, as a child of what its traceparent says. */
async function tracedUpstream(receiver: OtlpReceiver): Promise<AsyncDisposable & { readonly url: string; readonly traceparents: string[] }> {
  const tracer = tracerOf('shop', receiver);
  const propagator = new W3CTraceContextPropagator();
  const traceparents: string[] = [];
  const server = createServer((request, response) => {
    traceparents.push(String(request.headers.traceparent));
    const span = tracer.startSpan('sell', { kind: SpanKind.SERVER }, propagator.extract(ROOT_CONTEXT, request.headers, defaultTextMapGetter));
    const status = request.url === '/fails' ? 503 : 200;
    response.writeHead(status).end();
    span.end();
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, traceparents,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
    },
  };
}

/** The event of a request, once it is stored. */
const eventOf = (node: TestNode, id: string): Promise<Readonly<Record<string, unknown>>> =>
  eventually(`the event of ${id}`, () => node.control<Readonly<Record<string, unknown>>>(`/v1/requests/${id}`));

/** A label's value there: of `/metrics`. */
const counted = async (node: TestNode, series: string): Promise<number> => Number((await node.metrics()).split('\n').find((line) => line.startsWith(`${series} `))?.slice(series.length + 1) ?? -1);

test('a trace leads from the client through the gateway\'s retry to the upstream, and its id stands in the log, the event and the exemplar', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  await using receiver = await OtlpReceiver.start();
  await using upstream = await tracedUpstream(receiver);
  const [dead = 0] = await freePorts(1);
  await using node = await TestNode.start({
    log: { access: true }, tracing: { otlp: { url: receiver.url, headers: { 'X-Receiver-Key': '${RECEIVER_KEY}' }, compression: 'gzip' }, ratio: 0, always: { errors: true }, service_name: 'edge' },
    services: [{
      name: 'shop', record_path: 'full', upstream: { targets: [{ url: `http://127.0.0.1:${dead}` }, { url: upstream.url }], balancer: 'round_robin' },
      routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }],
    }],
  }, { env: { TIDEGATE_LOG_LEVEL: 'debug', RECEIVER_KEY: CREDENTIAL } });

  const client = tracerOf('client', receiver);
  /** Calls as a traced client does; answers with the trace's id, and the request's. */
  const call = async (path: string): Promise<{ readonly traceId: string; readonly requestId: string }> => {
    const span = client.startSpan('buy', { kind: SpanKind.CLIENT });
    const headers: Record<string, string> = {};
    new W3CTraceContextPropagator().inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter);
    const answer = await fetch(`${node.url}${path}`, { headers });
    await answer.arrayBuffer();
    span.end();
    return { traceId: span.spanContext().traceId, requestId: answer.headers.get('x-request-id') ?? '' };
  };
  // the first of two in turn is the target that nobody listens at
  const { traceId, requestId } = await call('/products/17?secret=1');

  const [buy, edge, refused, sent, sell] = await receiver.trace(traceId, 5);
  assert.deepEqual([buy?.name, edge?.name, refused?.name, sent?.name, sell?.name], ['buy', 'GET /*', 'GET', 'GET', 'sell']);
  assert.deepEqual([edge?.parentSpanId, refused?.parentSpanId, sent?.parentSpanId, sell?.parentSpanId], [buy?.spanId, edge?.spanId, edge?.spanId, sent?.spanId]);
  assert.deepEqual([edge?.kind, refused?.kind, sent?.kind], ['server', 'client', 'client']);
  assert.deepEqual([edge?.error, refused?.error, sent?.error], [false, true, false]);
  assert.deepEqual([edge?.flags, sent?.flags], [0x301, 0x101], 'sampled; the client\'s span is remote, ours is not');
  const { 'user_agent.original': _agent, 'tidegate.config_version': version, ...attributes } = edge?.attributes ?? {};
  assert.match(String(version), /^[0-9a-f]{12}$/);
  assert.deepEqual(attributes, {
    'http.request.method': 'GET', 'url.scheme': 'http', 'url.path': '/products/17', 'http.route': '/*', 'http.response.status_code': 200, 'network.protocol.version': '1.1',
    'server.address': '127.0.0.1', 'server.port': node.port,
    'tidegate.request_id': requestId, 'tidegate.outcome': 'answered', 'tidegate.sampled_by': 'parent', 'tidegate.service': 'shop', 'tidegate.route': 'all',
  });
  assert.deepEqual(refused?.attributes, {
    'http.request.method': 'GET', 'server.address': '127.0.0.1', 'server.port': dead, 'url.full': `http://127.0.0.1:${dead}`, 'network.protocol.version': '1.1', 'tidegate.service': 'shop', 'error.type': 'refused',
  });
  assert.deepEqual([sent?.attributes['http.request.resend_count'], sent?.attributes['http.response.status_code'], sent?.attributes['url.full']], [1, 200, upstream.url]);
  const inside = [refused, sent].every((span) => span !== undefined && edge !== undefined && span.start >= edge.start && span.end <= edge.end);
  assert.ok(inside && (sent?.start ?? 0n) >= (refused?.end ?? 0n), 'one attempt after the other, within the request');
  assert.deepEqual([edge?.resource['service.name'], sent?.resource['service.name'], sell?.resource['service.name']], ['edge', 'edge', 'shop']);
  assert.ok(receiver.headers.some((fields) => fields['x-receiver-key'] === CREDENTIAL && fields['content-encoding'] === 'gzip'));
  assert.ok(!node.output.includes(CREDENTIAL) && !JSON.stringify(await node.control('/v1/config/history')).includes(CREDENTIAL), 'the credential is said nowhere');

  const line = node.output.split('\n').find((text) => text.includes('attempt failed')) ?? '{}';
  const { trace_id: ofLine, request_id: request } = JSON.parse(line) as Record<string, unknown>;
  assert.deepEqual([ofLine, request], [traceId, requestId]);
  assert.equal((await eventOf(node, requestId))['trace_id'], traceId);
  const openMetrics = await fetch(`${node.controlUrl}/metrics`, { headers: { accept: 'application/openmetrics-text', authorization: `Bearer ${OPERATOR_TOKEN}` } });
  assert.match(await openMetrics.text(), new RegExp(`^tidegate_request_duration_seconds_bucket\\{service="shop",route="all",le="[^"]+"\\} 1 # \\{trace_id="${traceId}"\\} `, 'm'));

  // sampled by nobody: an error is seen all the same, and its upstream was told that it is not sampled
  const [good, bad] = await Promise.all(['/fine', '/fails'].map(async (path) => (await fetch(`${node.url}${path}`)).headers.get('x-request-id') ?? ''));
  assert.equal((await eventOf(node, good ?? ''))['trace_id'], '');
  const errorsTrace = String((await eventOf(node, bad ?? ''))['trace_id']);
  const traceOfLine = (id: string | undefined): Promise<unknown> => eventually(`the line of ${String(id)}`, () => {
    const found = node.output.split('\n').find((text) => text.includes('"msg":"request"') && text.includes(`"${String(id)}"`));
    return found === undefined ? null : [(JSON.parse(found) as Record<string, unknown>)['trace_id']];
  });
  assert.deepEqual([await traceOfLine(good), await traceOfLine(bad)], [[undefined], [errorsTrace]], 'a line of a request leads to a trace where there is one');
  const [failed, ...tries] = await receiver.trace(errorsTrace, 2);
  const answered = tries.find(({ attributes: { 'http.response.status_code': status } }) => status === 503);
  assert.deepEqual([failed?.parentSpanId, failed?.attributes['tidegate.sampled_by'], failed?.attributes['error.type'], failed?.error], ['', 'error', '503', true]);
  assert.ok(upstream.traceparents.includes(`00-${errorsTrace}-${answered?.spanId ?? ''}-00`), upstream.traceparents.join('\n'));
  await eventually('all spans are counted', async () => (await counted(node, 'tidegate_spans_total{result="exported"}') === receiver.spans.filter(({ resource }) => resource['service.name'] === 'edge').length ? true : null));
  assert.equal(await counted(node, 'tidegate_spans_total{result="dropped"}'), 0);
  assert.deepEqual(receiver.faults, []);
});

test('a reload turns tracing on, and what has just ended is exported when the node stops', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  await using receiver = await OtlpReceiver.start();
  const upstream = await TestUpstream.start({ keepRequests: true });
  await using node = await TestNode.start({
    services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
  });
  await (await fetch(`${node.url}/before`)).arrayBuffer();
  node.rewriteConfig((config) => { config['tracing'] = { otlp: { url: receiver.url }, ratio: 1, propagation: ['tracecontext', 'b3', 'b3multi'] }; });
  await eventually('a traced request', async () => {
    await (await fetch(`${node.url}/traced`, { headers: { b3: '0' } })).arrayBuffer();
    return upstream.seen.at(-1)?.rawHeaders.includes('X-B3-Sampled') === true ? true : null;
  });
  assert.deepEqual(receiver.spans, [], 'the client decided against it');
  await (await fetch(`${node.url}/last`)).arrayBuffer();
  const { rawHeaders = [] } = upstream.seen.at(-1) ?? {};
  const field = (name: string): string => rawHeaders[rawHeaders.indexOf(name) + 1] ?? '';
  assert.equal(await node.stop(), 0);
  const [server, attempt, ...more] = await receiver.trace(field('X-B3-TraceId'), 2);
  assert.deepEqual([server?.name, server?.attributes['tidegate.sampled_by'], server?.attributes['url.path'], attempt?.spanId, more.length], ['GET /*', 'ratio', undefined, field('X-B3-SpanId'), 0]);
  assert.deepEqual([field('traceparent'), field('b3'), field('X-B3-Sampled')],
    [`00-${server?.traceId ?? ''}-${attempt?.spanId ?? ''}-01`, `${server?.traceId ?? ''}-${attempt?.spanId ?? ''}-1`, '1']);
  await upstream.stop();
});
