import type { Socket } from 'node:net';

/** Whether a client takes its answer: from the moment it falls behind it has `write` to take a byte, and again for the next. */
export class TakingWatch {
  /** Monotonic ms; Infinity while the client has taken what it was given. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Bytes it had taken when the deadline was set. */
  #taken = 0;

  /** It has fallen behind; changes nothing while it is watched. False: it is watched already. */
  begin(socket: Socket, nowMs: number, timeoutMs: number): boolean {
    if (this.deadlineMs !== Number.POSITIVE_INFINITY) return false;
    this.#taken = taken(socket);
    this.deadlineMs = nowMs + timeoutMs;
    return true;
  }

  /** It has taken everything. */
  end(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }

  /** At the deadline: false if it took nothing, else it has the same time again. */
  goesOn(socket: Socket, nowMs: number, timeoutMs: number): boolean {
    const now = taken(socket);
    if (now === this.#taken) return false;
    this.#taken = now;
    this.deadlineMs = nowMs + timeoutMs;
    return true;
  }
}

const taken = (socket: Socket): number => socket.bytesWritten - socket.writableLength;
