/**
 * YAML text to plain values, with the way back: from a path to line and column. Everything that could make a file dangerous is bounded
 * here: size, depth (a few thousand nested brackets end the process inside the YAML library, uncatchably), aliases.
 */
import { isAlias, isMap, isScalar, isSeq, Composer, Lexer, LineCounter, Parser } from 'yaml';
import type { Alias, Document, Node, ParsedNode, YAMLError, YAMLMap, YAMLSeq } from 'yaml';
import { formatPath } from './config-problem.js';
import type { ConfigPath, ConfigProblem, Place } from './config-problem.js';
import { expandVariables, setOwn } from './variables.js';
import type { Environment } from './variables.js';
import type { Written } from './written.js';
import type { ErrorCode } from '../../errors/codes.js';

/** UTF-16 units. 100,000 apps take about 20 M. */
const MAX_TEXT = 32 * 1024 * 1024;
const MAX_DEPTH = 100;
/** Values that exist only because an alias repeats them. */
const MAX_ALIASED = 100_000;

type AnyNode = Node | ParsedNode | null;

export interface ParsedYaml {
  /** The document's value, variables expanded; undefined if there are syntax errors. */
  readonly value: unknown;
  readonly source: YamlSource;
  readonly problems: readonly ConfigProblem[];
  /** By formatPath, each value that holds an expanded variable: its type is only settled by the schema. */
  readonly expanded: ReadonlyMap<string, Written>;
}

/** Where each part of a file stands. */
export class YamlSource {
  readonly #file: string;
  readonly #lines: LineCounter;
  #root: AnyNode = null;
  readonly #aliases = new Map<Alias, AnyNode>();

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  /** False for what a default or an override put there. */
  has(path: ConfigPath): boolean {
    return this.#find(path).complete;
  }

  /** Of the deepest part of `path` that the file has: a value that a default filled in is placed at what encloses it. */
  place(path: ConfigPath, at: 'key' | 'value' = 'value'): Place {
    const { node, keyOffset, complete } = this.#find(path);
    const range = node?.range ?? null;
    const empty = range === null || range[0] === range[1];
    const offset = keyOffset !== null && (at === 'key' || !complete || empty) ? keyOffset : startOf(node) ?? 0;
    return this.at(offset);
  }

  /** `keyOffset`: null in a list. */
  #find(path: ConfigPath): { readonly node: AnyNode; readonly keyOffset: number | null; readonly complete: boolean } {
    let node = this.#root;
    let keyOffset: number | null = null;
    let complete = true;
    for (const part of path) {
      const inner: AnyNode = isAlias(node) ? this.#aliases.get(node) ?? null : node;
      if (isMap(inner) && typeof part === 'string') {
        const pair = inner.items.find((candidate) => keyText(candidate.key) === part);
        if (pair === undefined) { complete = false; break; }
        keyOffset = startOf(pair.key as AnyNode) ?? keyOffset;
        node = pair.value as AnyNode;
      } else if (isSeq(inner) && typeof part === 'number' && part < inner.items.length) {
        keyOffset = null;
        node = inner.items[part] as AnyNode;
      } else { complete = false; break; }
    }
    return { node, keyOffset, complete };
  }

  at(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(1, line), column: Math.max(1, col) };
  }

  problem(offset: number, path: ConfigPath, code: ErrorCode, message: string): ConfigProblem {
    return { ...this.at(offset), path: formatPath(path), message, code };
  }

  /** For the reader of this file only: the tree that places are looked up in. */
  settle(root: AnyNode): void {
    this.#root = root;
  }

  settleAlias(alias: Alias, node: AnyNode): void {
    this.#aliases.set(alias, node);
  }
}

export function parseYaml(text: string, file: string, environment: Environment): ParsedYaml {
  const lines = new LineCounter();
  lines.addNewLine(0);
  const source = new YamlSource(file, lines);
  const refuse = (offset: number, message: string): ParsedYaml =>
    ({ value: undefined, source, problems: [source.problem(offset, [], 'config_syntax', message)], expanded: new Map() });
  if (text.length > MAX_TEXT) return refuse(0, `the file is larger than ${MAX_TEXT} characters`);

  let document: Document.Parsed | null = null;
  let second: number | null = null;
  try {
    const composer = new Composer({ version: '1.2', uniqueKeys: false, prettyErrors: false, logLevel: 'silent' });
    for (const composed of composer.compose(boundedTokens(text, lines), true, text.length)) {
      if (document === null) document = composed;
      else second ??= composed.range[0];
    }
  } catch (error) {
    if (error instanceof TooDeepError) return refuse(error.offset, `nested more than ${MAX_DEPTH} deep`);
    throw error;
  }
  if (document === null) return refuse(0, 'the file is empty');
  source.settle(document.contents);
  const problems = syntaxProblems(document, text, source);
  if (second !== null) problems.push(source.problem(second, [], 'config_syntax', 'a second document begins here; the file must hold one'));
  if (problems.length > 0) return { value: undefined, source, problems, expanded: new Map() };

  const reader = new Reader(text, source, environment);
  const value = reader.read(document.contents, null);
  return { value, source, problems: reader.problems, expanded: reader.expanded };
}

class TooDeepError extends Error {
  readonly offset: number;
  constructor(offset: number) {
    super('too deep');
    this.offset = offset;
  }
}

function* boundedTokens(text: string, lines: LineCounter) {
  const parser = new Parser(lines.addNewLine);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    // two entries a level: the collection and its item
    if (parser.stack.length > 2 * MAX_DEPTH) throw new TooDeepError(Math.min(parser.offset, text.length));
  }
  yield* parser.end();
}

function syntaxProblems(document: Document.Parsed, text: string, source: YamlSource): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Set<number>();
  for (const error of [...document.errors, ...document.warnings] as YAMLError[]) {
    const { line } = source.at(error.pos[0]);
    // one slip makes the parser complain several times: the first of a line tells
    if (seen.has(line)) continue;
    seen.add(line);
    const lineText = text.split('\n', line)[line - 1] ?? '';
    const hint = lineText.includes('${') && /[[{]/.test(lineText.replaceAll('${', '')) ? '; a variable inside [ ] or { } needs quotes: "${NAME}"' : '';
    problems.push(source.problem(error.pos[0], [], 'config_syntax', lowerFirst(error.message.replace(/; please use .*$/, '')) + hint));
  }
  return problems;
}

interface Link { readonly parent: Link | null; readonly part: string | number }

/** One walk of the tree: values out, variables expanded, anchors followed, repeated keys found. */
class Reader {
  readonly problems: ConfigProblem[] = [];
  readonly expanded = new Map<string, Written>();
  readonly #text: string;
  readonly #source: YamlSource;
  readonly #environment: Environment;
  readonly #anchors = new Map<string, AnyNode>();
  readonly #open = new Set<AnyNode>();
  #aliasDepth = 0;
  #aliased = 0;

  constructor(text: string, source: YamlSource, environment: Environment) {
    this.#text = text;
    this.#source = source;
    this.#environment = environment;
  }

  read(node: AnyNode, link: Link | null): unknown {
    if (node === null) return null;
    if (this.#aliasDepth > 0 && ++this.#aliased > MAX_ALIASED) {
      if (this.#aliased === MAX_ALIASED + 1) this.#fail(node, link, `aliases repeat more than ${MAX_ALIASED} values`);
      return null;
    }
    if (isAlias(node)) return this.#alias(node, link);
    if (node.anchor !== undefined && this.#aliasDepth === 0) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return typeof node.value === 'string' ? this.#string(node, node.value, link) : node.value;
    this.#open.add(node);
    const value = isSeq(node) ? this.#list(node, link) : isMap(node) ? this.#map(node, link) : null;
    this.#open.delete(node);
    return value;
  }

  #list(node: YAMLSeq, link: Link | null): unknown[] {
    return node.items.map((item, i) => this.read(item as AnyNode, { parent: link, part: i }));
  }

  #map(node: YAMLMap, link: Link | null): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    for (const pair of node.items) {
      const key = keyText(pair.key);
      if (key === null) {
        this.#fail(pair.key as AnyNode, link, 'a key must be plain text');
        continue;
      }
      const here: Link = { parent: link, part: key };
      if (key === '<<') this.#fail(pair.key as AnyNode, here, 'merge keys (<<) are not supported; repeat the whole value by an alias');
      else if (Object.hasOwn(value, key)) this.#fail(pair.key as AnyNode, here, `the key ${JSON.stringify(key)} stands twice in one map`);
      else setOwn(value, key, this.read(pair.value as AnyNode, here));
    }
    return value;
  }

  #alias(node: Alias, link: Link | null): unknown {
    const target = this.#anchors.get(node.source);
    if (target === undefined) return this.#fail(node, link, `no anchor &${node.source} stands before this`);
    if (this.#open.has(target)) return this.#fail(node, link, `*${node.source} lies inside what it repeats`);
    this.#source.settleAlias(node, target);
    this.#aliasDepth++;
    const value = this.read(target, link);
    this.#aliasDepth--;
    return value;
  }

  #string(node: Node, value: string, link: Link | null): string {
    if (!value.includes('${')) return value;
    const path = pathOf(link);
    const { text, failures } = expandVariables(value, this.#environment);
    this.expanded.set(formatPath(path), { path, text: value });
    for (const { occurrence, message } of failures) {
      this.problems.push(this.#source.problem(this.#variableOffset(node, occurrence), path, 'config_variable', message));
    }
    return text;
  }

  /** Of the n-th `${` in the scalar as written, so that a long line's third variable is pointed at itself. */
  #variableOffset(node: Node, occurrence: number): number {
    const [start, end] = node.range ?? [0, 0];
    let found = start - 1;
    for (let i = 0; i <= occurrence; i++) {
      found = this.#text.indexOf('${', found + 1);
      if (found === -1 || found >= end) return start;
    }
    return found;
  }

  #fail(node: AnyNode, link: Link | null, message: string): null {
    this.problems.push(this.#source.problem(startOf(node) ?? 0, pathOf(link), 'config_syntax', message));
    return null;
  }
}

function keyText(key: unknown): string | null {
  if (!isScalar(key)) return null;
  if (typeof key.value === 'string') return key.value;
  return typeof key.value === 'number' || typeof key.value === 'boolean' ? key.source ?? String(key.value) : null;
}

function pathOf(link: Link | null): (string | number)[] {
  const path: (string | number)[] = [];
  for (let at = link; at !== null; at = at.parent) path.unshift(at.part);
  return path;
}

function startOf(node: AnyNode): number | null {
  return node?.range?.[0] ?? null;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
