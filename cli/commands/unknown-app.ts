import { TidegateError } from '../../errors/tidegate-error.js';
import type { ControlClient } from '../control-client.js';
import { printable } from '../render/terminal.js';

/** What has no rows may be of a name misspelt: said on standard error, where the token may ask which apps there are. */
export async function noteUnknownApps(client: ControlClient, apps: readonly string[]): Promise<void> {
  for (const app of apps) {
    try {
      await client.get(`/v1/apps/${encodeURIComponent(app)}`);
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      if (error.code === 'not_found') console.error(`Note: the configuration in force has no app ${printable(app)}.`);
    }
  }
}
