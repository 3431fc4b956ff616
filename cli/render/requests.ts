/** Single calls for the terminal: one a line, newest first. */
import { milliseconds } from './figures.js';
import { renderTable } from './table.js';
import { styled, type Style, type Terminal } from './terminal.js';

/** As `GET /v1/requests` answers, as far as it is shown. */
export interface RequestsAnswer {
  readonly as_of: string;
  readonly from: string;
  readonly to: string;
  readonly clipped?: true;
  readonly rows: readonly {
    readonly id: string;
    readonly time: string;
    readonly app: string;
    readonly service: string;
    readonly route: string;
    readonly method: string;
    readonly status: number;
    readonly outcome: string;
    /** `import`: a line of an imported log. */
    readonly kind: string;
    readonly path: string;
    /** The operator's: absent in an app's own list. */
    readonly reason?: string;
    readonly duration_us: number;
  }[];
  readonly next: string | null;
}

export function renderRequests(terminal: Terminal, { from, to, clipped, rows, next }: RequestsAnswer): string {
  const kept = clipped === true ? styled(terminal, 'yellow', `Calls are kept from ${from} on.\n`) : '';
  if (rows.length === 0) return `${kept}No call of this kind from ${from} to ${to}.\n`;
  const withPaths = rows.some(({ path }) => path !== '');
  const table = renderTable(terminal, [
    { head: 'time (UTC)', align: 'left' }, { head: 'app', align: 'left', shrinks: true }, { head: 'route', align: 'left', shrinks: true }, { head: 'method', align: 'left' },
    ...(withPaths ? [{ head: 'path', align: 'left', shrinks: true } as const] : []),
    { head: 'status', align: 'right' }, { head: 'ms', align: 'right' }, { head: 'outcome', align: 'left', shrinks: true }, { head: 'id', align: 'left' },
  ], rows.map(({ id, time, app, service, route, method, path, kind, status, outcome, reason = '', duration_us: durationUs }) => [
    `${time.slice(5, 19).replace('T', ' ')}${kind === 'import' ? '*' : ''}`, app === '' ? '-' : app, service === '' ? '-' : `${service}/${route}`, method, ...(withPaths ? [path === '' ? '-' : path] : []),
    { text: status === 0 ? '-' : String(status), ...(styleOf(status) === null ? {} : { style: styleOf(status) as Style }) }, milliseconds(durationUs / 1000), reason === '' ? outcome : `${outcome}: ${reason}`, id,
  ]));
  const imported = rows.some(({ kind }) => kind === 'import') ? styled(terminal, 'dim', '* imported from a log, no request that this gateway served\n') : '';
  return `${kept}${table}${imported}${next === null ? '' : styled(terminal, 'dim', `More: --cursor ${next}\n`)}`;
}

function styleOf(status: number): Style | null {
  return status >= 500 ? 'red' : status >= 400 ? 'yellow' : null;
}
