/** Pushes against receivers that keep ids as the real ones do: whatever ends a push, and whenever it is repeated, each entry is counted there once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BillingEntry } from '../../collector/billing/entry.js';
import { madeEntry } from '../../collector/billing/memory-ledger.fixture.js';
import { requires } from '../../test/harness/requires.js';
import { placeOf } from '../commands/billing-push.js';
import { ControlClient } from '../control-client.js';
import { push, type PushOutcome } from './push.js';
import type { TestBilling} from './push.fixture.js';
import { DAY_MS, dayBefore, times } from './push.fixture.js';
import { countedOnce, ENTRIES, KINDS, started } from './pushed-entries.fixture.js';
import type { ReceiverName } from './receivers.js';

const SKIP = { skip: requires('chdb'), timeout: 120_000 };
const HOUR_MS = 3_600_000;

async function* pagesOf(entries: readonly BillingEntry[]): AsyncGenerator<readonly BillingEntry[]> {
  for (let at = 0; at < entries.length; at += 70) yield entries.slice(at, at + 70);
}

function pushed(billing: TestBilling, kind: ReceiverName, url: string, more: { readonly entries?: readonly BillingEntry[]; readonly timeoutMs?: number; readonly nowMs?: () => number } = {}): Promise<PushOutcome> {
  const place = placeOf({ push: url, adapter: kind, meter: 'requests', account: '', timeout: '30s', resend: [], assumeReceived: [] }, 'key-0123456789');
  return push({ ...place, client: new ControlClient(billing.place), timeoutMs: 400, retryFromMs: 5, signal: new AbortController().signal, ...more }, pagesOf(more.entries ?? ENTRIES));
}

const figures = ({ received, before, refused, unknown, stop }: PushOutcome): unknown[] => [received, before, refused.length, unknown.length, stop];

for (const kind of KINDS) {
  test(`${kind}: each entry is counted once, credits as negative numbers, and a second push sends nothing, ever`, SKIP, async (t) => {
    const [billing, receiver] = await started(t, kind);
    assert.deepEqual(figures(await pushed(billing, kind, receiver.url)), [ENTRIES.length, 0, 0, 0, null]);
    await countedOnce(receiver);
    const { requests, meters, bearers } = await receiver.order({});
    assert.deepEqual([meters, bearers], [['requests'], ['Bearer key-0123456789']]);
    for (const laterMs of [0, 25 * HOUR_MS, 400 * DAY_MS]) {
      billing.nowMs = Date.now() + laterMs;
      await receiver.order({ nowMs: billing.nowMs });
      assert.deepEqual(figures(await pushed(billing, kind, receiver.url, { nowMs: () => billing.nowMs })), [0, ENTRIES.length, 0, 0, null]);
    }
    assert.equal((await receiver.order({})).requests, requests);
    await countedOnce(receiver);
  });

  test(`${kind}: what was received and never answered is sent again, and counted once`, SKIP, async (t) => {
    const [billing, receiver] = await started(t, kind);
    await receiver.order({ faults: [{ do: 'hang' }, { do: 'reset' }, { do: 'answer', status: 500, taken: true }, { do: 'answer', status: 429, taken: false, retryAfter: '0' }] });
    const outcome = await pushed(billing, kind, receiver.url);
    assert.deepEqual(figures(outcome), [ENTRIES.length, 0, 0, 0, null], JSON.stringify(outcome.unknown.slice(0, 3)));
    await countedOnce(receiver);
  });

  test(`${kind}: a receiver that never answers ends the push; within its window the same push counts each once`, SKIP, async (t) => {
    const [billing, receiver] = await started(t, kind);
    await receiver.order({ faults: times(100, { do: 'hang' }) });
    const hung = await pushed(billing, kind, receiver.url, { timeoutMs: 60 });
    assert.ok(hung.stop !== null && hung.received === 0 && hung.unknown.length > 0 && hung.unknown.every(({ resendable }) => resendable), JSON.stringify(figures(hung)));
    billing.nowMs += 20 * HOUR_MS;
    await receiver.order({ nowMs: billing.nowMs, faults: [] });
    assert.deepEqual(figures(await pushed(billing, kind, receiver.url)), [ENTRIES.length, 0, 0, 0, null]);
    await countedOnce(receiver);
  });

  test(`${kind}: after the window what nobody knows of is not sent blindly, and counted once by an operator's word`, SKIP, async (t) => {
    const [billing, receiver] = await started(t, kind);
    await receiver.order({ faults: times(100, { do: 'hang' }) });
    const hung = await pushed(billing, kind, receiver.url, { timeoutMs: 60 });
    const { counted: came } = await receiver.order({ faults: [] });
    assert.ok(came.length > 0);
    billing.nowMs += 25 * HOUR_MS;
    await receiver.order({ nowMs: billing.nowMs });
    const later = await pushed(billing, kind, receiver.url);
    if (kind !== 'lago') {
      assert.deepEqual([later.received, later.unknown.map(({ entry }) => entry.entry_id).sort()], [ENTRIES.length - hung.unknown.length, hung.unknown.map(({ entry }) => entry.entry_id).sort()]);
      assert.ok(later.unknown.every(({ resendable }) => !resendable));
      const { target } = placeOf({ push: receiver.url, adapter: kind, meter: 'm', account: '', timeout: '30s', resend: [], assumeReceived: [] }, 'k');
      const client = new ControlClient(billing.place);
      await client.post('/v1/billing/receipts', 'application/json', JSON.stringify({ target, action: 'assume_received', entry_ids: later.unknown.map(({ entry }) => entry.entry_id) }));
      assert.deepEqual(figures(await pushed(billing, kind, receiver.url)), [0, ENTRIES.length, 0, 0, null]);
    }
    await countedOnce(receiver);
  });

  test(`${kind}: two machines that push at once count each once`, SKIP, async (t) => {
    const [billing, receiver] = await started(t, kind);
    const outcomes = await Promise.all([pushed(billing, kind, receiver.url), pushed(billing, kind, receiver.url)]);
    assert.ok(outcomes.every(({ stop, refused, unknown }) => stop === null && refused.length + unknown.length === 0), JSON.stringify(outcomes.map(figures)));
    await countedOnce(receiver);
  });
}

test('a machine that stood still between its note and its sending sends nothing that the receiver may have forgotten', SKIP, async (t) => {
  const [billing, receiver] = await started(t, 'stripe');
  const control = new ControlClient(billing.place);
  let stoodStill = false;
  const client: Pick<ControlClient, 'post'> = {
    post: async <T>(path: string, type: string, body: string): Promise<T> => {
      const answer = await control.post<T>(path, type, body);
      if (!stoodStill && body.includes('"intend"')) {
        stoodStill = true;
        // another machine has pushed meanwhile, and the receiver has forgotten half of the world
        assert.equal((await pushed(billing, 'stripe', receiver.url, { entries: ENTRIES.slice(0, 10) })).received, 10);
        billing.nowMs += 25 * HOUR_MS;
        await receiver.order({ nowMs: billing.nowMs });
      }
      return answer;
    },
  };
  const place = placeOf({ push: receiver.url, adapter: 'stripe', meter: 'requests', account: '', timeout: '30s', resend: [], assumeReceived: [] }, 'key-0123456789');
  const outcome = await push({ ...place, client, allowedForMs: -1, signal: new AbortController().signal }, pagesOf(ENTRIES));
  assert.deepEqual([outcome.before, outcome.unknown.length, outcome.received], [10, 60, ENTRIES.length - 70], 'what it had noted before it stood still');
  assert.deepEqual(figures(await pushed(billing, 'stripe', receiver.url)), [60, ENTRIES.length - 60, 0, 0, null]);
  await countedOnce(receiver);
});

test('a wrong key, a redirect and nobody there end the push at once, and nothing is pending afterwards', SKIP, async (t) => {
  const [billing, receiver] = await started(t, 'stripe');
  for (const fault of [{ do: 'answer', status: 401, taken: false }, { do: 'answer', status: 302, taken: false, location: `${receiver.url}/v1/billing/meter_events` }] as const) {
    await receiver.order({ faults: times(50, fault) });
    const { requests } = await receiver.order({});
    const outcome = await pushed(billing, 'stripe', receiver.url);
    assert.match(outcome.stop ?? '', fault.status === 401 ? /answers 401: .*as told/ : /answers 302.*redirect is not followed/);
    assert.ok((await receiver.order({})).requests - requests <= 5);
  }
  const gone = await pushed(billing, 'stripe', 'http://127.0.0.1:9');
  assert.match(gone.stop ?? '', /ECONNREFUSED/);
  // had they been sent, they would be unknown by now
  billing.nowMs += 25 * HOUR_MS;
  await receiver.order({ nowMs: billing.nowMs, faults: [] });
  assert.deepEqual(figures(await pushed(billing, 'stripe', receiver.url)), [ENTRIES.length, 0, 0, 0, null]);
  await countedOnce(receiver);
});

test('Retry-After is waited for, and a receiver that asks for too long is left for another run', SKIP, async (t) => {
  const [billing, receiver] = await started(t, 'cloudevents');
  await receiver.order({ faults: [{ do: 'answer', status: 429, taken: false, retryAfter: '2' }] });
  const beganMs = performance.now();
  assert.equal((await pushed(billing, 'cloudevents', receiver.url)).received, ENTRIES.length);
  assert.ok(performance.now() - beganMs >= 2000);
  await receiver.order({ faults: [{ do: 'answer', status: 503, taken: false, retryAfter: '4000' }] });
  const other = madeEntry({ app: 'late', customer: 'cus_late', day: dayBefore(3) });
  assert.match((await pushed(billing, 'cloudevents', receiver.url, { entries: [other] })).stop ?? '', /asks for 4000 s/);
});

test('what a receiver cannot take is named, and the rest is counted', SKIP, async (t) => {
  const [billing, receiver] = await started(t, 'stripe');
  const odd = [madeEntry({ app: 'nobody', day: dayBefore(3) }), madeEntry({ app: 'other', customer: 'C-1', day: dayBefore(3) }), madeEntry({ app: 'old', customer: 'cus_old', day: dayBefore(36) })];
  const outcome = await pushed(billing, 'stripe', receiver.url, { entries: [...odd, ...ENTRIES] });
  assert.equal(outcome.received, ENTRIES.length);
  assert.deepEqual(outcome.refused.map(({ entry, why }) => [entry.app, /no customer|none of Stripe|35 days/.test(why)]), [['nobody', true], ['other', true], ['old', true]]);
  await receiver.order({ faults: [{ do: 'answer', status: 400, taken: false }] });
  const bad = await pushed(billing, 'stripe', receiver.url, { entries: [madeEntry({ app: 'bad', customer: 'cus_bad', day: dayBefore(3) })] });
  assert.deepEqual([bad.refused.map(({ why }) => why), bad.stop], [['as told'], null]);
});

test('where nothing must be pushed to is said before anything is', () => {
  const options = { push: 'https://example.com', adapter: 'stripe', meter: 'm', account: '', timeout: '30s', resend: [], assumeReceived: [] } as const;
  assert.deepEqual([placeOf(options, 'sk_live_1').target, placeOf(options, 'rk_test_1').target, placeOf({ ...options, account: 'eu', push: 'https://example.com/x' }, 'k').target],
    ['stripe https://example.com/v1/billing/meter_events', 'stripe https://example.com/v1/billing/meter_events (test mode)', 'stripe https://example.com/x eu']);
  for (const [change, token, why] of [
    [{ adapter: undefined }, 'k', /--adapter/], [{ push: 'example' }, 'k', /no URL/], [{ push: 'http://example.com' }, 'k', /not https/], [{ push: 'http://127.0.0.1.example.com' }, 'k', /not https/], [{ push: 'ftp://127.0.0.1' }, 'k', /not https/],
    [{ push: 'https://key:x@example.com' }, 'k', /does not belong/], [{ meter: undefined }, 'k', /--meter/], [{}, undefined, /TIDEGATE_PUSH_TOKEN/], [{ window: '5m' }, 'k', /--window/], [{ window: 'day' }, 'k', /--window/], [{ timeout: '0s' }, 'k', /--timeout/],
  ] as const) assert.throws(() => placeOf({ ...options, ...change } as typeof options, token), (error: Error & { code: string }) => error.code === 'billing_push_target' && why.test(error.message), JSON.stringify(change));
});
