/** A data directory that is a copy of another, a backup that was put back: what was answered after the copy was made is not in it, and the record says so. */
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { IDENTITY_FILE, identityFile, isOf, noteSeen, readIdentity, type DirIdentity } from '../events/dir-identity.js';
import { GAP_WORKER } from '../events/event.js';
import { putGap } from '../events/gap-stream.js';
import { scanStreams } from '../events/spool.js';
import { spoolDirOf } from './run-files.js';

interface PutBackLog {
  warn(fields: object, message: string): void;
}

export interface TakenDirectory {
  readonly dataDir: string;
  readonly node: string;
  /** It answers requests: a collector alone has none that it could lack. */
  readonly serves: boolean;
  readonly log: PutBackLog;
}

/**
 * Once the directory is held, before anything of it is sealed, stored or shipped. Of a copy the gap is put first, and the directory made its own then: killed in between, the next
 * start finds the same copy, and puts the same gap again.
 * @throws data_dir_unusable: the gap cannot be put
 */
export function noticeCopy(directory: TakenDirectory, nowMs: number): void {
  const { dataDir, serves, log } = directory;
  try {
    const identity = readIdentity(dataDir);
    if (identity === null && identityFile(dataDir) !== null) log.warn({ file: join(dataDir, IDENTITY_FILE) }, 'the file is damaged: whether the data directory is a copy cannot be told');
    if (identity === null || isOf(dataDir, identity) || !serves) return;
    putBack(directory, identity, nowMs);
    noteSeen(dataDir, nowMs, true);
  } catch (cause) {
    throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
  }
}

function putBack({ dataDir, node, log }: TakenDirectory, identity: DirIdentity, nowMs: number): void {
  const spoolDir = spoolDirOf(dataDir);
  const reachedMs = recordReachedMs(spoolDir, identity);
  // the clock of the copy's machine may have been ahead of this one's
  const gap = { node, fromMs: Math.min(reachedMs, nowMs), toMs: Math.max(reachedMs, nowMs) };
  // found again after a kill, it is the same gap; another copy of the same moment has another
  const copy = identityFile(dataDir);
  const stream = putGap(spoolDir, gap, ['put back', copy?.inode ?? '', copy?.birthNs ?? '', String(identity.seenMs)]);
  const { code, remedy } = new TidegateError('data_dir_put_back', '');
  log.warn({ code, stream, data_dir: dataDir, from: new Date(gap.fromMs).toISOString(), to: new Date(gap.toMs).toISOString(), remedy }, 'the data directory is a copy that was put back: what was answered after the copy was made is missing in it');
}

/**
 * When the copy was made, at the earliest: of a directory whose node ran, files were copied one after another. A stream that was alive then is only known up to its mark.
 */
function recordReachedMs(spoolDir: string, { seenMs }: DirIdentity): number {
  const alive = scanStreams(spoolDir).flatMap(({ state }) => (state === null || state.seal !== null || state.worker >= GAP_WORKER ? [] : [Date.parse(state.markedAt)]));
  return Math.min(seenMs, ...alive);
}
