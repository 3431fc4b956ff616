/**
 * What the environment puts into a configuration: `${NAME}` and `${NAME:-default}` in text, and `TIDEGATE__a__b=value`, which
 * sets one value over the file's. `$${` stands for a plain `${`.
 */
import type { ConfigPath } from './config-problem.js';

export type Environment = Readonly<Record<string, string | undefined>>;

const REFERENCE = /\$\$\{|\$\{([^}]*)\}|\$\{/g;
const NAME_AND_DEFAULT = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/;

export interface Expansion {
  readonly text: string;
  /** References that gave nothing: the text of each as written, which occurrence of `${` it is, and why. */
  readonly failures: readonly { readonly written: string; readonly occurrence: number; readonly message: string }[];
}

/** Expands a scalar once: what a variable holds is not looked into again. A variable set to '' takes its default, as in a shell. */
export function expandVariables(text: string, environment: Environment): Expansion {
  const failures: { written: string; occurrence: number; message: string }[] = [];
  let occurrence = -1;
  const expanded = text.replace(REFERENCE, (written, inner: string | undefined) => {
    occurrence++;
    if (written === '$${') return '${';
    const parsed = inner === undefined ? null : NAME_AND_DEFAULT.exec(inner);
    if (parsed === null) {
      failures.push({ written, occurrence, message: '`${` begins a variable: write ${NAME} or ${NAME:-default}, or $${ for the characters themselves' });
      return '';
    }
    const [, name = '', fallback] = parsed;
    const value = environment[name];
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value === undefined) failures.push({ written, occurrence, message: `the environment variable ${name} is not set, and no default is given` });
    return value ?? '';
  });
  return { text: expanded, failures };
}

/** A YAML 1.2 core scalar: `true`, `12`, `0x1f`, `1.5`, `null`, `"quoted"`; anything else is text. */
export function parseScalar(text: string): unknown {
  if (/^(?:null|Null|NULL|~)$/.test(text)) return null;
  if (/^(?:true|True|TRUE)$/.test(text)) return true;
  if (/^(?:false|False|FALSE)$/.test(text)) return false;
  if (/^[-+]?[0-9]+$/.test(text)) return Number.parseInt(text, 10);
  if (/^0x[0-9a-fA-F]+$/.test(text)) return Number(text);
  if (/^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/.test(text)) return Number.parseFloat(text);
  if (text.length >= 2 && text.startsWith('"') && text.endsWith('"')) {
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return text;
    }
  }
  if (text.length >= 2 && text.startsWith("'") && text.endsWith("'")) return text.slice(1, -1).replaceAll("''", "'");
  return text;
}

export interface Override {
  /** The variable that sets it: `TIDEGATE__control__address`. */
  readonly variable: string;
  readonly path: ConfigPath;
  readonly text: string;
}

const OVERRIDE = 'TIDEGATE__';

/**
 * Sets each `TIDEGATE__a__b` in `root` (changed in place). A part of a list is its position, or the `name` or `id` of what stands there:
 * `TIDEGATE__services__catalogue__upstream__connections`.
 */
export function applyOverrides(root: Record<string, unknown>, environment: Environment): { overrides: Override[]; failures: { variable: string; message: string }[] } {
  const overrides: Override[] = [];
  const failures: { variable: string; message: string }[] = [];
  for (const variable of Object.keys(environment).filter((name) => name.startsWith(OVERRIDE)).sort()) {
    const text = environment[variable] ?? '';
    const path: (string | number)[] = [];
    const parts = variable.slice(OVERRIDE.length).split('__');
    let parent: unknown = root;
    let message: string | null = null;
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1;
      if (part === '') message = 'a part of the name is empty';
      else if (Array.isArray(parent)) {
        const index = /^\d+$/.test(part) ? Number(part) : parent.findIndex((item) => isMap(item) && (item['name'] === part || item['id'] === part));
        if (index < 0 || index > parent.length || (index === parent.length && !last)) message = `nothing in the list is named ${part}`;
        else {
          path.push(index);
          if (last) parent[index] = parseScalar(text);
          else parent = parent[index] as unknown;
        }
      } else if (isMap(parent)) {
        path.push(part);
        if (last) setOwn(parent, part, parseScalar(text));
        else {
          if (!Object.hasOwn(parent, part) || parent[part] === null) setOwn(parent, part, {});
          parent = parent[part];
        }
      } else message = `${parts.slice(0, i).join('.')} has no parts`;
      if (message !== null) break;
    }
    if (message === null) overrides.push({ variable, path, text });
    else failures.push({ variable, message });
  }
  return { overrides, failures };
}

/** Also for a key like `__proto__`, which plain assignment would not make a key of. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
