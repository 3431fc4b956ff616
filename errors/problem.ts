import { ERROR_CODES, type ErrorCode } from './codes.js';

/** The body of an error answer (RFC 9457, application/problem+json). */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail?: string;
  readonly request_id?: string;
  /** Further members: errors of a rejected configuration, the parameter that is wrong. */
  readonly [member: string]: unknown;
}

/** Builds a problem body; `members` adds to it. */
export function problem(code: ErrorCode, detail?: string, members: Readonly<Record<string, unknown>> = {}): Problem {
  const { status, title } = ERROR_CODES[code];
  return { type: 'about:blank', title, status, code, ...(detail === undefined ? {} : { detail }), ...members };
}
