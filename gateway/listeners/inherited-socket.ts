/**
 * A socket that somebody else has opened and keeps: systemd's (sd_listen_fds(3)). While a node is stopped and started again, connections wait in its backlog, and none is refused.
 * Each worker inherits it. By node:cluster's way, `listen({ fd })`, the launcher would close it with the last worker that listens, one that is killed, say, and the next could not listen.
 */
import { Socket } from 'node:net';
import { TidegateError } from '../../errors/tidegate-error.js';
import { INHERITED_ADDRESS } from '../config/values.js';

/** The first that is handed over. */
const HANDED_OVER = 3;
/** Of a worker: the descriptor's number in it. */
const VARIABLE = 'TIDEGATE_INHERITED_SOCKET';

/** For the launcher: the socket as a child's stdio takes it; none was handed over: []. */
export function handedOver(): number[] {
  return process.env['LISTEN_PID'] === String(process.pid) && Number(process.env['LISTEN_FDS']) > 0 ? [HANDED_OVER] : [];
}

/** @param index where in the worker's stdio handedOver() stands */
export function inheritedVariable(index: number): Record<string, string> {
  return handedOver().length === 0 ? {} : { [VARIABLE]: String(index) };
}

/** For server.listen. @throws TidegateError address_unusable */
export function inheritedSocket(): Socket {
  const fd = process.env[VARIABLE];
  if (fd === undefined) throw new TidegateError('address_unusable', `${INHERITED_ADDRESS}: no socket was handed over (LISTEN_FDS and LISTEN_PID of sd_listen_fds(3))`);
  try {
    return new Socket({ fd: Number(fd), readable: false, writable: false });
  } catch (cause) {
    throw new TidegateError('address_unusable', `${INHERITED_ADDRESS}: it is no socket`, { cause });
  }
}
