/** What a command writes to, and what that can show. */
export interface Terminal {
  /** Infinity where it is no terminal: nothing is cut. */
  readonly columns: number;
  readonly colour: boolean;
  /** Somebody looks at it: what is there may be drawn over. */
  readonly interactive?: boolean;
  write(text: string): void;
}

/** Standard output. Colour only on a terminal, and not where NO_COLOR is set to anything (no-color.org). */
export function standardOutput(): Terminal {
  return terminalOf(process.stdout);
}

/** What is not the command's answer: how far it is. */
export function standardError(): Terminal {
  return terminalOf(process.stderr);
}

function terminalOf(output: NodeJS.WriteStream): Terminal {
  return {
    columns: columnsOf(output, process.env['COLUMNS']), interactive: output.isTTY,
    colour: output.isTTY && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb',
    write: (text) => { output.write(text); },
  };
}

/** COLUMNS goes before what the terminal says (POSIX, Environment Variables). */
export function columnsOf(output: { readonly isTTY?: boolean; readonly columns?: number }, wanted: string | undefined): number {
  const columns = /^[1-9]\d{0,4}$/.test(wanted ?? '') ? Number(wanted) : output.isTTY === true ? output.columns ?? 80 : Number.POSITIVE_INFINITY;
  return Math.max(40, columns);
}

/** Of what has no natural width: a graph. */
export function graphColumns({ columns }: Terminal): number {
  return Number.isFinite(columns) ? columns : 80;
}

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;
export type Style = keyof typeof CODES;

/** `text` in a style, where the terminal has any. */
export function styled(terminal: Terminal, style: Style, text: string): string {
  return terminal.colour && text !== '' ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
}

/** Names and paths come from outside: what would move the cursor or colour the screen is shown as a dot. */
export function printable(text: string): string {
  // C0, DEL, C1, the line separators and the marks that turn the direction of writing
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '.');
}
