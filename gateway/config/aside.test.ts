import assert from 'node:assert/strict';
import { extname, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runAside } from './aside.js';
import { OneAtATime } from './one-at-a-time.js';

const HERE = fileURLToPath(import.meta.url);
const FIXTURE = resolve(HERE, `../aside.fixture${extname(HERE)}`);
const LONG = { timeLimitMs: 60_000 };

const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

describe('work in a process of its own', { timeout: 60_000 }, () => {
  it('is answered once the process is gone', async () => {
    const end = await runAside<{ pid: number }>(FIXTURE, { what: 'say' }, LONG);
    assert.ok('answer' in end);
    assert.notEqual(end.answer.pid, process.pid);
    assert.ok(gone(end.answer.pid));
  });

  it('that ends without an answer is told', async () => {
    assert.deepEqual(await runAside(FIXTURE, { what: 'exit' }, LONG), { why: 'its process ended with 7' });
  });

  it('that does not end is killed after its time', async () => {
    assert.deepEqual(await runAside(FIXTURE, { what: 'hang' }, { timeLimitMs: 1500 }), { why: 'it took longer than 1500 ms' });
  });

  it('is killed, or never begun, when nobody waits for it any more', async () => {
    const left = new AbortController();
    const end = runAside(FIXTURE, { what: 'hang' }, { ...LONG, signal: left.signal });
    left.abort();
    assert.deepEqual(await end, { why: 'nobody waits for it any more' });
    assert.deepEqual(await runAside(FIXTURE, { what: 'say' }, { ...LONG, signal: left.signal }), { why: 'nobody waits for it any more' });
  });
});

describe('one at a time', () => {
  it('runs in order, sends away who is too many, and forgets who has left', async () => {
    const queue = new OneAtATime(2);
    const events: string[] = [];
    let finish = (): void => {};
    const first = queue.run(() => new Promise<void>((settle) => { events.push('first'); finish = settle; }));
    const left = new AbortController();
    const second = assert.rejects(queue.run(async () => { events.push('second'); }, left.signal), { code: 'config_busy' });
    const third = queue.run(async () => { events.push('third'); });
    await assert.rejects(queue.run(async () => { events.push('never'); }), { code: 'config_busy' });
    left.abort();
    await second;
    const fourth = queue.run(async () => { events.push('fourth'); throw new Error('of its own'); });
    assert.deepEqual(events, ['first']);
    finish();
    await Promise.all([first, third, assert.rejects(fourth, /of its own/)]);
    await queue.run(async () => { events.push('fifth'); });
    assert.deepEqual(events, ['first', 'third', 'fourth', 'fifth']);
  });
});
