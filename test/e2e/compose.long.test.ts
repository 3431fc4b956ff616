/**
 * docker-compose.yml: what can be said of it without a Docker engine, and its topology as processes, from the file itself: commands, environment and health
 * checks of our own services, with real Kafka, Redis and haproxy and the ClickHouse test server in place of their containers.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { env } from '../../cli/commands/env.js';
import { packageRoot } from '../../cli/version.js';
import { hashKey } from '../../gateway/config/keys.js';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { TEST_USERS, TestClickHouse } from '../harness/clickhouse-server.js';
import { ComposeProcess, composeText, loadCompose } from '../harness/compose.js';
import { eventually } from '../harness/deadline.js';
import { TestHaproxy } from '../harness/haproxy.js';
import { KAFKA_USER, TestKafka } from '../harness/kafka.js';
import { TestRedis } from '../harness/redis.js';
import { OtlpReceiver } from '../harness/otlp-receiver.js';
import { requires } from '../harness/requires.js';
import { freePorts } from '../harness/tidegate.js';

/** What `tidegate env` prints. */
function newEnvironment(file: string | null = null): Map<string, string> {
  let text = '';
  env(file, { write: (piece: string) => { text += piece; }, columns: 80, isTty: false } as never);
  return new Map((file === null ? text : readFileSync(file, 'utf8')).trimEnd().split('\n').map((line) => line.split('=', 2) as [string, string]));
}

const SECRET = /PASSWORD|TOKEN|SECRET|_KEY|AUTH$|JAAS/;
/** Without a shell or a client in its image, nothing can look after its health. */
const WITHOUT_HEALTH_CHECK = ['jaeger'];

test('every service is pinned, bounded and looked after, starts after what it needs, and is published to this machine alone', () => {
  const { services, networks, volumes } = loadCompose(newEnvironment());
  assert.deepEqual(Object.keys(services).sort(), ['alertmanager', 'clickhouse', 'collector-1', 'collector-2', 'gateway-1', 'gateway-2', 'grafana', 'haproxy', 'jaeger', 'kafka', 'prometheus', 'redis', 'shop']);
  for (const [name, service] of Object.entries(services)) {
    assert.match(service.image, /^tidegate$|^[\w/-]+:v?\d+\.\d+(\.\d+)?$/, `${name}: its image has a version`);
    assert.equal(service.restart, 'unless-stopped', name);
    const { cpus, memory } = service.deploy?.resources.limits ?? {};
    assert.ok(cpus !== undefined && memory !== undefined, `${name} is bounded`);
    assert.equal(service.healthcheck === undefined, WITHOUT_HEALTH_CHECK.includes(name), `${name}: health check`);
    for (const port of service.ports ?? []) assert.ok(port.startsWith('127.0.0.1:') || name === 'haproxy', `${name}: ${port}`);
    for (const network of service.networks ?? []) assert.ok(network in networks, `${name}: ${network}`);
    for (const [needed, { condition }] of Object.entries(service.depends_on ?? {})) {
      assert.equal(condition, 'service_healthy');
      assert.notEqual(services[needed]?.healthcheck, undefined, `${name} waits for ${needed}`);
    }
    for (const volume of service.volumes ?? []) {
      const [source = ''] = volume.split(':');
      assert.ok(source.startsWith('./') ? existsSync(join(packageRoot(), source)) && volume.endsWith(':ro') : source in volumes, `${name}: ${volume}`);
    }
  }
  assert.equal(networks['inside']?.internal, true);
  for (const name of ['kafka', 'clickhouse', 'redis']) assert.deepEqual([services[name]?.networks, services[name]?.ports], [['inside'], undefined], `${name} is reached by nobody else`);
});

test('no password stands in the file: each is a variable that must be given, and `tidegate env` gives them all', () => {
  const raw = parse(composeText(), { merge: true }) as { services: Record<string, { environment?: Record<string, string>; command?: string[] }> };
  for (const [name, { environment = {} }] of Object.entries(raw.services)) {
    for (const [key, value] of Object.entries(environment)) {
      if (SECRET.test(key) && !/GF_AUTH/.test(key)) assert.match(value, /\$\{[A-Z0-9_]+:\?/, `${name}: ${key}`);
    }
  }
  const wanted = new Set([...composeText().matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name as string));
  const given = newEnvironment();
  assert.deepEqual([...wanted].filter((name) => !given.has(name)), []);
  assert.deepEqual([...given.keys()].filter((name) => !wanted.has(name)), ['DEMO_KEY'], 'for whoever tries the demo');
  assert.throws(() => loadCompose(new Map([...given].filter(([name]) => name !== 'KAFKA_PASSWORD'))), /KAFKA_PASSWORD is not set: make \.env first/);
});

test('`tidegate env` makes each secret anew, and adds to a file only what it lacks', (t) => {
  const [one, other] = [newEnvironment(), newEnvironment()];
  for (const [name, value] of one) {
    assert.match(value, /^[A-Za-z0-9_][A-Za-z0-9_-]{20,}$/, name);
    assert.notEqual(value, other.get(name), name);
  }
  assert.equal(one.get('DEMO_KEY_SHA256'), hashKey(one.get('DEMO_KEY') ?? ''));
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-env-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  const file = join(folder, '.env');
  writeFileSync(file, 'TIDEGATE_PORT=80\nREDIS_PASSWORD=mine', { mode: 0o644 });
  const first = newEnvironment(file);
  assert.deepEqual([first.get('TIDEGATE_PORT'), first.get('REDIS_PASSWORD'), first.size], ['80', 'mine', one.size + 1]);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.deepEqual(newEnvironment(file), first, 'a second time changes nothing');
  assert.throws(() => { newEnvironment(join(folder, 'none', '.env')); }, { code: 'config_file' });
});

test('the Dockerfile runs as nobody special, on the current LTS, without chDB but in the image that says so', () => {
  const text = readFileSync(join(packageRoot(), 'Dockerfile'), 'utf8');
  const stages = [...text.matchAll(/^FROM (\S+) AS (\S+)$/gm)].map(([, from, name]) => [from, name]);
  assert.deepEqual(stages.at(-1), ['base', 'node'], 'the default');
  for (const [from] of stages) assert.match(from as string, /^node:24-bookworm-slim$|^base$/);
  assert.match(text, /^USER 1000:1000$/m);
  const defaultPackages = /FROM \S+ AS packages\n[^]*?(?=\nFROM)/.exec(text)?.[0] ?? '';
  assert.match(defaultPackages, /npm ci --omit=dev --omit=optional --ignore-scripts/);
});

test('Prometheus asks every node, and Alertmanager stands where it is looked for', () => {
  const { services } = loadCompose(newEnvironment());
  const prometheus = parse(readFileSync(join(packageRoot(), 'deploy/prometheus.yml'), 'utf8')) as {
    rule_files: string[]; alerting: { alertmanagers: { static_configs: { targets: string[] }[] }[] }; scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
  };
  const nodes = Object.keys(services).filter((name) => /^(gateway|collector)-/.test(name)).map((name) => `${name}:9180`);
  assert.deepEqual(prometheus.scrape_configs.find(({ job_name: job }) => job === 'tidegate')?.static_configs[0]?.targets.sort(), nodes.sort());
  assert.deepEqual(prometheus.alerting.alertmanagers[0]?.static_configs[0]?.targets, ['alertmanager:9093']);
  assert.deepEqual(prometheus.rule_files, ['/etc/prometheus/rules/*.yml']);
  assert.ok(services['prometheus']?.volumes?.includes('./alerts/rules:/etc/prometheus/rules:ro'), 'the rules are where it looks for them');
  const { datasources } = parse(readFileSync(join(packageRoot(), 'deploy/grafana/datasources/datasources.yaml'), 'utf8')) as { datasources: { url: string }[] };
  for (const { url } of datasources) assert.ok(new URL(url).hostname in services, url);
});

test('the whole topology, as processes: a request to haproxy is in the report of either collector, once', { skip: requires('kafka', 'redis', 'haproxy', 'chdb', 'linux'), timeout: 300_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-compose-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  // what stands in for the containers of others has passwords of its own
  const environment = new Map([...newEnvironment(), ['KAFKA_PASSWORD', KAFKA_USER.password], ['CLICKHOUSE_PASSWORD', TEST_USERS.owner.password]]);
  const { services } = loadCompose(environment);
  await using kafka = await TestKafka.start({ security: 'sasl' });
  await using clickhouse = await TestClickHouse.start();
  await using redis = await TestRedis.start({ args: services['redis']?.command?.slice(1) ?? [] });

  await using jaeger = await OtlpReceiver.start();
  const own = Object.entries(services).filter(([, { image }]) => image === 'tidegate').map(([name]) => name);
  const ports = await freePorts(2 * own.length);
  const places = new Map([['kafka:9092', kafka.secureBrokers], ['clickhouse:8123', `127.0.0.1:${clickhouse.port}`], ['redis:6379', `127.0.0.1:${redis.port}`], ['jaeger:4318', new URL(jaeger.url).host]]);
  const portOf = new Map<string, number>();
  for (const [i, name] of own.entries()) {
    for (const [j, port] of (name === 'shop' ? [9101] : [8080, 9180]).entries()) {
      const here = ports[2 * i + j] ?? 0;
      portOf.set(`${name}:${port}`, here);
      places.set(`${name}:${port}`, `127.0.0.1:${here}`);
    }
  }
  const processes = new Map<string, ComposeProcess>();
  const start = async (name: string): Promise<void> => {
    const service = services[name];
    if (service === undefined || processes.has(name) || !own.includes(name)) return;
    for (const needed of Object.keys(service.depends_on ?? {})) await start(needed);
    const started = new ComposeProcess(name, service, places, name === 'shop' ? {} : {
      TIDEGATE__listeners__http__address: places.get(`${name}:8080`) ?? '', TIDEGATE__control__address: places.get(`${name}:9180`) ?? '', TIDEGATE__data_dir: join(folder, name),
      TIDEGATE__services__shop__upstream__targets__0__url: `http://${places.get('shop:9101')}`, TIDEGATE__trusted_proxies__0: '127.0.0.0/8', TIDEGATE__store__clickhouse__user: TEST_USERS.owner.name,
    });
    processes.set(name, started);
    await started.healthy();
  };
  try {
    await Promise.all(own.map((name) => start(name)));
    await using haproxy = await TestHaproxy.start(new Map(['gateway-1', 'gateway-2'].map((name) => [name, portOf.get(`${name}:8080`) ?? 0])));
    const control = async <T>(name: string, path: string): Promise<T> => {
      const answer = await fetch(`http://${places.get(`${name}:9180`)}${path}`, { headers: { authorization: `Bearer ${environment.get('TIDEGATE_TOKEN')}` } });
      if (!answer.ok) throw new Error(`${name}${path}: ${answer.status} ${await answer.text()}`);
      return answer.json() as Promise<T>;
    };
    for (const name of own.filter((one) => one !== 'shop')) {
      const { shape, ready, reasons } = await control<NodeStatus>(name, '/v1/status');
      const part = name.startsWith('gateway') ? 'gateway' : 'collector';
      assert.deepEqual([name, shape, ready, reasons], [name, { part, event_log: 'kafka', store: part === 'gateway' ? null : 'clickhouse', shared_state: 'redis' }, true, []]);
      // as Prometheus asks, without a token
      assert.match(await (await fetch(`http://${places.get(`${name}:9180`)}/metrics`)).text(), /^tidegate_config_info/m);
    }
    const ask = async (key: string): Promise<number> => {
      const answer = await fetch(`${haproxy.url}/shop/products`, { headers: { 'x-api-key': key } });
      await answer.arrayBuffer();
      return answer.status;
    };
    const key = environment.get('DEMO_KEY') ?? '';
    for (let i = 0; i < 60; i++) assert.equal(await ask(key), 200);
    assert.equal(await ask('tg_wrong'), 401);
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    await (await fetch(`${haproxy.url}/status`, { headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` } })).arrayBuffer();
    assert.match(String((await jaeger.trace(traceId, 2))[0]?.resource['service.instance.id']), /^gateway-[12]$/);
    // one of each half goes, and the others go on
    assert.equal(await processes.get('gateway-1')?.stop(), 0);
    assert.equal(await processes.get('collector-1')?.stop(), 0);
    for (let i = 0; i < 40; i++) assert.equal(await ask(key), 200);

    const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
    await eventually(`100 requests of the demo's app in the report\n${processes.get('collector-2')?.output.slice(-3000)}`, async () => {
      const { rows } = await control<{ rows: readonly { requests: number }[] }>('collector-2', `/v1/reports/traffic?from=${from}&to=${to}&interval=total&app=demo`);
      return rows[0]?.requests === 100 ? true : null;
    }, 90_000, 250);
    const { streams } = await control<{ streams: readonly { node: string; stored: number; missing: number; twice: number }[] }>('collector-2', '/v1/completeness');
    assert.deepEqual([...new Set(streams.filter(({ stored }) => stored > 0).map(({ node }) => node))].sort(), ['gateway-1', 'gateway-2'], 'both gateways had their share');
    assert.deepEqual(streams.filter(({ missing, twice }) => missing > 0 || twice > 0), []);
    const counters = redisKeys(redis, environment.get('REDIS_PASSWORD') ?? '');
    assert.ok(counters.some((name) => name.startsWith('flow_day_')), counters.join());
    for (const name of ['gateway-2', 'collector-2', 'shop']) assert.equal(await processes.get(name)?.stop(), 0, name);
  } finally {
    for (const process of processes.values()) await process[Symbol.asyncDispose]();
  }
});

/** As the service's own health check asks. */
function redisKeys(redis: TestRedis, password: string): string[] {
  return execFileSync('redis-cli', ['-p', String(redis.port), 'keys', '*'], { encoding: 'utf8', env: { ...process.env, REDISCLI_AUTH: password } }).trim().split('\n');
}
