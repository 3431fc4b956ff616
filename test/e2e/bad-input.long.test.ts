/** Bad input to a whole node, as an operator meets it: what the command says, where it points, and that it ends with exit code 1 and no stack. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requires } from '../harness/requires.js';
import { SmallDisk } from '../harness/small-disk.js';
import { freePorts, TestNode, tidegateCommand, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const HEAD = 'version: 1\nlisteners: { http: { address: "127.0.0.1:0" } }\n';
const service = (name: string, url = 'http://127.0.0.1:9', path = '/*'): string => `  - name: ${name}
    upstream: { targets: [{ url: "${url}" }] }
    routes: [{ name: all, match: { path: "${path}" } }]
`;

const BAD: readonly (readonly [what: string, yaml: string, place: string, words: RegExp, code: string])[] = [
  ['malformed YAML', `${HEAD}services: [\n`, '4:1', /./, 'config_syntax'],
  ['an unknown key', `${HEAD}servces: []\n`, '3:1', /unknown key "servces"; did you mean services\?/, 'config_unknown_key'],
  ['two services of one name', `${HEAD}services:\n${service('shop')}${service('shop')}`, '7:11', /shop/, 'config_duplicate'],
  ['a regular expression that only backtracking can match', `${HEAD}services:\n${service('shop', undefined, '~^/(a)\\\\1$')}`, '6:42', /./, 'config_regexp'],
  ['a target that is no URL', `${HEAD}services:\n${service('shop', 'not a url')}`, '5:34', /must be a URL/, 'config_value'],
  ['a key file that cannot be read', `${HEAD}apps: [{ name: acme, jwt: { algorithm: RS256, jwks: "file:keys" } }]\n`, '3:53', /keys/, 'config_file'],
];

for (const [what, yaml, place, words, code] of BAD) {
  test(`${what}: check and start name the place and the code, and end with 1`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
    try {
      // a folder in a file's place cannot be read even by root
      mkdirSync(join(folder, 'keys'));
      const file = join(folder, 'tidegate.yaml');
      writeFileSync(file, yaml);
      for (const args of [['check', file], ['start', '-c', file]]) {
        const { command, args: all } = tidegateCommand(args);
        const { status, stdout, stderr } = spawnSync(command, all, { encoding: 'utf8', timeout: 30_000, env: { ...process.env, TIDEGATE_LOG_LEVEL: 'silent' } });
        const output = stdout + stderr;
        assert.equal(status, 1, output);
        const line = output.split('\n').find((some) => some.includes(`tidegate.yaml:${place}: `) && some.endsWith(`(${code})`));
        assert.ok(line !== undefined && words.test(line), `${args.join(' ')} said:\n${output}`);
        assert.doesNotMatch(output, /^\s+at /m, 'no stack');
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test('a regular expression that makes backtracking engines run forever is matched at once', { skip: requires('linux', 'chdb'), timeout: 60_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start({
      services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'nested', match: { path: '~^/(a+)+$' }, authentication: [] }] }],
    });
    const status = async (path: string): Promise<number> => {
      const answer = await fetch(node.url + path, { signal: AbortSignal.timeout(5000) });
      await answer.arrayBuffer();
      return answer.status;
    };
    assert.equal(await status(`/${'a'.repeat(5000)}`), 200);
    assert.equal(await status(`/${'a'.repeat(5000)}b`), 404);
  } finally {
    await upstream.stop();
  }
});

/** Starts on the data directory as `prepare` leaves it, and answers what was said. */
async function refusedStart(mebibytes: number, prepare: (disk: SmallDisk) => void): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
  try {
    using disk = SmallDisk.mount(join(folder, 'data'), mebibytes);
    prepare(disk);
    const config: TestConfig = { services: [] };
    await using node = await TestNode.start(config, { folder, removeFolder: false, waitReady: false, env: { TIDEGATE_LOG_LEVEL: 'silent' } });
    assert.equal(await node.exited, 1, node.output);
    assert.doesNotMatch(node.output, /^\s+at /m, 'no stack');
    assert.equal(node.output.match(/^tidegate: /gm)?.length, 1, node.output);
    return node.output;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('a read-only data directory ends the start with one clear message', { skip: requires('root', 'linux'), timeout: 60_000 }, async () => {
  assert.match(await refusedStart(1, (disk) => { disk.makeReadOnly(); }), /^tidegate: .*data.*(read-only|EROFS).*\(data_dir_unusable\)/m);
});

test('a data directory that is full at the start ends it with one clear message', { skip: requires('root', 'linux'), timeout: 60_000 }, async () => {
  assert.match(await refusedStart(1, (disk) => { disk.fill(); }), /^tidegate: .*data.*(no space|ENOSPC).*\(data_dir_unusable\)/m);
});

test('ports in use by another node: the second says which and ends, the first goes on', { skip: requires('linux', 'chdb'), timeout: 60_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    const services = [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }];
    await using first = await TestNode.start({ services });
    const [free] = await freePorts(1) as [number];
    for (const [listener, control, taken] of [[first.port, free, first.port], [free, first.controlPort, first.controlPort]] as const) {
      await using second = await TestNode.start({
        services, listeners: { http: { address: `127.0.0.1:${listener}` } }, control: { address: `127.0.0.1:${control}` },
      }, { waitReady: false, env: { TIDEGATE_LOG_LEVEL: 'silent' } });
      assert.equal(await second.exited, 1, second.output);
      assert.match(second.output, new RegExp(`^tidegate: .*127\\.0\\.0\\.1:${taken}.*\\(address_in_use\\)`, 'm'));
      assert.doesNotMatch(second.output, /^\s+at /m, 'no stack');
    }
    assert.equal((await fetch(first.url)).status, 200);
    assert.ok((await fetch(`${first.controlUrl}/readyz`)).ok);
  } finally {
    await upstream.stop();
  }
});
