/**
 * A network between two ends that a test can make bad, connection by connection: it stands in front of a server on 127.0.0.1, and passes what comes.
 *
 *     await using proxy = await TcpProxy.start(redis.port);
 *     await proxy.set({ kind: 'reset', pieces: 20 });   // and so it stays, until
 *     await proxy.set(null);
 *
 * Lost packets cannot be taken out of a TCP stream from here: to the two ends they look like the wait until TCP has sent them again, so that is
 * what they get (`lossy`); what never comes again is `swallow`.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export type NetworkFault =
  /** Open connections are reset, new ones refused. */
  | { readonly kind: 'refuse' }
  /** Connections stay open, new ones are taken, and nothing passes either way. What was sent meanwhile passes afterwards. */
  | { readonly kind: 'stall' }
  /** Everything comes so much later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** So many of the packets are lost, a share between 0 and 1, and sent again as TCP does it: after 200 ms, 400 ms and so on. */
  | { readonly kind: 'lossy'; readonly share: number }
  /**
   * With this share of all pieces their connection is forgotten: it stays open, and nothing more passes on it, nor after the fault's end. What a
   * firewall does that has lost its table.
   */
  | { readonly kind: 'swallow'; readonly share: number }
  /** Each connection is reset at one of its next so many pieces, which passed before that or did not. */
  | { readonly kind: 'reset'; readonly pieces: number };

const RETRANSMIT_MS = 200;
/** Of one packet: six seconds in all. */
const MOST_LOSSES = 5;
/** Read ahead of what has passed. */
const MOST_WAITING_BYTES = 1024 * 1024;

export class TcpProxy implements AsyncDisposable {
  #server: Server | null = null;
  #port = 0;
  #targetPort: number;
  #fault: NetworkFault | null = null;
  /** Pieces that wait for another fault, or none. */
  #changed: (() => void)[] = [];
  readonly #links = new Set<Link>();
  /** Pieces that have come, from either side, whatever became of them. */
  came = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await proxy.#listen();
    return proxy;
  }

  get port(): number { return this.#port; }
  get fault(): NetworkFault | null { return this.#fault; }
  get connections(): number { return this.#links.size; }

  /** From now on this is wrong, and nothing else. */
  async set(fault: NetworkFault | null): Promise<void> {
    this.#fault = fault;
    for (const link of this.#links) link.faultChanged();
    for (const resolve of this.#changed.splice(0)) resolve();
    if (fault?.kind === 'refuse') await this.#close();
    else if (this.#server === null) await this.#listen();
  }

  /** Another server takes over the address: open connections are reset. */
  switchTo(targetPort: number): void {
    this.#targetPort = targetPort;
    for (const link of this.#links) link.reset();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fault = null;
    for (const resolve of this.#changed.splice(0)) resolve();
    await this.#close();
  }

  /** Resolves when what is wrong has changed. */
  change(): Promise<void> {
    return new Promise((resolve) => { this.#changed.push(resolve); });
  }

  async #listen(): Promise<void> {
    const server = createServer({ noDelay: true }, (client) => {
      const link: Link = new Link(this, client, connect({ port: this.#targetPort, host: '127.0.0.1', noDelay: true }), () => { this.#links.delete(link); });
      this.#links.add(link);
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  async #close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    const closed = new Promise<void>((resolve) => {
      if (server === null) resolve();
      else server.close(() => { resolve(); });
    });
    for (const link of this.#links) link.reset();
    await closed;
  }
}

/** A connection and its other half. */
class Link {
  readonly #proxy: TcpProxy;
  readonly #ends: readonly [Socket, Socket];
  /** Pieces until it is reset; null: it is not. */
  #piecesLeft: number | null = null;
  #forgotten = false;

  constructor(proxy: TcpProxy, client: Socket, server: Socket, closed: () => void) {
    this.#proxy = proxy;
    this.#ends = [client, server];
    this.faultChanged();
    for (const end of this.#ends) {
      end.on('error', () => { this.reset(); });
      end.once('close', () => {
        this.reset();
        closed();
      });
    }
    this.#pass(client, server);
    this.#pass(server, client);
  }

  faultChanged(): void {
    const { fault } = this.#proxy;
    this.#piecesLeft = fault?.kind === 'reset' ? Math.floor(Math.random() * fault.pieces) : null;
  }

  reset(): void {
    for (const end of this.#ends) {
      if (end.destroyed) continue;
      // reset while its own end is on the way, node 20 keeps the handle for good, and the process never ends
      if (end.writableEnded) end.destroy();
      else end.resetAndDestroy();
    }
  }

  #pass(from: Socket, to: Socket): void {
    let before = Promise.resolve();
    let waiting = 0;
    from.on('data', (piece: Buffer) => {
      this.#proxy.came++;
      waiting += piece.length;
      if (waiting > MOST_WAITING_BYTES) from.pause();
      before = before.then(() => this.#take(piece, to)).then(() => {
        waiting -= piece.length;
        if (waiting <= MOST_WAITING_BYTES) from.resume();
      });
    });
    from.once('end', () => {
      before = before.then(() => { if (!this.#forgotten) to.end(); });
    });
  }

  /** Resolves when the next piece may follow. */
  async #take(piece: Buffer, to: Socket): Promise<void> {
    while (this.#proxy.fault?.kind === 'stall') await this.#proxy.change();
    const { fault } = this.#proxy;
    if (fault?.kind === 'delay') await this.#wait(fault.ms);
    if (fault?.kind === 'lossy') {
      for (let losses = 0; losses < MOST_LOSSES && Math.random() < fault.share; losses++) await this.#wait(RETRANSMIT_MS * 2 ** losses);
    }
    if (fault?.kind === 'swallow' && Math.random() < fault.share) this.#forgotten = true;
    if (this.#forgotten || to.destroyed) return;
    const last = this.#piecesLeft !== null && this.#piecesLeft-- <= 0;
    if (last && Math.random() < 0.5) {
      this.reset();
      return;
    }
    await new Promise<void>((resolve) => {
      to.once('close', resolve);
      to.write(piece, () => {
        to.removeListener('close', resolve);
        resolve();
      });
    });
    if (last) this.reset();
  }

  /** Until then, or until something else is wrong. */
  async #wait(ms: number): Promise<void> {
    await Promise.race([pause(ms), this.#proxy.change()]);
  }
}
