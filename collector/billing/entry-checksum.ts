/** Names and checksums of entries: made of what an entry says and of nothing else, so that the same entry has the same wherever and whenever it is made. */
import { createHash } from 'node:crypto';
import { ENTRY_FIELDS, type BillingEntry } from './entry.js';

/** @param parts what tells the entry from every other: its kind, its app, the day it is of, and of several of a day which. @returns 32 hexadecimal digits */
export function entryId(...parts: readonly (string | number)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

/** SHA-256 of the JSON array of an entry's fields in the order of ENTRY_FIELDS, but for the checksum itself. @returns 64 hexadecimal digits */
export function entryChecksum(entry: Omit<BillingEntry, 'checksum'>): string {
  const fields = ENTRY_FIELDS.flatMap((name) => (name === 'checksum' ? [] : [entry[name]]));
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex');
}
