/**
 * `npm run boards:preview -- --prometheus http://127.0.0.1:9090 --out FOLDER [--clickhouse URL] [--reports URL] [--range 15m] [--var service=shop] [--png]`: draws the
 * boards, from the files that Grafana is given and live answers, as pages; with --png as pictures, too, by Chromium. The report API's token is $TIDEGATE_TOKEN.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { BOARDS_FOLDER } from '../grafana/boards.js';
import { ask, type BoardJson, type Stores } from './ask.js';
import type { Shown } from './expand.js';
import { boardPage, type DrawnPanel } from './page.js';
import { variablesOf } from './variables.js';

const { values: options } = parseArgs({
  options: {
    prometheus: { type: 'string', default: 'http://127.0.0.1:9090' }, clickhouse: { type: 'string' }, reports: { type: 'string' }, range: { type: 'string', default: '1h' },
    scrape: { type: 'string', default: '15s' }, var: { type: 'string', multiple: true, default: [] }, out: { type: 'string' }, png: { type: 'boolean', default: false },
  },
});

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
/** Points across a picture. */
const POINTS = 120;
const WIDTH_PX = 1440;
const GRID_ROW_PX = 44;

/** `15m` in seconds. @throws Error */
function seconds(option: string, text: string): number {
  const match = /^(\d+)([smhd])$/.exec(text);
  if (match === null) throw new Error(`--${option} ${text}: a number and s, m, h or d, such as 15m`);
  return Number(match[1]) * UNITS[match[2] as keyof typeof UNITS];
}

async function draw(file: string, stores: Stores, out: string): Promise<void> {
  const board = JSON.parse(readFileSync(file, 'utf8')) as BoardJson;
  const [rangeS, scrapeS] = [seconds('range', options.range), seconds('scrape', options.scrape)];
  const stepS = Math.max(scrapeS, Math.ceil(rangeS / POINTS));
  const toMs = Date.now();
  const blank: Shown = { fromMs: toMs - rangeS * 1000, toMs, stepS, rateWindowS: Math.max(4 * scrapeS, stepS + scrapeS), variables: new Map() };
  const given = new Map(options.var.map((text): [string, string] => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]));
  const shown = { ...blank, variables: await variablesOf(board, blank, stores, given) };
  const drawn: DrawnPanel[] = [];
  for (const panel of board.panels) {
    const answers = await Promise.all((panel.targets ?? []).map((target) => ask(target, shown, stores))).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    drawn.push({ panel, answers });
  }
  const page = join(out, `${board.uid}.html`);
  writeFileSync(page, boardPage(board, drawn, shown, `Last ${options.range}`));
  console.log(page);
  if (!options.png) return;
  const height = Math.max(...board.panels.map(({ gridPos: { y, h } }) => y + h)) * GRID_ROW_PX + 60;
  shoot(page, join(out, `${board.uid}.png`), height);
}

/** @throws Error with what Chromium said */
function shoot(page: string, picture: string, height: number): void {
  const profile = mkdtempSync(join(tmpdir(), 'tidegate-chromium-'));
  const { status, stderr, error } = spawnSync('chromium', [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars', `--user-data-dir=${profile}`,
    `--window-size=${WIDTH_PX},${height}`, `--screenshot=${picture}`, `file://${resolve(page)}`,
  ], { encoding: 'utf8', timeout: 120_000 });
  rmSync(profile, { recursive: true, force: true });
  if (error !== undefined || status !== 0) throw new Error(`chromium: ${error?.message ?? stderr}`);
  console.log(picture);
}

if (options.out === undefined) throw new Error('--out FOLDER: where the pages go');
const out = options.out;
mkdirSync(out, { recursive: true });
const { clickhouse, reports, prometheus } = options;
const stores: Stores = { prometheus, ...(clickhouse === undefined ? {} : { clickhouse }), ...(reports === undefined ? {} : { reports: { url: reports, token: process.env['TIDEGATE_TOKEN'] ?? '' } }) };
const folders = ['prometheus', ...(clickhouse === undefined ? [] : ['clickhouse']), ...(clickhouse === undefined && reports !== undefined ? ['report-api'] : [])];
for (const folder of folders) {
  for (const name of readdirSync(join(BOARDS_FOLDER, folder)).filter((file) => file.endsWith('.json')).sort()) await draw(join(BOARDS_FOLDER, folder, name), stores, out);
}
