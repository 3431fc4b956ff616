/**
 * Takes secrets out of a log line, whoever wrote it: what stands under a name that says it is secret, and within any text what looks like a
 * credential. The last look at every line, so that an error of a library, with the command that failed in it, comes past it too.
 */
import { HIDDEN } from '../../gateway/config/redact.js';

export type LogLine = Readonly<Record<string, unknown>>;

/** Of one text: an error that quotes what it was given must not make a line of a megabyte. */
const MOST_CHARACTERS = 4000;
const MOST_DEEP = 8;
const MOST_ITEMS = 100;

/** `args`: ioredis' errors carry the command that failed, and so the password of AUTH. Never `key_id`, `keys`. */
const SECRET_NAME = /^(?:(?:proxy[-_]?)?authorization|(?:set-?)?cookies?|x-api-key|args|credentials?|bearer|jwt|sasl|sig(?:nature)?|[\w-]*(?:api[-_]?key|token|secret|password|passwd|pwd|private[-_]?key))$/i;

const SECRET_IN_NAME = /key|token|secret|password|passwd|pwd|auth|sig|credential|session|jwt/i;

/** Clients write paths: a name is looked for where it begins and nowhere within, so that each pattern takes time that grows with the text alone. */
const IN_TEXT: readonly (readonly [RegExp, string | ((match: string, name: string) => string)])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, HIDDEN],
  // https://user:password@host, redis://:password@host
  [/(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*:\/\/)[^\s/"'<>]*@/gi, `$1${HIDDEN}@`],
  // the same with a password that was not encoded and holds a slash; what could be a port and a path is none
  [/(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*:\/\/)(?!\[)[^\s/:@"'<>]*:(?!\d{1,5}(?:[/?#,]|$))[^\s"'<>,]{0,256}@/gi, `$1${HIDDEN}@`],
  // ?api_key=…, &access_token=…, password=…
  [/(?<![\w.-])([\w.-]+=)[^\s&#"'<>,;)\]]+/g, (match, name) => (SECRET_IN_NAME.test(name) ? `${name}${HIDDEN}` : match)],
  // Authorization: …, and what else a head or a JSON text may name
  [/\b((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)(["']?\s*[:=]\s*)[^\r\n]+/gi, `$1$2${HIDDEN}`],
  [/("(?:[\w-]*(?:api[-_]?key|token|secret|password|passwd))"\s*:\s*)"(?:[^"\\]|\\.)*"/gi, `$1"${HIDDEN}"`],
  // password: …, as libraries print their options; not a setting's name, which has a dot before it
  [/(?<![\w.-])([\w-]*(?:api[-_]?key|secret|password|passwd)\s*:\s*)(?!(?:is|are|must|has|was)\b)(?:'(?:[^'\\]|\\.)*'|[^\s"',;}]+)/gi, `$1${HIDDEN}`],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  // a JWT, and this gateway's own keys
  [/(?<![\w-])eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?/g, HIDDEN],
  [/tg_[0-9A-Za-z]{28,}|\btg_[0-9A-Za-z]{16,}/g, HIDDEN],
];

/** What is printed, of percent-encoded ASCII: a path may hold `Bearer%20…`, `%3Fpassword%3D…`. */
const ENCODED = /%(?:[2-6][0-9a-f]|7[0-9a-e])/gi;
/** Encoded, and encoded once more. */
const MOST_DECODED = 2;

/** A copy without secrets, and without what would make it endless. */
export function redactLine(line: LogLine): LogLine {
  return redactMap(line, 0);
}

export function redactText(text: string): string {
  // looked at beyond what is kept: a secret that is cut in two is not recognised any more
  let clean = hide(text.slice(0, 2 * MOST_CHARACTERS));
  let decoded = clean;
  for (let times = 0; times < MOST_DECODED && decoded.includes('%'); times++) {
    decoded = decoded.replace(ENCODED, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16)));
    const hidden = hide(decoded);
    // it stays as the client wrote it where that hides nothing
    if (hidden !== decoded) clean = decoded = hidden;
  }
  return text.length > MOST_CHARACTERS ? `${clean.slice(0, MOST_CHARACTERS)}… (${text.length - MOST_CHARACTERS} more characters)` : clean;
}

function hide(text: string): string {
  let clean = text;
  for (const [pattern, put] of IN_TEXT) clean = typeof put === 'string' ? clean.replace(pattern, put) : clean.replace(pattern, put);
  return clean;
}

function redactMap(map: LogLine, depth: number): LogLine {
  const clean: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(map)) clean[name] = SECRET_NAME.test(name) && typeof value !== 'number' && typeof value !== 'boolean' ? HIDDEN : redactValue(value, depth);
  return clean;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MOST_DEEP) return '…';
  if (!Array.isArray(value)) return redactMap(value as LogLine, depth + 1);
  const items = value.slice(0, MOST_ITEMS).map((item) => redactValue(item, depth + 1));
  return value.length > MOST_ITEMS ? [...items, `… (${value.length - MOST_ITEMS} more)`] : items;
}
