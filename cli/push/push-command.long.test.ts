/** Pushes by the command: one that is killed, and what it says of one that fails. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { tidegateCommand } from '../../test/harness/tidegate.js';
import { dayBefore, times } from './push.fixture.js';
import { countedOnce, ENTRIES, KINDS, started } from './pushed-entries.fixture.js';

const SKIP = { skip: requires('chdb'), timeout: 120_000 };
const HOUR_MS = 3_600_000;

for (const kind of KINDS) {
  test(`${kind}: a push that is killed in its midst goes on when it is run again, and counts each once`, SKIP, async (t) => {
    const [billing, receiver] = await started(t, kind);
    const command = (): ChildProcess => {
      const { command: node, args } = tidegateCommand(['billing', 'export', '--from', dayBefore(6), '--to', dayBefore(2), '--push', receiver.url, '--adapter', kind, '--meter', 'requests', '--url', billing.place.url, '--token', billing.place.token]);
      return spawn(node, args, { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, TIDEGATE_PUSH_TOKEN: 'key-0123456789' } });
    };
    for (const at of kind === 'stripe' ? [12, 40] : [1, 3]) {
      // it has come, and its answer never does: the push waits for it when it is killed
      await receiver.order({ faults: [...times(at - 1, { do: 'answer', status: kind === 'cloudevents' ? 204 : 200, taken: true }), ...times(5, { do: 'hang' })] });
      const { requests } = await receiver.order({});
      const seen = receiver.seen(requests + at);
      const child = command();
      await seen;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const { counted: came } = await receiver.order({ faults: [] });
    assert.ok(came.length > 0 && came.length < ENTRIES.length, `${came.length}`);
    for (const _ of [1, 2]) assert.deepEqual(await once(command(), 'exit'), [0, null]);
    await countedOnce(receiver);
  });
}

test('the command says what came of it by its exit code, and takes an operator\'s word', SKIP, async (t) => {
  const [billing, receiver] = await started(t, 'stripe');
  const run = async (...more: string[]): Promise<readonly [number | null, string]> => {
    const { command, args } = tidegateCommand(['billing', 'export', '--from', dayBefore(6), '--to', dayBefore(2), '--push', receiver.url, '--adapter', 'stripe', '--meter', 'requests', '--url', billing.place.url, '--token', billing.place.token, '--timeout', '300ms', ...more]);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TIDEGATE_PUSH_TOKEN: 'key-0123456789' } });
    let text = '';
    for (const output of [child.stdout, child.stderr]) output.on('data', (piece) => { text += String(piece); });
    const [code] = await once(child, 'close') as [number | null];
    return [code, text];
  };
  await receiver.order({ faults: times(200, { do: 'hang' }) });
  const [failed, why] = await run();
  assert.equal(failed, 1, why);
  assert.match(why, /nobody knows whether they came; run the same command again[^]*no answer within 0.3 s/);
  assert.match(why, /\(billing_push_failed\)/);
  billing.nowMs += 25 * HOUR_MS;
  await receiver.order({ nowMs: billing.nowMs, faults: [] });
  const [left, listed] = await run();
  assert.equal(left, 4, listed);
  const ids = [...listed.matchAll(/^ {2}([0-9a-f]{32}) /gm)].map(([, id]) => id as string);
  assert.ok(ids.length > 0 && /say --assume-received ID or --resend ID/.test(listed), listed);
  const { counted } = await receiver.order({});
  const came = new Set(counted.map(([id]) => id));
  assert.deepEqual(ids.filter((id) => !came.has(id)), []);
  const [done, said] = await run(...ids.flatMap((id) => ['--assume-received', id]));
  assert.equal(done, 0, said);
  await countedOnce(receiver);
  billing.ledger.open = [{ app: 'app-1', day: dayBefore(5), status: 'closing', reasons: ['a gap'] }];
  const [open, named] = await run();
  assert.deepEqual([open, named.includes(`app-1 ${dayBefore(5)} (closing)`)], [3, true], named);
});
