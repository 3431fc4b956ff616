/** `tidegate report --before-after` on a real node: what a change of the configuration did to the traffic, by the version in each event. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

test('the report of a change counts each request on the side of the version that admitted it', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    const services = ['old', 'shared'].map((name) => ({ name, upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: `${name}-route`, match: { path: `/${name}` }, authentication: [] }] }));
    await using node = await TestNode.start({ workers: 1, services });
    const ask = async (path: string, times: number): Promise<number[]> => {
      const statuses: number[] = [];
      for (let i = 0; i < times; i++) {
        const answer = await fetch(`${node.url}${path}`);
        await answer.arrayBuffer();
        statuses.push(answer.status);
      }
      return statuses;
    };
    const report = async (...args: string[]): Promise<string> => {
      const { command, args: all } = tidegateCommand(['report', '--url', node.controlUrl, '--token', OPERATOR_TOKEN, '--before-after', ...args]);
      return (await promisify(execFile)(command, all, { env: { ...process.env, COLUMNS: '100' } })).stdout;
    };
    const { config: { version: first } } = await node.control<{ config: { version: string } }>('/v1/status');
    await assert.rejects(report(), (error: { stderr: string }) => /is the oldest version/.test(error.stderr));
    assert.deepEqual(await ask('/old', 3), [200, 200, 200]);
    assert.deepEqual(await ask('/shared', 5), [200, 200, 200, 200, 200]);
    node.rewriteConfig((whole) => { (whole['services'] as { name: string }[]).splice(0, 1); });
    const { version: second } = await node.control<{ version: string }>('/v1/reload', { method: 'POST' });
    await eventually('the old service is gone', async () => ((await fetch(`${node.url}/old`)).status === 404 ? true : null));
    assert.deepEqual(await ask('/shared', 7), Array.from({ length: 7 }, () => 200));
    const text = await eventually('both sides are stored, and a second old', async () => {
      const now = await report().catch((error: { stderr: string }) => error.stderr);
      return /^shared +shared-route +7 /m.test(now) ? now : null;
    }, 60_000, 500);
    assert.equal(text.split('\n')[0]?.startsWith(`${first} -> ${second}, `), true, text);
    const rows = text.split('\n').map((line) => line.split(/ {2,}/).slice(0, 4));
    assert.ok(rows.some((row) => row.join() === 'shared,shared-route,7,+40 %'), text);
    assert.ok(rows.some((row) => row.join() === 'old,old-route,0,-100 %'), text);
    assert.match(text, /\n {2}requests 8 \(now /);
    // a range of seconds does not end where it begins
    const [, begins, ends] = /^(\S+ \d\d:\d\d\S*) to (\S+ \d\d:\d\d\S*) UTC/m.exec(text) ?? [];
    assert.ok(begins !== undefined && ends !== undefined && begins < ends, text);
    assert.match(await report(second.slice(0, 4), '--service', 'shared', '--group-by', 'status'), /\n200 +7 +\+40 %/);
    await assert.rejects(report('ffffffffffff'), (error: { stderr: string }) => /no change to a version ffffffffffff/.test(error.stderr));
  } finally {
    await upstream.stop();
  }
});
