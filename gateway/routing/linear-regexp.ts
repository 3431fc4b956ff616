import { setFlagsFromString } from 'node:v8';
import { TidegateError } from '../../errors/tidegate-error.js';

// Only lets the constructor know the flag `l`: no other regular expression changes its engine.
setFlagsFromString('--enable-experimental-regexp-engine');

/** Node 24 would take look-behind and Node 20 would not: refused on both, so that a configuration means the same on each. */
const LOOK_BEHIND = /\(\?<[=!]/;

/**
 * A regular expression whose matching time grows with the length of the path alone, whatever the pattern and the path: V8's linear
 * engine (flag `l`), which never backtracks. `(a+)+$` on 50,000 characters: 35 ms on Node 20, 4 ms on Node 24; the usual engine would not end.
 * It costs about 400 ns on a short path, four times the usual engine; `^` lets it give up at the first character that differs.
 *
 * Refused with `config_regexp`: look-ahead and look-behind, back-references, flags in groups (`(?i:…)`), a counted repetition beyond 16
 * (`a{17}`, and nested counts whose product is), and what is no regular expression. Classes, alternatives, groups, `* + ?` (lazy too),
 * `^ $ \b` are taken. Case counts; it is searched for, so `^` and `$` are to be written where they are meant.
 */
export function linearRegExp(source: string): RegExp {
  if (LOOK_BEHIND.test(source)) throw new TidegateError('config_regexp', `look-behind cannot be used: ${source}`);
  try {
    return new RegExp(source, 'l');
  } catch (cause) {
    throw new TidegateError('config_regexp', cause instanceof Error ? cause.message : source, { cause });
  }
}
