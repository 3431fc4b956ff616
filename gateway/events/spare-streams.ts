/**
 * Streams made beforehand, with real bytes, so that a worker can open one on a disk that has no room left: without a tally it could not answer for what
 * it drops. A spare is a whole stream directory but for its name and its state:
 *
 *   spool/spare-<stream>/   state.json and partition.json (blank, of the size that they will have), drops, 00000001.seg (its header)
 *
 * The supervisor makes them while there is room. Taking one needs none: two renames, and the state written in place.
 */
import { readdirSync, renameSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DropPage } from './drop-page.js';
import { openStreamFolder } from './open-stream-folder.js';
import { prepareFirstSegment } from './segment-writer.js';
import { createPlace } from './shipper/ship-place.js';
import { OPENING_PREFIX } from './spool.js';
import { createState, overwriteState, type StreamState } from './stream-state.js';

const SPARE_NAME = /^spare-([0-9a-f]{16})$/;

export interface TakenSpare {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly drops: DropPage;
}

/** Streams that are spare, by name. */
export function spareStreams(spoolDir: string): string[] {
  return readdirSync(spoolDir).flatMap((name) => SPARE_NAME.exec(name)?.[1] ?? []);
}

/** Throws what the file system says, and leaves nothing behind. */
export function makeSpare(spoolDir: string): void {
  const stream = randomBytes(8).toString('hex');
  openStreamFolder(spoolDir, stream, (opening) => {
    createState(opening, null);
    createPlace(opening);
    DropPage.create(opening, stream).close();
    prepareFirstSegment(opening, stream);
  }, { as: spareName(stream) });
}

/**
 * Opens a spare as the stream that it was made for; null: there is none. Throws what the file system says.
 * @param stateOf the state to write, by stream
 */
export function takeSpare(spoolDir: string, stateOf: (stream: string) => StreamState): TakenSpare | null {
  for (const stream of spareStreams(spoolDir)) {
    const opening = join(spoolDir, OPENING_PREFIX + stream);
    try {
      // whoever renames it has it
      renameSync(join(spoolDir, spareName(stream)), opening);
      overwriteState(opening, stateOf(stream));
      const drops = DropPage.open(opening, stream);
      renameSync(opening, join(spoolDir, stream));
      return { stream, drops };
    } catch (error) {
      // another worker's, or swept away as a leftover between the renames: the next one
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return null;
}

function spareName(stream: string): string {
  return `spare-${stream}`;
}
