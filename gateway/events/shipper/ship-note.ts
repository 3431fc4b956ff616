/**
 * shipped.json in a stream's directory: how much of each segment Kafka has acknowledged.
 *
 *   { "format": 2, "acked": { "1": 67108864, "7": 4096 } }
 *
 * `acked`: of segment (by its index), bytes from its start; segments that are not named have 0. Segments may be ahead of earlier ones.
 *
 * An old note, or none, is harmless: what was acknowledged after it is sent again, to the same place (ship-place.ts), and recognised by who reads
 * it. So it is not flushed to disk.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const SHIPPED_FILE = 'shipped.json';

/** By segment: bytes from its start. */
export type Acked = Readonly<Record<string, number>>;

/** Empty: nothing of the stream was acknowledged, or the note cannot be read. */
export function readAcked(streamDir: string): Acked {
  try {
    const { format, acked } = JSON.parse(readFileSync(join(streamDir, SHIPPED_FILE), 'utf8')) as Record<string, unknown>;
    const sound = format === 2 && typeof acked === 'object' && acked !== null && Object.values(acked).every(isSize);
    return sound ? acked as Acked : {};
  } catch {
    return {};
  }
}

/** By rename. Throws what the file system says. */
export function writeAcked(streamDir: string, acked: Acked): void {
  const path = join(streamDir, SHIPPED_FILE);
  const temporary = `${path}.tmp`;
  try {
    writeFileSync(temporary, JSON.stringify({ format: 2, acked }), { mode: 0o640 });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const isSize = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
