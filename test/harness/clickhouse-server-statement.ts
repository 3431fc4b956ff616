/** Statements as the HTTP interface of a ClickHouse server gets them, made into ones that the engine in process can run. */

/** Strings, quoted names and comments are one token each, so that what stands in them is never taken for syntax. */
const TOKENS = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S])*"|`(?:[^`\\]|\\[\s\S])*`|[A-Za-z_][A-Za-z0-9_]*|[\s\S]/g;
/** As the server's max_query_size: a statement's text ends by then, its data need not. */
const MAX_TEXT = 262_144;

export interface InsertWithData {
  /** Without its FORMAT clause. */
  readonly text: string;
  readonly format: string;
  /** Where the data begins in `whole`. */
  readonly dataFrom: number;
}

/** An INSERT whose rows come behind its text (`FORMAT RowBinary …`); null: anything else. @param whole latin1: one character a byte */
export function insertWithData(whole: string): InsertWithData | null {
  const head = whole.slice(0, MAX_TEXT);
  if (!/^\s*INSERT\b/i.test(head)) return null;
  for (const match of head.matchAll(TOKENS)) {
    if (match[0].toUpperCase() !== 'FORMAT') continue;
    const rest = /^\s+([A-Za-z0-9]+)[ \t]*;?(?:\r?\n|$)?/.exec(head.slice(match.index + 6));
    if (rest === null) continue;
    return { text: head.slice(0, match.index).trimEnd(), format: rest[1] as string, dataFrom: match.index + 6 + rest[0].length };
  }
  return null;
}

/** The same INSERT, with its rows in a file. Chunks, settings and the token are as they were. */
export function insertFromFile({ text, format }: InsertWithData, file: string): string {
  const input = /\binput\s*\(\s*('(?:[^'\\]|\\[\s\S]|'')*')\s*\)/i.exec(text);
  const path = `'${file.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  if (input === null) return `${text} SELECT * FROM file(${path}, '${format}')`;
  return `${text.slice(0, input.index)}file(${path}, '${format}', ${input[1]})${text.slice(input.index + input[0].length)}`;
}

/** More than one statement: a server refuses that. */
export function isSeveral(text: string): boolean {
  let ended = false;
  for (const [part] of text.matchAll(TOKENS)) {
    if (part === ';') ended = true;
    else if (ended && part.trim() !== '' && !part.startsWith('--') && !part.startsWith('/*')) return true;
  }
  return false;
}

/** The last FORMAT that a statement names itself; null: none. */
export function formatOf(text: string): string | null {
  const words = [...text.matchAll(TOKENS)].map(([part]) => part).filter((part) => part.trim() !== '');
  const at = words.findLastIndex((word) => word.toUpperCase() === 'FORMAT');
  return at < 0 ? null : words[at + 1] ?? null;
}
