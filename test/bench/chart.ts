/** Bars as an SVG that stands by itself: the same bytes for the same figures, a ground of its own, and colours for light and dark. */
import { figure } from './table.js';

export interface Bar {
  readonly words: string;
  readonly value: number;
  /** In the colour of what is measured, and not of its peers. */
  readonly own: boolean;
}

const WIDTH = 760;
const MARGIN = 16;
const LABEL_WIDTH = 230;
/** For the figure behind the longest bar. */
const FIGURE_WIDTH = 56;
const TITLE_HEIGHT = 44;
const ROW_HEIGHT = 28;
const BAR_HEIGHT = 18;

const STYLE = `
  .ground { fill: #ffffff; stroke: #d0d7de } text { fill: #1f2328; font: 13px system-ui, sans-serif } .title { font-weight: 600 } .own { fill: #0969da } .peer { fill: #8c959f }
  @media (prefers-color-scheme: dark) { .ground { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .own { fill: #58a6ff } .peer { fill: #6e7681 } }
`;

/** In the order given, from 0, the longest as wide as there is room. */
export function barChart(title: string, bars: readonly Bar[]): string {
  const most = Math.max(...bars.map(({ value }) => value));
  const left = MARGIN + LABEL_WIDTH;
  const room = WIDTH - left - FIGURE_WIDTH - MARGIN;
  const height = TITLE_HEIGHT + bars.length * ROW_HEIGHT + MARGIN;
  const rows = bars.map(({ words, value, own }, i) => {
    const top = TITLE_HEIGHT + i * ROW_HEIGHT;
    const width = most > 0 ? (value / most * room).toFixed(1) : '0';
    const base = top + BAR_HEIGHT - 4;
    return [
      `<text x="${left - 8}" y="${base}" text-anchor="end">${escaped(words)}</text>`,
      `<rect class="${own ? 'own' : 'peer'}" x="${left}" y="${top}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<text x="${(left + Number(width) + 6).toFixed(1)}" y="${base}">${figure(value)}</text>`,
    ].join('\n');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="6"/>`,
    `<text class="title" x="${MARGIN}" y="28">${escaped(title)}</text>`,
    ...rows,
    '</svg>',
    '',
  ].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
