/** The command line's commands and options. */
import { Command } from 'commander';
import * as apps from './commands/apps.js';
import * as billing from './commands/billing.js';
import * as check from './commands/check.js';
import * as collector from './commands/collector.js';
import * as completeness from './commands/completeness.js';
import * as config from './commands/config.js';
import * as diff from './commands/diff.js';
import * as env from './commands/env.js';
import * as gap from './commands/gap.js';
import * as gateway from './commands/gateway.js';
import * as importing from './commands/import.js';
import * as keys from './commands/keys.js';
import * as log from './commands/log.js';
import * as quarantine from './commands/quarantine.js';
import * as rebuild from './commands/rebuild.js';
import * as recover from './commands/recover.js';
import * as report from './commands/report.js';
import * as requests from './commands/requests.js';
import * as restart from './commands/restart.js';
import * as start from './commands/start.js';
import * as status from './commands/status.js';
import * as store from './commands/store.js';
import * as tokens from './commands/tokens.js';
import * as whatif from './commands/whatif.js';
import { programVersion } from './version.js';

export function makeProgram(): Command {
  const program = new Command('tidegate')
    .description('An API gateway whose traffic record is the product.')
    .version(programVersion())
    .showHelpAfterError('(tidegate help COMMAND tells more)');
  for (const command of [start, gateway, collector, restart, env, check, diff, config, whatif, status, report, requests, completeness, billing, keys, tokens, log, apps, importing, quarantine, rebuild, recover, gap, store]) command.register(program);
  return program;
}
