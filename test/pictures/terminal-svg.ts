/** What a terminal shows, as an SVG: text with the colours that the commands use (SGR 0, 1, 2, 31 to 36), a monospaced grid. */

const COLOURS: Readonly<Record<string, string>> = { 31: '#c0392b', 32: '#1e8449', 33: '#b7791f', 36: '#117a8b' };
const CELL = { width: 8.4, height: 18 } as const;
const PADDING = 14;

/** @param text lines with their escape sequences @param title read by who cannot see it */
export function terminalSvg(text: string, title: string): string {
  const lines = text.replaceAll('\r', '').replace(/\n+$/, '').split('\n');
  const columns = Math.max(...lines.map((line) => line.replaceAll(/\x1b\[[\d;]*m/g, '').length));
  const [width, height] = [Math.ceil(columns * CELL.width + 2 * PADDING), lines.length * CELL.height + 2 * PADDING];
  const rows = lines.map((line, row) => `<text x="${PADDING}" y="${PADDING + 13 + row * CELL.height}">${runs(line)}</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#24292f;white-space:pre}</style>
<rect width="${width}" height="${height}" rx="8" fill="#fbfbfa" stroke="#d8d8d4"/>
${rows.join('\n')}
</svg>
`;
}

function runs(line: string): string {
  let style = '';
  let column = 0;
  return line.split(/(\x1b\[[\d;]*m)/).map((piece) => {
    const code = /^\x1b\[([\d;]*)m$/.exec(piece)?.[1];
    if (code !== undefined) {
      style = code === '1' ? ' font-weight="bold"' : code === '2' ? ' opacity="0.6"' : COLOURS[code] === undefined ? '' : ` fill="${COLOURS[code]}"`;
      return '';
    }
    // each run at its own column: fonts differ in how wide they draw blocks
    const drawn = piece === '' ? '' : `<tspan x="${(PADDING + column * CELL.width).toFixed(1)}" textLength="${(piece.length * CELL.width).toFixed(1)}"${style}>${escaped(piece)}</tspan>`;
    column += piece.length;
    return drawn;
  }).join('');
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
