/** Where a command finds the configuration that nobody named. */
import { accessSync, constants, existsSync } from 'node:fs';
import { TidegateError } from '../errors/tidegate-error.js';

/** In the folder where the command runs. */
const HERE = 'tidegate.yaml';
/** Of the node that runs as a service. */
const OF_SERVICE = '/etc/tidegate/tidegate.yaml';

/** For the help of `-c`. */
export const CONFIG_PLACES = `./${HERE}, else ${OF_SERVICE}`;

/** @param ofService null: only what stands here counts. @returns null: there is none that this user may read */
export function findConfigFile(ofService: string | null = OF_SERVICE): string | null {
  if (existsSync(HERE)) return HERE;
  return ofService !== null && isReadable(ofService) ? ofService : null;
}

/** @throws config_unreadable: none was named, and there is none */
export function configFile(given: string | undefined, ofService: string = OF_SERVICE): string {
  const file = given ?? findConfigFile(ofService);
  if (file === null) throw new TidegateError('config_unreadable', `there is neither ${HERE} in this folder nor ${ofService} that can be read; -c FILE names another one`);
  return file;
}

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
