/**
 * Bounds the connections of an origin that strangers may reach: its process lends limits to workers, so it must have room for them whoever comes. Of one address so
 * many, but for trusted proxies, which bring many clients; and where all places are taken, the longest idle gives way.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { clientOf, PressureLog } from '../listeners/connection-pressure.js';
import { IdleList, type Idler } from '../listeners/idle-list.js';
import type { CompiledCidrs } from '../policies/ip-list.js';
import type { ControlLog } from './control-deps.js';

export interface ConnectionBoundsOptions {
  readonly most: number;
  /** As in force: for whoever connects from now on. */
  readonly perClient: () => number;
  readonly trustedProxies: () => CompiledCidrs | null;
  readonly log: ControlLog;
  /** Monotonic. */
  readonly nowMs?: () => number;
}

class BoundConnection implements Idler<BoundConnection> {
  idleBefore: BoundConnection | null = null;
  idleAfter: BoundConnection | null = null;
  isInIdleList = false;
  idleSinceMs = 0;
  /** Requests that were read and are not answered. */
  underWay = 0;

  constructor(readonly socket: Socket, readonly peer: string) {}
}

export class ConnectionBounds {
  readonly #options: ConnectionBoundsOptions;
  readonly #nowMs: () => number;
  readonly #connections = new Map<Socket, BoundConnection>();
  readonly #perClient = new Map<string, number>();
  readonly #idle = new IdleList<BoundConnection>();
  readonly #refused = new PressureLog('connections for reports and control were closed: the limit of connections is reached');
  readonly #evicted = new PressureLog('idle connections for reports and control were closed for new ones: the limit of connections is reached');

  constructor(options: ConnectionBoundsOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  watch(server: Server): void {
    server.on('connection', (socket) => { this.#accept(socket); });
    server.on('request', (request, response) => { this.#serve(request, response); });
  }

  #accept(socket: Socket): void {
    const { most, perClient, trustedProxies, log } = this.#options;
    const remote = socket.remoteAddress;
    if (remote === undefined) {
      socket.destroy();
      return;
    }
    const peer = remote.startsWith('::ffff:') && remote.includes('.') ? remote.slice(7) : remote;
    const client = clientOf(peer);
    const open = this.#perClient.get(client) ?? 0;
    if ((open >= perClient() && trustedProxies()?.contains(peer) !== true) || (this.#connections.size >= most && !this.#makeRoom())) {
      socket.destroy();
      this.#refused.count(log, peer, this.#connections.size);
      return;
    }
    const connection = new BoundConnection(socket, peer);
    this.#connections.set(socket, connection);
    this.#perClient.set(client, open + 1);
    this.#idle.add(connection, this.#nowMs());
    socket.once('close', () => {
      this.#idle.remove(connection);
      this.#connections.delete(socket);
      const left = (this.#perClient.get(client) ?? 1) - 1;
      if (left <= 0) this.#perClient.delete(client);
      else this.#perClient.set(client, left);
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return;
    connection.underWay++;
    this.#idle.remove(connection);
    response.once('close', () => {
      connection.underWay--;
      if (connection.underWay === 0 && !connection.socket.destroyed) this.#idle.add(connection, this.#nowMs());
    });
  }

  /** False: all serve requests, or are about to. */
  #makeRoom(): boolean {
    const longest = this.#idle.takeLongest(this.#nowMs());
    if (longest === null) return false;
    longest.socket.destroy();
    this.#evicted.count(this.#options.log, longest.peer, this.#connections.size);
    return true;
  }
}
