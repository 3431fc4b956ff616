import { resolve } from 'node:path';
import type { Command } from 'commander';
import { Launcher } from '../launcher/launcher.js';
import { makeLog } from '../log.js';

export function register(program: Command): void {
  program.command('start').description('runs a node: supervisor, workers, collector; until SIGTERM or Ctrl-C')
    .option('-c, --config <file>', 'configuration', 'tidegate.yaml')
    .action(async ({ config }: { readonly config: string }) => {
      process.exitCode = await new Launcher({ configPath: resolve(config), log: makeLog({ role: 'launcher' }) }).run();
    });
}
