/** Work that may take long or end in memory that runs out, in a process of its own: the event loop goes on, and the memory is not the asker's. */
import { fork } from 'node:child_process';

export interface AsideOptions {
  /** Then it is killed. */
  readonly timeLimitMs: number;
  /** Aborted: nobody waits for the answer any more, and it is killed. */
  readonly signal?: AbortSignal;
}

export type AsideAnswer<T> = { readonly answer: T } | { readonly why: string };

/**
 * Runs `module`, which answers one message with one. Never rejects, and answers only when the process is gone.
 * @param module absolute path
 */
export async function runAside<T>(module: string, message: object, { timeLimitMs, signal }: AsideOptions): Promise<AsideAnswer<T>> {
  if (signal?.aborted === true) return { why: GIVEN_UP };
  const child = fork(module, { serialization: 'advanced' });
  let end: AsideAnswer<T> | null = null;
  const kill = (why: string): void => {
    end ??= { why };
    child.kill('SIGKILL');
  };
  const timer = setTimeout(() => { kill(`it took longer than ${timeLimitMs} ms`); }, timeLimitMs);
  const giveUp = (): void => { kill(GIVEN_UP); };
  signal?.addEventListener('abort', giveUp);
  try {
    return await new Promise((settle) => {
      child.once('message', (answer) => {
        end ??= { answer: answer as T };
        // it has nothing left to do, and Node may wait for its own threads at an exit (nodejs/node#54918)
        child.kill('SIGKILL');
      });
      // it could not be started, and there is no exit to wait for
      child.once('error', (error) => { if (child.pid === undefined) settle({ why: String(error) }); });
      child.once('exit', (code, ended) => { settle(end ?? { why: `its process ended with ${String(ended ?? code)}` }); });
      // told by the callback alone: a child that is gone already shows as its exit
      child.send(message, () => undefined);
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
  }
}

const GIVEN_UP = 'nobody waits for it any more';

/** The other side: answers the one message. A parent that is gone ends it. */
export function answerAside<M>(answer: (message: M) => unknown): void {
  process.once('disconnect', () => { process.exit(0); });
  process.once('message', (message) => {
    process.send?.(answer(message as M));
  });
}
