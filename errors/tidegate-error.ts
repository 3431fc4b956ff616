import { ERROR_CODES, type ErrorCode } from './codes.js';

/** An error of ours: it carries a code of the table, and a detail that says what and where. */
export class TidegateError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, detail: string, options?: { readonly cause?: unknown }) {
    super(detail, options);
    this.name = 'TidegateError';
    this.code = code;
  }

  /** What the reader should do about it. */
  get remedy(): string {
    return ERROR_CODES[this.code].remedy;
  }
}
