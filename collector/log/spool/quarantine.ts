/**
 * What cannot be read of the log: its bytes are copied to collector/quarantine/ with the reason in the store, and the collector goes on. Done again
 * after a crash, it overwrites the same file and the same row.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { UnreadableItem } from '../../../gateway/events/read-segment.js';
import { segmentPath } from '../../../gateway/events/segment.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import type { SpooledStream } from '../../../gateway/events/spool.js';
import type { Store } from '../../store/store.js';

const PIECE_BYTES = 1024 * 1024;

export async function quarantine(directory: string, store: Store, log: SpoolLog, source: SpooledStream, item: UnreadableItem): Promise<void> {
  const { segment, offset } = item.at;
  const reason = item.kind === 'newer' ? `version_${item.version}` : item.reason;
  const file = `${source.stream}-${segment}-${offset}.bin`;
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  copyRange(segmentPath(source.dir, segment), offset, item.toOffset, join(directory, file));
  await store.command(
    `INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file)
     SELECT 0x${source.stream}, {segment:UInt32}, {from:UInt64}, {to:UInt64}, {reason:String}, {file:String}`,
    { segment, from: offset, to: item.toOffset, reason, file },
  );
  const code = item.kind === 'newer' ? 'spool_version' : 'spool_corrupt';
  log.error({ code, stream: source.stream, segment, offset, bytes: item.toOffset - offset, reason, file }, 'part of the log cannot be read: it went to quarantine');
}

function copyRange(from: string, start: number, end: number, to: string): void {
  const source = openSync(from, 'r');
  try {
    const target = openSync(`${to}.tmp`, 'w', 0o640);
    try {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, Math.max(1, end - start)));
      for (let at = start; at < end;) {
        const read = readSync(source, piece, 0, Math.min(piece.length, end - at), at);
        if (read === 0) break;
        for (let done = 0; done < read;) done += writeSync(target, piece, done, read - done);
        at += read;
      }
      fsyncSync(target);
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
  renameSync(`${to}.tmp`, to);
}
