/**
 * X-Request-Id: the stream (16 hexadecimal digits), `-`, and the request's ordinal in the stream in base 36. With these two the
 * event is found in the store; nothing has to be looked up in a log.
 */
const FORM = /^([0-9a-f]{16})-(0|[1-9a-z][0-9a-z]{0,10})$/;

export interface RequestId {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly ordinal: number;
}

/** @param ordinal a safe integer, 0 or more */
export function formatRequestId(stream: string, ordinal: number): string {
  return `${stream}-${ordinal.toString(36)}`;
}

/** Null for anything that formatRequestId does not make. */
export function parseRequestId(text: string): RequestId | null {
  const match = FORM.exec(text);
  if (match === null) return null;
  const ordinal = Number.parseInt(match[2] as string, 36);
  return Number.isSafeInteger(ordinal) ? { stream: match[1] as string, ordinal } : null;
}
