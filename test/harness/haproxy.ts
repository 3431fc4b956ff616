/** The balancer in front, as deploy/haproxy.cfg has it: Debian's haproxy, with the addresses of the containers replaced. Needs `requires('haproxy')`. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../cli/version.js';
import { eventually } from './deadline.js';
import { programPath } from './requires.js';
import { freePorts } from './tidegate.js';

export class TestHaproxy implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  #output = '';

  private constructor(folder: string, port: number, program: string) {
    this.folder = folder;
    this.port = port;
    const child = spawn(program, ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { this.#output += text; });
    this.#exited = new Promise((resolve) => { child.once('close', resolve); });
    const end = (): void => { child.kill('SIGKILL'); };
    process.once('exit', end);
    child.once('close', () => { process.removeListener('exit', end); });
  }

  /** @param ports where the services that deploy/haproxy.cfg names listen on 127.0.0.1 */
  static async start(ports: ReadonlyMap<string, number>): Promise<TestHaproxy> {
    const program = programPath('haproxy');
    if (program === null) throw new Error('haproxy is missing: apt-get install haproxy');
    const [port = 0] = await freePorts(1);
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-haproxy-'));
    let text = readFileSync(join(packageRoot(), 'deploy', 'haproxy.cfg'), 'utf8').replace('bind 0.0.0.0:8080', `bind 127.0.0.1:${port}`);
    for (const [service, its] of ports) text = text.replace(new RegExp(`\\b${service}:\\d+`, 'g'), `127.0.0.1:${its}`);
    writeFileSync(join(folder, 'haproxy.cfg'), text);
    execFileSync(program, ['-c', '-q', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'inherit', 'inherit'] });
    const haproxy = new TestHaproxy(folder, port, program);
    try {
      await eventually(`haproxy has a server\n${haproxy.output}`, async () => {
        const answer = await fetch(`${haproxy.url}/`);
        await answer.arrayBuffer();
        return answer.status === 503 ? null : true;
      });
    } catch (error) {
      await haproxy[Symbol.asyncDispose]();
      throw error;
    }
    return haproxy;
  }

  get url(): string { return `http://127.0.0.1:${this.port}`; }
  get output(): string { return this.#output; }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
