/**
 * The demo works as printed: `npm start`'s own command in a folder that holds what is built, and each line that it prints run by a shell as it stands.
 * Ports are chosen by the variables that cli/demo/main.ts names, which the shell does not have.
 */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { packageRoot } from '../../cli/version.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { freePorts, processesOfGroup } from '../harness/tidegate.js';

/** The demo ends its greeting with it. */
const LAST_WORDS = /^Ctrl-C ends it all; the data stays in data\/demo\.$/m;

interface Package { readonly scripts: Record<string, string> }

/** The package as it is once built, in a folder of its own. npx installs the folder it stands in, and would build it again on the way. */
class BuiltPackage implements Disposable {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidegate-demo-')));

  constructor() {
    const root = packageRoot();
    for (const name of ['dist', 'examples', 'migrations']) cpSync(join(root, name), join(this.folder, name), { recursive: true });
    chmodSync(join(this.folder, 'dist/cli/main.js'), 0o755);
    symlinkSync(realpathSync(join(root, 'node_modules')), join(this.folder, 'node_modules'));
    const { scripts: { prepare: _, ...scripts }, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Package;
    writeFileSync(join(this.folder, 'package.json'), JSON.stringify({ ...manifest, scripts }));
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function environment(folder: string): Promise<NodeJS.ProcessEnv> {
  const [listener, control, shop] = await freePorts(3) as [number, number, number];
  return {
    ...process.env, npm_config_cache: join(folder, 'npm-cache'), npm_config_update_notifier: 'false',
    TIDEGATE__listeners__http__address: `127.0.0.1:${listener}`, TIDEGATE__control__address: `127.0.0.1:${control}`,
    TIDEGATE__services__shop__upstream__targets__0__url: `http://127.0.0.1:${shop}`,
  };
}

/** A demo in a terminal of its own: it leads a process group. */
class Demo implements AsyncDisposable {
  readonly #shell: ChildProcessByStdio<null, Readable, Readable>;
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #exited: Promise<number | null>;
  #ended = false;
  #output = '';

  private constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.#folder = folder;
    this.#env = env;
    const { scripts } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Package;
    this.#shell = spawn('sh', ['-c', scripts['start'] ?? 'false'], { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#shell.stdout, this.#shell.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { this.#output += text; });
    this.#exited = new Promise((resolve) => {
      this.#shell.once('close', (code) => {
        this.#ended = true;
        resolve(code);
      });
    });
  }

  /** Resolves when it has printed its commands. */
  static async start(folder: string, env: NodeJS.ProcessEnv): Promise<Demo> {
    const demo = new Demo(folder, env);
    try {
      await eventually('the printed commands, or the end', () => (demo.#ended || LAST_WORDS.test(demo.#output) ? true : null), 120_000);
      assert.match(demo.#output, LAST_WORDS);
      return demo;
    } catch (error) {
      await demo[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What it says where it cannot start. */
  static async refused(folder: string, env: NodeJS.ProcessEnv): Promise<string> {
    await using demo = new Demo(folder, env);
    assert.equal(await demo.#exited, 1);
    return demo.#output;
  }

  /** As printed: of a request, of the report, of live numbers, of the node's status. */
  get commands(): readonly string[] {
    return this.#output.split('\n').filter((line) => line.startsWith('    ')).map((line) => line.trim());
  }

  /** The key in the first command. */
  get key(): string {
    return /'X-Api-Key: (\w+)'/.exec(this.commands[0] ?? '')?.[1] ?? '';
  }

  /** What the printed line writes to standard output, in a terminal that knows nothing of the demo's ports; it has to end well. */
  async run(n: number): Promise<string> {
    const env = Object.fromEntries(Object.entries(this.#env).filter(([name]) => !name.startsWith('TIDEGATE_')));
    return (await promisify(execFile)('sh', ['-c', this.commands[n] ?? 'false'], { cwd: this.#folder, env })).stdout;
  }

  /** Sends what a terminal sends, to all of its processes; resolves with the exit code when none is left. */
  async ctrlC(): Promise<number | null> {
    assert.ok(this.#processes.length >= 5, 'launcher, supervisor, two workers, collector');
    process.kill(-(this.#shell.pid as number), 'SIGINT');
    const code = await this.#exited;
    await eventually('the end of every process', () => (this.#processes.length === 0 ? true : null));
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await eventually('the end of every killed process', () => {
      const left = this.#processes;
      if (left.length > 0) process.kill(-(this.#shell.pid as number), 'SIGKILL');
      return left.length === 0 ? true : null;
    });
  }

  get #processes(): number[] {
    return processesOfGroup(this.#shell.pid ?? 0);
  }
}

/** Tries every printed line. */
async function tryOut(demo: Demo): Promise<void> {
  assert.equal(demo.commands.length, 4, demo.commands.join('\n'));
  const answer = await demo.run(0);
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal((JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as { products: unknown[] }).products.length, 3);
  const report = await eventually('the request in the report', async () => {
    const text = await demo.run(1);
    return /^requests 1 /m.test(text) ? text : null;
  });
  assert.match(report, /^Traffic of app demo$/m);
  assert.match(report, /^shop +products +1 /m);
  assert.match(report, /█/);
  await eventually('the request in the live numbers', async () => {
    const live = JSON.parse(await demo.run(2)) as { apps: Record<string, { requests: number }> };
    return live.apps['demo']?.requests === 1 ? true : null;
  });
  const status = await demo.run(3);
  assert.match(status, /^ready +yes$/m);
  assert.match(status, /^qpd:app:demo:\S+ +100,000 +\d+ /m);
}

test('the demo: each printed command works, Ctrl-C leaves no process, and a second start goes on with the same key', {
  skip: requires('linux', 'chdb', 'curl'), timeout: 600_000,
}, async () => {
  using built = new BuiltPackage();
  const { folder } = built;
  const env = await environment(folder);
  await using first = await Demo.start(folder, env);
  await tryOut(first);
  assert.equal(await first.ctrlC(), 0);
  await using second = await Demo.start(folder, env);
  assert.equal(second.key, first.key);
  assert.match(await second.run(0), /^HTTP\/1\.1 200 OK\r\n/);
  assert.equal(await second.ctrlC(), 0);
});

for (const [name, variable] of [['gateway', 'TIDEGATE__listeners__http__address'], ['control origin', 'TIDEGATE__control__address']] as const) {
  test(`the demo, the port of its ${name} taken: it says so, and shows a stranger nothing`, { skip: requires('linux', 'chdb'), timeout: 120_000 }, async (t) => {
    using built = new BuiltPackage();
    let asked = 0;
    const stranger = createServer((_, response) => {
      asked++;
      response.end('ok');
    });
    t.after(() => { stranger.close(); });
    await once(stranger.listen(0, '127.0.0.1'), 'listening');
    const taken = `127.0.0.1:${(stranger.address() as AddressInfo).port}`;
    const said = await Demo.refused(built.folder, { ...await environment(built.folder), [variable]: taken });
    assert.match(said, new RegExp(`^tidegate: .*${taken}: EADDRINUSE; examples/demo/tidegate\\.yaml names it.*\\(address_in_use\\)$`, 'm'));
    assert.doesNotMatch(said, /\n +at /, 'no stack');
    assert.equal(asked, 0);
  });
}
