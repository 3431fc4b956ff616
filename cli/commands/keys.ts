import { InvalidArgumentError, type Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import { formatProblem } from '../../gateway/config/config-problem.js';
import type { NewKey, NodeStatus } from '../../gateway/control/control-deps.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { printable, standardOutput, type Terminal } from '../render/terminal.js';

const SCOPES = ['traffic', 'reports'];
interface NewOptions extends ControlOptions { readonly scope: readonly string[] }

export function register(program: Command): void {
  const keys = program.command('keys').description('API keys of apps');
  withControlOptions(keys.command('new <app>').description('creates a key, which is shown only once'))
    .option('--scope <scopes>', 'what it is for: traffic, reports', scopes, SCOPES)
    .action((app: string, options: NewOptions) => newKey(app, options, standardOutput()));
  withControlOptions(keys.command('revoke <app> <id>').description('revokes a key, at once'))
    .action((app: string, id: string, options: ControlOptions) => revokeKey(app, id, options));
}

/** The key alone goes to standard output, so that a script can take it from there. */
export async function newKey(app: string, options: NewOptions, terminal: Terminal): Promise<void> {
  const client = new ControlClient(findControl(options));
  let made: NewKey;
  try {
    made = await client.post<NewKey>(`/v1/apps/${encodeURIComponent(app)}/keys`, 'application/json', JSON.stringify({ scopes: options.scope }));
  } catch (error) {
    // the app may be in the file that was rejected
    if (!(error instanceof TidegateError) || error.code !== 'not_found') throw error;
    const note = await rejectedNote(client);
    throw note === '' ? error : new TidegateError(error.code, `${error.message}\n${note}`, { cause: error });
  }
  terminal.write(`${made.key}\n`);
  console.error(`Key ${made.id} of ${made.app} (${made.scopes.join(', ')}). It is not kept and not shown again.`);
  const note = await rejectedNote(client);
  if (note !== '') console.error(`Note: ${note}`);
}

/** '': what is in force is the file, or the node does not say. */
async function rejectedNote(client: ControlClient): Promise<string> {
  try {
    const { config: { version, last_reload: reload } } = await client.get<NodeStatus>('/v1/status');
    if (reload?.result !== 'rejected') return '';
    const [first, ...others] = reload.errors;
    const why = first === undefined ? '' : `: ${printable(formatProblem(first))}${others.length === 0 ? '' : ` (and ${others.length} more)`}`;
    return `the configuration in force is still ${version}, because the reload at ${reload.at.slice(0, 19)}Z was rejected${why}. tidegate status shows all errors.`;
  } catch (error) {
    if (error instanceof TidegateError) return '';
    throw error;
  }
}

export async function revokeKey(app: string, id: string, options: ControlOptions): Promise<void> {
  const client = new ControlClient(findControl(options));
  await client.text('DELETE', `/v1/apps/${encodeURIComponent(app)}/keys/${encodeURIComponent(id)}`);
  console.error(`Key ${id} of ${app} is revoked.`);
}

function scopes(text: string): readonly string[] {
  const asked = text.split(',').map((scope) => scope.trim());
  if (!asked.every((scope) => SCOPES.includes(scope))) throw new InvalidArgumentError(`Allowed: ${SCOPES.join(', ')}, with commas between.`);
  return asked;
}
