/** One call for the terminal: a line a field, as the API names them. */
import { printable } from './terminal.js';

/** As `GET /v1/requests/{id}` answers. */
export interface RequestAnswer {
  readonly id: string;
  /** Of a long connection: what was told of it later, the last one with its totals. */
  readonly interim?: readonly Readonly<Record<string, unknown>>[];
  readonly [field: string]: unknown;
}

export function renderRequest({ interim = [], ...fields }: RequestAnswer): string {
  const width = Math.max(...Object.keys(fields).map((name) => name.length)) + 2;
  const lines = Object.entries(fields).map(([name, value]) => `${name.padEnd(width)}${value === '' || value === null ? '-' : printable(typeof value === 'string' ? value : JSON.stringify(value))}\n`).join('');
  return interim.length === 0 ? lines : `${lines}${'interim'.padEnd(width)}${interim.length} later: --json\n`;
}
