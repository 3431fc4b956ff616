/** The log of what is measured: errors alone, on stderr. */
import type { SpoolLog } from '../../gateway/events/spool-log.js';

export const QUIET: SpoolLog & { debug(): void } = { debug() {}, info() {}, warn() {}, error(fields: object, message: string) { console.error(message, fields); } };
