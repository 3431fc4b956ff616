/** A board as a page: each panel drawn from its JSON and what the stores answered. Lines by uPlot; the rest is HTML. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Mark } from './annotations.js';
import type { Answer, BoardJson, FieldJson, PanelJson, Series } from './ask.js';
import type { Shown } from './expand.js';
import { formatValue } from './units.js';

/** A panel with its answers, one a target; or why there is none. */
export interface DrawnPanel {
  readonly panel: PanelJson;
  readonly answers: readonly Answer[] | string;
}

/** A row of the grid, and between two. */
const GRID_ROW_PX = 38;
const GAP_PX = 6;
const uplotFile = (name: string): string => readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), 'utf8');

/** The whole page in one file. @param marks those in the time shown are lines in the pictures of time series */
export function boardPage(board: BoardJson, drawn: readonly DrawnPanel[], marks: readonly Mark[], shown: Shown, shownText: string): string {
  const { variables } = shown;
  const inTime = marks.filter(({ time }) => time * 1000 >= shown.fromMs && time * 1000 <= shown.toMs);
  const kinds = new Map(inTime.map(({ name, colour }) => [name, colour]));
  const chips = [...variables].filter(([, values]) => values.join('') !== '').map(([name, values]) => `<span class="chip">${escape(name)}: ${escape(values.join(', ').replace(/^\.[*+]$/, 'All'))}</span>`).join('')
    + [...kinds].map(([name, colour]) => `<span class="chip"><i style="background:${COLOURS[colour]}"></i>${escape(name)}</span>`).join('');
  const replaced = (text: string): string => text.replaceAll(/\$\{(\w+)\}/g, (whole, name: string) => variables.get(name)?.join(', ') ?? whole);
  const panels = drawn.map(({ panel, answers }) => {
    const { x, y, w, h } = panel.gridPos;
    const place = `grid-column:${x + 1}/span ${w};grid-row:${y + 1}/span ${h}`;
    if (panel.type === 'row') return `<h2 style="${place}">${escape(replaced(panel.title))}</h2>`;
    const body = typeof answers === 'string' ? `<div class="none">${escape(answers)}</div>` : drawPanel(panel, answers, h * (GRID_ROW_PX + GAP_PX) - 44, inTime, shown);
    return `<section style="${place}" title="${escape(panel.description ?? '')}"><h3>${escape(panel.title)}</h3>${body}</section>`;
  });
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(board.title)}</title><style>${uplotFile('uPlot.min.css')}${STYLE}</style></head><body>
<header><h1>${escape(board.title)}</h1>${chips}<span class="chip">${escape(shownText)}</span></header><main>${panels.join('\n')}</main>
<script>${uplotFile('uPlot.iife.min.js')}</script><script>${SCRIPT}</script></body></html>\n`;
}

function drawPanel(panel: PanelJson, answers: readonly Answer[], heightPx: number, marks: readonly Mark[], shown: Shown): string {
  switch (panel.type) {
    case 'stat': return drawNumber(panel, answers);
    case 'timeseries': return drawLines(panel, answers, heightPx, marks, shown);
    case 'heatmap': return drawHeat(panel, answers, heightPx, shown);
    case 'state-timeline': return drawStates(panel, answers, shown);
    case 'table': return drawTable(panel, answers);
    default: throw new Error(`no picture of a panel of type ${panel.type}`);
  }
}

const fieldOf = (panel: PanelJson): FieldJson => panel.fieldConfig?.defaults ?? {};
const COLOURS: Readonly<Record<string, string>> = { green: '#56a64b', orange: '#ff9830', red: '#e02f44', blue: '#5794f2', purple: '#b877d9', text: '#d8d9da' };

function thresholdColour(value: number | null, steps: readonly { readonly value: number | null; readonly color: string }[] = []): string {
  const step = steps.findLast((one) => one.value === null || (value !== null && value >= one.value));
  return COLOURS[value === null ? 'text' : step?.color ?? 'text'] ?? '#d8d9da';
}

function drawNumber(panel: PanelJson, answers: readonly Answer[]): string {
  const { unit, decimals, thresholds, mappings } = fieldOf(panel);
  const [answer] = answers;
  const value = answer === undefined ? null : answer.kind === 'series' ? answer.series[0]?.values.at(-1) ?? null : (answer.rows[0]?.find((cell): cell is number => typeof cell === 'number') ?? null);
  const text = (value === null ? undefined : mappings?.[0]?.options[String(value)]?.text) ?? formatValue(value, unit, decimals);
  const colour = thresholdColour(value, thresholds?.steps);
  return `<div class="number" style="${colour === COLOURS['text'] ? '' : `background:${colour};`}">${escape(text)}</div>`;
}

/** As the legend has it. */
function nameOf(series: Series, panel: PanelJson): string {
  const label = /^\$\{__field\.labels\.(\w+)\}$/.exec(fieldOf(panel).displayName ?? '')?.[1];
  return label === undefined ? series.name : series.labels[label] ?? series.name;
}

const seriesOf = (answers: readonly Answer[]): Series[] => answers.flatMap((answer) => (answer.kind === 'series' ? answer.series : []));

function drawLines(panel: PanelJson, answers: readonly Answer[], heightPx: number, marks: readonly Mark[], shown: Shown): string {
  const all = seriesOf(answers);
  if (all.length === 0) return '<div class="none">no data</div>';
  const { unit, decimals, custom = {}, thresholds, max } = fieldOf(panel);
  const limits = new Set(panel.fieldConfig?.overrides.map(({ matcher }) => matcher.options));
  const times = [...new Set(all.flatMap((series) => series.times))].sort((a, b) => a - b);
  const stacked = (custom['stacking'] as { mode?: string } | undefined)?.mode === 'normal';
  const lines = all.map((series) => {
    const values = new Map(series.times.map((time, index) => [time, series.values[index] ?? null]));
    const name = nameOf(series, panel);
    return { name, limit: limits.has(name), colour: colourOf(name, panel), values: times.map((time) => values.get(time) ?? null) };
  });
  const chart = {
    from: shown.fromMs / 1000, to: shown.toMs / 1000, times, lines, stacked, bars: custom['drawStyle'] === 'bars', unit: unit ?? 'short', max: max ?? null,
    marks: (custom['thresholdsStyle'] as { mode?: string } | undefined)?.mode === 'dashed' ? (thresholds?.steps ?? []).flatMap((step) => (step.value === null ? [] : [{ value: step.value, colour: COLOURS[step.color] ?? '' }])) : [],
    events: marks.map(({ time, colour }) => ({ time, colour: COLOURS[colour] ?? '' })),
    // one text for each power of two and its neighbours is enough for an axis
    texts: axisTexts(lines.flatMap(({ values }) => values), stacked ? lines.length : 1, max, unit, decimals),
  };
  const mostOf = (index: number): number => Math.max(...(lines[index]?.values.map((value) => value ?? 0) ?? [0]));
  const legend = lines.map(({ name, limit }, index) => ({ name, limit, index })).sort((a, b) => mostOf(b.index) - mostOf(a.index)).map(({ name, limit, index }) => `<span><i data-line="${index}"${limit ? ' data-limit="1"' : ''}></i>${escape(name === '' ? '(none)' : name)}</span>`).slice(0, 14).join('');
  return `<div class="chart" data-height="${heightPx - 22}"><script type="application/json">${JSON.stringify(chart).replaceAll('<', '\\u003c')}</script></div><div class="legend">${legend}</div>`;
}

/** That the board gives it; null: whichever comes. */
function colourOf(name: string, panel: PanelJson): string | null {
  const override = panel.fieldConfig?.overrides.find(({ matcher }) => matcher.id === 'byRegexp' && new RegExp(matcher.options.slice(1, -1)).test(name));
  const colour = override?.properties.find(({ id }) => id === 'color')?.value as { readonly fixedColor: string } | undefined;
  return colour === undefined ? null : COLOURS[colour.fixedColor] ?? null;
}

/** Round numbers up to the largest, with their texts: the page formats nothing by itself. */
function axisTexts(values: readonly (number | null)[], times: number, max: number | undefined, unit?: string, decimals?: number): readonly (readonly [number, string])[] {
  const most = max ?? (Math.max(...values.map((value) => value ?? 0)) * times || 1);
  const step = 10 ** Math.floor(Math.log10(most) - 1) / 2;
  return Array.from({ length: 240 }, (_, index) => Number((index * step).toPrecision(6))).filter((value) => value <= most * 1.3).map((value) => [value, formatValue(value, unit, decimals)] as const);
}

function drawHeat(panel: PanelJson, answers: readonly Answer[], heightPx: number, shown: Shown): string {
  const all = seriesOf(answers);
  const isLe = all.some(({ labels }) => labels['le'] !== undefined);
  const buckets = isLe ? [...all].sort((a, b) => bound(a) - bound(b)) : all;
  const times = [...new Set(buckets.flatMap((series) => series.times))].sort((a, b) => a - b);
  const cells = buckets.map((series, index) => {
    const below = isLe ? new Map(buckets[index - 1]?.times.map((time, at) => [time, buckets[index - 1]?.values[at] ?? 0])) : new Map<number, number>();
    const own = new Map(series.times.map((time, at) => [time, series.values[at] ?? 0]));
    return times.map((time) => Math.max(0, (own.get(time) ?? 0) - (below.get(time) ?? 0)));
  });
  const most = Math.max(...cells.flat(), 1e-9);
  const filled = cells.map((row, index) => ({ row, index })).filter(({ row }) => row.some((count) => count > 0));
  if (filled.length === 0) return '<div class="none">no data</div>';
  const [first, last] = [filled[0]?.index ?? 0, filled.at(-1)?.index ?? 0];
  const rows = cells.slice(first, last + 1);
  const places = placesOf(times, shown);
  const row = (counts: readonly number[], index: number): string => {
    const series = buckets[first + index] as Series;
    const label = isLe ? (bound(series) === Infinity ? 'slower' : formatValue(bound(series), fieldOf(panel).unit)) : series.name;
    return `<div class="heatrow"><b>${escape(label)}</b><div class="time">${counts.map((count, at) => (count === 0 ? '' : `<i style="${places[at]};background:rgba(255,140,20,${(0.15 + 0.85 * Math.sqrt(count / most)).toFixed(2)})"></i>`)).join('')}</div></div>`;
  };
  return `<div class="heat" style="height:${heightPx}px">${rows.map(row).reverse().join('')}<div class="heatrow axis"><b></b>${drawAxis(shown)}</div></div>`;
}

const bound = ({ labels }: Series): number => (labels['le'] === '+Inf' ? Infinity : Number(labels['le']));

/** Where each point stands on the axis of what is shown: from its time to the next one's, or, where that is long after, as far as those stand apart elsewhere. */
export function placesOf(times: readonly number[], { fromMs, toMs, stepS }: Shown): readonly string[] {
  const apart = times.slice(1).map((time, index) => time - (times[index] ?? 0));
  const step = apart.length === 0 ? stepS : Math.min(...apart);
  const share = (time: number): number => Math.min(1, Math.max(0, (time * 1000 - fromMs) / (toMs - fromMs)));
  return times.map((time, index) => {
    const [from, to] = [share(time), share(time + ((apart[index] ?? step) > step * 1.5 ? step : apart[index] ?? step))];
    return `left:${(from * 100).toFixed(2)}%;width:${((to - from) * 100).toFixed(2)}%`;
  });
}

/** Times of day (UTC) below bars that have no axis of their own. */
function drawAxis({ fromMs, toMs }: Shown): string {
  const texts = [0, 0.25, 0.5, 0.75].map((share) => {
    const iso = new Date(fromMs + share * (toMs - fromMs)).toISOString();
    return `<span style="left:${share * 100}%">${toMs - fromMs > 172_800_000 ? iso.slice(5, 10) : toMs - fromMs > 600_000 ? iso.slice(11, 16) : iso.slice(11, 19)}</span>`;
  });
  return `<div class="time">${texts.join('')}</div>`;
}

function drawStates(panel: PanelJson, answers: readonly Answer[], shown: Shown): string {
  const { thresholds, mappings } = fieldOf(panel);
  const bars = seriesOf(answers).map((series) => {
    const places = placesOf(series.times, shown);
    const cells = series.values.map((value, index) => (value === null ? '' : `<i style="${places[index]};background:${thresholdColour(value, thresholds?.steps)}"></i>`)).join('');
    const value = series.values.at(-1) ?? null;
    return `<div class="state"><b>${escape(nameOf(series, panel))}</b><div class="time">${cells}</div><b>${escape(mappings?.[0]?.options[String(value)]?.text ?? String(value))}</b></div>`;
  });
  return bars.length === 0 ? '<div class="none">no data</div>' : `${bars.join('')}<div class="state axis"><b></b>${drawAxis(shown)}<b></b></div>`;
}

function drawTable(panel: PanelJson, answers: readonly Answer[]): string {
  const transformations = new Map(panel.transformations?.map(({ id, options }) => [id, options]));
  let records = transformations.has('merge') ? merged(answers) : recordsOf(answers[0], 'Value');
  const calculated = transformations.get('calculateField') as { alias: string; binary: { left: string; right: string } } | undefined;
  if (calculated !== undefined) records = records.map((record) => ({ ...record, [calculated.alias]: Number(record[calculated.binary.left]) / Number(record[calculated.binary.right]) }));
  const organise = transformations.get('organize') as { indexByName: Readonly<Record<string, number>>; renameByName: Readonly<Record<string, string>> };
  const columns = Object.keys(organise.indexByName).sort((a, b) => (organise.indexByName[a] ?? 0) - (organise.indexByName[b] ?? 0));
  const propertyOf = (field: string, id: string): unknown => panel.fieldConfig?.overrides.find(({ matcher }) => matcher.options === organise.renameByName[field])?.properties.find((property) => property.id === id)?.value;
  const cell = (field: string, value: unknown): string => {
    if (typeof value !== 'number') return `<td>${escape(typeof value === 'string' || typeof value === 'boolean' ? String(value) : '')}</td>`;
    const steps = (propertyOf(field, 'thresholds') as { steps: { value: number | null; color: string }[] } | undefined)?.steps;
    return `<td class="n" style="color:${thresholdColour(value, steps)}">${escape(formatValue(value, propertyOf(field, 'unit') as string, propertyOf(field, 'decimals') as number | undefined))}</td>`;
  };
  return `<div class="table"><table><tr>${columns.map((field) => `<th>${escape(organise.renameByName[field] ?? field)}</th>`).join('')}</tr>
${records.slice(0, 30).map((record) => `<tr>${columns.map((field) => cell(field, record[field])).join('')}</tr>`).join('\n')}</table></div>`;
}

type Row = Readonly<Record<string, unknown>>;

function recordsOf(answer: Answer | undefined, valueName: string): Row[] {
  if (answer?.kind !== 'rows') return [];
  return answer.rows.map((row) => Object.fromEntries(answer.columns.map((name, index) => [name === 'Value' ? valueName : name, row[index]])));
}

/** Rows of several questions with the same labels are one. */
function merged(answers: readonly Answer[]): Row[] {
  const rows = new Map<string, Row>();
  answers.forEach((answer, index) => {
    const name = answers.length === 1 ? 'Value' : `Value #${String.fromCharCode(65 + index)}`;
    for (const record of recordsOf(answer, name)) {
      const key = JSON.stringify(Object.entries(record).filter(([field]) => field !== name).sort());
      rows.set(key, { ...rows.get(key), ...record });
    }
  });
  return [...rows.values()];
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

const STYLE = `
body{margin:0;background:#111217;color:#d8d9da;font:13px/1.3 Inter,"Helvetica Neue",Arial,sans-serif}
header{display:flex;gap:8px;align-items:center;padding:10px 12px}h1{font-size:17px;margin:0 8px 0 0;font-weight:500}.chip{background:#22252b;border-radius:3px;padding:3px 8px;color:#9fa7b3}
main{display:grid;grid-template-columns:repeat(24,1fr);grid-auto-rows:${GRID_ROW_PX}px;gap:${GAP_PX}px;padding:0 12px 12px}
h2{font-size:14px;font-weight:500;margin:8px 0 0}section{background:#181b1f;border:1px solid #24272d;border-radius:3px;padding:6px 8px;overflow:hidden;min-width:0;container-type:inline-size;display:flex;flex-direction:column}
h3{font-size:13px;font-weight:500;margin:0 0 4px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.number{flex:1;display:flex;align-items:center;justify-content:center;font-size:clamp(13px,11cqw,26px);font-weight:500;border-radius:2px;color:#fff;white-space:nowrap}
.none{flex:1;display:flex;align-items:center;justify-content:center;color:#7b8087}.legend{display:flex;flex-wrap:wrap;gap:2px 12px;color:#9fa7b3;font-size:11px;height:18px;overflow:hidden}
.legend i{display:inline-block;width:12px;height:3px;margin-right:5px;vertical-align:middle}.heat{display:flex;flex-direction:column;gap:1px}.heatrow{flex:1;display:flex;gap:1px;min-height:0}.heatrow b{width:62px;text-align:right;padding-right:6px;font-weight:400;font-size:11px;color:#9fa7b3}.time{flex:1;position:relative;background:#1f2228}.time i{position:absolute;top:0;bottom:0}.axis .time{background:none;height:14px}.axis span{position:absolute;font-size:11px;color:#7b8087}.heatrow.axis{flex:none}.chip i{display:inline-block;width:2px;height:11px;margin-right:6px;vertical-align:-1px}
.state{display:flex;align-items:center;margin:4px 0;gap:8px}.state b{font-weight:400;font-size:11px;color:#9fa7b3;width:130px;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.state .time{height:26px;overflow:hidden}.state .time i{border-right:1px solid transparent}.state.axis .time{height:14px}.state b:last-child{width:50px}
.table{overflow:hidden}table{border-collapse:collapse;width:100%}th{text-align:left;color:#6e9fff;font-weight:500}td,th{padding:4px 8px;border-bottom:1px solid #24272d;white-space:nowrap}td.n{text-align:left}
.u-legend{display:none}`;

/** Runs in the page. */
const SCRIPT = `
const PALETTE=['#73bf69','#f2cc0c','#5794f2','#ff9830','#b877d9','#8ab8ff','#fa6400','#37872d','#e0b400','#1f60c4','#c4162a','#7eb26d','#ef843c','#6ed0e0'];
for(const box of document.querySelectorAll('.chart')){
  const chart=JSON.parse(box.firstElementChild.textContent),colour=(i)=>chart.lines[i].limit?'#e02f44':chart.lines[i].colour??PALETTE[i%PALETTE.length];
  for(const i of box.nextElementSibling.querySelectorAll('i'))i.style.background=colour(Number(i.dataset.line));
  let sums=chart.times.map(()=>0);
  const columns=chart.lines.map(({values,limit})=>chart.stacked&&!limit?values.map((v,k)=>(sums[k]+=v??0)):values);
  const order=chart.lines.map((_,i)=>i);if(chart.stacked)order.reverse();
  const most=Math.max(...columns.flat().map((v)=>v??0),...chart.marks.filter((m)=>m.value<=1.5*Math.max(...columns.flat().map((v)=>v??0))).map((m)=>m.value))||1;
  const text=(v)=>{let best=['',Infinity];for(const [value,said] of chart.texts){const off=Math.abs(value-v);if(off<best[1])best=[said,off];}return best[0];};
  new uPlot({width:box.parentElement.clientWidth-16,height:Number(box.dataset.height),cursor:{show:false},legend:{show:false},
    scales:{x:{time:true,range:[Math.min(chart.from,chart.times[0]),Math.max(chart.to,chart.times.at(-1))]},y:{range:[0,chart.max??most*1.08]}},
    axes:[{stroke:'#7b8087',grid:{stroke:'#24272d',width:1},ticks:{show:false},size:26,font:'11px sans-serif',values:(u,vs)=>vs.map((v)=>{const t=new Date(v*1000).toISOString();return chart.to-chart.from>172800?t.slice(5,10):chart.to-chart.from>600?t.slice(11,16):t.slice(11,19);})},{stroke:'#7b8087',grid:{stroke:'#24272d',width:1},ticks:{show:false},size:92,font:'11px sans-serif',values:(u,vs)=>vs.map(text)}],
    series:[{},...order.map((i)=>({stroke:colour(i),width:chart.lines[i].limit?1.5:1.2,dash:chart.lines[i].limit?[8,6]:undefined,spanGaps:true,points:{show:chart.times.length<4},
      fill:chart.lines[i].limit?undefined:colour(i)+(chart.stacked||chart.bars?'99':'14'),paths:chart.bars&&!chart.lines[i].limit?uPlot.paths.bars({size:[0.9,40]}):undefined}))],
    hooks:{draw:[(u)=>{for(const event of chart.events){const x=u.valToPos(event.time,'x',true);u.ctx.save();u.ctx.strokeStyle=event.colour;u.ctx.setLineDash([3,3]);u.ctx.beginPath();u.ctx.moveTo(x,u.bbox.top);u.ctx.lineTo(x,u.bbox.top+u.bbox.height);u.ctx.stroke();u.ctx.restore();}
      for(const mark of chart.marks){const y=u.valToPos(mark.value,'y',true);if(y<u.bbox.top)continue;u.ctx.save();u.ctx.strokeStyle=mark.colour;u.ctx.setLineDash([8,6]);u.ctx.beginPath();u.ctx.moveTo(u.bbox.left,y);u.ctx.lineTo(u.bbox.left+u.bbox.width,y);u.ctx.stroke();u.ctx.restore();}}]},
  },[chart.times,...order.map((i)=>columns[i])],box);
}`;
