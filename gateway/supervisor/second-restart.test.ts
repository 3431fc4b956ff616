import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { request } from 'undici';
import { freePorts } from '../../test/harness/tidegate.js';
import { Supervisor } from './supervisor.js';

const TOKEN = 'the-control-token-0123456789';
const LOG = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

test('a second restart while one runs is refused, and says how far the first is', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-restart-'));
  const [control] = await freePorts(1) as [number];
  const configFile = join(folder, 'tidegate.yaml');
  writeFileSync(configFile, JSON.stringify({ version: 1, listeners: { http: { address: '127.0.0.1:0' } }, control: { address: `127.0.0.1:${control}`, token: TOKEN }, data_dir: './data', services: [] }));
  mkdirSync(join(folder, 'data'));
  let begun = 0;
  const supervisor = await Supervisor.start({ configFile, runDir: folder, part: 'whole', version: '0.0.0', takeRun: () => Promise.resolve(null), onReload: () => {}, onRestart: () => { begun++; }, onLog: () => {}, log: LOG });
  t.after(async () => {
    await supervisor.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const restart = async (): Promise<readonly [status: number, body: unknown]> => {
    const { statusCode, body } = await request(`http://127.0.0.1:${control}/v1/restart`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, reset: true });
    return [statusCode, await body.json()];
  };
  assert.deepEqual(await restart(), [202, { number: 1 }]);
  supervisor.restartStands({ number: 1, state: 'running', started_at: '2026-11-21T10:00:00.000Z', ended_at: null, replaced: ['collector', 'supervisor'], step: 'worker 1 is replaced', fault: null });
  const [status, body] = await restart();
  assert.equal(status, 409);
  const { code, detail } = body as { readonly code: string; readonly detail: string };
  assert.deepEqual([code, detail], ['restart_running', 'a restart is running: worker 1 is replaced; since 2026-11-21T10:00:00Z, replaced: collector, supervisor']);
  assert.equal(begun, 1);
});
