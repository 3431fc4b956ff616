import type { Socket } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';

const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls `done` once: when the response is written or its asker has left, also where that was before. Not by the request's own end, which comes when its body was read;
 * and not by the response's alone, which a pipelined request whose asker has left may never get.
 */
export function untilAnswered(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { socket } = request.raw;
  if (socket.destroyed || reply.raw.destroyed) {
    done();
    return;
  }
  let ends = waiting.get(socket);
  if (ends === undefined) {
    // one listener a connection, however many requests are pipelined there
    const all = ends = new Set();
    waiting.set(socket, all);
    socket.once('close', () => { for (const end of all) end(); });
  }
  const ofSocket = ends;
  const end = (): void => {
    ofSocket.delete(end);
    reply.raw.off('close', end);
    done();
  };
  ofSocket.add(end);
  reply.raw.once('close', end);
}
