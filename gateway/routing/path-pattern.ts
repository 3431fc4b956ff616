import { TidegateError } from '../../errors/tidegate-error.js';
import { linearRegExp } from './linear-regexp.js';
import { normalisePath } from './normalise-path.js';

/** A route's `path`, read. Literal parts are spelt as a normalised path spells them; a segment of null is a parameter, whatever its name. */
export type PathPattern =
  | { readonly kind: 'exact'; readonly path: string }
  | { readonly kind: 'segments' | 'prefix'; readonly segments: readonly (string | null)[] }
  | { readonly kind: 'regexp'; readonly source: string };

const PARAM = /^:[A-Za-z_][A-Za-z0-9_]*$/;

/** Reads `/a/b`, `/a/*`, `/a/:id`, `~^/v[12]/`. Throws TidegateError: config_regexp, or config_value where no request could ever match. */
export function parsePattern(text: string): PathPattern {
  if (text.startsWith('~')) {
    linearRegExp(text.slice(1));
    return { kind: 'regexp', source: text.slice(1) };
  }
  if (text.includes('{')) throw new TidegateError('config_value', `path ${text}: a parameter is written :name`);
  // Requests carry characters beyond ASCII as the percent-encoded bytes of UTF-8.
  const path = normalisePath(text.replaceAll(/[^\0-\x7f]+/gu, (part) => encodeURIComponent(part)));
  if (path === null) throw new TidegateError('config_value', `path ${text} cannot be normalised, so no request has it`);
  const prefix = path.endsWith('/*');
  const literal = prefix ? path.slice(0, -2) : path;
  const parts = literal === '' ? [] : literal.slice(1).split('/');
  for (const part of parts) {
    if (part.includes('*')) throw new TidegateError('config_value', `path ${text}: \`*\` may only be the last segment`);
    if (part.startsWith(':') && !PARAM.test(part)) throw new TidegateError('config_value', `path ${text}: ${part} is no parameter; write :name, alone in its segment`);
  }
  const segments = parts.map((part) => (part.startsWith(':') ? null : part));
  if (prefix) return { kind: 'prefix', segments };
  return segments.includes(null) ? { kind: 'segments', segments } : { kind: 'exact', path };
}
