/** What Kafka is told of a stream besides its frames, and the name that a data directory goes by in it. */
import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StreamFacts } from '../chunk.js';
import type { StreamDrops } from '../drop-page.js';
import type { SpoolLog } from '../spool-log.js';
import type { StreamState } from '../stream-state.js';

const INSTANCE_FILE = 'instance';

/** The random name of this data directory: made once, 32 hexadecimal digits. Where it cannot be kept, one for this life. */
export function instanceOf(dataDir: string, log: SpoolLog): string {
  const path = join(dataDir, INSTANCE_FILE);
  const made = randomBytes(16).toString('hex');
  try {
    const text = readKept(path);
    if (text !== null) return text;
    writeFileSync(`${path}.tmp`, `${made}\n`, { mode: 0o640 });
    renameSync(`${path}.tmp`, path);
  } catch (error) {
    log.error({ file: path, err: error }, 'the name of the data directory cannot be kept: it will be another after a restart');
  }
  return made;
}

function readKept(path: string): string | null {
  try {
    return /^[0-9a-f]{32}(?=\s*$)/.exec(readFileSync(path, 'utf8'))?.[0] ?? null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export function factsOf(state: StreamState, drops: StreamDrops | null, instance: string, shippedSeq: number): StreamFacts {
  const { stream, node, worker, openedAt, lastSeq, markedAt, seal } = state;
  return {
    format: 1, stream, node, instance, worker, openedAt, lastSeq, shippedSeq, markedAt,
    seal: seal === null ? null : { sealedAt: seal.sealedAt, lastSeq: seal.lastSeq, proven: seal.proven },
    drops: (drops?.apps ?? []).filter(({ rows }) => rows > 0).map(({ app, rows, firstMs, lastMs }) => ({ app, rows, firstMs, lastMs })),
  };
}
