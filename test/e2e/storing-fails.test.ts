/**
 * A whole node whose collector cannot store: two minutes after the last of 5,000 requests, a node was seen to call their time complete, because
 * only a step that succeeded looked at what was pending.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scanStreams } from '../../gateway/events/spool.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('linux', 'chdb');

interface Traffic { readonly as_of: string; readonly complete: boolean; readonly missing: readonly string[]; readonly rows: readonly { readonly requests: number }[] }
interface Status { readonly collector: { readonly stored: number; readonly failing: { readonly code: string } | null } | null }

async function ask(node: TestNode, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await (await fetch(`${node.url}/bytes/1`)).arrayBuffer();
}

/** Of the half hour before. */
async function report(node: TestNode, toMs: number): Promise<Traffic & { readonly requests: number }> {
  const [from, to] = [new Date(toMs - 1_800_000).toISOString(), new Date(toMs).toISOString()];
  const traffic = await node.control<Traffic>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
  return { ...traffic, requests: traffic.rows.reduce((sum, row) => sum + row.requests, 0) };
}

/** Each stream has a mark that was made after this. */
function marked(node: TestNode, afterMs: number): boolean {
  return scanStreams(join(node.dataDir, 'spool')).every(({ state }) => state !== null && Date.parse(state.markedAt) > afterMs);
}

test('while storing fails the status says why, a time of which events wait is not complete, and as of stands before them', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start({
      services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
    });
    const status = (): Promise<Status> => node.control<Status>('/v1/status');
    await ask(node, 20);
    await eventually('20 are stored', async () => ((await status()).collector?.stored === 20 ? true : null));
    const staging = join(node.dataDir, 'collector/staging');
    rmSync(staging, { recursive: true });
    writeFileSync(staging, '');
    const fromMs = Date.now();
    await ask(node, 30);
    // the millisecond that a range ends with is not in it
    const toMs = Date.now() + 1;
    await eventually('the status says why', async () => ((await status()).collector?.failing?.code === 'data_dir_unusable' ? true : null));
    // two rounds of the supervisor: a worker tells how far it is each second too
    await eventually('the marks are past the requests', () => (marked(node, toMs + 2500) ? true : null));
    const waiting = await report(node, toMs);
    assert.deepEqual([waiting.requests, waiting.complete, Date.parse(waiting.as_of) < toMs, Date.parse(waiting.as_of) > fromMs - 60_000], [20, false, true, true], JSON.stringify(waiting));
    rmSync(staging);
    mkdirSync(staging);
    await eventually('storing works again', async () => ((await status()).collector?.failing === null ? true : null), 60_000);
    const whole = await eventually('all are there', async () => { const all = await report(node, toMs); return all.complete ? all : null; });
    assert.deepEqual([whole.requests, whole.missing, Date.parse(whole.as_of) >= toMs], [50, [], true]);
  } finally {
    await upstream.stop();
  }
});
