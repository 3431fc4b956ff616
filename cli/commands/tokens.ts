import { Option, type Command } from 'commander';
import { hashKey, newKey } from '../../gateway/config/keys.js';
import { ROLES, type ControlTokenConfig } from '../../gateway/config/schema.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

export function register(program: Command): void {
  const tokens = program.command('tokens').description('restricted tokens for the control origin');
  tokens.command('new <name>').description('creates a token, which is shown only once, and the line for control.tokens with its hash')
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).makeOptionMandatory())
    .action((name: string, { role }: { role: ControlTokenConfig['role'] }) => newToken(name, role, standardOutput()));
}

/** The token alone goes to standard output, so that a script can take it from there. No node is asked: the line goes into the file. */
export function newToken(name: string, role: ControlTokenConfig['role'], terminal: Terminal): void {
  const token = newKey();
  terminal.write(`${token}\n`);
  console.error(`It is not kept and not shown again. Under control.tokens in the configuration:\n  - { name: ${JSON.stringify(name)}, role: ${role}, sha256: "${hashKey(token)}" }`);
}
