/** What judges of a configuration's parts share: where their findings go, and which parts are worth judging. */
import { formatPath, type ConfigPath, type Finding } from './config-problem.js';
import type { SchemaFinding } from './schema-check.js';

export interface Judgement {
  readonly errors: Finding[];
  /** Accepted, but probably not meant. */
  readonly warnings: Finding[];
}

/** Gathers findings, and knows which parts fit the schema. */
export class Checker implements Judgement {
  readonly errors: Finding[] = [];
  readonly warnings: Finding[] = [];
  /** formatPath of what does not fit the schema, and of what encloses it. */
  readonly #misfits = new Set<string>();
  readonly #enclosing = new Set<string>();

  constructor(schemaFindings: readonly SchemaFinding[]) {
    for (const { path, member, code } of schemaFindings) {
      if (code === 'config_unknown_key') {
        // spoils the map that it stands in, no more
        this.#enclosing.add(formatPath(path.slice(0, -1)));
        continue;
      }
      const full = member === null ? path : [...path, member];
      this.#misfits.add(formatPath(full));
      for (let length = 1; length < full.length; length++) this.#enclosing.add(formatPath(full.slice(0, length)));
    }
  }

  fail(path: ConfigPath, code: Finding['code'], message: string, at: Finding['at'] = 'value'): void {
    this.errors.push({ path, at, code, message });
  }

  warn(path: ConfigPath, message: string, at: Finding['at'] = 'value'): void {
    this.warnings.push({ path, at, code: 'config_doubtful', message });
  }

  /** `fault` as values.ts gives it. */
  value(path: ConfigPath, fault: string | null): void {
    if (fault !== null) this.fail(path, 'config_value', fault);
  }

  /** True if the whole of it fits the schema: neither it, nor a part of it, nor what it is a part of was found fault with. */
  sound(path: ConfigPath): boolean {
    if (this.#misfits.size === 0 && this.#enclosing.size === 0) return true;
    if (this.#enclosing.has(formatPath(path)) || this.#misfits.has('')) return false;
    return !path.some((_, i) => this.#misfits.has(formatPath(path.slice(0, i + 1))));
  }

  /** The entries of a list that are maps at all, with their paths. */
  list<T extends object>(value: readonly T[] | undefined, path: ConfigPath): Item<T>[] {
    if (!Array.isArray(value)) return [];
    return (value as unknown[]).flatMap((item, i) => (typeof item === 'object' && item !== null && !Array.isArray(item) ? [{ item: item as T, path: [...path, i] }] : []));
  }
}

export interface Item<T> { readonly item: T; readonly path: ConfigPath }
