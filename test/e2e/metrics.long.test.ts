/** What a real Prometheus makes of a whole node: first failures, hostile clients, a worker that is killed. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { METHODS } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { programPath, requires } from '../harness/requires.js';
import { freePorts, TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('linux', 'chdb', 'prometheus');
const CONNECTIONS = 20;
const REQUESTS_EACH = 475;
const INVENTED_METHODS = 500;
/** Answered on a connection of their own, or not at all. */
const NOT_PIPELINED = ['CONNECT', 'HEAD'];

let upstream: TestUpstream;
let node: TestNode;
let prometheus: ChildProcess;
let prometheusPort = 0;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-prometheus-'));

before(async () => {
  if (skip !== false) return;
  upstream = await TestUpstream.start();
  node = await TestNode.start({
    workers: 2,
    services: [
      { name: 'shop', team: 'storefront', slo: { availability: 99.9 }, upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/shop/*' }, strip_prefix: '/shop', authentication: [] }] },
    ],
  });
  [prometheusPort = 0] = await freePorts(1);
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify({
    global: { scrape_interval: '1s', scrape_timeout: '1s' }, scrape_configs: [{ job_name: 'tidegate', static_configs: [{ targets: [`127.0.0.1:${node.controlPort}`] }] }],
  }));
  prometheus = spawn(programPath('prometheus') ?? '', [
    `--config.file=${join(folder, 'prometheus.yml')}`, `--web.listen-address=127.0.0.1:${prometheusPort}`, `--storage.tsdb.path=${join(folder, 'data')}`, '--log.level=error',
  ], { stdio: 'ignore' });
  await told('the first scrape', 'tidegate_build_info');
});
after(async () => {
  if (skip !== false) return;
  prometheus.kill('SIGKILL');
  await once(prometheus, 'exit');
  await node[Symbol.asyncDispose]();
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** The values that Prometheus has for an expression, by now. */
async function query(expression: string): Promise<number[]> {
  const answer = await fetch(`http://127.0.0.1:${prometheusPort}/api/v1/query?query=${encodeURIComponent(expression)}`);
  const { data } = await answer.json() as { data: { result: readonly { value: [number, string] }[] } };
  return data.result.map(({ value }) => Number(value[1]));
}

/** @param expression true once it has a value */
function told(what: string, expression: string): Promise<number[]> {
  return eventually(`${what}: ${expression}`, async () => {
    const values = await query(expression);
    return values.length > 0 ? values : null;
  }, 60_000, 200);
}

const countedIn = (text: string): number => [...text.matchAll(/^tidegate_requests_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
const seriesIn = (text: string): number => text.split('\n').filter((line) => line.startsWith('tidegate_')).length;

test('the first failure of a service ever is an increase, and what a reload promises is there to be joined', { skip }, async () => {
  assert.equal((await fetch(`${node.url}/shop/status/500`)).status, 500);
  const [increase = 0] = await told('the increase', 'sum by (service) (increase(tidegate_requests_total{code=~"5.."}[1m])) > 0');
  assert.ok(increase < 10, `one request, extrapolated: ${increase}`);
  await told('its duration', 'sum by (service) (increase(tidegate_request_duration_seconds_bucket{le=~"2(\\\\.0)?"}[1m])) > 0');
  assert.deepEqual(await told('the objective', '(1 - tidegate_slo_availability_ratio) * on (service) group_left (team) tidegate_service_info{team="storefront"}').then(([left = 0]) => left.toFixed(4)), '0.0010');
  node.rewriteConfig((file) => { file['wrong'] = 1; });
  await told('a file that was refused', 'tidegate_config_rejected == 1');
  node.rewriteConfig((file) => {
    delete file['wrong'];
    Object.assign((file['services'] as object[])[0] ?? {}, { alerts: { latency_p95: '250ms' } });
  });
  await told('the new threshold', 'tidegate_alert_latency_p95_seconds{service="shop",bound="0.25"} == 0.25');
  assert.deepEqual(await query('tidegate_config_rejected'), [0]);
});

test('10,000 hostile paths, methods and hosts make no series of their own', { skip }, async () => {
  const earlier = await node.metrics();
  const methods = METHODS.filter((method) => !NOT_PIPELINED.includes(method));
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, connection) => sendAll(Array.from({ length: REQUESTS_EACH }, (_each, i) => {
    const number = connection * REQUESTS_EACH + i;
    return `${methods[number % methods.length] ?? ''} ${number % 2 === 0 ? '/shop' : ''}/hostile-${number}?hostile=${number} HTTP/1.1\r\nHost: hostile-${number}.example\r\nContent-Length: 0\r\n\r\n`;
  }))));
  for (let from = 0; from < INVENTED_METHODS; from += CONNECTIONS) {
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => sendAll([`HOSTILE${from + i} /shop/hostile HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n`])));
  }
  const expected = countedIn(earlier) + CONNECTIONS * REQUESTS_EACH + INVENTED_METHODS;
  const text = await eventually('all are counted', async () => {
    const now = await node.metrics();
    return countedIn(now) === expected ? now : null;
  });
  assert.doesNotMatch(text, /hostile/i);
  // each method with the two or three statuses that it was answered with, of the route and of none
  const grown = seriesIn(text) - seriesIn(earlier);
  assert.ok(grown < 5 * METHODS.length, `${grown} series more than ${seriesIn(earlier)}`);
});

test('no counter goes back when a worker is killed, and its restart is counted', { skip }, async () => {
  const counted = countedIn(await node.metrics());
  assert.match(await node.metrics(), /^tidegate_worker_restarts_total 0$/m);
  const [worker = 0, other = 0] = node.pids('worker');
  await node.kill(worker);
  const seen = [counted];
  await eventually('another worker', async () => {
    seen.push(countedIn(await node.metrics()));
    return node.pids('worker').some((pid) => pid !== other) ? true : null;
  });
  await told('the restart', 'tidegate_worker_restarts_total == 1');
  seen.push(countedIn(await node.metrics()));
  assert.deepEqual(seen, seen.map(() => counted), 'what it had told stays');
  assert.deepEqual(await query('sum(resets(tidegate_requests_total[5m]))'), [0]);
  assert.deepEqual(await query('sum(resets(tidegate_request_duration_seconds_count[5m]))'), [0]);
});

test('no counter goes back when the supervisor is killed, for whoever scrapes without saying so', { skip }, async () => {
  assert.equal((await fetch(`${node.url}/shop/status/404`)).status, 404);
  const before = await node.metrics();
  const [supervisor = 0] = node.pids('supervisor');
  await node.kill(supervisor);
  // the first answer there is, before a worker has told anything, and those that follow
  const first = await eventually('another supervisor', () => node.metrics(), 60_000, 1);
  assert.deepEqual(fallen(before, first), []);
  const later = await eventually('a worker has told its counts', async () => {
    const now = await node.metrics();
    return /^tidegate_worker_resident_memory_bytes\{/m.test(now) ? now : null;
  });
  assert.deepEqual(fallen(first, later), []);
});

/** What this supervisor counts by itself begins again with it (docs/metrics.md). */
const ITS_OWN = /^(?:process|nodejs)_|^tidegate_(?:config_reloads|webhooks|spans)_total/;

/** The counters that are less in `later` than they were, or are not there. */
function fallen(earlier: string, later: string): string[] {
  const counters = (text: string): [string, number][] => [...text.matchAll(/^(\w+_(?:total|bucket|count|sum)(?:\{[^}]*\})?) (\S+)$/gm)].map(([, series = '', value]) => [series, Number(value)]);
  const now = new Map(counters(later));
  // a worker that has not told yet has none
  const known = counters(earlier).filter(([series]) => !ITS_OWN.test(series) && (now.has(series) || !/^tidegate_(?:worker|log_lines|insert|event)/.test(series)));
  assert.ok(known.length > 100, `${known.length} counters`);
  return known.filter(([series, value]) => !((now.get(series) ?? -1) >= value)).map(([series, value]) => `${series} ${value} is ${now.get(series)}`);
}

/** Sends them one behind the other; resolves when all were answered, or the connection was closed. */
function sendAll(requests: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(node.port, '127.0.0.1');
    let answers = 0;
    socket.setEncoding('latin1').on('data', (text: string) => {
      answers += text.match(/HTTP\/1\.1 \d\d\d /g)?.length ?? 0;
      if (answers >= requests.length) socket.destroy();
    });
    socket.on('error', reject).on('close', () => { resolve(); });
    for (const request of requests) socket.write(request);
  });
}
