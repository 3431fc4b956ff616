import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { eventually } from '../../test/harness/deadline.js';
import { readBounded } from './bounded-file.js';
import { configFolder, LISTENER } from './config-folder.fixture.js';
import { KeyStore } from './keys.js';
import { loadConfig } from './load.js';
import { ConfigWatcher } from './watch.js';

const SKIP = { skip: existsSync('/dev/zero') && existsSync('/proc/self/status') ? false : 'needs /dev and /proc', timeout: 60_000 };

describe('a file that a configuration names', SKIP, () => {
  it('is read whole up to the bound, and not at all past it', (t) => {
    const path = configFolder(t).write('file', 'x'.repeat(10_000));
    const told = (maxBytes: number): number | string => {
      const read = readBounded(path, maxBytes);
      return read.bytes === null ? read.why : read.bytes.length;
    };
    assert.deepEqual([told(10_000), told(9_999)], [10_000, 'is larger than 9999 bytes']);
  });

  it('is read no further than the bound where it does not say its size', () => {
    const read = readBounded('/proc/self/status', 100);
    assert.deepEqual([read.bytes, read.bytes === null && read.why], [null, 'is larger than 100 bytes']);
    assert.ok((readBounded('/proc/self/status', 1_000_000).bytes?.length ?? 0) > 100);
  });

  it('is refused where it is a device, a FIFO or a folder, as the configuration, as a secret and as keys.json', (t) => {
    const { dir } = configFolder(t);
    const fifo = join(dir, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const [path, why] of [['/dev/zero', 'is not a regular file'], [fifo, 'is not a regular file'], [dir, 'is a folder']] as const) {
      assert.deepEqual(loadConfig(path, {}).errors.map(({ code, message }) => [code, message]), [['config_unreadable', why]]);
    }
    const { file } = configFolder(t, `${LISTENER}control: { token: "file:${fifo}" }\napps: [{ name: a, jwt: { algorithm: RS256, jwks: "file:/dev/zero" } }]\n`);
    assert.deepEqual(loadConfig(file, {}).errors.map(({ code, message }) => [code, message]), [
      ['config_file', `file:${fifo} is not a regular file`], ['config_file', 'file:/dev/zero is not a regular file'],
    ]);
    execFileSync('mkfifo', [KeyStore.pathIn(dir)]);
    assert.throws(() => KeyStore.open(dir), { code: 'config_file', message: 'keys.json is not a regular file' });
  });

  it('does not stop who watches it when it becomes a FIFO', async (t) => {
    const { dir, file } = configFolder(t, LISTENER);
    let told: readonly string[] | null = null;
    const watcher = new ConfigWatcher({ file, onResult: ({ errors }) => { told = errors.map(({ message }) => message); } });
    t.after(() => { watcher.close(); });
    await watcher.start();
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    execFileSync('mv', ['-f', join(dir, 'fifo'), file]);
    assert.deepEqual(await eventually('the change', () => told), ['is not a regular file']);
  });
});
