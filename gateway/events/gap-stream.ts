/**
 * A gap in the record: an empty stream that was sealed unproven, from the last time that the record is known to reach to, until it goes on. Nobody writes it. It goes the way of
 * every stream, by the spool or through Kafka, into what is noted of streams, and the days that it touches are not complete (docs/decisions/0046-copies-of-a-data-directory.md).
 */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GAP_WORKER } from './event.js';
import { openStreamFolder } from './open-stream-folder.js';
import { ownIdentity } from './process-life.js';
import { createPlace } from './shipper/ship-place.js';
import { createState, flushDirectory, writeState, type StreamState } from './stream-state.js';

export interface Gap {
  readonly node: string;
  /** ms since the epoch. What was answered between the two may be missing. */
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Puts it into the spool; on disk when it returns. The same again changes nothing but its times.
 * @param cause what makes it the same one @returns the stream. Throws what the file system says
 */
export function putGap(spoolDir: string, { node, fromMs, toMs }: Gap, cause: readonly string[]): string {
  const stream = createHash('sha256').update(JSON.stringify([node, ...cause])).digest('hex').slice(0, 16);
  const [openedAt, sealedAt] = [fromMs, toMs].map((ms) => new Date(ms).toISOString()) as [string, string];
  const state: StreamState = {
    format: 1, stream, node, worker: GAP_WORKER, ...ownIdentity(), openedAt, lastSeq: -1, markedAt: sealedAt, seal: { sealedAt, lastSeq: -1, proven: false, segments: [] },
  };
  const dir = join(spoolDir, stream);
  if (existsSync(dir)) {
    writeState(dir, state, true);
    return stream;
  }
  openStreamFolder(spoolDir, stream, (opening) => {
    createState(opening, state);
    createPlace(opening);
  }, { opening: `${stream}.${randomBytes(4).toString('hex')}` });
  flushDirectory(spoolDir);
  return stream;
}
