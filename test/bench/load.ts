/** What a proxy is asked for, and how: by default the small answer, on so many connections. */
import { connect, type Socket } from 'node:net';
import type { RunningPeer } from './peers/peer.js';

export interface Load {
  readonly url: string;
  /** As `Name: value`. */
  readonly headers: readonly string[];
  readonly connections: number;
  /** Connections beside those, that have asked once each and rest. */
  readonly idle: number;
  /** wrk's script, for what is no GET; null: none. */
  readonly script: string | null;
  /** Every answer is to be a refusal; else none. */
  readonly refused: boolean;
}

export const CONNECTIONS = 64;

export const smallGet = ({ url, headers }: RunningPeer): Load => ({ url, headers, connections: CONNECTIONS, idle: 0, script: null, refused: false });

const ANSWERED_WITHIN_MS = 10_000;

/** Connections that are kept and not used. */
export class IdleConnections implements Disposable {
  readonly #sockets: readonly Socket[];

  private constructor(sockets: readonly Socket[]) {
    this.#sockets = sockets;
  }

  /** Each asks once, so that it waits for its next request and not for its first. @throws Error: one is not answered */
  static async open({ url, headers, idle }: Load): Promise<IdleConnections> {
    const { hostname, port, pathname, host } = new URL(url);
    const request = [`GET ${pathname} HTTP/1.1`, `Host: ${host}`, ...headers, '', ''].join('\r\n');
    const sockets = Array.from({ length: idle }, () => connect(Number(port), hostname));
    const connections = new IdleConnections(sockets);
    try {
      await Promise.all(sockets.map((socket) => asked(socket, request)));
    } catch (error) {
      connections[Symbol.dispose]();
      throw error;
    }
    return connections;
  }

  /** How many the other side has closed. */
  get lost(): number {
    return this.#sockets.filter((socket) => socket.destroyed || socket.readableEnded).length;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

function asked(socket: Socket, request: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // stays: a reset later on is a connection lost, and no error of the bench
    socket.on('error', reject);
    socket.setTimeout(ANSWERED_WITHIN_MS, () => { socket.destroy(new Error(`an idle connection was not answered within ${ANSWERED_WITHIN_MS / 1000} s`)); });
    socket.once('close', () => { reject(new Error('an idle connection was closed')); });
    socket.on('data', () => {
      socket.setTimeout(0);
      resolve();
    });
    socket.write(request);
  });
}
