/** What takes minutes, told as it goes on: a line of JSON a step. */
import type { FastifyReply } from 'fastify';
import { ERROR_CODES, type ErrorCode } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';

/** The last line, if it ended before its end. */
export interface StepsFailed { readonly type: 'failed'; readonly code: ErrorCode; readonly detail: string }

interface Log { error(fields: Readonly<Record<string, unknown>>, message: string): void }

/** A large day is read for longer than proxies wait for a byte. */
const SAY_EVERY_MS = 5000;

/**
 * @param job what `signal` ends, and which tells its steps
 * @param signal aborts when the asker has left. @throws what the job throws before its first line
 */
export async function sendSteps<Line extends { readonly type: string }>(log: Log, job: (signal: AbortSignal, tell: (line: Line) => void) => Promise<void>, reply: FastifyReply, signal: AbortSignal): Promise<FastifyReply> {
  const out = reply.raw;
  let last: Line | StepsFailed | null = null;
  const say = (line: Line | StepsFailed): void => {
    if (!reply.sent) {
      reply.hijack();
      out.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8', 'cache-control': 'no-store' });
    }
    last = line;
    out.write(`${JSON.stringify(line)}\n`);
  };
  const timer = setInterval(() => { if (last?.type === 'progress') say(last); }, SAY_EVERY_MS);
  try {
    await job(signal, say);
  } catch (error) {
    if (!reply.sent) throw error;
    const code = error instanceof TidegateError ? error.code : 'internal_error';
    // one whose asker has left ends by design
    if (!signal.aborted) log.error({ err: error, code }, 'what was told step by step ended before its end');
    // what the store says of itself is for the log only
    say({ type: 'failed', code, detail: ERROR_CODES[code].status > 0 && error instanceof TidegateError ? error.message : 'The collector\'s log says why.' });
  } finally {
    clearInterval(timer);
  }
  out.end();
  return reply;
}
