/** The live numbers of a whole node: what is in flight now, and how much of each quota is used. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashKey } from '../../gateway/config/keys.js';
import type { NodeLive } from '../../gateway/control/control-deps.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const keyOf = (app: string): string => `key-of-${app}-0123456789abcdef`;
const app = (name: string, more: object): object => ({ name, keys: [{ id: 'own', sha256: hashKey(keyOf(name)) }], services: ['shop', 'depot'], ...more });
const service = (name: string, url: string): object =>
  ({ name, upstream: { targets: [{ url }] }, routes: [{ name: 'all', match: { path: `/${name}/*` }, strip_prefix: `/${name}`, authentication: ['api_key'] }] });

test('what is in flight, by service and app, and each app\'s quota of its own day; an app sees its own alone', { skip: requires('chdb', 'linux'), timeout: 300_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start({
    workers: 2, services: ['shop', 'depot'].map((name) => service(name, upstream.url)),
    apps: [app('acme', { time_zone: 'Pacific/Kiritimati', limits: { qpd: 10 } }), app('globex', { time_zone: 'Pacific/Niue', limits: { qpd: { limit: 4, over: 'bill' } } }), app('free', {})],
  });
  const call = async (name: string, path: string): Promise<number> => {
    const answer = await fetch(node.url + path, { headers: { 'x-api-key': keyOf(name) } });
    await answer.arrayBuffer();
    return answer.status;
  };
  const dayOf = (timeZone: string): string => new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short' }).format(Date.now());
  const live = (): Promise<NodeLive> => node.control<NodeLive>('/v1/reports/live');

  for (let i = 0; i < 7; i++) assert.equal(await call('acme', '/shop/status/200'), 200);
  for (let i = 0; i < 6; i++) assert.equal(await call('globex', '/depot/status/200'), 200);
  const quotas = {
    acme: { day: dayOf('Pacific/Kiritimati'), time_zone: 'Pacific/Kiritimati', limit: 10, used: 7, share: 0.7, over: 'refuse' },
    globex: { day: dayOf('Pacific/Niue'), time_zone: 'Pacific/Niue', limit: 4, used: 6, share: 1.5, over: 'bill' },
  };
  await eventually('what was called counts against the quotas', async () => ((await live()).quotas['acme']?.used === 7 && (await live()).quotas['globex']?.used === 6 ? true : null), 120_000, 100);
  assert.deepEqual((await live()).quotas, quotas);
  assert.deepEqual((await live()).in_flight, { site: 0, services: {}, apps: {} });

  const slow = [['acme', '/shop/held'], ['acme', '/depot/held'], ['free', '/shop/held']].map(([name = '', path = '']) => call(name, path));
  await eventually('three are in flight', async () => ((await live()).in_flight?.site === 3 ? true : null), 60_000, 50);
  assert.deepEqual((await live()).in_flight, { site: 3, services: { depot: 1, shop: 2 }, apps: { acme: 2, free: 1 } });
  const own = await (await fetch(`${node.controlUrl}/v1/reports/live`, { headers: { authorization: `Bearer ${keyOf('acme')}` } })).json() as NodeLive;
  assert.deepEqual([own.in_flight, Object.keys(own.quotas)], [{ site: 2, services: { depot: 1, shop: 1 }, apps: { acme: 2 } }, ['acme']]);

  // the stream says it, too, and sees them end
  const stream = await fetch(`${node.controlUrl}/v1/reports/live`, { headers: { authorization: `Bearer ${keyOf('free')}`, accept: 'text/event-stream' } });
  assert.match(stream.headers.get('content-type') ?? '', /^text\/event-stream/);
  const flights: number[] = [];
  const decoder = new TextDecoder();
  let text = '';
  for await (const piece of stream.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(piece, { stream: true });
    const events = text.split('\n\n').slice(0, -1).filter((event) => event.startsWith('data: ')).map((event) => JSON.parse(event.slice(6)) as NodeLive);
    for (const { quotas: none } of events) assert.deepEqual(none, {}, 'it has no quota, and sees nobody else\'s');
    flights.splice(0, flights.length, ...events.map(({ in_flight: flight }) => flight?.site ?? -1));
    if (flights.length > 0) upstream.release();
    if (flights.at(-1) === 0) break;
  }
  assert.deepEqual([...new Set(flights)], [1, 0], flights.join());
  assert.deepEqual(await Promise.all(slow), [200, 200, 200]);
  await upstream.stop();
});
