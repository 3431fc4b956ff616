/** RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), and Retry-After on a 429. Lines with their CRLF. */
import type { LimitAnswer } from '../../exchange.js';

export function rateLimitFields(answer: LimitAnswer | null, status: number): string {
  if (answer === null) return '';
  const lines = `RateLimit-Policy: ${rateLimitPolicyField(answer)}\r\nRateLimit: ${rateLimitField(answer)}\r\n`;
  return status === 429 ? `${lines}Retry-After: ${retryAfterField(answer)}\r\n` : lines;
}

export function rateLimitPolicyField({ policy, limit, windowSeconds }: LimitAnswer): string {
  return `"${policy}";q=${limit};w=${Math.round(windowSeconds)}`;
}

export function rateLimitField({ policy, remaining, resetSeconds }: LimitAnswer): string {
  return `"${policy}";r=${Math.max(0, Math.floor(remaining))};t=${Math.max(0, Math.ceil(resetSeconds))}`;
}

/** Seconds, at least one. */
export function retryAfterField({ resetSeconds }: LimitAnswer): number {
  return Math.max(1, Math.ceil(resetSeconds));
}
