/** What an engine, a server or the way to it says, as one of our codes. */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ErrorCode } from '../../errors/codes.js';

/** Error codes of ClickHouse (src/Common/ErrorCodes.cpp). */
const CLICKHOUSE_CODES: Readonly<Record<string, ErrorCode>> = {
  // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED; ACCESS_DENIED, READONLY (of the user, not of a table)
  192: 'store_access', 193: 'store_access', 194: 'store_access', 516: 'store_access', 497: 'store_access', 164: 'store_access',
  // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: only the deadline of an insert throws so
  395: 'store_insert_late',
  // UNKNOWN_STATUS_OF_INSERT, UNKNOWN_STATUS_OF_DISTRIBUTED_DDL_TASK
  319: 'store_unknown', 379: 'store_unknown',
};

/** A table lost its keeper, or a quorum did not come together: another replica may do better. */
const OF_THIS_HOST: ReadonlySet<string> = new Set(['242', '225', '999', '285', '286']);

/** The server was never spoken to: whatever was asked was not begun. */
const NEVER_REACHED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'EADDRNOTAVAIL', 'EPROTO']);

/** `answered`: by the engine; `unreached`: the request was not even sent; `broken`: it was sent, and no answer of the engine's came back. */
export type FailureKind = 'answered' | 'unreached' | 'broken';

export function failureKind(error: unknown): FailureKind {
  const code = engineCode(error);
  if (/^\d+$/.test(code)) return 'answered';
  return NEVER_REACHED.has(code) || isCertificateFault(code) ? 'unreached' : 'broken';
}

/** The engine answered, but another host of the cluster may say yes. */
export function isOfThisHost(error: unknown): boolean {
  return OF_THIS_HOST.has(engineCode(error));
}

/** @param otherwise the code where the error itself does not tell */
export function storeError(cause: unknown, statement: string, otherwise: ErrorCode): TidegateError {
  if (cause instanceof TidegateError) return cause;
  const first = statement.trimStart().slice(0, 60).replaceAll(/\s+/g, ' ');
  return new TidegateError(CLICKHOUSE_CODES[engineCode(cause)] ?? otherwise, `${first}…: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
}

/** ClickHouse's number, or Node's name of what went wrong on the way; '' if it has neither. */
export function engineCode(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { readonly code?: unknown };
    if (typeof code === 'string' || typeof code === 'number') return String(code);
  }
  return '';
}

/** OpenSSL's and Node's names: the handshake failed, so no request was sent. */
function isCertificateFault(code: string): boolean {
  return code.startsWith('ERR_TLS_') || code.startsWith('ERR_SSL_') || code.includes('CERT') || code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' || code === 'HOSTNAME_MISMATCH';
}
