/**
 * A configuration as it was written: what variables hold is for the node alone, so whatever is shown of a configuration (diffs, the history, the control
 * API) has `${NAME}` where the file has it, and `$TIDEGATE__a__b` where that variable sets the value.
 */
import { formatPath } from './config-problem.js';
import type { ConfigPath } from './config-problem.js';
import type { Config } from './schema.js';
import { isMap, setOwn } from './variables.js';

/** A value that the environment has a part in: where it stands in the Config, and its text before variables. Plain data. */
export interface Written {
  readonly path: ConfigPath;
  readonly text: string;
}

/** A copy of `config` with the written texts in it, also where a number or a boolean has to stand. What has none is shared, not copied. */
export function asWritten(config: Config, written: readonly Written[]): Config {
  const copies = new Set<unknown>();
  const copyOf = (value: unknown): unknown => {
    if (copies.has(value) || typeof value !== 'object' || value === null) return value;
    const copy: unknown = Array.isArray(value) ? [...value as unknown[]] : { ...value };
    copies.add(copy);
    return copy;
  };
  const root = copyOf(config) as Config;
  for (const { path, text } of written) {
    let at: unknown = root;
    for (const [i, part] of path.entries()) {
      if (!has(at, part)) break;
      const next = i === path.length - 1 ? text : copyOf(at[part]);
      if (Array.isArray(at)) at[part] = next;
      else setOwn(at, String(part), next);
      at = next;
    }
  }
  return root;
}

function has(value: unknown, part: string | number): value is Record<string | number, unknown> {
  return (Array.isArray(value) && typeof part === 'number' && part < value.length) || (isMap(value) && Object.hasOwn(value, part));
}

/** Those of values that are there: a later one takes the place of what it stands on. `after`: the keys of `before`'s apps, some gone, some new. */
export function writtenAfterMerge(written: Iterable<Written>, before: Config, after: Config): Written[] {
  const moved: Written[] = [];
  for (const { path, text } of written) {
    const [list, app, member, key, ...rest] = path;
    if (before === after || list !== 'apps' || member !== 'keys' || typeof app !== 'number' || typeof key !== 'number') {
      moved.push({ path, text });
      continue;
    }
    const declared = before.apps[app]?.keys[key];
    const now = declared === undefined ? -1 : after.apps[app]?.keys.indexOf(declared) ?? -1;
    if (now !== -1) moved.push({ path: [list, app, member, now, ...rest], text });
  }
  return moved;
}

/** Without the names of what is in force: events, metrics and reports have them, and a key is made by its app's name. */
export function exceptNames(written: readonly Written[]): Written[] {
  return written.filter(({ path }) => !/^(?:services\[\d+\]\.(?:routes\[\d+\]\.)?name|apps\[\d+\]\.(?:name|keys\[\d+\]\.id|services\[\d+\]))$/.test(formatPath(path)));
}
