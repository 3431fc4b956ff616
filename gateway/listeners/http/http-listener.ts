/** The plain HTTP/1 listener: accepts, bounds, and drains client connections. */
import net, { type Server, type Socket } from 'node:net';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { HttpListenerConfig } from '../../config/schema.js';
import { byteCount, durationMs } from '../../config/units.js';
import { INHERITED_ADDRESS } from '../../config/values.js';
import { monotonicMs, type Deadlines } from '../../deadlines.js';
import type { Pipeline } from '../../pipeline.js';
import { clientOf, PressureLog } from '../connection-pressure.js';
import { IdleList } from '../idle-list.js';
import { inheritedSocket } from '../inherited-socket.js';
import { HttpConnection } from './http-connection.js';
import type { HttpExchange } from './http-exchange.js';
import type { HeadLimits } from './request-head.js';

/** The listener's part of the configuration, in numbers. */
export interface HttpSettings {
  readonly address: string;
  readonly healthPath: string | null;
  readonly headBytes: number;
  readonly headLimits: HeadLimits;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly connectionsPerClient: number;
  readonly headTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly drainTimeoutMs: number;
}

/** Takes `host:port` or `[ipv6]:port` apart; the configuration has checked it. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(colon + 1)) };
}

export function httpSettings(config: HttpListenerConfig): HttpSettings {
  const { timeouts, limits } = config;
  return {
    address: config.address,
    healthPath: config.health_path,
    headBytes: byteCount(limits.head),
    headLimits: { fields: limits.fields, targetBytes: byteCount(limits.target) },
    bodyBytes: byteCount(limits.body),
    connections: limits.connections,
    connectionsPerClient: limits.connections_per_client,
    headTimeoutMs: durationMs(timeouts.head),
    bodyTimeoutMs: durationMs(timeouts.body),
    keepAliveTimeoutMs: durationMs(timeouts.keep_alive),
    writeTimeoutMs: durationMs(timeouts.write),
    drainTimeoutMs: durationMs(timeouts.drain),
  };
}

/** While draining, a connection with nothing under way is closed after this long without a word: a request may be on its way. ms. */
const DRAIN_QUIET_MS = 500;

/** What the drain's time-out finds unanswered is answered 503; after this long those answers are cut too. ms. */
const GIVE_UP_MS = 2000;

export class HttpListener {
  readonly pipeline: Pipeline;
  readonly deadlines: Deadlines;
  readonly drainQuietMs = DRAIN_QUIET_MS;
  /** In force for connections and requests that begin now. */
  settings: HttpSettings;
  #server: Server;
  readonly #connections = new Set<HttpConnection>();
  readonly #perClient = new Map<string, number>();
  /** Those that have not sent the whole head of a request, or were answered all of theirs. */
  readonly #idle = new IdleList<HttpConnection>();
  #draining = false;
  #gaveUp = false;
  readonly #refused = new PressureLog('connections were closed: the limit of connections is reached');
  readonly #evicted = new PressureLog('idle connections were closed for new ones: the limit of connections is reached');
  #onEmpty: (() => void) | null = null;

  constructor(pipeline: Pipeline, deadlines: Deadlines, settings: HttpSettings) {
    this.pipeline = pipeline;
    this.deadlines = deadlines;
    this.settings = settings;
    this.#server = this.#newServer();
  }

  get isDraining(): boolean { return this.#draining; }
  /** The drain took longer than its time-out: who is not answered now is not for what the client did. */
  get gaveUp(): boolean { return this.#gaveUp; }
  get connectionCount(): number { return this.#connections.size; }

  /**
   * Requests under way, by service and app, '' where there is none. Counted by looking at every connection when asked, once a second, so that a request
   * costs nothing.
   */
  inFlight(): (readonly [service: string, app: string, count: number])[] {
    const counts = new Map<string, Map<string, number>>();
    for (const { served } of this.#connections) {
      if (served === null || served.ended) continue;
      const service = served.route.service.name;
      const byApp = counts.get(service) ?? new Map<string, number>();
      counts.set(service, byApp);
      byApp.set(served.appName, (byApp.get(served.appName) ?? 0) + 1);
    }
    return [...counts].flatMap(([service, byApp]) => [...byApp].map(([app, count]) => [service, app, count] as const));
  }

  /** Resolves when bound; address_in_use or address_unusable otherwise. */
  async listen(): Promise<string> {
    const bound = await bind(this.#server, this.settings);
    return bound.family === 'IPv6' ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
  }

  /** Takes a reload's settings; another address is bound before the old one is let go. Connections stay. */
  async apply(settings: HttpSettings): Promise<void> {
    if (settings.address !== this.settings.address) {
      const server = this.#newServer();
      await bind(server, settings);
      this.#server.close();
      this.#server = server;
    }
    this.settings = settings;
  }

  /**
   * No new connections; every request that was read is answered, and each connection closes after the last of its answers. Resolves when
   * all are gone. When the time-out is over, the request whose turn it is on a connection gets a 503 `draining`, and those behind it nothing.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#server.close();
    for (const connection of this.#connections) connection.drain();
    if (this.#connections.size === 0) return;
    await new Promise<void>((resolve) => {
      const { drainTimeoutMs } = this.settings;
      const giveUp = setTimeout(() => {
        this.#gaveUp = true;
        for (const connection of this.#connections) connection.giveUp();
      }, drainTimeoutMs);
      const cut = setTimeout(() => { this.destroyAll(); }, drainTimeoutMs + GIVE_UP_MS);
      this.#onEmpty = () => {
        clearTimeout(giveUp);
        clearTimeout(cut);
        resolve();
      };
    });
  }

  /** Cuts every connection. */
  destroyAll(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  /** The health path is answered here: no route, no policy, no event. */
  answersHealth(exchange: HttpExchange): boolean {
    if (this.settings.healthPath === null || exchange.path !== this.settings.healthPath || exchange.preRefusal !== null) return false;
    exchange.ended = true;
    exchange.answerOwn(this.#draining ? 503 : 200, 'text/plain', this.#draining ? 'draining\n' : 'ok\n', '');
    // Not at once: pipelined ones would call each other.
    setImmediate(() => { exchange.letGo(false); });
    return true;
  }

  onServing(connection: HttpConnection): void {
    this.#idle.remove(connection);
  }

  onIdle(connection: HttpConnection, nowMs: number): void {
    this.#idle.add(connection, nowMs);
  }

  onClosed(connection: HttpConnection): void {
    this.#idle.remove(connection);
    this.#connections.delete(connection);
    const client = clientOf(connection.peerAddress);
    const left = (this.#perClient.get(client) ?? 1) - 1;
    if (left <= 0) this.#perClient.delete(client);
    else this.#perClient.set(client, left);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #newServer(): Server {
    const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => { this.#accept(socket); });
    server.on('error', (error) => {
      // what keeps it from listening is told by bind
      if (server.listening) this.pipeline.log.error({ err: error }, 'accepting a connection failed');
    });
    return server;
  }

  #accept(socket: Socket): void {
    const remote = socket.remoteAddress;
    // Gone between accept and here.
    if (remote === undefined) {
      socket.destroy();
      return;
    }
    const peer = remote.startsWith('::ffff:') && remote.includes('.') ? remote.slice(7) : remote;
    const client = clientOf(peer);
    const open = this.#perClient.get(client) ?? 0;
    const trusted = this.pipeline.snapshot.trustedProxies?.contains(peer) === true;
    if ((open >= this.settings.connectionsPerClient && !trusted) || (this.#connections.size >= this.settings.connections && !this.#makeRoom())) {
      socket.destroy();
      this.#refused.count(this.pipeline.log, peer, this.#connections.size);
      return;
    }
    this.#perClient.set(client, open + 1);
    const connection = new HttpConnection(this, socket, peer);
    this.#connections.add(connection);
    this.#idle.add(connection, monotonicMs());
  }

  /** False: all serve requests, or are about to. */
  #makeRoom(): boolean {
    const longest = this.#idle.takeLongest(monotonicMs());
    if (longest === null) return false;
    longest.destroy();
    this.#evicted.count(this.pipeline.log, longest.peerAddress, this.#connections.size);
    return true;
  }
}

/** Connections that wait to be accepted; also of an inherited socket, whoever has opened it. */
const BACKLOG = 1024;

/** Where it listens. @throws TidegateError address_in_use, address_unusable */
async function bind(server: Server, { address }: HttpSettings): Promise<net.AddressInfo> {
  const wanted = address === INHERITED_ADDRESS ? inheritedSocket() : parseAddress(address);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const inUse = error.code === 'EADDRINUSE';
      reject(new TidegateError(inUse ? 'address_in_use' : 'address_unusable', `${address}: ${error.code ?? error.message}`, { cause: error }));
    };
    server.once('error', failed);
    server.listen(wanted, BACKLOG, () => {
      server.off('error', failed);
      resolve();
    });
  });
  const bound = server.address();
  if (bound !== null && typeof bound === 'object') return bound;
  server.close();
  throw new TidegateError('address_unusable', `${address}: it is no TCP socket`);
}
