import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Part } from '../../gateway/supervisor/part.js';
import { CONFIG_PLACES, configFile } from '../config-file.js';
import { Launcher } from '../launcher/launcher.js';
import { makeLog } from '../log.js';

export function register(program: Command): void {
  registerNode(program, 'start', 'whole', 'runs a node: supervisor, workers, collector');
}

/** A command that runs a node, or a half of one, until SIGTERM or Ctrl-C. */
export function registerNode(program: Command, command: string, part: Part, description: string): void {
  program.command(command).description(`${description}; until SIGTERM or Ctrl-C`)
    .option('-c, --config <file>', `configuration (default: ${CONFIG_PLACES})`)
    .action(async ({ config }: { readonly config?: string }) => {
      const log = makeLog({ role: 'launcher' });
      process.exitCode = await new Launcher({ configPath: resolve(configFile(config)), part, log: log.logger, processLog: log }).run();
    });
}
