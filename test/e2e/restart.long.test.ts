/**
 * `tidegate restart` under load: every process but the launcher is another one afterwards, no request fails, each is recorded once, and a day's quota is
 * kept to the request by workers that hand over what they hold. What a client would see otherwise: a refused connection between two listeners, a kept
 * connection that is closed as a request comes, a 503 for want of an allowance.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { SteadyClients } from '../harness/steady-clients.js';
import { TestNode, tidegateCommand, type Role } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('linux', 'chdb');
const ROLES: readonly Role[] = ['supervisor', 'worker', 'collector'];
const KEY = 'restart-key-0123456789abcdef0123456789';
const QUOTA = 400;
const RESTARTS = 3;

async function restart(node: TestNode): Promise<string> {
  const { command, args } = tidegateCommand(['restart', '-c', node.configPath]);
  const { stdout } = await promisify(execFile)(command, args);
  return stdout;
}

/** Requests in the report by status class, of the hour around now. */
async function reported(node: TestNode): Promise<number> {
  const [from, to] = [new Date(Date.now() - 1_800_000), new Date(Date.now() + 1_800_000)].map((time) => time.toISOString()) as [string, string];
  const { rows } = await node.control<{ rows: readonly { readonly requests: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
  return rows.reduce((sum, { requests }) => sum + requests, 0);
}

test('three restarts under load: no request fails, all are recorded once, and a quota is kept to the request', { skip, timeout: 300_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start({
      workers: 2,
      services: [{
        name: 'shop', upstream: { targets: [{ url: upstream.url }] },
        routes: [{ name: 'open', match: { path: '/*' }, authentication: [] }, { name: 'counted', match: { path: '/bytes/7' }, authentication: ['api_key'] }],
      }],
      apps: [{ name: 'acme', keys: [{ id: 'k1', sha256: createHash('sha256').update(KEY).digest('hex') }], services: ['shop'], limits: { qpd: QUOTA } }],
    });
    const kept = new SteadyClients(node.url, 8);
    const single = new SteadyClients(node.url, 4, { keepAlive: false });
    let within = 0;
    let over = 0;
    let asking = true;
    const counted = (async () => {
      while (asking) {
        const { status } = await fetch(`${node.url}/bytes/7`, { headers: { 'x-api-key': KEY } }).then(async (answer) => { await answer.arrayBuffer(); return answer; });
        if (status === 200) within++;
        else if (status === 429) over++;
        else throw new Error(`an app's request was answered ${status}`);
      }
    })();
    try {
      for (let i = 0; i < RESTARTS; i++) {
        const before = new Map(ROLES.map((role) => [role, node.pids(role)]));
        const output = await restart(node);
        assert.match(output, /^done in .* s: collector, supervisor, worker 1, worker 2$/m);
        for (const role of ROLES) {
          assert.equal(node.pids(role).length, before.get(role)?.length, role);
          assert.ok(node.pids(role).every((pid) => before.get(role)?.includes(pid) === false), `a ${role} is still the one of before`);
        }
      }
      await eventually('the quota is used up', () => (over > 0 ? true : null), 60_000);
    } finally {
      asking = false;
      await Promise.all([kept.stop(), single.stop(), counted]);
    }
    assert.deepEqual([...kept.failures, ...single.failures], []);
    assert.equal(within, QUOTA);
    const answered = kept.answered + single.answered + within + over;
    console.log(`${answered} answered through ${RESTARTS} restarts, none failed`);
    assert.ok(kept.answered > 500 && single.answered > 100);
    await eventually(`${answered} in the report`, async () => ((await reported(node)) >= answered ? true : null));
    assert.equal(await reported(node), answered);
    const { complete, reasons } = await node.control<{ complete: boolean; reasons: readonly string[] }>('/v1/completeness');
    assert.ok(complete, reasons.join('; '));
  } finally {
    await upstream.stop();
  }
});
