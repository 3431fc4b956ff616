/** The log of whole nodes: no secret in any line, whoever wrote it; one level, form and file for all processes, changed while they run. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { LogLevelStatus } from '../../gateway/control/control-deps.js';
import { eventually } from '../harness/deadline.js';
import { TestRedis } from '../harness/redis.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode, tidegateCommand } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

type Line = Readonly<Record<string, unknown>>;

const CANARY = 'CANARY0123456789abcdefghijklmnop';
const parsed = (text: string): Line[] => text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Line);
const open = (url: string, more: object = {}): object => ({ name: 'shop', upstream: { targets: [{ url }] }, routes: [{ name: 'open', match: { path: '/*' }, ...more }] });

/** Sends it as it is, and reads until the other side has nothing more to say. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes)).setEncoding('utf8').setTimeout(20_000, () => socket.destroy());
    socket.on('data', (piece: string) => { text += piece; }).on('error', reject).on('close', () => { resolve(text); });
  });
}

test('no secret of the configuration, of a client or of an operator stands in any line, at the level that says most', { skip: requires('redis', 'linux'), timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-canary-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });
  writeFileSync(join(folder, 'secret'), `${CANARY}-of-a-file`);
  await using redis = await TestRedis.start({ args: ['--requirepass', 'another-password'] });
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  const [nobody = 0] = await freePorts(1);
  await using node = await TestNode.start({
    log: { level: 'trace', access: true, repeats: 0 }, control: { token: `${CANARY}-token` }, privacy: { client: 'hash', key: `${CANARY}-privacy` },
    event_log: { kafka: { brokers: `127.0.0.1:${nobody}`, sasl: { mechanism: 'plain', username: 'u', password: `${CANARY}-kafka` } } },
    store: { clickhouse: { url: `http://127.0.0.1:${nobody}`, password: `${CANARY}-clickhouse` } },
    shared_state: { redis: { url: `redis://someone:${CANARY}-url@127.0.0.1:${redis.port}`, password: `${CANARY}-redis` } },
    services: [open(upstream.url, { authentication: ['api_key', 'jwt'] }), { name: 'away', upstream: { targets: [{ url: `http://127.0.0.1:${nobody}` }] }, routes: [{ name: 'away', match: { path: '/away' }, authentication: [] }] }],
    apps: [
      { name: 'acme', services: ['shop'], jwt: { algorithm: 'HS256', secret: 'file:secret' }, webhook: { url: `http://127.0.0.1:${nobody}/hook?token=${CANARY}`, secret: `${CANARY}-webhook` } },
      { name: 'globex', services: ['shop'], jwt: { algorithm: 'RS256', jwks: `http://127.0.0.1:${nobody}/keys?api_key=${CANARY}` } },
    ],
  }, { folder, removeFolder: false, waitReady: false });
  await eventually('a worker that listens', async () => {
    await fetch(`${node.url}/`);
    return true;
  });
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${encoded({ alg: 'RS256', kid: CANARY })}.${encoded({ iss: 'globex', exp: 4e9, sub: CANARY })}.${CANARY}`;
  const fields = [`Cookie: session=${CANARY}`, `X-Api-Key: ${CANARY}`, `Authorization: Bearer ${CANARY}`, `Authorization: Bearer ${token}`, `Authorization: Basic ${CANARY}`, `Proxy-Authorization: Basic ${CANARY}`,
    `User-Agent: curl Bearer ${CANARY}`, `Referer: https://u:${CANARY}@a.example/?token=${CANARY}`, `X-Forwarded-For: ${CANARY}`];
  for (const path of [`/?api_key=${CANARY}`, `/away?access_token=${CANARY}`, `/away;session_token=${CANARY}/x`]) {
    for (const field of fields) assert.match(await raw(node.port, `GET ${path} HTTP/1.1\r\nHost: a\r\n${field}\r\nConnection: close\r\n\r\n`), /^HTTP\/1.1 \d/);
  }
  await raw(node.port, `GET / HTTP/1.1\r\nHost: a\r\nAuthorization\u0000: Bearer ${CANARY}\r\n\r\n`);
  for (const path of [`/v1/status?token=${CANARY}`, `/v1/reports/traffic?key=${CANARY}`, `/v1/requests/${CANARY}`]) await fetch(`${node.controlUrl}${path}`, { headers: { authorization: `Bearer ${CANARY}` } });
  node.rewriteConfig((config) => { config['services'] = [open(`http://user:${CANARY}@127.0.0.1:1`)]; });
  const said = await eventually('lines of everything that was made to fail', () => {
    const lines = parsed(node.output);
    const has = (wanted: RegExp): boolean => lines.some((line) => wanted.test(JSON.stringify(line)));
    return [/config_rejected|the configuration was rejected/, /shared_state_access|limits are not shared/, /kafka_unreachable|"kafka"/, /store_unavailable|storing|clickhouse/i, /JWKS/, /attempt failed/, /"msg":"request"/].every(has) ? lines : null;
  }, 60_000);
  const requests = said.filter(({ msg }) => msg === 'request');
  assert.ok(requests.some(({ path, outcome, status }) => path === '/away' && outcome === 'upstream_unavailable' && status === 502));
  const failed = said.find(({ msg }) => msg === 'attempt failed');
  assert.ok(requests.some(({ request_id }) => request_id === failed?.['request_id']), 'lines that speak of a request lead to it');
  await node.stop('SIGKILL');
  assert.doesNotMatch(node.output, /CANARY/);
});

test('one file for all processes, that is put aside and compressed without a line lost; level and form change while the node runs', { skip: requires('linux'), timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-logs-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  await using node = await TestNode.start({
    workers: 2, log: { file: 'logs/tidegate.log', access: true, rotate: { size: '64KiB', keep: 1000 }, repeats: 1 }, services: [open(upstream.url, { authentication: [] })],
  }, { folder, removeFolder: false });
  const inFiles = (): string => readdirSync(join(folder, 'logs')).sort().map((name) => {
    const bytes = readFileSync(join(folder, 'logs', name));
    return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
  }).join('');
  const ids = new Set<string>();
  const ask = async (): Promise<void> => {
    const answer = await fetch(`${node.url}/bytes/1`);
    await answer.text();
    ids.add(answer.headers.get('x-request-id') ?? '');
  };
  for (let aside = 1; aside <= 2; aside++) {
    // twice what a file holds; and more for as long as it takes, because what processes write that have not looked yet still goes to the file that was just put aside
    for (let i = 0; i < 60; i++) await Promise.all(Array.from({ length: 8 }, ask));
    await eventually(`file ${aside} to be put aside`, async () => {
      if (readdirSync(join(folder, 'logs')).filter((name) => name !== 'tidegate.log').length >= aside) return true;
      await ask();
      return null;
    });
    await ask();
  }
  const asLogged = (): Line[] => parsed(inFiles());
  const lines = await eventually('the last line', () => {
    const found = asLogged().filter(({ msg }) => msg === 'request');
    return found.length >= ids.size ? found : null;
  }, 20_000, 200);
  assert.deepEqual(lines.map(({ request_id }) => request_id).sort(), [...ids].sort(), 'a line for each request');

  const level = (...args: string[]): string => {
    const { command, args: all } = tidegateCommand(['log', 'level', ...args, '--url', node.controlUrl, '--token', OPERATOR_TOKEN]);
    const { stdout, stderr } = spawnSync(command, all, { encoding: 'utf8' });
    return stdout + stderr;
  };
  const asked = async (more: RequestInit = {}): Promise<LogLevelStatus> => node.control<LogLevelStatus>('/v1/log/level', more);
  const changed = (before: string, now: string): Promise<unknown> => eventually(`all processes to go from ${before} to ${now}`, () => {
    const said = asLogged().filter((line) => line['msg'] === 'the level of the log has changed' && line['before'] === before && line['log_level'] === now).map(({ role, worker }) => `${String(role)}${typeof worker === 'number' ? worker : ''}`);
    return ['collector', 'launcher', 'supervisor', 'worker1', 'worker2'].every((process) => said.includes(process)) ? true : null;
  }, 20_000, 100);
  assert.deepEqual(await asked(), { level: 'info', configured: 'info', until: null });
  assert.match(level('banana'), /level: banana is none; allowed: silent, fatal, error, warn, info, debug, trace, reset \(invalid_parameter\)/);
  await assert.rejects(asked({ method: 'POST', body: JSON.stringify({ level: 'debug', for: '8d' }) }), /400.*for: 8d is not between 1s and 7d/);
  assert.match(level('debug', '--for', '10m'), /^debug until \S+Z, then info\n$/);
  await changed('info', 'debug');
  await node.kill(node.pids('supervisor')[0] ?? 0);
  await eventually('the next supervisor', async () => ((await asked()).level === 'debug' ? true : null));
  await asked({ method: 'POST', body: JSON.stringify({ level: 'trace', for: '1s' }) });
  await changed('debug', 'trace');
  await changed('trace', 'info');
  for (let i = 0; i < 3; i++) await asked({ method: 'POST', body: JSON.stringify({ level: 'info', for: '1s' }) });
  await eventually('lines that say the same to be counted', async () => (/^tidegate_log_lines_suppressed_total [1-9]/m.test(await node.metrics()) ? true : null));
  await eventually('a compressed file', () => readdirSync(join(folder, 'logs')).find((name) => name.endsWith('.gz')) ?? null);
  assert.equal(asLogged().filter(({ msg }) => msg === 'request').length, ids.size, 'which holds what was in it');

  node.rewriteConfig((config) => { config['log'] = { level: 'warn', format: 'ecs' }; });
  await eventually('the next lines on standard output, in the other form', () => (parsed(node.output).some((line) => line['log.level'] === 'info' && line['message'] === 'the level of the log has changed') ? true : null));
  assert.deepEqual(await asked(), { level: 'warn', configured: 'warn', until: null });
  const written = parsed(node.output).length;
  await ask();
  node.rewriteConfig((config) => { config['log'] = { level: 'loud', file: '/proc/no/such' }; });
  await eventually('the refusal', () => (parsed(node.output).some((line) => /log\.level: must be/.test(String(line['message']))) ? true : null));
  node.rewriteConfig((config) => { config['log'] = { file: '/proc/no/such/tidegate.log' }; });
  await assert.rejects(node.control('/v1/reload', { method: 'POST' }), /log\.file: \/proc\/no\/such\/tidegate\.log cannot be written: ENOENT.*log_file/);
  assert.equal(spawnSync('mkfifo', [join(folder, 'fifo')]).status, 0);
  node.rewriteConfig((config) => { config['log'] = { file: 'fifo' }; });
  await assert.rejects(node.control('/v1/reload', { method: 'POST' }), /log\.file: \S+\/fifo cannot be written: it is not a regular file.*log_file/);
  assert.ok(parsed(node.output).slice(written).every((line) => line['message'] !== 'request'), 'no access log by default');
});
