import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { configFolder, hash, LISTENER } from './config-folder.fixture.js';
import { KeyStore } from './keys.js';
import { loadConfig } from './load.js';
import type { LoadResult } from './load.js';
import { ConfigWatcher } from './watch.js';

interface Seen { readonly result: LoadResult; readonly cause: string }

/** A watcher whose results can be waited for, one after the other, each for at most `withinMs`. */
async function watching(t: TestContext, file: string, load?: (file: string) => Promise<LoadResult>) {
  const arrived: Seen[] = [];
  let wake: (() => void) | null = null;
  const watcher = new ConfigWatcher({
    file,
    onResult: (result, cause) => {
      arrived.push({ result, cause });
      wake?.();
    },
    load: load ?? ((path) => Promise.resolve(loadConfig(path, {}))),
  });
  t.after(() => { watcher.close(); });
  const first = await watcher.start();
  const next = async (withinMs = 60_000): Promise<Seen> => {
    const deadline = setTimeout(() => { wake?.(); }, withinMs);
    while (arrived.length === 0) {
      await new Promise<void>((resolve) => { wake = resolve; });
      if (arrived.length === 0) throw new Error(`no result within ${withinMs} ms`);
    }
    clearTimeout(deadline);
    return arrived.shift() as Seen;
  };
  return { watcher, first, next, arrived };
}

/** Of a clock that the test moves on. */
const STEP_MS = 50;

const qps = (n: number): string => `${LISTENER}limits: { qps: ${n} }\n`;
const qpsOf = ({ result }: Seen): number | undefined => result.loaded?.config.limits.qps;

describe('a watched configuration', () => {
  for (const [name, writes] of [['is loaded within a second of a change', 1], ['is loaded within a second of a change, though it is written on and on', 20]] as const) {
    it(name, async (t) => {
      const { file } = configFolder(t, qps(1));
      t.mock.timers.enable({ apis: ['setTimeout'] });
      const { arrived } = await watching(t, file);
      let tookMs = 0;
      for (let written = 0; arrived.length === 0 && tookMs < 5000; tookMs += STEP_MS) {
        if (written < writes) writeFileSync(file, qps(++written + 1));
        t.mock.timers.tick(STEP_MS);
        // what the look has begun goes on with the promises' jobs
        await new Promise((resolve) => { setImmediate(resolve); });
      }
      assert.equal(arrived.length, 1);
      assert.ok(tookMs < 1000, `taken up after ${tookMs} ms`);
    });
  }

  it('is loaded when it changes', async (t) => {
    const { file } = configFolder(t, qps(1));
    const { first, next } = await watching(t, file);
    assert.equal(first.loaded?.config.limits.qps, 1);
    writeFileSync(file, qps(2));
    const seen = await next();
    assert.equal(qpsOf(seen), 2);
    assert.equal(seen.cause, 'file');
  });

  it('is noticed when an editor renames another over it, also with the same size and time', async (t) => {
    const { file, write } = configFolder(t, qps(1));
    const { next } = await watching(t, file);
    const other = write('.tidegate.yaml.swp', qps(2));
    renameSync(other, file);
    assert.equal(qpsOf(await next()), 2);
    const past = new Date(Date.now() - 60_000);
    utimesSync(file, past, past);
    assert.equal(qpsOf(await next()), 2);
    const again = write('.tidegate.yaml.swp', qps(3));
    utimesSync(again, past, past);
    renameSync(again, file);
    assert.equal(qpsOf(await next()), 3);
  });

  it('is noticed when the link to its folder is turned', async (t) => {
    const { dir, write } = configFolder(t);
    write('..2026_1/tidegate.yaml', qps(1));
    symlinkSync('..2026_1', join(dir, '..data'));
    rmSync(join(dir, 'tidegate.yaml'));
    symlinkSync('..data/tidegate.yaml', join(dir, 'tidegate.yaml'));
    const { next } = await watching(t, join(dir, 'tidegate.yaml'));
    write('..2026_2/tidegate.yaml', qps(2));
    symlinkSync('..2026_2', join(dir, '..data_tmp'));
    renameSync(join(dir, '..data_tmp'), join(dir, '..data'));
    rmSync(join(dir, '..2026_1'), { recursive: true });
    assert.equal(qpsOf(await next()), 2);
  });

  it('that goes bad gives its errors, and the good one after it is taken', async (t) => {
    const { file } = configFolder(t, qps(1));
    const { next } = await watching(t, file);
    writeFileSync(file, `${LISTENER}limts: 1\n`);
    const bad = await next();
    assert.equal(bad.result.loaded, null);
    assert.deepEqual(bad.result.errors.map(({ code }) => code), ['config_unknown_key']);
    rmSync(file);
    assert.deepEqual((await next()).result.errors.map(({ code }) => code), ['config_unreadable']);
    writeFileSync(file, qps(2));
    assert.equal(qpsOf(await next()), 2);
  });

  it('is loaded again when a file it refers to changes, and when a key is made', async (t) => {
    const { file, dir, write } = configFolder(t, `${LISTENER}apps: [{ name: a, jwt: { algorithm: HS256, secret: "file:secret" } }]\n`);
    write('secret', hash('1'));
    const { first, next } = await watching(t, file);
    write('secret', hash('2'));
    const changed = await next();
    assert.notEqual(changed.result.loaded?.version, first.loaded?.version);
    mkdirSync(join(dir, 'data'));
    KeyStore.open(join(dir, 'data')).add({ app: 'a', author: 'me', scopes: ['traffic'] });
    assert.equal((await next()).result.loaded?.config.apps[0]?.keys.length, 1);
  });

  it('watches a file that it comes to refer to', async (t) => {
    const { file, write } = configFolder(t, LISTENER);
    const { next } = await watching(t, file);
    write('token', 'a token of the operator');
    writeFileSync(file, `${LISTENER}control: { token: "file:token" }\n`);
    const one = await next();
    write('token', 'another token of the operator');
    const two = await next();
    assert.notEqual(two.result.loaded?.version, one.result.loaded?.version);
  });

  it('is loaded at once when asked, changed or not', async (t) => {
    const { file } = configFolder(t, qps(1));
    const { watcher, arrived } = await watching(t, file);
    const result = await watcher.reload();
    assert.equal(result.loaded?.config.limits.qps, 1);
    assert.deepEqual(arrived.map(({ cause }) => cause), ['request']);
  });

  it('is not loaded again and again without a change, while its file ages', { timeout: 60_000 }, async (t) => {
    const { file } = configFolder(t, qps(1));
    let loads = 0;
    const { next } = await watching(t, file, (path) => { loads++; return Promise.resolve(loadConfig(path, {})); });
    assert.equal(loads, 2, 'once more for keys.json');
    await assert.rejects(next(2800), /no result/);
    assert.equal(loads, 2);
  });
});
