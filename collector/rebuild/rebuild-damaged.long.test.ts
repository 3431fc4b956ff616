/** The rollups damaged on purpose: a rebuild finds it, and mends it while events go on being stored. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../test/harness/deadline.js';
import { requires } from '../../test/harness/requires.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { assertExact, storedSums } from '../log/stored-sums.fixture.js';
import { connection } from '../store/stores.fixture.js';
import { beforeMidnight, collecting, damage, dayOf, ended, forget, off, rebuilt, stream, streams } from './rebuilding.fixture.js';

const skip = requires('chdb');

for (const backend of ['chDB', 'ClickHouse over HTTP'] as const) {
  test(`${backend}: damaged rollups are found, and mended while events come, of the damaged days too; a last insert made again after it changes nothing`, { skip, timeout: 240_000 }, async (t) => {
    const server = backend === 'chDB' ? null : await TestClickHouse.start();
    t.after(() => server?.[Symbol.asyncDispose]());
    const options = server === null ? {} : { clickhouse: connection(server.url) };
    const old = stream(1, beforeMidnight()).write(6000).mark();
    const today = stream(2, Date.now() - 600_000).write(3000).mark();
    let running = await collecting(options);
    await eventually('all is stored', () => running.status().stored === 9000 || null);
    const damagedMs = beforeMidnight();
    for (const ms of [damagedMs, Date.now() - 600_000]) await damage(running.store, dayOf(ms));
    const found = off(await rebuilt(running, false));
    for (const ms of [damagedMs, Date.now() - 600_000]) for (const rollup of ['traffic_minute', 'traffic_quarter_hour']) assert.ok(found.includes(`${rollup} ${dayOf(ms)}`), `${rollup} ${dayOf(ms)} in ${found.join(', ')}`);
    assert.notDeepEqual((await storedSums(running.store)).minutes, (await storedSums(running.store)).quarterHours, 'a comparison mends nothing');

    let mending = true;
    const coming = (async () => {
      while (mending) {
        for (const one of [old, today]) one.write(200).mark();
        const { stored } = running.status();
        await eventually('the next rows are stored', () => running.status().stored > stored || !mending || null);
      }
    })();
    const before = running.status().stored;
    const lines = await rebuilt(running, true);
    mending = false;
    await coming;
    assert.ok((ended(lines) as { readonly swapped: number }).swapped >= 3, JSON.stringify(ended(lines)));
    assert.ok(running.status().stored > before, 'events were stored meanwhile');
    const all = old.sums.rows + today.sums.rows;
    await eventually('all is stored', () => running.status().stored === all || null);
    await assertExact(running.store, streams);
    assert.deepEqual(off(await rebuilt(running, false)), []);

    // a collector that starts makes the last insert again, unless it is known to be made
    await running.stop();
    running = await collecting(options);
    await assertExact(running.store, streams);
    if (server !== null) await running.stop().then(forget);
  });
}
