/** An app is erased: nothing stored tells of it any more, all other sums are what they were, what of it comes later goes too, and what is of later stays. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../test/harness/deadline.js';
import { requires } from '../../test/harness/requires.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { Collector, type CollectorOptions } from '../collector.js';
import { RandomStream, silentLog } from '../log/random-events.fixture.js';
import { assertExact } from '../log/stored-sums.fixture.js';
import { connection } from '../store/stores.fixture.js';
import type { Store } from '../store/store.js';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };
const skip = requires('chdb');
const TABLES = ['events', 'traffic_minute', 'traffic_quarter_hour'] as const;

/** Requests of an app, in each table. */
async function requestsOf(store: Store, app: string): Promise<readonly number[]> {
  return Promise.all(TABLES.map(async (table) => (await store.query<{ n: number }>(`SELECT sum(t.requests) AS n FROM tidegate.${table} AS t WHERE t.app = {app:String}`, { app }))[0]?.n ?? 0));
}
const told = { signal: new AbortController().signal, tell: () => undefined };

async function differing(collector: Collector): Promise<number> {
  let found = 0;
  await collector.rebuild({ swap: false, signal: told.signal, tell: (line) => { if (line.type === 'compared' && line.differing > 0) found++; } });
  return found;
}

for (const backend of ['chDB', 'ClickHouse over HTTP'] as const) {
  test(`${backend}: what is stored of an app, and what of it comes later, goes; what is of later stays; sums, coverage and a rebuild know no difference`, { skip, timeout: 240_000 }, async (t) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-erasure-'));
    t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
    const server = backend === 'chDB' ? null : await TestClickHouse.start();
    t.after(() => server?.[Symbol.asyncDispose]());
    const options: CollectorOptions = { dataDir, retention: RETENTION, log: silentLog, limits: { rows: 3000, bytes: 64 * 1024 * 1024 }, ...(server === null ? {} : { clickhouse: connection(server.url) }) };
    const spool = join(dataDir, 'spool');
    const [old, later] = [new RandomStream(spool, 1, Date.now() - 2 * DAY_MS - HOUR_MS), new RandomStream(spool, 2, Date.now() + HOUR_MS)];
    const streams = [old, later];
    t.after(() => Promise.all(streams.map(({ recorder }) => recorder.close())));
    for (const stream of streams) stream.write(2000).mark();
    let collector = await Collector.start(options);
    t.after(() => collector.stop());
    const allStored = (rows: number): Promise<true> => eventually(`${rows} rows stored`, () => collector.status().stored === rows || null);
    await allStored(4000);
    const { store } = collector;
    const ofLater = (await store.query<{ n: number }>("SELECT sum(t.requests) AS n FROM tidegate.events AS t WHERE t.app = 'app-1' AND t.time > now()"))[0]?.n ?? 0;
    const others = await requestsOf(store, 'app-2');
    const [before = 0] = await requestsOf(store, 'app-1');
    assert.ok(ofLater > 0 && before > ofLater);

    // stopped when raw events are done, and no rollup is
    const halfway = new AbortController();
    let steps = 0;
    await assert.rejects(collector.erase('app-1', { signal: halfway.signal, tell: (line) => { if (line.type === 'progress' && ++steps === 2) halfway.abort(new Error('stopped')); } }), /stopped/);
    assert.notDeepEqual(await requestsOf(store, 'app-1'), [ofLater, ofLater, ofLater]);
    await collector.stop();
    collector = await Collector.start(options);
    await eventually('a collector that starts does the rest', async () => String(await requestsOf(collector.store, 'app-1')) === String([ofLater, ofLater, ofLater]) || null, 60_000);
    assert.deepEqual(await requestsOf(collector.store, '(erased)'), [before - ofLater, before - ofLater, before - ofLater]);
    assert.deepEqual(await requestsOf(collector.store, 'app-2'), others);
    assert.equal((await collector.store.query<{ n: number }>("SELECT count() AS n FROM tidegate.events WHERE app = '(erased)' AND (client != '' OR path != '' OR trace_id != '')"))[0]?.n, 0);
    await assertExact(collector.store, streams);

    // the spool of a node that was away brings more of it
    old.write(1000).mark();
    await allStored(1000);
    assert.notDeepEqual(await requestsOf(collector.store, 'app-1'), [ofLater, ofLater, ofLater]);
    collector.setRetention(RETENTION);
    await eventually('the next look erases it', async () => String(await requestsOf(collector.store, 'app-1')) === String([ofLater, ofLater, ofLater]) || null, 60_000);
    await eventually('it is done', async () => differing(collector).then((n) => n === 0 || null, () => null), 60_000);
    await assertExact(collector.store, streams);
    if (server !== null) await collector.stop();
  });
}
