import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hash, LISTENER } from './config-folder.fixture.js';
import { diffConfigs, renderDiff } from './diff.js';
import { parseConfig } from './load.js';
import { redactConfig } from './redact.js';
import type { Config } from './schema.js';
import { canonicalJson, configVersion } from './version.js';

const FILE = '/nowhere/tidegate.yaml';
const parse = (yaml: string): Config => parseConfig(LISTENER + yaml, FILE, {}).config;

const BASE = `control: { token: "a secret of the operator", tokens: [{ name: boards, role: read_only, sha256: "${hash('3')}" }] }
services:
  - { name: a, upstream: { targets: [{ url: "http://a" }] }, routes: [{ name: r1, match: { path: /1 } }, { name: r2, match: { path: /2 } }] }
  - { name: b, upstream: { targets: [{ url: "http://b" }] }, routes: [{ name: r }] }
apps:
  - { name: acme, services: [a], keys: [{ id: k1, sha256: "${hash('1')}" }], jwt: { algorithm: HS256, secret: ${hash('s')} } }
`;

describe('a diff', () => {
  it('is empty for the same content', () => {
    assert.deepEqual(diffConfigs({ config: parse(BASE) }, { config: parse(BASE) }), []);
  });

  it('matches services, routes, apps, keys and targets by name', () => {
    const after = BASE
      .replace('  - { name: a, upstream: { targets: [{ url: "http://a" }]', '  - { name: new, upstream: { targets: [{ url: "http://n" }] }, routes: [{ name: r, match: { path: /n } }] }\n  - { name: a, upstream: { targets: [{ url: "http://a2", weight: 3 }, { url: "http://a", weight: 2 }]')
      .replace('path: /2', 'path: /two')
      .replace('services: [a]', 'services: [a, b], limits: { qpd: 100 }');
    const lines = renderDiff(diffConfigs({ config: parse(BASE) }, { config: parse(after) })).split('\n');
    assert.deepEqual(lines.map((line) => line.replace(/\{.{40,}/, '{...}')), [
      '+ apps[acme].limits.qpd: 100',
      '~ apps[acme].services: ["a"] -> ["a","b"]',
      '~ services[a].routes[r2].match.path: "/2" -> "/two"',
      '+ services[a].upstream.targets[http://a2]: {"url":"http://a2","weight":3}',
      '~ services[a].upstream.targets[http://a].weight: 1 -> 2',
      '+ services[new]: {...}',
    ]);
  });

  it('shows what went, and a changed order', () => {
    const swapped = BASE.replace('{ name: r1, match: { path: /1 } }, { name: r2, match: { path: /2 } }', '{ name: r2, match: { path: /2 } }, { name: r1, match: { path: /1 } }').replace(/ {2}- \{ name: b.*\n/, '');
    assert.deepEqual(diffConfigs({ config: parse(BASE) }, { config: parse(swapped) }).map(({ path, kind, after }) => [path, kind, after]), [
      ['services[a].routes (order)', 'changed', ['r2', 'r1']], ['services[b]', 'removed', undefined],
    ]);
  });

  it('tells that a secret changed, and nothing of it', () => {
    const after = BASE.replace('a secret of the operator', 'another secret of theirs').replace(hash('s'), hash('t')).replace(hash('1'), hash('2')).replace(hash('3'), hash('4'));
    const changes = diffConfigs(
      { config: parse(BASE), secrets: { 'file:jwks.json': 'old content' } },
      { config: parse(after), secrets: { 'file:jwks.json': 'new content' } },
    );
    assert.deepEqual(changes.map(({ path }) => path), ['apps[acme].jwt.secret', 'apps[acme].keys[k1].sha256', 'control.token', 'control.tokens[boards].sha256', 'file:jwks.json']);
    assertHidden(JSON.stringify(changes));
    const added = JSON.stringify(diffConfigs({ config: parse('') }, { config: parse(BASE) }));
    assertHidden(added);
  });

  it('is empty exactly when the version is the same, over random edits', () => {
    const random = randomFrom(7);
    const text = JSON.stringify(parse(BASE.repeat(1)));
    let equal = 0;
    for (let i = 0; i < 500; i++) {
      const [a, b] = [mutate(JSON.parse(text) as Config, random), mutate(JSON.parse(text) as Config, random)];
      const same = configVersion(a, {}) === configVersion(b, {});
      if (same) equal++;
      const changes = diffConfigs({ config: a }, { config: b });
      assert.equal(changes.length === 0, same, `${canonicalJson(a)}\n${canonicalJson(b)}\n${JSON.stringify(changes)}`);
      const back = diffConfigs({ config: b }, { config: a });
      assert.deepEqual(back.map(({ path }) => path), changes.map(({ path }) => path));
      assert.deepEqual(changes.map(({ before, after }) => [before, after]), back.map(({ before, after }) => [after, before]));
    }
    assert.ok(equal > 5 && equal < 495, `${equal} of 500 equal`);
  });
});

describe('a version', () => {
  it('is the same on nodes that have one file and names of their own', () => {
    const config = parse(BASE);
    assert.equal(configVersion({ ...config, node: 'a' }, {}), configVersion({ ...config, node: 'b' }, {}));
    assert.notEqual(configVersion({ ...config, nodes: ['a'] }, {}), configVersion({ ...config, nodes: ['b'] }, {}));
  });

  it('does not depend on the order of keys, over random orders', () => {
    const random = randomFrom(3);
    const config = parse(BASE);
    const version = configVersion(config, { b: '1', a: '2' });
    for (let i = 0; i < 100; i++) assert.equal(configVersion(shuffleKeys(config, random) as Config, { a: '2', b: '1' }), version);
  });
});

describe('a redacted configuration', () => {
  it('holds no secret, and leaves the original alone', () => {
    const config = parse(BASE);
    const before = canonicalJson(config);
    const redacted = redactConfig(config);
    assertHidden(JSON.stringify(redacted));
    assert.equal(redacted.control.token, '***');
    assert.equal(redacted.apps[0]?.jwt?.secret, '***');
    assert.deepEqual(redacted.apps[0]?.keys, [{ id: 'k1', sha256: '11111111...', scopes: ['traffic', 'reports'] }]);
    assert.deepEqual(redacted.control.tokens, [{ name: 'boards', role: 'read_only', sha256: '33333333...' }]);
    assert.equal(canonicalJson(config), before);
    const { tokens: _, ...earlier } = config.control;
    assert.deepEqual(redactConfig({ ...config, control: earlier } as Config).control, { ...earlier, token: '***' }, 'of a version that had none');
    assert.equal(redactConfig(parse('')).control.token, undefined);
  });
});

function assertHidden(text: string): void {
  for (const secret of ['secret of', hash('s'), hash('t'), hash('1').slice(0, 9), hash('2').slice(0, 9), hash('3').slice(0, 9), hash('4').slice(0, 9), 'content']) assert.ok(!text.includes(secret), `${secret} in ${text}`);
}

/** A generator of its own (mulberry32), so that a failure comes again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function mutate(config: Config, random: () => number): Config {
  const service = config.services[0];
  const app = config.apps[0];
  const edits: (() => unknown)[] = [
    () => config.services.reverse(), () => service?.routes.reverse(), () => config.services.pop(), () => config.apps.pop(),
    () => { if (app !== undefined) app.limits.qps = 1 + Math.floor(random() * 2); },
    () => { if (app !== undefined) delete app.jwt; },
    () => { config.workers = random() < 0.5 ? 2 : 'auto'; },
    () => service?.upstream.targets.push({ url: `http://t${Math.floor(random() * 3)}`, weight: 1 }),
    () => service?.routes[0]?.authentication.reverse(),
    () => { delete config.control.token; },
    () => { if (service !== undefined) service.outcomes['answered'] = { counted: random() < 0.5 }; },
  ];
  for (let n = Math.floor(random() * 3); n > 0; n--) edits[Math.floor(random() * edits.length)]?.();
  return config;
}

function shuffleKeys(value: unknown, random: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffleKeys(item, random));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, member]) => ({ key, member: shuffleKeys(member, random), rank: random() }));
  return Object.fromEntries(entries.sort((a, b) => a.rank - b.rank).map(({ key, member }) => [key, member]));
}
