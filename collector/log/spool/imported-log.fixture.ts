/** Made logs to import, and how. */
import type { ImportOptions } from '../../../gateway/events/import/import-log.js';
import { silentLog } from '../random-events.fixture.js';

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A line of the combined format; the number makes it another than its neighbours. */
export function logLine(n: number, atMs: number): string {
  const [, year, month, day, clock] = /^(\d{4})-(\d\d)-(\d\d)T(.{8})/.exec(new Date(atMs).toISOString()) ?? [];
  return `10.${(n >> 8) & 255}.${n & 255}.7 - - [${day}/${MONTHS[Number(month) - 1]}/${year}:${clock} +0000] "GET /${n} HTTP/1.1" ${n % 7 === 0 ? 503 : 200} ${n} "-" "${'x'.repeat(120)}"\n`;
}

export const logOf = (lines: number, firstMs: number, stepMs: number, from = 0): string => Array.from({ length: lines }, (_, i) => logLine(from + i, firstMs + (from + i) * stepMs)).join('');

export const importOptions = (dataDir: string, file: string): ImportOptions => ({
  file, dataDir, node: 'a', service: 'site', app: 'acme', source: '', keepsPath: true, recordedClient: (address) => address, segmentBytes: 1024 * 1024, maxBytes: 1024 ** 3, log: silentLog,
  signal: new AbortController().signal, onProgress: () => undefined, onWaiting: () => undefined,
});
