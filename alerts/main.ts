/** `npm run alerts`: writes Prometheus's rules. The repository has them as they come out without an option. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { DEFAULT_BOARDS_URL, DEFAULT_DOCS_URL, ruleFiles } from './files.js';
import { Windows } from './windows.js';

/** Shorter windows hold no two scrapes. */
const MOST_FACTOR = 600;

const program = new Command('alerts')
  .description('Writes the Prometheus rules.')
  .option('--out <folder>', 'where they are written', join('alerts', 'rules'))
  .option('--docs-url <url>', 'what stands before NAME.md in runbook_url: where people on call can open a copy of docs/runbooks; without it a path in the repository', url, DEFAULT_DOCS_URL)
  .option('--boards-url <url>', 'where Grafana is, for links to boards', url, DEFAULT_BOARDS_URL)
  .option('--factor <n>', 'shortens every window by so much, for tests: with 60, an hour is a minute', factor, 1)
  .showHelpAfterError();
program.parse();

const { out, docsUrl, boardsUrl, factor: by } = program.opts<{ out: string; docsUrl: string; boardsUrl: string; factor: number }>();
mkdirSync(out, { recursive: true });
for (const [name, text] of ruleFiles({ windows: new Windows(by), docsUrl, boardsUrl })) {
  writeFileSync(join(out, name), text);
  console.log(join(out, name));
}

function factor(text: string): number {
  const value = Number(text);
  if (!(value >= 1 && value <= MOST_FACTOR)) throw new InvalidArgumentError(`Give a number from 1 to ${MOST_FACTOR}.`);
  return value;
}

/** A path would be no link in a pager, and a host alone is one to some programs only. */
function url(text: string): string {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) throw new InvalidArgumentError('Give a URL: https://docs.example.com/runbooks.');
  return text.replace(/\/+$/, '');
}
