/**
 * What a collector of the spool has left: its manifest names a range whose insert nobody may know the end of. Before that is settled nothing of the spool may
 * go to Kafka: a collector elsewhere would store the range a second time, because half an insert is not in the coverage, and the segments
 * would go that the insert may have to be made again from.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../../errors/tidegate-error.js';

/** @throws TidegateError ship_spool_unfinished: its rows are set to 0 by a collector that reads Kafka, once it has made that insert again */
export function checkSpoolFinished(dataDir: string): void {
  const path = join(dataDir, 'collector', 'manifest.json');
  let rows: unknown;
  try {
    ({ rows } = JSON.parse(readFileSync(path, 'utf8')) as { readonly rows?: unknown });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw new TidegateError('ship_spool_unfinished', `${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (rows !== 0) throw new TidegateError('ship_spool_unfinished', `${path} names a range that a collector has to finish first`);
}
