/**
 * `npm run boards:preview -- --prometheus http://127.0.0.1:9090 --out FOLDER [--clickhouse URL] [--reports URL] [--range 15m] [--var service=shop] [--png]`: draws the
 * boards, from the files that Grafana is given and live answers, as pages; with --png as pictures, too, by Chromium. Exit 2: it was called wrongly.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { BOARDS_FOLDER } from '../grafana/boards.js';
import { marksOf } from './annotations.js';
import { ask, type BoardJson, type Stores } from './ask.js';
import type { Shown } from './expand.js';
import { boardPage, type DrawnPanel } from './page.js';
import { variablesOf } from './variables.js';

const UNITS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
/** Points across a picture. */
const POINTS = 120;
const WIDTH_PX = 1440;
const GRID_ROW_PX = 44;
const DURATION = /^(\d+)([smhd])$/;

const program = new Command('boards:preview')
  .description('Draws the boards without a Grafana. The report API\'s token is $TIDEGATE_TOKEN.')
  .requiredOption('--out <folder>', 'where the pages go')
  .option('--prometheus <url>', 'whose answers are drawn', 'http://127.0.0.1:9090')
  .option('--clickhouse <url>', 'for Tenants and Billing')
  .option('--reports <url>', 'the report API, for Tenants and Billing without ClickHouse')
  .option('--range <duration>', 'so much until now: s, m, h or d', duration, '1h')
  .option('--scrape <duration>', 'how often Prometheus asks', duration, '15s')
  .option('--var <name=value>', 'a choice of a board\'s variable; may be given again', chosen, [])
  .option('--png', 'pictures, too, by Chromium', false)
  .showHelpAfterError()
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
program.parse();

interface Options {
  readonly out: string;
  readonly prometheus: string;
  readonly clickhouse?: string;
  readonly reports?: string;
  readonly range: string;
  readonly scrape: string;
  readonly var: readonly (readonly [name: string, value: string])[];
  readonly png: boolean;
}
const options = program.opts<Options>();

function duration(text: string): string {
  if (!DURATION.test(text)) throw new InvalidArgumentError('Give a number and s, m, h or d: 15m.');
  return text;
}

/** `15m` in seconds. */
function seconds(text: string): number {
  const [, count, unit] = DURATION.exec(text) ?? [];
  return Number(count) * UNITS[unit as keyof typeof UNITS];
}

function chosen(text: string, before: Options['var']): Options['var'] {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('Give a name and a value: service=shop.');
  return [...before, [text.slice(0, at), text.slice(at + 1)]];
}

async function draw(file: string, stores: Stores, out: string): Promise<void> {
  const board = JSON.parse(readFileSync(file, 'utf8')) as BoardJson;
  const [rangeS, scrapeS] = [seconds(options.range), seconds(options.scrape)];
  const stepS = Math.max(scrapeS, Math.ceil(rangeS / POINTS));
  const toMs = Date.now();
  const blank: Shown = { fromMs: toMs - rangeS * 1000, toMs, stepS, rateWindowS: Math.max(4 * scrapeS, stepS + scrapeS), variables: new Map() };
  const given = new Map(options.var);
  const shown = { ...blank, variables: await variablesOf(board, blank, stores, given) };
  const drawn: DrawnPanel[] = [];
  for (const panel of board.panels) {
    const answers = await Promise.all((panel.targets ?? []).map((target) => ask(target, shown, stores))).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    drawn.push({ panel, answers });
  }
  const page = join(out, `${board.uid}.html`);
  writeFileSync(page, boardPage(board, drawn, await marksOf(board, shown, stores), shown, `Last ${options.range}`));
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

const { out, clickhouse, reports, prometheus } = options;
mkdirSync(out, { recursive: true });
const stores: Stores = { prometheus, ...(clickhouse === undefined ? {} : { clickhouse }), ...(reports === undefined ? {} : { reports: { url: reports, token: process.env['TIDEGATE_TOKEN'] ?? '' } }) };
const folders = ['prometheus', ...(clickhouse === undefined ? [] : ['clickhouse']), ...(clickhouse === undefined && reports !== undefined ? ['report-api'] : [])];
for (const folder of folders) {
  for (const name of readdirSync(join(BOARDS_FOLDER, folder)).filter((file) => file.endsWith('.json')).sort()) await draw(join(BOARDS_FOLDER, folder, name), stores, out);
}
