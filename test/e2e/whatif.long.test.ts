/**
 * `tidegate whatif` on a real node: known traffic under a loose configuration, what is said of a tighter one, and the same traffic really made again, with the same spacing, at a fresh
 * node under the tighter one.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { WhatifAnswer } from '../../collector/reports/whatif.js';
import { hashKey } from '../../gateway/config/keys.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const NAMES = ['acme', 'globex', 'initech', 'hooli'] as const;
type AppName = (typeof NAMES)[number];
/** Service and route by path. */
const ROUTES = { '/items': 'catalogue items', '/orders': 'catalogue orders', '/open': 'catalogue open', '/find': 'search find', '/old': 'legacy old' } as const;
type Path = keyof typeof ROUTES;

interface Sent { readonly atMs: number; readonly app: AppName | ''; readonly path: Path }

const BURSTS = 4;
/** Longer than a burst takes to be minted again (4 s), and a worker to tell what it used (1 s). */
const EVERY_MS = 6500;

/** In each burst: more of acme than its rate takes, some of the others. */
function traffic(): Sent[] {
  return Array.from({ length: BURSTS }, (_, burst) => {
    const of = (app: Sent['app'], path: Path, times: number): Sent[] => Array.from({ length: times }, () => ({ atMs: burst * EVERY_MS, app, path }));
    return [
      ...of('acme', '/items', 5), ...of('acme', '/orders', 2), ...of('globex', '/items', 3), ...of('globex', '/find', 4), ...of('initech', '/find', 2), ...of('initech', '/items', 1 + burst),
      ...of('hooli', '/orders', 1), ...of('acme', '/old', burst === 0 ? 2 : 0), ...of('', '/open', 3),
    ];
  }).flat();
}

/** A zone in which no day ends soon. */
function zoneAtNoon(): string {
  const offset = 12 - new Date().getUTCHours();
  return offset === 0 ? 'Etc/GMT' : `Etc/GMT${offset > 0 ? '-' : '+'}${Math.abs(offset)}`;
}

function configOf(upstream: string, tight: boolean): TestConfig {
  const service = (name: string, limits: object, routes: readonly (readonly [string, Path])[]) => ({
    name, limits, upstream: { targets: [{ url: upstream }] },
    routes: routes.map(([route, path]) => ({ name: route, match: { path }, authentication: route === 'open' ? [] : ['api_key'] })),
  });
  const app = (name: AppName, services: readonly string[], limits: object) => ({
    name, services, limits, time_zone: zoneAtNoon(), keys: [{ id: 'k', sha256: hashKey(`key-of-${name}`) }],
  });
  const all = ['catalogue', 'search', ...(tight ? [] : ['legacy'])];
  return {
    workers: 2,
    services: [
      service('catalogue', {}, [['items', '/items'], ['orders', '/orders'], ['open', '/open']]), service('search', {}, [['find', '/find']]),
      ...(tight ? [] : [service('legacy', {}, [['old', '/old']])]),
    ],
    apps: [
      app('acme', all, tight ? { qps: 1, burst: 4 } : { qps: 500 }), app('globex', all, { qpd: tight ? 17 : 1000 }),
      // the quota of one whose other requests are refused before they could count
      app('initech', tight ? ['catalogue'] : all, { qpd: tight ? 6 : 1000 }),
      ...(tight ? [] : [app('hooli', all, {})]),
    ],
  };
}

/** Makes the requests, each at its time or as soon as those before it are answered. @returns the code of each refusal; null: let through */
async function make(node: TestNode, sent: readonly Sent[]): Promise<(string | null)[]> {
  const codes: (string | null)[] = [];
  const began = performance.now();
  for (const { atMs, app, path } of sent) {
    const waitMs = atMs - (performance.now() - began);
    if (waitMs > 0) await pause(waitMs);
    const answer = await fetch(`${node.url}${path}`, { headers: app === '' ? {} : { 'x-api-key': `key-of-${app}` } });
    const text = await answer.text();
    codes.push(answer.ok ? null : String((JSON.parse(text) as { code: unknown }).code));
  }
  return codes;
}

type Table = Record<string, Record<string, number>>;

/** By app, service and route: how many, by code. */
function madeTable(sent: readonly Sent[], codes: readonly (string | null)[]): Table {
  const table: Table = {};
  sent.forEach(({ app, path }, index) => {
    const code = codes[index];
    if (typeof code !== 'string') return;
    const row = table[`${app} ${ROUTES[path]}`] ??= {};
    row[code] = (row[code] ?? 0) + 1;
  });
  return table;
}

const saidTable = (answer: WhatifAnswer): Table => Object.fromEntries(answer.rows.filter(({ refused }) => Object.keys(refused).length > 0).map(({ app, service, route, refused }) => [`${app} ${service} ${route}`, refused as Record<string, number>]));

test('what is said of a tighter configuration is what it does when the same requests are made again under it', { skip: requires('chdb', 'linux'), timeout: 240_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    const sent = traffic();
    await using loose = await TestNode.start(configOf(upstream.url, false));
    const from = new Date().toISOString();
    assert.deepEqual([...new Set(await make(loose, sent))], [null], 'nothing is refused by the loose one');
    const to = new Date(Date.now() + 1).toISOString();
    await using tight = await TestNode.start(configOf(upstream.url, true));
    const codes = await make(tight, sent);

    const run = async (...args: string[]): Promise<string> => {
      const { command, args: all } = tidegateCommand(['whatif', ...args, '--url', loose.controlUrl, '--token', OPERATOR_TOKEN]);
      return (await promisify(execFile)(command, all, { env: { ...process.env, COLUMNS: '80' } })).stdout;
    };
    const ask = async (...range: string[]): Promise<WhatifAnswer> => JSON.parse(await run(tight.configPath, ...range, '--format', 'json')) as WhatifAnswer;
    const answer = await eventually('all of it is stored', async () => {
      const now = await ask('--from', from, '--to', to);
      return now.totals.requests === sent.length && now.complete ? now : null;
    }, 60_000, 500);
    assert.deepEqual(saidTable(answer), madeTable(sent, codes));
    // and not because nothing was refused
    const all = answer.totals.newly_refused;
    assert.deepEqual(all, { rate_limited: BURSTS * 3, quota_exhausted: BURSTS * 7 - 17 + 4, forbidden: BURSTS * 2, unauthenticated: BURSTS, route_not_found: 2 });
    assert.deepEqual(answer.limits.map(({ key, refused }) => [key, refused]), [['qps:app:acme', BURSTS * 3]]);

    // from the third burst on: what was counted before it is, also what initech may not ask any more (7 in all, of a quota of 6)
    const half = sent.findIndex(({ atMs }) => atMs === 2 * EVERY_MS);
    const middle = new Date(Date.parse(from) + 2 * EVERY_MS - 1000).toISOString();
    assert.deepEqual(saidTable(await ask('--from', middle, '--to', to)), { ...madeTable(sent.slice(half), codes.slice(half)), 'initech catalogue items': { quota_exhausted: 7 } });

    // the configuration in force changes nothing, and what the tighter node refused the loose one lets through
    const same = JSON.parse(await run(loose.configPath, '--from', from, '--to', to, '--format', 'json')) as WhatifAnswer;
    assert.deepEqual([same.totals.admitted, same.totals.refused], [sent.length, {}]);
    const back = await eventually('the second run is stored', async () => {
      const text = await tight.control<WhatifAnswer>('/v1/whatif', { method: 'POST', body: JSON.stringify({ from, to: new Date().toISOString(), rules: rulesFor(await ask('--from', from, '--to', to)) }) }).catch(() => null);
      return text === null || text.totals.requests < sent.length ? null : text;
    }, 60_000, 500);
    assert.deepEqual(back.totals.as_recorded, { unauthenticated: BURSTS, route_not_found: 2 });
    assert.deepEqual(back.totals.newly_admitted, { rate_limited: BURSTS * 3, quota_exhausted: BURSTS * 7 - 17 + 4, forbidden: BURSTS * 2 });

    const text = await run(tight.configPath, '--from', from, '--to', to);
    assert.ok(text.split('\n').every((line) => line.length <= 80), text);
    assert.match(text, /^acme +catalogue +items +20 +now rate_limited +\d+$/m);
    assert.match(text, /^qps:app:acme +12 +\d+$/m);

    const failed = async (...args: string[]): Promise<string> => run(...args).then((out) => assert.fail(out), (error: { stderr: string }) => error.stderr);
    assert.match(await failed(tight.configPath, '--from', to, '--to', from), /from: must be before `to` \(invalid_parameter\)/);
    assert.match(await failed(tight.configPath, '--from', '2020-01-01T00:00:00Z', '--to', to), /Raw events are kept since .*range_not_kept/);
    const bad = join(loose.folder, 'bad.yaml');
    writeFileSync(bad, 'version: 1\nlisteners: { http: {} }\napps:\n  - { name: acme, limits: { qpd: many } }\n');
    assert.match(await failed(bad, '--from', from, '--to', to), /bad\.yaml:4:\d+: /);
  } finally {
    await upstream.stop();
  }
});

/** Without limits, for the same services: every app may do all. */
function rulesFor({ version }: WhatifAnswer): object {
  const services = ['catalogue', 'search'];
  return {
    version, rates: [], apps: NAMES.map((name) => ({ name, services, time_zone: 'UTC' })),
    services: services.map((name) => ({ name, counted: [], client_ip: false, routes: Object.values(ROUTES).filter((route) => route.startsWith(`${name} `)).map((route) => ({ name: route.split(' ')[1], open: route.endsWith('open') })) })),
  };
}
