/**
 * Who reads what of a node that runs: two apps' credentials tried against every endpoint, parameter and format, at the control origin and at the apps' own
 * listener; control tokens with a role; and what a reload makes of all of it.
 */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { hashKey } from '../../gateway/config/keys.js';
import { ENDPOINTS, endpointsAt, type Endpoint } from '../../gateway/control/endpoints.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const SKIP = { skip: requires('chdb', 'linux'), timeout: 180_000 };

interface Sent { readonly service: string; readonly route: string; readonly method: string; readonly status: number; readonly id: string }
interface Tenant { readonly name: string; readonly key: string; readonly zone: string; readonly sent: Sent[] }

const tenant = (name: string, zone: string): Tenant => ({ name, zone, key: `key-of-${name}-0123456789abcdef`, sent: [] });

/** No two numbers of the two are alike; `vault` is called by globex alone. */
const CALLS: Readonly<Record<string, readonly (readonly [path: string, method: string, times: number])[]>> = {
  acme: [['/orders/status/200', 'GET', 7], ['/orders/status/404', 'GET', 3], ['/stock/status/200', 'POST', 5], ['/stock/status/503', 'GET', 2]],
  globex: [['/orders/status/200', 'GET', 11], ['/stock/status/404', 'DELETE', 4], ['/vault/status/200', 'GET', 13], ['/vault/status/500', 'POST', 1]],
};

async function callAll(node: TestNode, { name, key, sent }: Tenant): Promise<void> {
  for (const [path, method, times] of CALLS[name] ?? []) {
    for (let i = 0; i < times; i++) {
      const answer = await fetch(node.url + path, { method, headers: { 'x-api-key': key } });
      await answer.arrayBuffer();
      const route = path.split('/')[1] ?? '';
      sent.push({ service: route === 'orders' ? 'shop' : 'depot', route, method, status: answer.status, id: answer.headers.get('x-request-id') ?? '' });
    }
  }
}

const route = (name: string): object => ({ name, match: { path: `/${name}/*` }, strip_prefix: `/${name}`, authentication: ['api_key'] });
const keyOf = ({ key }: Tenant, scopes = ['traffic', 'reports']): object => ({ id: 'own', sha256: hashKey(key), scopes });

interface Reply { readonly status: number; readonly text: string; readonly headers: Headers }
type Rows = readonly Readonly<Record<string, unknown>>[];

async function get(url: string, bearer: string | null, fields: Readonly<Record<string, string>> = {}): Promise<Reply> {
  const answer = await fetch(url, { headers: { ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }), ...fields } });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}
const rowsOf = ({ status, text }: Reply): Rows => {
  assert.equal(status, 200, text);
  const { rows, days } = JSON.parse(text) as { rows?: Rows; days?: Rows };
  return rows ?? days ?? assert.fail(text);
};
const requestsOf = (rows: Rows): number => rows.reduce((sum, row) => sum + Number(row['requests']), 0);
const codeOf = ({ text }: Reply): unknown => (JSON.parse(text) as { code?: unknown }).code;

/** What of `sent` a grouped report must say, as `group values: requests` in order. */
function counted(sent: readonly Sent[], groups: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const one of sent) {
    const known: Readonly<Record<string, unknown>> = { ...one, status_class: `${Math.floor(one.status / 100)}xx` };
    const name = groups.map((group) => String(known[group])).join(' ');
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => `${name}: ${count}`).sort();
}
const refusedOf = (rows: Rows): number => rows.reduce((sum, row) => sum + Number(row['refused']), 0);
const told = (rows: Rows, groups: readonly string[]): string[] => rows.map((row) => `${groups.map((group) => String(row[group])).join(' ')}: ${String(row['requests'])}`).sort();

/** What an answer hands out and somebody else may show again: of another app it is worth as much as one that never was. */
const HANDED_OUT: readonly { readonly what: string; readonly of: (owner: Tenant) => string; readonly unknown: string; readonly ask: (value: string) => string }[] = [
  { what: 'a request id', of: ({ sent }) => sent.at(-1)?.id ?? '', unknown: '00000000000000aa-1', ask: (value) => `/v1/requests/${value}` },
];

const INJECTIONS = [
  '\' OR 1=1 --', 'globex\' OR \'\'=\'', '\') UNION ALL SELECT * FROM tidegate.events --', 'app) FROM tidegate.events --', '{tenant:String}', 'app, sleep(1)', '\\', '\u0000', '__proto__', 'x'.repeat(3000),
];

test('two apps read their own exact numbers and nothing of the other: every endpoint, parameter and format, at both origins', SKIP, async () => {
  const [acme, globex] = [tenant('acme', 'Asia/Kathmandu'), tenant('globex', 'America/New_York')];
  const upstream = await TestUpstream.start();
  const [reportsPort] = await freePorts(1) as [number];
  await using node = await TestNode.start({
    reports: { address: `127.0.0.1:${reportsPort}`, queries_per_minute: 1_000_000 },
    services: [{ name: 'shop', routes: [route('orders')] }, { name: 'depot', routes: [route('stock'), route('vault')] }].map((service) => ({ ...service, upstream: { targets: [{ url: upstream.url }] } })),
    apps: [acme, globex].map((app) => ({ name: app.name, services: ['shop', 'depot'], keys: [keyOf(app)], time_zone: app.zone })),
  });
  const from = new Date(Date.now() - 3_600_000).toISOString();
  const to = new Date(Date.now() + 3_600_000).toISOString();
  for (const app of [acme, globex]) await callAll(node, app);
  const all = acme.sent.length + globex.sent.length;
  const totals = async (): Promise<number> => requestsOf((await node.control<{ rows: Rows }>(`/v1/reports/traffic?interval=total&from=${from}`)).rows);
  await eventually('all requests in the report', async () => (await totals() === all ? true : null), 60_000, 50);

  for (const origin of [node.controlUrl, `http://127.0.0.1:${reportsPort}`]) {
    for (const [own, other] of [[acme, globex], [globex, acme]] as const) {
      /** Nothing of the other is in any answer: neither its name nor its ids, nor a route that it alone calls. */
      const ask = async (path: string, fields: Readonly<Record<string, string>> = {}): Promise<Reply> => {
        const reply = await get(origin + path, own.key, { 'x-tidegate-principal': 'operator', 'x-tidegate-time-zone': other.zone, ...fields });
        const said = [...reply.headers].map(([name, value]) => `${name}: ${value}`).join('\n') + reply.text;
        // what was asked for may be said again
        const asked = decodeURIComponent(path);
        for (const secret of [other.name, other.zone, ...other.sent.map(({ id }) => id), ...(own === acme ? ['vault'] : [])]) {
          // an id may begin as another does
          if (!asked.includes(secret)) assert.ok(!new RegExp(`${secret}(?![0-9a-z])`).test(said), `${path}: ${secret} in ${said}`);
        }
        return reply;
      };
      const traffic = (query: string): Promise<Reply> => ask(`/v1/reports/traffic?from=${from}&${query}`);

      for (const interval of ['minute', 'hour', 'day', 'month', 'total']) assert.equal(requestsOf(rowsOf(await traffic(`interval=${interval}`))), own.sent.length, interval);
      for (const groups of [['service'], ['route'], ['status_class'], ['service', 'route', 'status_class'], ['status'], ['method'], ['service', 'status', 'method'], ['route', 'status']]) {
        assert.deepEqual(told(rowsOf(await traffic(`interval=total&group_by=${groups.join(',')}`)), groups), counted(own.sent, groups), groups.join());
        assert.deepEqual(told(rowsOf(await traffic(`interval=total&app=${own.name}&${groups.map((group) => `group_by=${group}`).join('&')}`)), groups), counted(own.sent, groups));
      }
      assert.deepEqual(told(rowsOf(await traffic('interval=total&group_by=app')), ['app']), [`${own.name}: ${own.sent.length}`]);
      assert.deepEqual(told(rowsOf(await traffic('interval=total&group_by=outcome')), ['outcome']).reduce((sum, line) => sum + Number(line.split(': ')[1]), 0), own.sent.length);
      for (const name of ['service', 'route', 'status', 'method'] as const) {
        for (const value of new Set([...own.sent, ...other.sent].map((one) => one[name]))) {
          assert.equal(requestsOf(rowsOf(await traffic(`interval=total&${name}=${value}`))), own.sent.filter((one) => one[name] === value).length, `${name}=${value}`);
        }
      }
      const csv = await traffic('interval=total&group_by=service&format=csv');
      assert.deepEqual(csv.text.trim().split(/\r?\n/).slice(1).map((line) => line.split(',').slice(1, 3).join(': ')).sort(), counted(own.sent, ['service']), csv.text);
      assert.equal((await ask(`/v1/reports/traffic?from=${from}&interval=total&group_by=service`, { accept: 'text/csv' })).text.split('\n')[0], csv.text.split('\n')[0]);

      const live = JSON.parse((await ask('/v1/reports/live?time_zone=UTC')).text) as { site: { requests: number }; apps: Record<string, unknown>; services: Record<string, { requests: number }> };
      // a midnight between the calls and here would begin another day
      if (new Date().toISOString().slice(0, 10) === from.slice(0, 10)) {
        assert.deepEqual([live.site.requests, Object.entries(live.services).map(([name, { requests }]) => `${name}: ${requests}`).sort()], [own.sent.length, counted(own.sent, ['service'])]);
        assert.deepEqual(Object.keys(live.apps), [own.name]);
      }
      const stream = await fetch(`${origin}/v1/reports/live`, { headers: { authorization: `Bearer ${own.key}`, accept: 'text/event-stream' } });
      const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
      const event = Buffer.from((await reader.read()).value ?? []).toString();
      await reader.cancel();
      assert.ok(event.startsWith('data: ') && !event.includes(other.name) && (own === globex || !event.includes('vault')), event);

      const day = await ask('/v1/completeness');
      assert.deepEqual(Object.keys(JSON.parse(day.text) as object).sort(), ['as_of', 'complete', 'day', 'dropped', 'from', 'reasons', 'recorded', 'recorded_from', 'time_zone', 'to']);
      assert.equal((JSON.parse(day.text) as { time_zone: string }).time_zone, own.zone);
      for (const one of [own.sent[0], own.sent.at(-1)] as Sent[]) {
        const { app, service, route: by, method, status } = JSON.parse((await ask(`/v1/requests/${one.id}`)).text) as Sent & { app: string };
        assert.deepEqual([app, service, by, method, status], [own.name, one.service, one.route, one.method, one.status]);
      }

      const calls = rowsOf(await ask(`/v1/requests?from=${from}&limit=1000`));
      assert.deepEqual(calls.map(({ id }) => id).sort(), own.sent.map(({ id }) => id).sort());
      for (const { service, status } of own.sent) {
        assert.equal(rowsOf(await ask(`/v1/requests?from=${from}&service=${service}&status=${status}`)).length, own.sent.filter((one) => one.service === service && one.status === status).length);
      }
      const list = `/v1/requests?from=${from}&to=${to}&limit=2`;
      const { next: theirCalls } = JSON.parse((await get(origin + list, other.key)).text) as { next: string };
      for (const cursor of [theirCalls, 'made-up']) {
        const refused = await ask(`${list}&cursor=${cursor}`);
        assert.deepEqual([refused.status, (JSON.parse(refused.text) as { parameter: string }).parameter], [400, 'cursor'], cursor);
      }
      for (const query of [`app=${other.name}`, 'app=nobody']) assert.deepEqual(codeOf(await ask(`${list}&${query}`)), 'operator_only', query);

      for (const { what, of, unknown, ask: path } of HANDED_OUT) {
        const blank = ({ status, text }: Reply, value: string): unknown[] => [status, text.replaceAll(value, '')];
        const value = of(other);
        assert.deepEqual(blank(await ask(path(value)), value), blank(await ask(path(unknown)), unknown), `${what} of the other`);
      }
      const pages = `/v1/reports/traffic?from=${from}&to=${to}&interval=total&group_by=service,route&limit=1`;
      const theirs = await get(origin + pages, other.key);
      const { next } = JSON.parse(theirs.text) as { next: string };
      for (const cursor of [next, 'made-up']) {
        const refused = await ask(`${pages}&cursor=${cursor}`);
        assert.deepEqual([refused.status, (JSON.parse(refused.text) as { parameter: string }).parameter], [400, 'cursor'], cursor);
      }
      const mine = await ask(pages, { 'if-none-match': theirs.headers.get('etag') ?? '' });
      assert.equal(mine.status, 200);
      assert.equal((await ask(pages, { 'if-none-match': mine.headers.get('etag') ?? '' })).status, 304);
      const second = await ask(`${pages}&cursor=${(JSON.parse(mine.text) as { next: string }).next}`);
      assert.deepEqual([...told(rowsOf(mine), ['service', 'route']), ...told(rowsOf(second), ['service', 'route'])], counted(own.sent, ['service', 'route']).slice(0, 2));
      const heat = JSON.parse((await ask(`/v1/reports/latency?from=${from}&interval=total`)).text) as { rows: { requests: number }[] };
      assert.equal(requestsOf(heat.rows), own.sent.length - refusedOf(rowsOf(await traffic('interval=total'))));

      for (const query of [`app=${other.name}`, 'app=nobody', `app=${own.name}&app=${other.name}`, 'group_by=target', 'group_by=config_version', `target=${encodeURIComponent(upstream.url)}`, 'config_version=x']) {
        const refused = await traffic(query);
        assert.deepEqual([refused.status, codeOf(refused)], [403, 'operator_only'], query);
      }
      // as the table has it, so that a new parameter is walked too
      for (const [, endpoint] of endpointsAt('reports')) {
        const path = endpoint.path.replace(':id', own.sent[0]?.id ?? '');
        const common = endpoint.path === ENDPOINTS.trafficReport.path ? `interval=total&from=${from}&` : '';
        for (const parameter of [...Object.keys(endpoint.query ?? {}), 'tenant', 'principal']) {
          for (const text of INJECTIONS) {
            const others = common.split('&').filter((part) => part !== '' && !part.startsWith(`${parameter}=`));
            const reply = await ask(`${path}?${[...others, `${parameter}=${encodeURIComponent(text)}`].join('&')}`);
            if (reply.status !== 200) assert.match(`${reply.status} ${String(codeOf(reply))}`, /^(?:400 invalid_parameter|403 operator_only)$/, `${parameter}=${text}: ${reply.text}`);
            else assert.deepEqual(rowsOf(reply), [], `${parameter}=${text}`);
          }
        }
      }
      for (const text of INJECTIONS) assert.ok([400, 414].includes((await ask(`/v1/requests/${encodeURIComponent(text)}`)).status), text);
      for (const accept of INJECTIONS.filter((text) => /^[\x20-\x7e]*$/.test(text))) assert.equal(requestsOf(rowsOf(await ask(`/v1/reports/traffic?from=${from}&interval=total`, { accept }))), own.sent.length);
      for (const [, { path, method, access }] of endpointsAt('control').filter(([, one]) => one.access === 'operator' || one.access === 'read') as [string, Endpoint][]) {
        const answer = await fetch(origin + path.replace(':name', other.name).replace(':id', 'own'), { method, headers: { authorization: `Bearer ${own.key}` } });
        assert.equal(answer.status, origin === node.controlUrl ? 403 : 404, `${method} ${path} (${access}): ${await answer.text()}`);
      }
    }
  }
  assert.equal(await totals(), all, 'what was tried has changed nothing');
  await upstream.stop();
});

test('what a key is for, roles, limits and the listener\'s address: in force with a reload', SKIP, async () => {
  const [acme, readers] = [tenant('acme', 'UTC'), { billing: 'tg_billing-0123456789abcdef', boards: 'tg_boards-0123456789abcdef' }];
  const upstream = await TestUpstream.start();
  const [first, second] = await freePorts(2) as [number, number];
  const token = (name: keyof typeof readers, role: string): object => ({ name, role, sha256: hashKey(readers[name]) });
  await using node = await TestNode.start({
    control: { tokens: [token('boards', 'read_only')] },
    reports: { address: `127.0.0.1:${first}`, queries_per_minute: 1000 },
    services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [route('orders')] }],
    apps: [{ name: 'acme', services: ['shop'], keys: [keyOf(acme, ['reports'])] }],
  });
  const at = (port: number) => `http://127.0.0.1:${port}/v1/reports/traffic?interval=total`;
  const made = async (scopes: readonly string[]): Promise<string> => (await node.control<{ key: string }>('/v1/apps/acme/keys', { method: 'POST', body: JSON.stringify({ scopes }) })).key;
  const [traffic, reports] = [await made(['traffic']), await made(['reports'])];
  const through = async (key: string): Promise<readonly [number, string]> => {
    const answer = await fetch(`${node.url}/orders/status/200`, { headers: { 'x-api-key': key } });
    return [answer.status, await answer.text()];
  };
  await eventually('the collector', async () => ((await get(at(node.controlPort), OPERATOR_TOKEN)).status === 200 ? true : null), 60_000, 50);
  // a key's way to the workers is not waited for by the one who makes it
  await eventually('the new key at the workers', async () => ((await through(traffic))[0] === 200 ? true : null), 20_000, 20);
  for (const key of [reports, acme.key]) {
    const [status, text] = await through(key);
    assert.equal(status, 401);
    assert.match(text, /"unauthenticated".*for reports, not for requests/);
    assert.equal((await get(at(first), key)).status, 200);
  }
  assert.deepEqual([(await get(at(first), traffic)).status, (await get(at(node.controlPort), traffic)).status], [401, 401]);
  for (const bearer of [OPERATOR_TOKEN, readers.boards]) {
    assert.equal((await get(at(first), bearer)).status, 401);
    assert.equal((await get(at(node.controlPort), bearer)).status, 200);
  }
  assert.equal((await get(at(node.controlPort), readers.billing)).status, 401);
  const shown = await get(`${node.controlUrl}/v1/config/history`, readers.boards);
  assert.ok(!shown.text.includes(hashKey(readers.boards).slice(0, 12)) && !shown.text.includes(hashKey(acme.key).slice(0, 12)), shown.text);

  node.rewriteConfig((config) => {
    (config['control'] as { tokens: object[] }).tokens = [token('billing', 'billing')];
    config['reports'] = { address: `127.0.0.1:${second}`, queries_per_minute: 2 };
  });
  await node.control('/v1/reload', { method: 'POST' });
  await eventually('the new listener', async () => ((await get(at(second), null)).status === 401 ? true : null), 20_000, 20);
  await assert.rejects(fetch(at(first)), 'the old one is closed');
  assert.equal((await get(at(node.controlPort), readers.boards)).status, 401);
  assert.equal((await get(`${node.controlUrl}/v1/status`, readers.billing)).status, 403);
  assert.equal((await get(at(node.controlPort), readers.billing)).status, 200);
  const statuses: number[] = [];
  for (let i = 0; i < 4; i++) statuses.push((await get(at(second), reports)).status);
  assert.equal(statuses.at(-1), 429, String(statuses));
  const limited = await get(at(second), reports);
  assert.deepEqual([codeOf(limited), limited.headers.get('ratelimit-policy')], ['report_rate_limited', '"reports";q=2;w=60']);
  assert.ok(Number(limited.headers.get('retry-after')) >= 1 && Number(limited.headers.get('retry-after')) <= 30);
  for (let i = 0; i < 5; i++) assert.equal((await get(at(node.controlPort), OPERATOR_TOKEN)).status, 200);

  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as AddressInfo;
  node.rewriteConfig((config) => { config['reports'] = { address: `127.0.0.1:${port}` }; });
  await assert.rejects(node.control('/v1/reload', { method: 'POST' }), /422.*address_in_use/);
  assert.equal((await get(at(second), null)).status, 401, 'it stays where it was');
  taken.close();
  node.rewriteConfig((config) => { delete config['reports']; });
  await node.control('/v1/reload', { method: 'POST' });
  await eventually('no listener any more', () => fetch(at(second)).then(() => null, () => true), 20_000, 20);
  await upstream.stop();
});
