import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually } from '../../../test/harness/deadline.js';
import { TestRedis } from '../../../test/harness/redis.js';
import { requires } from '../../../test/harness/requires.js';
import { freePorts } from '../../../test/harness/tidegate.js';
import { WebhookReceiver } from '../../../test/harness/webhook-receiver.js';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { Config } from '../../config/schema.js';
import type { QuotaUse } from '../quota-use/quota-use.js';
import { SharedUse } from '../quota-use/shared-use.js';
import { WebhookNotes } from './webhook-notes.js';
import { signature, WebhookSender } from './webhook-sender.js';
import { Webhooks, WEBHOOK_TIMES, type WebhooksOptions } from './webhooks.js';

const SECRET = 'a-secret-of-an-app-0123456789';
const NOW_MS = Date.parse('2026-11-21T09:00:00Z');
/** Who sends has claimed it for as long as a busy machine needs for that. */
const FAST = { firstWaitMs: 5, longestWaitMs: 20, giveUpMs: 60_000, claimMs: 10_000 };
const folder = mkdtempSync(join(tmpdir(), 'tidegate-webhooks-'));
after(() => { rmSync(folder, { recursive: true, force: true }); });

interface Node { readonly webhooks: Webhooks; readonly notes: WebhookNotes; readonly use: (more: Partial<QuotaUse>) => void; readonly results: string[]; readonly said: string[] }
let files = 0;

function node(url: string | null, more: Partial<WebhooksOptions> = {}, file = join(folder, `notes-${files++}`, 'webhooks.jsonl')): Node {
  let uses: readonly QuotaUse[] = [];
  const [results, said]: [string[], string[]] = [[], []];
  const say = (fields: object, text: string): void => { said.push(`${JSON.stringify(fields)} ${text}`); };
  const notes = new WebhookNotes(file, { error: say });
  const webhooks = new Webhooks({
    uses: () => uses, notes, sender: new WebhookSender(), shared: null, count: (result) => { results.push(result); },
    log: { info: say, warn: say, error: say }, nowMs: () => NOW_MS, times: FAST, ...more,
  });
  configure(webhooks, url);
  return {
    webhooks, notes, results, said,
    use: (one) => {
      uses = [{ app: 'acme', day: '2026-11-21', timeZone: 'Asia/Kolkata', limit: 10, over: 'refuse', used: 0, lent: true, ...one }];
      webhooks.tick();
    },
  };
}
function configure(webhooks: Webhooks, url: string | null): void {
  webhooks.configure({ config: { apps: [{ name: 'acme', ...(url === null ? {} : { webhook: { url, secret: 'file:secret' } }) }] } as unknown as Config, secrets: { 'file:secret': SECRET } });
}
const untilSettled = (results: readonly string[], count: number) => eventually('it is settled', () => (results.filter((result) => result !== 'retried').length >= count ? true : null));

test('80 % and 100 % are told once a day and limit, signed, with what was used', async () => {
  await using receiver = await WebhookReceiver.start(SECRET);
  const { webhooks, use, results } = node(receiver.url);
  for (const used of [0, 7, 8, 8, 9]) use({ used });
  await untilSettled(results, 1);
  for (const used of [10, 10]) use({ used });
  await untilSettled(results, 2);
  assert.deepEqual(receiver.ids, ['qpd.acme.2026-11-21.100.10', 'qpd.acme.2026-11-21.80.10']);
  assert.ok(receiver.received.every(({ genuine, timestamp }) => genuine && timestamp === String(NOW_MS / 1000)));
  assert.deepEqual(receiver.received[0]?.body, {
    id: 'qpd.acme.2026-11-21.80.10', type: 'quota.threshold_reached', threshold: 80, app: 'acme', day: '2026-11-21', time_zone: 'Asia/Kolkata', limit: 10, used: 8, share: 0.8, over: 'refuse',
    time: '2026-11-21T09:00:00.000Z',
  });
  // raised: what is reached of the new limit is told again; back again: nothing that was told before
  for (const limit of [20, 12, 10]) use({ used: 10, limit });
  await untilSettled(results, 3);
  // the next day begins anew; a jump passes both; what is not known, or another node's to say, is nothing
  use({ used: 30, day: '2026-11-22' });
  await untilSettled(results, 5);
  for (const one of [{ used: null }, { used: 30, lent: false }]) use({ ...one, day: '2026-11-23' });
  use({ used: 30, lent: false, over: 'bill', day: '2026-11-24' });
  await untilSettled(results, 7);
  assert.deepEqual(receiver.ids.slice(2), ['qpd.acme.2026-11-21.80.12', 'qpd.acme.2026-11-22.100.10', 'qpd.acme.2026-11-22.80.10', 'qpd.acme.2026-11-24.100.10', 'qpd.acme.2026-11-24.80.10']);
  assert.deepEqual(results, Array(7).fill('delivered'));
  await webhooks.close();
});

test('a receiver that is down, errs or redirects gets it again, the same bytes under the same id, until it takes it', async () => {
  const [port = 0] = await freePorts(1);
  const { webhooks, use, results, said } = node(`http://127.0.0.1:${port}/quota`);
  use({ used: 8 });
  await eventually('it was refused twice', () => (results.length >= 2 ? true : null));
  await using receiver = await WebhookReceiver.start(SECRET, port);
  receiver.status = 307;
  await eventually('it was redirected', () => (receiver.received.length >= 2 ? true : null));
  receiver.status = 500;
  const before = receiver.received.length;
  await eventually('it erred', () => (receiver.received.length >= before + 2 ? true : null));
  receiver.status = 200;
  await untilSettled(results, 1);
  assert.equal(new Set(receiver.received.map(({ id, text }) => id + text)).size, 1);
  assert.ok(receiver.received.every(({ genuine }) => genuine));
  assert.equal(results.at(-1), 'delivered');
  assert.equal(said.filter((line) => line.includes('sent again')).length, 1, said.join('\n'));
  await webhooks.close();
});

test('one that is never taken is given up; one whose app has lost its webhook is dropped; one whose url was changed goes there', async () => {
  const [port = 0] = await freePorts(1);
  const nobody = `http://127.0.0.1:${port}/quota`;
  let nowMs = NOW_MS;
  const tired = node(nobody, { nowMs: () => nowMs });
  tired.use({ used: 8 });
  await eventually('it is tried', () => (tired.results.length > 0 ? true : null));
  nowMs += FAST.giveUpMs;
  await untilSettled(tired.results, 1);
  assert.equal(tired.results.at(-1), 'failed');
  assert.match(tired.said.at(-1) ?? '', /"code":"webhook_unreachable","reason":"ECONNREFUSED"\} an app's webhook was not taken, and is given up: Check apps\[\]\.webhook\.url/);

  const gone = node(nobody);
  gone.use({ used: 8 });
  await eventually('it is tried', () => (gone.results.length > 0 ? true : null));
  configure(gone.webhooks, null);
  await untilSettled(gone.results, 1);
  assert.equal(gone.results.at(-1), 'dropped');

  await using receiver = await WebhookReceiver.start(SECRET);
  const moved = node(nobody);
  moved.use({ used: 8 });
  await eventually('it is tried', () => (moved.results.length > 0 ? true : null));
  configure(moved.webhooks, receiver.url);
  await untilSettled(moved.results, 1);
  assert.deepEqual([moved.results.at(-1), receiver.ids], ['delivered', ['qpd.acme.2026-11-21.80.10']]);
  for (const { webhooks } of [tired, gone, moved]) await webhooks.close();
});

test('what a killed supervisor had noted and not sent, the next sends; what was sent is not sent again, whatever the file\'s end looks like', async () => {
  const [port = 0] = await freePorts(1);
  const file = join(folder, 'killed', 'webhooks.jsonl');
  const first = node(`http://127.0.0.1:${port}/quota`, {}, file);
  first.use({ used: 8 });
  await eventually('it is tried', () => (first.results.length > 0 ? true : null));
  await first.webhooks.close();
  // cut off in the middle of a line
  appendFileSync(file, '{"id":"qpd.acme.2026-11-21.100.10","at":17');
  await using receiver = await WebhookReceiver.start(SECRET, port);
  const second = node(receiver.url, {}, file);
  second.webhooks.start();
  await untilSettled(second.results, 1);
  await second.webhooks.close();
  const third = node(receiver.url, {}, file);
  third.webhooks.start();
  third.use({ used: 10 });
  await untilSettled(third.results, 1);
  await third.webhooks.close();
  assert.deepEqual(receiver.ids, ['qpd.acme.2026-11-21.100.10', 'qpd.acme.2026-11-21.80.10']);
});

test('no webhook goes to a forbidden address, by name or number', async () => {
  const sender = new WebhookSender();
  for (const url of ['http://169.254.169.254/latest/meta-data', 'http://[::ffff:169.254.169.254]/', 'http://2852039166/', 'http://[fe80::1]/', 'http://0.0.0.0/']) {
    await assert.rejects(sender.send({ url, secret: SECRET }, { id: 'x', body: '{}' }, NOW_MS), (error) => error instanceof TidegateError && error.code === 'webhook_address', url);
  }
  await sender.close();
});

test('a secret as Standard Webhooks writes it is its bytes', () => {
  // the example of the specification's own libraries
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  assert.equal(signature(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}'), 'g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
});

test('of several nodes one tells, and where that one dies another does, once Redis answers', { skip: requires('redis'), timeout: 60_000 }, async () => {
  await using redis = await TestRedis.start();
  await using receiver = await WebhookReceiver.start(SECRET);
  const settings = { urls: [redis.url], cluster: false, prefix: 'test', timeoutMs: 1000 };
  const shared = ['one', 'two', 'three'].map((instance) => new SharedUse({ settings, instance }));
  const nodes = shared.map((own) => node(receiver.url, { shared: own }));
  for (const { use } of nodes) use({ used: 8 });
  await eventually('one is told', () => (receiver.received.length > 0 ? true : null));
  for (const { use } of nodes) use({ used: 10 });
  await eventually('both are told', () => (new Set(receiver.ids).size === 2 ? true : null));
  await eventually('the others have found it told', () => nodes.every(({ notes }) => notes.due.length === 0) || null);
  assert.deepEqual(receiver.ids, ['qpd.acme.2026-11-21.100.10', 'qpd.acme.2026-11-21.80.10'], 'exactly one each');

  // one that has claimed and is gone
  const left = { app: 'acme', day: '2026-11-22', threshold: 80, limit: 10 };
  assert.equal(await shared[0]?.claim(left, 60_000), 'mine');
  nodes[1]?.use({ used: 8, day: '2026-11-22' });
  assert.equal(await shared[1]?.claim(left, 60_000), 'others');
  // its time is over
  assert.equal(await shared[0]?.claim(left, 0), 'mine');
  await eventually('another tells it', () => (receiver.ids.includes('qpd.acme.2026-11-22.80.10') ? true : null));
  await redis.kill();
  nodes[2]?.use({ used: 8, day: '2026-11-23' });
  await redis.restart();
  await eventually('it is told once Redis answers', () => (receiver.ids.includes('qpd.acme.2026-11-23.80.10') ? true : null));
  assert.equal(new Set(receiver.ids).size, receiver.ids.length, receiver.ids.join());
  for (const { webhooks } of nodes) await webhooks.close();
  for (const own of shared) own.close();
});

test('the times are those that the documents state', () => {
  assert.deepEqual(WEBHOOK_TIMES, { firstWaitMs: 1000, longestWaitMs: 300_000, giveUpMs: 21_600_000, claimMs: 60_000 });
});
