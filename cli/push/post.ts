/** One request to a receiver, and what is known of it afterwards. Redirects are not followed: what is sent goes where the operator said, or nowhere. */
import { request } from 'undici';

/** `unsent`: it never reached the receiver. `silent`: it was sent, and whether it was taken nobody knows. */
export type Posted =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string; readonly retryAfter: string | null }
  | { readonly kind: 'unsent' | 'silent'; readonly why: string };

export interface Post {
  readonly url: string;
  /** Null: none is sent. */
  readonly bearer: string | null;
  readonly type: string;
  readonly body: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Of an answer: errors are short. */
const MOST_CHARACTERS = 65_536;

/** Failures before a byte of the request could leave. */
const BEFORE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);
const TLS = /^(?:CERT_|ERR_TLS_|ERR_SSL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/;

/** @param signal not aborted yet */
export async function post({ url, bearer, type, body, timeoutMs, signal }: Post): Promise<Posted> {
  const late = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await request(url, {
      method: 'POST', body, signal: AbortSignal.any([signal, late]),
      headers: { 'content-type': type, accept: 'application/json', 'user-agent': 'tidegate', ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }) },
    });
    let text = '';
    for await (const piece of answer.body as AsyncIterable<Buffer>) if (text.length < MOST_CHARACTERS) text += piece.toString();
    const retryAfter = answer.headers['retry-after'];
    return { kind: 'answered', status: answer.statusCode, body: text, retryAfter: typeof retryAfter === 'string' ? retryAfter : null };
  } catch (error) {
    const code = codeOf(error);
    if (BEFORE.has(code) || TLS.test(code)) return { kind: 'unsent', why: code };
    return { kind: 'silent', why: late.aborted ? `no answer within ${timeoutMs / 1000} s` : signal.aborted ? 'stopped' : code };
  }
}

/** Where several addresses were tried, the code is on the parts. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const parts = (error as AggregateError).errors as unknown[] | undefined;
  return (error as NodeJS.ErrnoException).code ?? (Array.isArray(parts) && parts.length > 0 ? codeOf(parts[0]) : error.message);
}

/** ms to wait of a Retry-After field: seconds, or a date. Null: it says nothing. */
export function retryAfterMs(field: string | null, nowMs: number): number | null {
  if (field === null) return null;
  if (/^\d{1,9}$/.test(field)) return Number(field) * 1000;
  const atMs = Date.parse(field);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
