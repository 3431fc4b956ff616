import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkFile } from './check.js';
import { configFolder, hash, LISTENER } from './config-folder.fixture.js';
import { formatProblem } from './config-problem.js';
import { KeyStore } from './keys.js';
import { loadConfig } from './load.js';
import type { LoadResult } from './load.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ecPair } from '../../test/harness/key-pair.js';

/** `line:column code path` of each error. */
function places({ errors }: Pick<LoadResult, 'errors'>): string[] {
  return errors.map(({ line, column, code, path }) => `${line}:${column} ${code} ${path}`.trim());
}

function loaded(result: LoadResult): NonNullable<LoadResult['loaded']> {
  assert.deepEqual(result.errors.map(formatProblem), []);
  assert.ok(result.loaded !== null);
  return result.loaded;
}

/** Lines 4 and on: a service whose only route holds `route`, then `rest`. */
const service = (upstream: string, route = 'name: all'): string => `services:\n  - name: s\n    upstream: { ${upstream} }\n    routes: [{ ${route} }]\n`;
const TARGET = 'targets: [{ url: "http://127.0.0.1:9001" }]';
const withRoute = (route: string): string => service(TARGET, `name: r, ${route}`);

describe('a configuration that is right', () => {
  it('has every default filled in', (t) => {
    const { file, dir } = configFolder(t, `${LISTENER}${service(TARGET)}apps:\n  - name: acme\n    services: [s]\n    limits: { qpd: { limit: 10 } }\n`);
    const result = loaded(loadConfig(file, {}));
    assert.equal(result.config.listeners.http.timeouts.head, '10s');
    assert.equal(result.config.listeners.http.health_path, null);
    assert.deepEqual(result.config.services[0]?.routes[0]?.match, { hosts: [], path: '/*', methods: [], headers: {} });
    assert.deepEqual(result.config.services[0]?.routes[0]?.authentication, ['api_key', 'jwt']);
    assert.deepEqual(result.config.apps[0]?.limits, { qpd: { limit: 10, over: 'refuse' } });
    assert.equal(result.config.control.address, '127.0.0.1:9180');
    assert.equal(result.dataDir, join(dir, 'data'));
    assert.match(result.version, /^[0-9a-f]{12}$/);
  });

  it('may begin with a byte order mark, end lines with CR LF, and repeat values by aliases', (t) => {
    const yaml = `\ufeff${LISTENER}${service(TARGET)}limits: &l { qps: 5 }\napps: [{ name: a, limits: *l }, { name: b, limits: *l }]\n`;
    const { config } = loaded(loadConfig(configFolder(t, yaml.replaceAll('\n', '\r\n')).file, {}));
    assert.deepEqual(config.apps.map((app) => app.limits), [{ qps: 5 }, { qps: 5 }]);
  });

  it('has one version for one content, however it is written', (t) => {
    const { file, write } = configFolder(t, `${LISTENER}limits: { qps: 5, burst: 6 }\n`);
    const a = loaded(loadConfig(file, {})).version;
    write('tidegate.yaml', '# the same\nlimits:\n  burst: 6\n  qps: 5\nlisteners: {http: {address: \'127.0.0.1:0\', limits: {head: 16KiB}}}\nversion: 1\n');
    assert.equal(loaded(loadConfig(file, {})).version, a);
    write('tidegate.yaml', `${LISTENER}limits: { qps: 5, burst: 7 }\n`);
    assert.notEqual(loaded(loadConfig(file, {})).version, a);
  });
});

describe('variables', () => {
  it('are put in, with defaults and types as the schema wants them', (t) => {
    const { file } = configFolder(t, `${LISTENER}workers: "\${WORKERS:-4}"\ncontrol: { token: "\${TOKEN}", metrics_open: "\${OPEN:-true}" }\nnode: n\${EMPTY:-x}\${SET}\ndata_dir: ./$\${x}\n`);
    const { config } = loaded(loadConfig(file, { TOKEN: '12345678901234567890', EMPTY: '', SET: '1' }));
    assert.equal(config.workers, 4);
    assert.equal(config.control.token, '12345678901234567890');
    assert.equal(config.control.metrics_open, true);
    assert.equal(config.node, 'nx1');
    assert.equal(config.data_dir, './${x}');
  });

  it('that are not set are errors at their place, once each', (t) => {
    const { file } = configFolder(t, `${LISTENER}control:\n  token: "a\${A:-}b\${MISSING}"\nworkers: \${ALSO}\nnode: "x\${bad name}"\n`);
    assert.deepEqual(places(loadConfig(file, {})), ['5:19 config_variable control.token', '6:10 config_variable workers', '7:9 config_variable node']);
  });

  it('are not expanded again in what a variable holds', (t) => {
    const { file } = configFolder(t, `${LISTENER}control: { token: "\${A}" }\n`);
    assert.equal(loaded(loadConfig(file, { A: '${B} and more than 16' })).config.control.token, '${B} and more than 16');
  });

  it('override single values, of list entries by name or position too', (t) => {
    const { file } = configFolder(t, `${LISTENER}${service(TARGET)}`);
    const { config } = loaded(loadConfig(file, {
      TIDEGATE__services__s__upstream__connections: '64', TIDEGATE__services__0__routes__all__match__path: '/x/*', TIDEGATE__workers: '2',
      TIDEGATE__control__token: '1234567890123456', TIDEGATE__node: '"7"', TIDEGATE__listeners__http__health_path: '/up', TIDEGATE_TOKEN: 'not one of them',
    }));
    assert.equal(config.services[0]?.upstream.connections, 64);
    assert.equal(config.services[0]?.routes[0]?.match.path, '/x/*');
    assert.equal(config.workers, 2);
    assert.equal(config.control.token, '1234567890123456');
    assert.equal(config.node, '7');
    assert.equal(config.listeners.http.health_path, '/up');
  });

  it('that override wrongly are named in the error', (t) => {
    const { file } = configFolder(t, `${LISTENER}${service(TARGET)}`);
    const { errors } = loadConfig(file, { TIDEGATE__workers: 'many', TIDEGATE__services__x__name: 'y', TIDEGATE__nonsense: '1', TIDEGATE__constructor__prototype__polluted: '1' });
    assert.deepEqual(errors.map(({ file: place, code }) => `${place} ${code}`), [
      '$TIDEGATE__constructor__prototype__polluted config_unknown_key', '$TIDEGATE__nonsense config_unknown_key', '$TIDEGATE__services__x__name config_variable',
      '$TIDEGATE__workers config_schema',
    ]);
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });
});

describe('errors of syntax', () => {
  const cases: readonly (readonly [string, string | Uint8Array, readonly string[]])[] = [
    ['a key twice', `${LISTENER}node: a\nnode: b\n`, ['5:1 config_syntax node']],
    ['a tab', 'version: 1\nlisteners:\n\thttp: {}\n', ['3:1 config_syntax']],
    ['bad indentation', 'version: 1\nlisteners:\n  http: {}\n control: {}\n', ['4:1 config_syntax']],
    ['an open quote', 'version: 1\nnode: "abc\n', ['3:1 config_syntax']],
    ['an unquoted variable in a flow list', 'version: 1\ntrusted_proxies: [${A}]\n', ['2:20 config_syntax']],
    ['two documents', `${LISTENER}---\nversion: 1\n`, ['4:1 config_syntax']],
    ['an unknown tag', 'version: !!js/function 1\n', ['1:10 config_syntax']],
    ['an unknown anchor', 'version: *one\n', ['1:10 config_syntax version', '1:1 config_schema listeners']],
    ['a merge key', `<<: {}\n${LISTENER}`, ['1:1 config_syntax <<']],
    ['not UTF-8', Uint8Array.of(0x61, 0x3a, 0xff), ['1:1 config_syntax']],
    ['no content', '', ['1:1 config_schema']],
    ['a list', '- a\n', ['1:1 config_schema']],
    ['__proto__', `${LISTENER}__proto__: { polluted: 1 }\n`, ['4:1 config_unknown_key __proto__']],
    ['nesting that would end the process', `a: ${'['.repeat(100_000)}`, ['1:203 config_syntax']],
  ];
  for (const [name, yaml, expected] of cases) {
    it(name, (t) => {
      const { file, write } = configFolder(t);
      write('tidegate.yaml', yaml);
      assert.deepEqual(new Set(places(loadConfig(file, {}))), new Set(expected));
    });
  }

  it('an alias bomb, in bounded time', { timeout: 60_000 }, (t) => {
    const levels = Array.from({ length: 12 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array.from({ length: 10 }, () => `*l${i}`).join(', ')}]`);
    const result = loadConfig(configFolder(t, `l0: &l0 [1]\n${levels.join('\n')}\n`).file, {});
    assert.match(result.errors.find(({ code }) => code === 'config_syntax')?.message ?? '', /^aliases repeat more than/);
  });

  it('an alias inside what it repeats', (t) => {
    assert.ok(places(loadConfig(configFolder(t, 'version: &v [1, *v]\n').file, {})).includes('1:17 config_syntax version[1]'));
  });

  it('a file that is not there, is a folder, or cannot be read', (t) => {
    const { dir, file } = configFolder(t);
    assert.deepEqual(places(loadConfig(join(dir, 'nowhere.yaml'), {})), ['1:1 config_unreadable']);
    assert.deepEqual(places(loadConfig(dir, {})), ['1:1 config_unreadable']);
    chmodSync(file, 0);
    if (process.getuid?.() !== 0) assert.deepEqual(places(loadConfig(file, {})), ['1:1 config_unreadable']);
  });

  it('reads as file:line:column: message (code)', (t) => {
    const { file } = configFolder(t, `${LISTENER}contrl: {}\n`);
    assert.deepEqual(loadConfig(file, {}).errors.map(formatProblem), [`${file}:4:1: contrl: unknown key "contrl"; did you mean control? (config_unknown_key)`]);
  });
});

describe('errors of form', () => {
  it('come all at once, each at its place', (t) => {
    const { file } = configFolder(t, [
      'version: 2', 'listeners:', '  http:', '    address: 8080', '    adress: x', '    timeouts: { head: 10 seconds }', 'services:', '  - name: Catalogue',
      '    upstream:', '      balancer: roundrobin', '    routes: []', 'apps:', '  - nam: acme', '    limits: { qpd: { limit: 0, over: sell } }', 'store:', 'workers: some',
      'trusted_proxies: 10.0.0.0/8', 'ip: { allow: [1] }', '',
    ].join('\n'));
    const result = loadConfig(file, {});
    assert.deepEqual(places(result), [
      '1:10 config_schema version', '4:14 config_schema listeners.http.address', '5:5 config_unknown_key listeners.http.adress', '6:23 config_schema listeners.http.timeouts.head',
      '8:11 config_schema services[0].name', '9:5 config_schema services[0].upstream.targets', '10:17 config_schema services[0].upstream.balancer', '11:13 config_schema services[0].routes',
      '13:5 config_schema apps[0].name', '13:5 config_unknown_key apps[0].nam', '14:29 config_schema apps[0].limits.qpd.limit', '14:38 config_schema apps[0].limits.qpd.over',
      '15:1 config_schema store', '16:10 config_schema workers', '17:18 config_schema trusted_proxies', '18:15 config_schema ip.allow[0]',
    ]);
    const messages = result.errors.map(({ message }) => message);
    assert.ok(messages.includes('must be text, not a whole number: put it in quotes'));
    assert.ok(messages.includes('unknown key "adress"; did you mean address?'));
    assert.ok(messages.includes('must be one of round_robin, weighted_round_robin, random; did you mean round_robin?'));
    assert.ok(messages.includes('must be auto or a whole number from 1 to 256'));
    assert.ok(messages.includes('must be a duration: `250ms`, `1.5s`, `5m`, `2h`, `30d`'));
  });

  it('do not hide errors of meaning elsewhere, nor make up some', (t) => {
    const { file } = configFolder(t, `version: 1\nlisteners: 5\nservices:\n  - 7\n  - name: s\n    upstream: 3\n    routes: [{ name: r, match: { path: "~(" } }, 4]\n  - name: s\napps:\n  - { name: a, services: [s, t], time_zone: Mars/Base, jwt: 1, keys: [{ id: 1, sha256: x }] }\n  - { jwt: { algorithm: HS256, secret: short } }\n`);
    assert.deepEqual(places(loadConfig(file, {})), [
      '2:12 config_schema listeners', '4:5 config_schema services[0]', '6:15 config_schema services[1].upstream', '7:40 config_regexp services[1].routes[0].match.path',
      '7:50 config_schema services[1].routes[1]', '8:5 config_schema services[2].upstream', '8:5 config_schema services[2].routes', '8:11 config_duplicate services[2].name',
      '10:30 config_reference apps[0].services[1]', '10:45 config_value apps[0].time_zone', '10:61 config_schema apps[0].jwt', '10:77 config_schema apps[0].keys[0].id', '10:88 config_schema apps[0].keys[0].sha256',
      '11:5 config_schema apps[1].name',
    ]);
  });
});

describe('errors of meaning', () => {
  const app = (rest: string): string => `${service(TARGET)}apps:\n  - { name: a, ${rest} }\n`;
  const cases: readonly (readonly [string, string, string])[] = [
    ['two services of one name', 'services:\n  - { name: s, upstream: { targets: [{ url: "http://h" }] }, routes: [{ name: a }] }\n  - { name: s, upstream: { targets: [{ url: "http://h" }] }, routes: [{ name: b, match: { path: /b } }] }\n', '6:13 config_duplicate services[1].name'],
    ['two routes of one name', service(TARGET, 'name: r }, { name: r, match: { path: /b }'), '7:35 config_duplicate services[0].routes[1].name'],
    ['a node listed twice, and one that is no name', 'nodes: [edge-1, edge-1, "edge 2"]\n', '4:25 config_schema nodes[2]'],
    ['a node listed twice', 'nodes: [edge-1, edge-1]\n', '4:17 config_duplicate nodes[1]'],
    ['two apps of one name', 'apps: [{ name: a }, { name: a }]\n', '4:29 config_duplicate apps[1].name'],
    ['two keys of one id', `apps: [{ name: a, keys: [{ id: k, sha256: ${hash('a')} }, { id: k, sha256: ${hash('b')} }] }]\n`, '4:117 config_duplicate apps[0].keys[1].id'],
    ['one key for two apps', `apps:\n  - { name: a, keys: [{ id: k, sha256: ${hash('a')} }] }\n  - { name: b, keys: [{ id: k, sha256: ${hash('a')} }] }\n`, '6:40 config_duplicate apps[1].keys[0].sha256'],
    ['an app that names no service', app('services: [x]'), '9:27 config_reference apps[0].services[0]'],
    ['a target that is no URL', service('targets: [{ url: "catalogue" }]'), '6:34 config_value services[0].upstream.targets[0].url'],
    ['a target of another scheme', service('targets: [{ url: "ftp://h" }]'), '6:34 config_value services[0].upstream.targets[0].url'],
    ['a target with credentials', service('targets: [{ url: "http://u:p@h" }]'), '6:34 config_value services[0].upstream.targets[0].url'],
    ['a target with a query', service('targets: [{ url: "http://h/?a" }]'), '6:34 config_value services[0].upstream.targets[0].url'],
    ['a target with a bad port', service('targets: [{ url: "http://h:99999" }]'), '6:34 config_value services[0].upstream.targets[0].url'],
    ['a target twice', service('targets: [{ url: "http://h" }, { url: "http://h" }]'), '6:55 config_duplicate services[0].upstream.targets[1].url'],
    ['a Host that is none', service(`${TARGET}, host: "a b"`), '6:68 config_value services[0].upstream.host'],
    ['a timeout of nothing', service(`${TARGET}, timeouts: { total: 0s }`), '6:81 config_value services[0].upstream.timeouts.total'],
    ['a timeout beyond what timers can', service(`${TARGET}, timeouts: { total: 25d }`), '6:81 config_value services[0].upstream.timeouts.total'],
    ['a trusted proxy that is no block', 'trusted_proxies: ["10.0.0.0/33"]\n', '4:19 config_value trusted_proxies[0]'],
    ['an address that is no block', 'ip: { deny: ["1.2.3.4", "localhost"] }\n', '4:25 config_value ip.deny[1]'],
    ['a time zone that is none', app('time_zone: Mars/Base'), '9:27 config_value apps[0].time_zone'],
    ['a host with a port', withRoute('match: { hosts: ["a.example:80"] }'), '7:42 config_value services[0].routes[0].match.hosts[0]'],
    ['a path without a slash', withRoute('match: { path: a }'), '7:40 config_value services[0].routes[0].match.path'],
    ['a path that cannot be normalised', withRoute('match: { path: /a%2fb }'), '7:40 config_value services[0].routes[0].match.path'],
    ['a * in the middle', withRoute('match: { path: /a/*/b }'), '7:40 config_value services[0].routes[0].match.path'],
    ['a parameter twice', withRoute('match: { path: "/:a/:a" }'), '7:40 config_value services[0].routes[0].match.path'],
    ['a regular expression that linear time does not match', withRoute('match: { path: "~^/(?=a)" }'), '7:40 config_regexp services[0].routes[0].match.path'],
    ['a field name that is none', withRoute('match: { headers: { "a b": x } }'), '7:45 config_value services[0].routes[0].match.headers.a b'],
    ['a prefix that no path has', withRoute('match: { path: /a/* }, strip_prefix: /b'), '7:62 config_value services[0].routes[0].strip_prefix'],
    ['half a segment as prefix', withRoute('match: { path: /products/* }, strip_prefix: /prod'), '7:69 config_value services[0].routes[0].strip_prefix'],
    ['a prefix that is not normalised', withRoute('strip_prefix: /a//b'), '7:39 config_value services[0].routes[0].strip_prefix'],
    ['two routes for the same requests', service(TARGET, 'name: a, match: { path: "/:x", methods: [GET, HEAD] } }, { name: b, match: { path: "/:y", methods: [GET] }'), '7:91 config_conflict services[0].routes[1].match'],
    ['an outcome that there is not', 'services:\n  - name: s\n    outcomes: { anwered: { billable: false } }\n    upstream: { targets: [{ url: "http://h" }] }\n    routes: [{ name: r }]\n', '6:17 config_reference services[0].outcomes.anwered'],
    ['a burst of nothing', 'limits: { burst: 5 }\n', '4:18 config_value limits.burst'],
    ['a listener that is no address', 'control: { address: "localhost" }\n', '4:21 config_value control.address'],
    ['IPv6 without brackets', 'control: { address: "::1:80" }\n', '4:21 config_value control.address'],
    ['a segment larger than the spool', 'event_log: { spool: { max_bytes: 8MiB } }\n', '4:14 config_value event_log.spool.segment_bytes'],
    ['a spool of next to nothing', 'event_log: { spool: { max_bytes: 8191KiB, segment_bytes: 64KiB } }\n', '4:34 config_value event_log.spool.max_bytes'],
    ['segments of next to nothing', 'event_log: { spool: { segment_bytes: 63KiB } }\n', '4:38 config_value event_log.spool.segment_bytes'],
    ['a store of next to nothing', 'store: { max_bytes: 255MiB }\n', '4:21 config_value store.max_bytes'],
    ['HS256 without a secret', app('jwt: { algorithm: HS256 }'), '9:16 config_value apps[0].jwt'],
    ['a short secret', app('jwt: { algorithm: HS256, secret: only-ten-b }'), '9:49 config_value apps[0].jwt.secret'],
    ['HS256 with a key set', app(`jwt: { algorithm: HS256, secret: ${hash('s')}, jwks: "https://h" }`), '9:115 config_value apps[0].jwt.jwks'],
    ['RS256 without a key set', app('jwt: { algorithm: RS256 }'), '9:16 config_value apps[0].jwt'],
    ['RS256 with a secret', app(`jwt: { algorithm: RS256, jwks: "https://h", secret: ${hash('s')} }`), '9:60 config_value apps[0].jwt.secret'],
    ['a key set over http from elsewhere', app('jwt: { algorithm: RS256, jwks: "http://h/jwks" }'), '9:47 config_value apps[0].jwt.jwks'],
    ['a key set that is not there', app('jwt: { algorithm: RS256, jwks: "file:none.json" }'), '9:47 config_file apps[0].jwt.jwks'],
    ['a key set that is no JSON', app('jwt: { algorithm: RS256, jwks: "file:tidegate.yaml" }'), '9:47 config_file apps[0].jwt.jwks'],
    ['a token file that is not there', 'control: { token: "file:none" }\n', '4:19 config_file control.token'],
    ['a token that can be guessed', 'control: { token: fifteen-letters }\n', '4:19 config_value control.token'],
    ['a role that there is not', `control: { tokens: [{ name: a, role: admin, sha256: ${hash('a')} }] }\n`, '4:38 config_schema control.tokens[0].role'],
    ['a token that stands there itself', 'control: { tokens: [{ name: a, role: billing, sha256: tg_secret }] }\n', '4:55 config_schema control.tokens[0].sha256'],
    ['two tokens of one name', `control: { tokens: [{ name: a, role: billing, sha256: ${hash('a')} }, { name: a, role: billing, sha256: ${hash('b')} }] }\n`, '4:131 config_duplicate control.tokens[1].name'],
    ['one token with two roles', `control: { tokens: [{ name: a, role: billing, sha256: ${hash('a')} }, { name: b, role: read_only, sha256: ${hash('a')} }] }\n`, '4:159 config_duplicate control.tokens[1].sha256'],
    ['a token that is the control token', `control: { token: a-token-that-is-long, tokens: [{ name: a, role: billing, sha256: ${createHash('sha256').update('a-token-that-is-long').digest('hex')} }] }\n`, '4:84 config_duplicate control.tokens[0].sha256'],
    ['a key that is a control token', `control: { tokens: [{ name: a, role: billing, sha256: ${hash('a')} }] }\napps: [{ name: a, keys: [{ id: k, sha256: ${hash('a')} }] }]\n`, '5:43 config_duplicate apps[0].keys[0].sha256'],
    ['a scope that there is not', `apps: [{ name: a, keys: [{ id: k, sha256: ${hash('a')}, scopes: [report] }] }]\n`, '4:118 config_schema apps[0].keys[0].scopes[0]'],
    ['a key for nothing', `apps: [{ name: a, keys: [{ id: k, sha256: ${hash('a')}, scopes: [] }] }]\n`, '4:117 config_schema apps[0].keys[0].scopes'],
    ['a listener of reports that is no address', 'reports: { address: localhost }\n', '4:21 config_value reports.address'],
    ['one address for reports and for control', 'control: { address: "127.0.0.1:9181" }\nreports: { address: "127.0.0.1:9181" }\n', '5:21 config_duplicate reports.address'],
    ['no queries at all', 'reports: { queries_per_minute: 0 }\n', '4:32 config_schema reports.queries_per_minute'],
    ['two apps with one issuer', 'apps:\n  - { name: a, jwt: { algorithm: RS256, jwks: "https://h", issuer: b } }\n  - { name: b, jwt: { algorithm: RS256, jwks: "https://h" } }\n', '6:16 config_duplicate apps[1].jwt'],
    ['a claim in a field of the gateway', app('jwt: { algorithm: RS256, jwks: "https://h", claims: { sub: X-App } }'), '9:75 config_value apps[0].jwt.claims.sub'],
  ];
  for (const [name, yaml, expected] of cases) {
    it(name, (t) => {
      assert.deepEqual(places(loadConfig(configFolder(t, LISTENER + yaml).file, {})), [expected]);
    });
  }

  it('tell nothing of a secret', (t) => {
    const yaml = `${LISTENER}control: { token: "\${T}" }\n${service('targets: [{ url: "http://user:hunter2@h" }]')}apps: [{ name: a, jwt: { algorithm: HS256, secret: "\${S}" } }]\n`;
    const { errors } = loadConfig(configFolder(t, yaml).file, { T: 'hunter2', S: 'hunter2', TIDEGATE__node: '?' });
    assert.equal(errors.length, 4);
    assert.ok(!errors.map(formatProblem).join('\n').includes('hunter2'));
  });
});

describe('secrets and key files', () => {
  it('of a token in a file, or a variable, as long as of one that stands there', (t) => {
    for (const [content, expected] of [['fifteen-letters', ['4:19 config_value control.token']], ['sixteen-letters!', []]] as const) {
      const { file, write } = configFolder(t, `${LISTENER}control: { token: "file:token" }\n`);
      write('token', `${content}\n`);
      assert.deepEqual(places(loadConfig(file, {})), expected);
      const other = configFolder(t, `${LISTENER}control: { token: "\${T}" }\n`);
      assert.deepEqual(places(loadConfig(other.file, { T: content })), expected);
    }
  });

  it('stay out of the configuration, and count in its version', (t) => {
    const { file, dir, write } = configFolder(t, `${LISTENER}control: { token: "file:secrets/token" }\napps: [{ name: a, jwt: { algorithm: HS256, secret: "file:secrets/a" } }]\n`);
    write('secrets/token', 'a token of the operator\n');
    write('secrets/a', `${hash('s')}\n`);
    const result = loadConfig(file, {});
    const first = loaded(result);
    assert.deepEqual(first.secrets, { 'file:secrets/token': 'a token of the operator', 'file:secrets/a': hash('s') });
    assert.equal(first.config.control.token, 'file:secrets/token');
    assert.deepEqual(result.files, [file, join(dir, 'data/keys.json'), join(dir, 'secrets/token'), join(dir, 'secrets/a')]);
    write('secrets/a', hash('t'));
    assert.notEqual(loaded(loadConfig(file, {})).version, first.version);
  });

  it('key sets must hold a public key of the algorithm', (t) => {
    const { file, write } = configFolder(t, `${LISTENER}apps: [{ name: a, jwt: { algorithm: ES256, jwks: "file:jwks.json" } }]\n`);
    const ec = ecPair();
    const p384 = ecPair('P-384').publicKey.export({ format: 'jwk' });
    const message = (...keys: unknown[]): string => {
      write('jwks.json', JSON.stringify({ keys }));
      return loadConfig(file, {}).errors.map((error) => error.message).join();
    };
    assert.equal(message(ec.publicKey.export({ format: 'jwk' })), '');
    assert.equal(message(p384), 'no key in the file is for ES256');
    assert.equal(message(ec.privateKey.export({ format: 'jwk' })), 'keys[0] holds a private key: the gateway needs the public half only');
    assert.equal(message({ kty: 'oct', k: 'AAAA' }), 'no key in the file is for ES256');
    assert.equal(message({ kty: 'EC', crv: 'P-256', x: 'a', y: 'b' }), 'keys[0] cannot be read as a public key');
    assert.equal(message(), 'no key in the file is for ES256');
    write('jwks.json', '[]');
    assert.equal(loadConfig(file, {}).errors[0]?.message, 'the file is not a JWK set: {"keys": [...]}');
    mkdirSync(write('jwks.json', '').replace('jwks.json', 'folder'));
    write('tidegate.yaml', `${LISTENER}control: { token: "file:folder" }\n`);
    assert.match(loadConfig(file, {}).errors[0]?.message ?? '', /EISDIR/);
  });
});

describe('keys made while running', () => {
  it('are merged into their apps, and change the version', (t) => {
    const { file, dir } = configFolder(t, `${LISTENER}apps: [{ name: a, keys: [{ id: k1, sha256: ${hash('a')} }] }, { name: b }]\n`);
    const before = loaded(loadConfig(file, {}));
    const store = KeyStore.open(before.dataDir);
    const { key, stored } = store.add({ app: 'b', author: 'me', scopes: ['traffic'] });
    const after = loaded(loadConfig(file, {}));
    assert.deepEqual(after.config.apps[1]?.keys, [{ id: stored.id, sha256: createHash('sha256').update(key).digest('hex'), scopes: ['traffic'] }]);
    assert.notEqual(after.version, before.version);
    assert.equal(store.revoke({ app: 'a', id: 'k1', author: 'me', config: after.config }), 'revoked');
    assert.deepEqual(loaded(loadConfig(file, {})).config.apps[0]?.keys, []);
    assert.equal(dir, before.baseDir);
  });

  it('in a damaged keys.json refuse the configuration: revoked keys must not come back', (t) => {
    const { file, write } = configFolder(t, `${LISTENER}data_dir: ./d\n`);
    write('d/keys.json', '{"format":1,"keys":[');
    assert.deepEqual(places(loadConfig(file, {})), ['4:11 config_file data_dir']);
  });
});

describe('check', () => {
  it('says what a trial compile refuses', (t) => {
    const { file } = configFolder(t, LISTENER);
    assert.deepEqual(checkFile(file, { environment: {}, trialCompile: () => {} }), { errors: [], warnings: [] });
    const result = checkFile(file, { environment: {}, trialCompile: () => { throw new TidegateError('config_regexp', 'no'); } });
    assert.deepEqual(result.errors, [{ file, line: 1, column: 1, path: '', message: 'no', code: 'config_regexp' }]);
  });

  it('warns of what is accepted, but probably not meant', (t) => {
    const { file } = configFolder(t, `${LISTENER}nodes: [n, m]\nprivacy: { client: hash }\n${withRoute('strip_prefix: /api')}`);
    const { errors, warnings } = checkFile(file, { environment: {} });
    assert.deepEqual(errors, []);
    assert.deepEqual(warnings.map(({ line, column, path }) => `${line}:${column} ${path}`), ['5:20 privacy.client', '9:39 services[0].routes[0].strip_prefix']);
  });

  it('warns of a path with ;parameters, which no request has that is not refused', (t) => {
    const { file } = configFolder(t, `${LISTENER}${withRoute('match: { path: "/a;v=1" }')}`);
    const { errors, warnings } = checkFile(file, { environment: {} });
    assert.deepEqual(errors, []);
    assert.deepEqual(warnings.map(({ code, path }) => `${code} ${path}`), ['config_doubtful services[0].routes[0].match.path']);
  });
});
