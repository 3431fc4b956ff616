/**
 * What the supervisor leaves for the node's other processes in the run directory, which lives as long as the launcher and which only the
 * node's own user may enter: the configuration in force, with its secrets. A restarted supervisor starts from it where the file has
 * gone bad meanwhile.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadedConfig } from '../config/load.js';

/** `config.data_dir` is absolute, `config.node` set. */
export type ConfigInForce = LoadedConfig;

const CONFIG_FILE = 'config-in-force.json';

export const supervisorSocket = (runDir: string): string => join(runDir, 'supervisor.sock');
export const collectorSocket = (runDir: string): string => join(runDir, 'collector.sock');
export const collectorLagFile = (runDir: string): string => join(runDir, 'collector-caught-up');
/** A level that an operator has set for a while. */
export const logLevelFile = (runDir: string): string => join(runDir, 'log-level.json');
export const metricsBaseFile = (runDir: string): string => join(runDir, 'metrics-base.json');
export const spoolDirOf = (dataDir: string): string => join(dataDir, 'spool');

export function writeConfigInForce(runDir: string, inForce: ConfigInForce): void {
  const path = join(runDir, CONFIG_FILE);
  writeFileSync(`${path}.new`, JSON.stringify(inForce), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** Null: no supervisor of this run has been ready yet. */
export function readConfigInForce(runDir: string): ConfigInForce | null {
  try {
    return JSON.parse(readFileSync(join(runDir, CONFIG_FILE), 'utf8')) as ConfigInForce;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
