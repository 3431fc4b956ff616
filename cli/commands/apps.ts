import { createHash } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Command } from 'commander';
import { APP_TABLES } from '../../collector/erasure/app-data.js';
import type { ErasureLine } from '../../collector/erasure/erasure.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { count } from '../render/figures.js';
import { progress, type Progress } from '../render/progress.js';
import { printable, standardError, standardOutput, type Terminal } from '../render/terminal.js';
import { stepLines } from '../step-lines.js';

interface ExportOptions extends ControlOptions { readonly out: string }
interface EraseOptions extends ControlOptions { readonly yes?: boolean }

export function register(program: Command): void {
  const command = program.command('apps').description('exports or erases what is stored of an app');
  const shown = (): Progress => progress(standardError(), process.stderr.isTTY, () => Date.now());
  withControlOptions(command.command('export').description('everything that is stored of an app, as NDJSON (gzip) with a manifest; the record stays as it is').argument('<app>', 'its name, also of one that the configuration has no more'))
    .requiredOption('--out <folder>', 'a new one')
    .action((app: string, options: ExportOptions) => exportApp(app, options, standardOutput(), shown()));
  withControlOptions(command.command('erase').description('takes an app\'s name, clients and paths off all that is stored of it, for good; sums of services and of all apps stay').argument('<app>', 'its name, also of one that the configuration has no more'))
    .option('--yes', 'does not ask')
    .action((app: string, options: EraseOptions) => eraseApp(app, options, standardOutput(), shown()));
}

/** @throws config_file: the folder cannot be made, or there is one; what the node answers */
export async function exportApp(app: string, options: ExportOptions, terminal: Terminal, shown: Progress): Promise<void> {
  const folder = resolve(options.out);
  if (existsSync(folder)) throw new TidegateError('config_file', `--out ${folder} is there already: give a new folder`);
  let part: string;
  try {
    mkdirSync(dirname(folder), { recursive: true });
    // of this run alone: whatever else is there is somebody's
    part = mkdtempSync(`${folder}.part-`);
  } catch (cause) {
    throw new TidegateError('config_file', `--out ${folder} cannot be made: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, { cause });
  }
  const client = new ControlClient(findControl(options));
  const files: { file: string; rows: number; sha256: string }[] = [];
  try {
    for (const table of APP_TABLES) {
      const file = `${table}.ndjson.gz`;
      const hash = createHash('sha256');
      let rows = 0;
      const counted = new Transform({
        transform(piece: Buffer, _encoding, done) {
          for (const byte of piece) if (byte === 0x0a) rows++;
          shown.show(0, 1, `${file}: ${count(rows)} rows`);
          done(null, piece);
        },
      });
      const hashed = new Transform({
        transform(piece: Buffer, _encoding, done) {
          hash.update(piece);
          done(null, piece);
        },
      });
      await pipeline(Readable.from(client.pieces('GET', `/v1/apps/${encodeURIComponent(app)}/data`, { query: { table } }), { objectMode: false }), counted, createGzip(), hashed, createWriteStream(join(part, file), { mode: 0o600 }));
      files.push({ file, rows, sha256: hash.digest('hex') });
    }
    writeFileSync(join(part, 'manifest.json'), `${JSON.stringify({ app, exported_at: new Date().toISOString(), files }, null, 2)}\n`, { mode: 0o600 });
    renameSync(part, folder);
  } catch (error) {
    // nothing that looks whole stays
    rmSync(part, { recursive: true, force: true });
    throw error;
  } finally {
    shown.end();
  }
  terminal.write(`${folder}: ${files.map(({ file, rows }) => `${file} ${count(rows)}`).join(', ')} rows.\n`);
}

/** @throws erase_unconfirmed; what the node answers */
export async function eraseApp(app: string, options: EraseOptions, terminal: Terminal, shown: Progress): Promise<void> {
  if (options.yes !== true) await confirm(app);
  try {
    for await (const line of stepLines<ErasureLine>(new ControlClient(findControl(options)), `/v1/apps/${encodeURIComponent(app)}/erase`)) {
      if (line.type === 'progress') shown.show(line.done, line.all, `${line.done} of ${line.all} partitions, ${line.what}`);
      else {
        shown.end();
        terminal.write(`${printable(app)} is erased from ${line.partitions} ${line.partitions === 1 ? 'partition' : 'partitions'}, and from whatever comes of it later that is of before ${line.before}.\n`);
      }
    }
  } finally {
    shown.end();
  }
}

async function confirm(app: string): Promise<void> {
  if (!process.stdin.isTTY) throw new TidegateError('erase_unconfirmed', 'nobody is there to be asked');
  const asked = createInterface({ input: process.stdin, output: process.stderr });
  try {
    if (await asked.question(`What is stored of ${printable(app)} cannot be had back. Its name again, to erase it: `) !== app) throw new TidegateError('erase_unconfirmed', 'another name was given');
  } finally {
    asked.close();
  }
}
