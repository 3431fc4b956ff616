import type { Command } from 'commander';
import type { RecoverLine } from '../../collector/recover/recover.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { count, share } from '../render/figures.js';
import { progress, type Progress } from '../render/progress.js';
import { standardError, standardOutput, type Terminal } from '../render/terminal.js';
import { stepLines } from '../step-lines.js';

interface RecoverCommandOptions extends ControlOptions { readonly putBack?: boolean; readonly json?: boolean }

/** As `rebuild` says that something differs. */
const NOT_WHOLE = 2;

export function register(program: Command): void {
  withControlOptions(program.command('recover').description('looks for raw events that the store has lost, and whether Kafka still has them; exit 0: the store holds what was stored, 2: it does not'))
    .option('--put-back', 'puts back what Kafka still has')
    .option('--json', 'a line of JSON a step, as the API gives it')
    .action(async (options: RecoverCommandOptions) => {
      process.exitCode = await recover(options, standardOutput(), progress(standardError(), process.stderr.isTTY, () => Date.now()));
    });
}

/** Ctrl-C ends it: what is put back by then stays; run again, it goes on. @returns the exit code. @throws what the node answers */
export async function recover(options: RecoverCommandOptions, terminal: Terminal, shown: Progress): Promise<number> {
  const putBack = options.putBack === true;
  let exitCode = 0;
  try {
    for await (const line of stepLines<RecoverLine>(new ControlClient(findControl(options)), '/v1/recover', { put_back: String(putBack) })) {
      if (line.type === 'progress') {
        shown.show(line.done, Math.max(1, line.all), line.all === 0 ? line.what : `${share(line.done, line.all)}, ${line.what}`);
        continue;
      }
      if (line.type === 'end' && line.not_whole > 0) exitCode = NOT_WHOLE;
      shown.end();
      terminal.write(options.json === true ? `${JSON.stringify(line)}\n` : tell(line, putBack));
    }
  } finally {
    shown.end();
  }
  return exitCode;
}

function tell(line: Exclude<RecoverLine, { type: 'progress' }>, putBack: boolean): string {
  switch (line.type) {
    case 'rows': {
      const gone = line.missing - line.in_log;
      return `${line.day} stream ${line.stream}: ${rows(line.missing)} missing, ${count(line.in_log)} in Kafka${putBack ? `, ${count(line.put_back)} put back` : ''}${gone === 0 ? '' : `; Kafka no longer has ${count(gone)}`}\n`;
    }
    case 'not_whole': return `${line.day} (UTC) is not whole: ${line.reasons.join('; ')}\n`;
    case 'end': {
      if (line.missing === 0) return `${count(line.days)} ${line.days === 1 ? 'day' : 'days'}: no row is missing.\n`;
      if (!putBack) return `${rows(line.missing)} missing, ${count(line.in_log)} in Kafka.${line.in_log === 0 ? '' : ' tidegate recover --put-back puts them back.'}\n`;
      const left = line.missing - line.put_back;
      return `${rows(line.put_back)} put back.${left === 0 ? '' : ` ${rows(left)} still missing: docs/runbooks/StoredRowsMissing.md says what else there is.`} tidegate rebuild compares the rollups with raw events.\n`;
    }
  }
}

const rows = (n: number): string => `${count(n)} ${n === 1 ? 'row' : 'rows'}`;
