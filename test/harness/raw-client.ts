/** A client that sends the bytes it is given, and shows the bytes that came: what no HTTP library would send or let through. */
import { connect, type Socket } from 'node:net';

const WITHIN_MS = 60_000;

export class RawClient {
  readonly socket: Socket;
  #received: Buffer = Buffer.alloc(0);
  #closed = false;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    const wake = (): void => { for (const check of [...this.#waiting]) check(); };
    socket.on('data', (piece: Buffer) => { this.#received = Buffer.concat([this.#received, piece]); wake(); });
    socket.on('error', () => {});
    socket.on('close', () => { this.#closed = true; wake(); });
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect({ port, host, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new RawClient(socket);
  }

  /** Everything received so far, one character a byte. */
  get text(): string { return this.#received.toString('latin1'); }
  get bytes(): Buffer { return this.#received; }
  get closed(): boolean { return this.#closed; }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  /** Resolves with all that was received once it matches; rejects when the connection closes first, or after ten seconds. */
  async until(pattern: RegExp): Promise<string> {
    return this.#wait(() => pattern.test(this.text), `no ${String(pattern)}`);
  }

  /** Resolves with all that was received when the connection is closed by the other side. */
  async untilClosed(): Promise<string> {
    const ended = new Promise<void>((resolve) => { this.socket.once('end', resolve); this.socket.once('close', resolve); });
    if (this.socket.readableEnded || this.#closed) return this.text;
    await within(ended, () => `the connection is still open after ${JSON.stringify(this.text)}`);
    return this.text;
  }

  /** Status and body of the first `count` answers; bodies by Content-Length or chunked. */
  async answers(count: number): Promise<RawAnswer[]> {
    await this.#wait(() => parseAnswers(this.#received).length >= count, `fewer than ${count} answers`);
    return parseAnswers(this.#received).slice(0, count);
  }

  close(): void {
    this.socket.destroy();
  }

  async #wait(done: () => boolean, missing: string): Promise<string> {
    let check: () => void = () => {};
    const waited = new Promise<void>((resolve, reject) => {
      check = () => {
        if (done()) resolve();
        else if (this.#closed) reject(new Error(`${missing}; closed after ${JSON.stringify(this.text)}`));
      };
      this.#waiting.add(check);
      check();
    });
    try {
      await within(waited, () => `${missing}; received ${JSON.stringify(this.text)}`);
    } finally {
      this.#waiting.delete(check);
    }
    return this.text;
  }
}

export interface RawAnswer { readonly status: number; readonly head: string; readonly body: Buffer }

/** The whole answers at the start of `bytes`. 1xx are answers of their own. */
export function parseAnswers(bytes: Buffer): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let at = 0;
  for (;;) {
    const headEnd = bytes.indexOf('\r\n\r\n', at, 'latin1');
    if (headEnd === -1) return answers;
    const head = bytes.toString('latin1', at, headEnd);
    const status = Number(head.slice(9, 12));
    const body = bodyOf(bytes, headEnd + 4, head, status);
    if (body === null) return answers;
    answers.push({ status, head, body: body.bytes });
    at = body.end;
  }
}

function bodyOf(bytes: Buffer, from: number, head: string, status: number): { readonly bytes: Buffer; readonly end: number } | null {
  if (status < 200 || status === 204 || status === 304) return { bytes: Buffer.alloc(0), end: from };
  if (/^transfer-encoding: *chunked$/im.test(head)) return chunkedBody(bytes, from);
  const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1] ?? 0);
  return from + length > bytes.length ? null : { bytes: bytes.subarray(from, from + length), end: from + length };
}

function chunkedBody(bytes: Buffer, from: number): { readonly bytes: Buffer; readonly end: number } | null {
  const pieces: Buffer[] = [];
  for (let at = from; ;) {
    const lineEnd = bytes.indexOf('\r\n', at, 'latin1');
    if (lineEnd === -1) return null;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (size === 0) {
      const end = bytes.indexOf('\r\n\r\n', lineEnd, 'latin1');
      return end === -1 ? null : { bytes: Buffer.concat(pieces), end: end + 4 };
    }
    if (lineEnd + 2 + size + 2 > bytes.length) return null;
    pieces.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}

async function within(waited: Promise<void>, message: () => string): Promise<void> {
  const deadline = AbortSignal.timeout(WITHIN_MS);
  await Promise.race([waited, new Promise<never>((_, reject) => {
    deadline.addEventListener('abort', () => { reject(new Error(message())); }, { once: true });
  })]);
}
