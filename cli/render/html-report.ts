/**
 * A traffic report as one file of HTML, to hand on: its drawings and styles are in it, and no browser asks any host for anything (its own policy forbids that, too). What clients and configurations
 * name goes through `text()`, everywhere.
 */
import { bucketBounds, formatInstant } from '../../collector/reports/calendar.js';
import { bytes, change, count, milliseconds, minuteOf, periodOf, share } from './figures.js';
import { printable } from './terminal.js';
import { groupText, isCompared, isUnrecorded, NO_PATHS, NOTHING, type TrafficAnswer, type TrafficAnswerRow, type TrafficView, unrecordedText } from './traffic.js';

const WIDTH = 960;
const HEIGHT = 200;
/** Of a drawing: on the left what the height stands for, below the times. */
const LEFT = 70;
const BELOW = 24;
const MOST_BARS = 240;
/** Of a table by time. */
const MOST_ROWS = 1000;

const STYLE = `:root { color-scheme: light dark; --back: #fff; --text: #1d2733; --dim: #5b6876; --line: #d9dfe5; --bar: #2f6fb2; --bad: #c0392b; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --back: #12171d; --text: #e3e8ee; --dim: #96a3b0; --line: #2c3640; --bar: #6aa9e9; --bad: #ff7b6b; --warn: #e6b450; } }
body { background: var(--back); color: var(--text); font: 15px/1.45 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.dim, figcaption, small { color: var(--dim); } .warn { color: var(--warn); } .bad { color: var(--bad); }
dl { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0 0; } dt { color: var(--dim); } dd { margin: 0; font-size: 1.4rem; font-variant-numeric: tabular-nums; } dd small { display: block; font-size: .8rem; }
figure { margin: 0; overflow-x: auto; } svg { max-width: 100%; height: auto; } svg text { fill: var(--dim); font-size: 12px; } svg .value { fill: var(--text); } .bar { fill: var(--bar); } .err { fill: var(--bad); } .axis { stroke: var(--line); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; } th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; } th { color: var(--dim); font-weight: normal; } .n { text-align: right; white-space: nowrap; }
td { overflow-wrap: anywhere; }`;

export function renderHtml(view: TrafficView): string {
  const { total, series } = view;
  const title = `Traffic${view.subject === '' ? '' : ` of ${view.subject}`}`;
  const sum = total.rows[0] ?? NOTHING;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(`${title}, ${minuteOf(total.from)} to ${minuteOf(total.to)}`)}</title>
<style>
${STYLE}
</style>
</head>
<body>
<h1>${text(title)}</h1>
<p class="dim">${text(`${minuteOf(total.from)} to ${minuteOf(total.to)} ${total.time_zone}, as of ${minuteOf(total.as_of)}`)}${total.previous === undefined ? '' : text(`, compared with ${periodOf(total.previous.from, total.previous.to)}`)}</p>
${warnings(total)}${isUnrecorded(total) ? '' : `${figures(total, sum)}
${overTime(series)}${latency(sum)}${groups(view)}`}</body>
</html>
`;
}

const text = (value: string): string => printable(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

function warnings(total: TrafficAnswer): string {
  const { clipped, complete, missing } = total;
  const unrecorded = unrecordedText(total);
  const lines = [...(unrecorded === '' ? [] : [unrecorded]), ...(clipped === true ? ['The whole range is not kept: this is what is kept of it.'] : []), ...(complete ? [] : [`Incomplete: ${missing.join('; ')}`])];
  return lines.map((line) => `<p class="warn">${text(line)}</p>\n`).join('');
}

function figures(total: TrafficAnswer, sum: TrafficAnswerRow): string {
  const { previous: period } = total;
  const then = isCompared(total) ? sum.previous ?? NOTHING : null;
  const unrecorded = period === undefined ? '' : unrecordedText(period);
  const figure = (name: string, value: string, before: string | null, style = ''): string => `<div><dt>${name}</dt><dd${style}>${value}${before === null ? '' : `<small>${text(before)}</small>`}</dd></div>`;
  const beside = (now: number, was: number | undefined, shown: (value: number) => string): string | null => (was === undefined ? null : `before ${shown(was)} (${change(now, was)})`);
  return `<dl>
${[
    figure('requests', count(sum.requests), beside(sum.requests, then?.requests, count)),
    figure('errors', `${count(sum.errors)} (${text(share(sum.errors, sum.requests))})`, beside(sum.errors, then?.errors, count), sum.errors > 0 ? ' class="bad"' : ''),
    figure('refused', count(sum.refused), beside(sum.refused, then?.refused, count)),
    figure('bytes in', bytes(sum.bytes_in), beside(sum.bytes_in, then?.bytes_in, bytes)), figure('bytes out', bytes(sum.bytes_out), beside(sum.bytes_out, then?.bytes_out, bytes)),
  ].join('\n')}
</dl>${period === undefined ? '' : `\n<p class="dim">${text(`before: ${minuteOf(period.from)} to ${minuteOf(period.to)}${unrecorded === '' ? '' : `; ${unrecorded}`}`)}</p>`}`;
}

interface Bar { readonly from: string; readonly requests: number; readonly errors: number }

/** Requests of each step, errors at the foot; steps beside each other are added up where they are more than can be told apart. */
function overTime({ interval, time_zone: zone, from, to, rows }: TrafficAnswer): string {
  const starts = bucketBounds(interval, zone, Date.parse(from), Date.parse(to)).slice(0, -1).map((startMs) => formatInstant(startMs, zone));
  if (starts.length < 2) return '';
  const byTime = new Map(rows.map((row) => [row.time, row]));
  const perBar = Math.ceil(starts.length / MOST_BARS);
  const bars: Bar[] = [];
  for (let at = 0; at < starts.length; at += perBar) {
    const its = starts.slice(at, at + perBar).map((start) => byTime.get(start) ?? NOTHING);
    bars.push({ from: starts[at] as string, requests: its.reduce((all, row) => all + row.requests, 0), errors: its.reduce((all, row) => all + row.errors, 0) });
  }
  const most = Math.max(...bars.map(({ requests }) => requests), 1);
  const step = (WIDTH - LEFT) / bars.length;
  const rect = (index: number, of: number, name: string, about: string): string => {
    // something is seen of what is not nothing
    const height = of === 0 ? 0 : Math.max(1, (of / most) * HEIGHT);
    return height === 0 ? '' : `<rect class="${name}" x="${places(LEFT + index * step)}" y="${places(HEIGHT - height)}" width="${places(Math.max(1, step - 1))}" height="${places(height)}"><title>${text(about)}</title></rect>`;
  };
  const drawn = bars.map(({ from: start, requests, errors }, index) => {
    const about = `${minuteOf(start)}: ${count(requests)} requests, ${count(errors)} errors`;
    return rect(index, requests, 'bar', about) + rect(index, errors, 'err', about);
  }).join('');
  const label = (index: number, anchor: string): string => `<text x="${places(LEFT + index * step)}" y="${HEIGHT + 17}" text-anchor="${anchor}">${text(minuteOf(bars[index]?.from ?? ''))}</text>`;
  const middle = Math.floor(bars.length / 2);
  return `<h2>Requests over time</h2>
<figure><svg viewBox="0 0 ${WIDTH} ${HEIGHT + BELOW}" width="${WIDTH}" height="${HEIGHT + BELOW}" role="img" aria-label="Requests over time">
<line class="axis" x1="${LEFT}" x2="${WIDTH}" y1="0.5" y2="0.5"/><line class="axis" x1="${LEFT}" x2="${WIDTH}" y1="${HEIGHT}" y2="${HEIGHT}"/>
<text x="${LEFT - 8}" y="12" text-anchor="end">${count(most)}</text><text x="${LEFT - 8}" y="${HEIGHT}" text-anchor="end">0</text>
${drawn}
${label(0, 'start')}${bars.length > 4 ? label(middle, 'middle') : ''}${bars.length > 8 ? label(bars.length - 1, 'end') : ''}
</svg><figcaption>each bar ${text(perBar === 1 ? `one ${interval}` : `${perBar} ${interval}s`)}; errors in red</figcaption></figure>
`;
}

function latency({ duration_ms: { avg, ...percentiles } }: TrafficAnswerRow): string {
  if (avg === null) return '';
  const most = percentiles.p99 ?? 0;
  const lines = [...Object.entries(percentiles), ['avg', avg] as const].map(([name, value], index) => {
    const y = index * 24;
    return `<text x="0" y="${y + 14}">${text(name)}</text><rect class="bar" x="40" y="${y + 2}" width="${places(most === 0 ? 0 : Math.min(1, (value ?? 0) / most) * 600)}" height="16"/><text class="value" x="650" y="${y + 14}">${milliseconds(value)} ms</text>`;
  });
  return `<h2>Duration</h2>
<figure><svg viewBox="0 0 760 ${lines.length * 24}" width="760" height="${lines.length * 24}" role="img" aria-label="Durations of requests let through">
${lines.join('\n')}
</svg></figure>
`;
}

function groups({ table, groupBy, top }: TrafficView): string {
  if (table.rows.length === 0 || groupBy.length === 0) return '';
  const byTime = table.interval !== 'total';
  const compared = isCompared(table);
  const shown = table.rows.slice(0, byTime ? MOST_ROWS : table.rows[top]?.others === true ? top + 1 : top);
  const numbers = ['requests', ...(compared ? ['change'] : []), 'errors', 'refused', 'p50 ms', 'p99 ms', 'bytes out'];
  const head = [...(byTime ? ['time'] : []), ...groupBy].map((name) => `<th>${text(name)}</th>`).join('') + numbers.map((name) => `<th class="n">${name}</th>`).join('');
  const lines = shown.map((row) => {
    const names = [...(byTime ? [`${minuteOf(row.time)}${row.partial === true ? '*' : ''}`] : []), ...groupBy.map((group, index) => (row.others === true ? (index === 0 ? 'all others' : '') : groupText(row[group])))];
    const cells = [count(row.requests), ...(compared ? [change(row.requests, row.previous?.requests ?? 0)] : []), count(row.errors), count(row.refused), milliseconds(row.duration_ms.p50), milliseconds(row.duration_ms.p99), bytes(row.bytes_out)];
    return `<tr>${names.map((name) => `<td>${text(name)}</td>`).join('')}${cells.map((cell) => `<td class="n">${text(cell)}</td>`).join('')}</tr>\n`;
  });
  const notes = [
    ...(byTime && shown.some(({ partial }) => partial === true) ? ['* not over yet, or cut by the range'] : []),
    ...(table.paths_from === undefined ? [] : [table.paths_from === null ? NO_PATHS : `paths are recorded from ${minuteOf(table.paths_from)} on`]),
    ...(shown.length < table.rows.length ? [`more rows: ${count(table.rows.length - shown.length)}`] : []),
  ];
  return `<h2>By ${text(groupBy.join(', '))}</h2>
<div class="wide"><table>
<thead><tr>${head}</tr></thead>
<tbody>
${lines.join('')}</tbody>
</table></div>
${notes.map((note) => `<p class="dim">${text(note)}</p>\n`).join('')}`;
}

const places = (value: number): string => String(Math.round(value * 100) / 100);
