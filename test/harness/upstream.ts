/**
 * An upstream that answers as it is asked and counts what it answered: `GET /bytes/N` N bytes, `/status/N` that status, `/echo` the request's
 * head as JSON with the body's length, `/slow/MS` after that time, `/held` when `release` says so, `/cut/N` promises N bytes and breaks off halfway.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenRequest { readonly method: string; readonly url: string; readonly rawHeaders: readonly string[] }

export class TestUpstream {
  readonly #server: Server;
  readonly #keepRequests: boolean;
  /** Requests begun, and answers ended, since the start. */
  requests = 0;
  answered = 0;
  /** The requests themselves, if it was told to keep them. */
  readonly seen: SeenRequest[] = [];
  readonly #held = new Set<() => void>();

  private constructor(keepRequests: boolean) {
    this.#keepRequests = keepRequests;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => { this.#serve(request, response); });
    this.#server.requestTimeout = 0;
  }

  static async start(options: { readonly keepRequests?: boolean; readonly port?: number } = {}): Promise<TestUpstream> {
    const upstream = new TestUpstream(options.keepRequests ?? false);
    await new Promise<void>((resolve, reject) => {
      upstream.#server.once('error', reject);
      upstream.#server.listen(options.port ?? 0, '127.0.0.1', resolve);
    });
    // a test that fails before it stops its upstream ends all the same, and the file with it
    upstream.#server.unref();
    return upstream;
  }

  get port(): number { return (this.#server.address() as AddressInfo).port; }
  get url(): string { return `http://127.0.0.1:${this.port}`; }

  /** Answers what waits for it. */
  release(): void {
    for (const answer of this.#held) answer();
    this.#held.clear();
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => { resolve(); });
      this.#server.closeAllConnections();
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.requests++;
    const { method = '', url = '', rawHeaders } = request;
    if (this.#keepRequests) this.seen.push({ method, url, rawHeaders });
    response.once('finish', () => { this.answered++; });
    const [, kind = '', argument = ''] = url.split('?', 1)[0]?.split('/') ?? [];
    let received = 0;
    request.on('data', (piece: Buffer) => { received += piece.length; });
    request.on('end', () => { this.#answer(response, kind, Number(argument), { method, url, rawHeaders, received }); });
    request.on('error', () => {});
  }

  #answer(response: ServerResponse, kind: string, number: number, echo: object): void {
    switch (kind) {
      case 'bytes': sendBytes(response, number); return;
      case 'status': response.writeHead(number).end(number === 204 || number === 304 ? undefined : `status ${number}\n`); return;
      case 'echo': sendJson(response, echo); return;
      case 'held': this.#held.add(() => { sendJson(response, echo); }); return;
      case 'slow': setTimeout(() => { sendJson(response, { waitedMs: number }); }, number); return;
      case 'cut':
        response.writeHead(200, { 'content-length': number });
        response.write(Buffer.alloc(number >> 1, 'c'), () => { response.destroy(); });
        return;
      default: sendJson(response, { hello: 'world' });
    }
  }
}

const PIECE = Buffer.alloc(64 * 1024, 'b');

function sendBytes(response: ServerResponse, bytes: number): void {
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes });
  let left = bytes;
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      const piece = left >= PIECE.length ? PIECE : PIECE.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece)) {
        response.once('drain', more);
        return;
      }
    }
    response.end();
  };
  more();
}

function sendJson(response: ServerResponse, value: object): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}
