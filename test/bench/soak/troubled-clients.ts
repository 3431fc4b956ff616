/** Clients as they are at their worst, all at once: those that leave in the midst of something, those that take their answers slowly, and those that keep a connection and say nothing. */
import { connect, type Socket } from 'node:net';
import { SeededRandom } from '../seeded-random.js';

const ABORT_EVERY_MS = 20;
/** An aborter goes within this. */
const ABORT_WITHIN_MS = 50;
const SLOW_CLIENTS = 20;
/** A slow client takes what has come, once in so many ms. */
const SIP_EVERY_MS = 500;
const IDLE_CLIENTS = 600;
/** Each idle one asks once in so many ms. */
const ASKS_EVERY_MS = 30_000;

export interface TroubledCounts {
  readonly aborted: number;
  readonly slowAnswers: number;
  readonly askedByIdle: number;
}

/** @param headers each `Name: value` */
export class TroubledClients implements Disposable {
  readonly #port: number;
  readonly #fields: string;
  readonly #area: string;
  readonly #random = new SeededRandom(5);
  readonly #sockets = new Set<Socket>();
  readonly #timers: NodeJS.Timeout[] = [];
  #aborted = 0;
  #slowAnswers = 0;
  #askedByIdle = 0;
  #over = false;

  constructor(port: number, area: string, headers: readonly string[]) {
    this.#port = port;
    this.#area = area;
    this.#fields = ['Host: soak', ...headers].map((line) => `${line}\r\n`).join('');
    this.#timers.push(setInterval(() => { this.#abort(); }, ABORT_EVERY_MS));
    for (let i = 0; i < SLOW_CLIENTS; i++) this.#takeSlowly();
    for (let i = 0; i < IDLE_CLIENTS; i++) this.#keepIdle(i);
  }

  get counts(): TroubledCounts {
    return { aborted: this.#aborted, slowAnswers: this.#slowAnswers, askedByIdle: this.#askedByIdle };
  }

  [Symbol.dispose](): void {
    this.#over = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  #connect(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    this.#sockets.add(socket);
    // whatever becomes of it, the next one comes
    socket.on('error', () => {}).on('close', () => { this.#sockets.delete(socket); });
    return socket;
  }

  #abort(): void {
    const socket = this.#connect();
    const whole = `GET ${this.#area}1m HTTP/1.1\r\n${this.#fields}\r\n`;
    const post = `POST ${this.#area}17 HTTP/1.1\r\n${this.#fields}Content-Length: 100000\r\n\r\n${'x'.repeat(40_000)}`;
    socket.write([whole, whole.slice(0, 30), post, `${whole}${whole}${whole}`][this.#random.below(4)] as string);
    setTimeout(() => {
      this.#aborted++;
      if (this.#random.next() < 0.5) socket.resetAndDestroy();
      else socket.destroy();
    }, this.#random.below(ABORT_WITHIN_MS));
  }

  #takeSlowly(): void {
    if (this.#over) return;
    const socket = this.#connect();
    let taken = 0;
    const sip = setInterval(() => { socket.resume(); }, SIP_EVERY_MS);
    socket.write(`GET ${this.#area}1m HTTP/1.1\r\n${this.#fields}Connection: close\r\n\r\n`);
    socket.on('data', (bytes: Buffer) => {
      taken += bytes.length;
      socket.pause();
    });
    socket.on('close', () => {
      clearInterval(sip);
      if (taken > 0) this.#slowAnswers++;
      setTimeout(() => { this.#takeSlowly(); }, 100);
    });
  }

  #keepIdle(n: number): void {
    if (this.#over) return;
    const socket = this.#connect();
    const ask = (): void => {
      socket.write(`GET ${this.#area}17 HTTP/1.1\r\n${this.#fields}\r\n`);
      this.#askedByIdle++;
    };
    const first = setTimeout(ask, (ASKS_EVERY_MS / IDLE_CLIENTS) * n);
    const asking = setInterval(ask, ASKS_EVERY_MS);
    socket.resume().on('close', () => {
      clearTimeout(first);
      clearInterval(asking);
      setTimeout(() => { this.#keepIdle(n); }, 1000);
    });
  }
}
