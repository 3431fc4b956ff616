/** RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), and Retry-After on a 429. Lines with their CRLF. */
import type { LimitAnswer } from '../../exchange.js';

export function rateLimitFields(answer: LimitAnswer | null, status: number): string {
  if (answer === null) return '';
  const reset = Math.max(0, Math.ceil(answer.resetSeconds));
  const lines = `RateLimit-Policy: "${answer.policy}";q=${answer.limit};w=${Math.round(answer.windowSeconds)}\r\n`
    + `RateLimit: "${answer.policy}";r=${Math.max(0, Math.floor(answer.remaining))};t=${reset}\r\n`;
  return status === 429 ? `${lines}Retry-After: ${Math.max(1, reset)}\r\n` : lines;
}
