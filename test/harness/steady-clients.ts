/**
 * Clients that ask one thing after another, on kept connections or each on one of its own, until told to stop. Nothing is tried again: what fails is
 * what a client would have seen.
 */
import { Agent, request, type ClientRequest } from 'node:http';

export class SteadyClients {
  readonly #agent: Agent;
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #running: Promise<void>[];
  readonly failures: string[] = [];
  answered = 0;
  #stopping = false;

  /** `url` leads to a TestUpstream. */
  constructor(url: string, count: number, options: { readonly keepAlive?: boolean; readonly headers?: Readonly<Record<string, string>> } = {}) {
    this.#url = url;
    this.#agent = new Agent({ keepAlive: options.keepAlive ?? true });
    this.#headers = options.headers ?? {};
    this.#running = Array.from({ length: count }, (_, i) => this.#run(i));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  async #run(client: number): Promise<void> {
    for (let i = 0; !this.#stopping; i++) {
      // most are quick; some are under way for longer than a restart's first steps; bodies go up, too
      const path = i % 20 === client % 20 ? '/slow/300' : '/bytes/1000';
      try {
        const status = await this.#ask(path, i % 5 === 0);
        if (status === 200) this.answered++;
        else this.failures.push(`${path}: ${status}`);
      } catch (error) {
        this.failures.push(`${path}: ${String(error)}`);
      }
    }
  }

  #ask(path: string, post: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      const outgoing: ClientRequest = request(this.#url + path, { agent: this.#agent, method: post ? 'POST' : 'GET', headers: this.#headers }, (answer) => {
        answer.resume();
        answer.once('error', reject);
        answer.once('end', () => { resolve(answer.statusCode ?? 0); });
      });
      outgoing.once('error', reject);
      outgoing.end(post ? 'a body' : undefined);
    });
  }
}
