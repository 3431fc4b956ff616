import type { Command } from 'commander';
import type { QuarantinedItem } from '../../collector/log/event-log.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { renderTable } from '../render/table.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

interface ListOptions extends ControlOptions { readonly json?: boolean }

export function register(program: Command): void {
  const command = program.command('quarantine').description('lists and replays what of the log could not be read');
  withControlOptions(command.command('list').description('newest first'))
    .option('--json', 'as the API returns it')
    .action((options: ListOptions) => list(options, standardOutput()));
  withControlOptions(command.command('replay').description('puts it into the log again; what of it is stored is recognised and counts once').argument('<id>', 'as list says it'))
    .action((id: string, options: ControlOptions) => replay(id, options, standardOutput()));
}

export async function list(options: ListOptions, terminal: Terminal): Promise<void> {
  const answer = await new ControlClient(findControl(options)).get<{ readonly items: readonly QuarantinedItem[] }>('/v1/quarantine');
  if (options.json === true) {
    terminal.write(`${JSON.stringify(answer, null, 2)}\n`);
    return;
  }
  if (answer.items.length === 0) {
    terminal.write('Nothing is in quarantine.\n');
    return;
  }
  terminal.write(renderItems(terminal, answer.items));
}

export async function replay(id: string, options: ControlOptions, terminal: Terminal): Promise<void> {
  const { log, reason } = await new ControlClient(findControl(options)).post<QuarantinedItem>(`/v1/quarantine/${encodeURIComponent(id)}/replay`, 'application/json', '{}');
  terminal.write(`${id} (${reason}) is in ${log} again. If it still cannot be read, it comes back to quarantine.\n`);
}

function renderItems(terminal: Terminal, items: readonly QuarantinedItem[]): string {
  const columns = [
    { head: 'ID', align: 'left' }, { head: 'NOTED', align: 'left' }, { head: 'REASON', align: 'left' }, { head: 'LOG', align: 'left' }, { head: 'REPLAYED', align: 'left' }, { head: 'COPY', align: 'left', shrinks: true },
  ] as const;
  return renderTable(terminal, columns, items.map(({ id, noted_at: noted, reason, log, replayed_at: replayed, file }) => [id, noted, reason, log === '' ? 'spool' : log, replayed ?? '-', file]));
}
