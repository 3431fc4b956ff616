/** What reaches a worker of the node's credentials: those that requests are judged by, and no other. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePorts } from '../../test/harness/tidegate.js';
import type { SupervisorMessage } from './protocol.js';
import { supervisorSocket } from './run-files.js';
import { Supervisor } from './supervisor.js';
import { WorkerLink } from './worker-link.js';

const LOG = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

test('a worker is told no password of Kafka, ClickHouse or Redis, nor the control token, nor a webhook', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-told-'));
  const [control, nobody] = await freePorts(2) as [number, number];
  const configFile = join(folder, 'tidegate.yaml');
  for (const name of ['kafka', 'clickhouse', 'jwt', 'webhook']) writeFileSync(join(folder, name), `${name}-in-a-file-0123456789abcdef0123456789\n`);
  writeFileSync(configFile, JSON.stringify({
    version: 1, listeners: { http: { address: '127.0.0.1:0' } }, control: { address: `127.0.0.1:${control}`, token: 'the-control-token-0123456789' }, data_dir: './data', services: [],
    event_log: { kafka: { brokers: `127.0.0.1:${nobody}`, sasl: { mechanism: 'plain', username: 'u', password: 'file:kafka' } } },
    store: { clickhouse: { url: `http://127.0.0.1:${nobody}`, password: 'file:clickhouse' } },
    shared_state: { redis: { url: `redis://127.0.0.1:${nobody}`, username: 'u', password: 'redis-as-written-0123456789' } },
    apps: [{ name: 'acme', services: [], jwt: { algorithm: 'HS256', issuer: 'i', secret: 'file:jwt' }, webhook: { url: 'https://acme.example/', secret: 'file:webhook' } }],
  }));
  const supervisor = await Supervisor.start({ configFile, runDir: folder, part: 'gateway', version: '0.0.0', takeRun: () => Promise.resolve(null), onReload: () => {}, onRestart: () => {}, onLog: () => {}, log: LOG });
  let link: WorkerLink | null = null;
  t.after(async () => {
    await link?.close();
    await supervisor.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const message = await new Promise<SupervisorMessage>((resolve) => {
    link = new WorkerLink({
      path: supervisorSocket(folder), log: LOG, hello: () => ({ type: 'hello', worker: 1, pid: process.pid, stream: '00000000000000ab', held: [] }),
      onMessage: (told) => { if (told.type === 'config') resolve(told); },
    });
    link.start();
  });
  const text = JSON.stringify(message);
  assert.deepEqual(['kafka-in', 'clickhouse-in', 'redis-as', 'the-control-token', 'webhook-in', 'acme.example'].filter((secret) => text.includes(secret)), []);
  assert.ok(text.includes('jwt-in-a-file'), 'it checks tokens with it');
});
