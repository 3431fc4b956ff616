/** Damages a part of a chDB store that is closed, as a disk would. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The engine notices them when it starts, and of the last nothing is left. */
export const PART_DAMAGES = ['count.txt emptied', 'checksums.txt cut', 'data.bin cut', 'columns.txt flipped', 'part removed'] as const;
/** The last it notices when it reads the part. */
export type PartDamage = (typeof PART_DAMAGES)[number] | 'data.bin flipped';

/** Of a table only. */
const COLUMN_OF: Readonly<Record<string, string>> = { events: '`seq_off`', stored_days: '`rows`', traffic_minute: '`status_class`' };

/** Directories of the parts of a table that are there, by name. @param path the store's directory */
export function partsOf(path: string, table: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const groups = join(path, 'store');
  for (const group of readdirSync(groups)) {
    for (const folder of readdirSync(join(groups, group))) {
      const parts = join(groups, group, folder);
      for (const name of readdirSync(parts)) {
        const columns = join(parts, name, 'columns.txt');
        if (existsSync(columns) && readFileSync(columns, 'latin1').includes(COLUMN_OF[table] ?? '')) found.set(name, join(parts, name));
      }
    }
  }
  return found;
}

export function damagePart(path: string, table: string, name: string, damage: PartDamage): void {
  const part = partsOf(path, table).get(name);
  if (part === undefined) throw new Error(`no part ${name} of ${table}: ${[...partsOf(path, table).keys()].join(', ')}`);
  const cut = (file: string): void => { truncateSync(join(part, file), Math.floor(statSync(join(part, file)).size / 2)); };
  switch (damage) {
    case 'count.txt emptied': truncateSync(join(part, 'count.txt'), 0); return;
    case 'checksums.txt cut': cut('checksums.txt'); return;
    // a part of few bytes has all its columns in one file, a larger one a file for each
    case 'data.bin cut': cut(existsSync(join(part, 'data.bin')) ? 'data.bin' : 'ordinal.bin'); return;
    case 'data.bin flipped': {
      const file = join(part, existsSync(join(part, 'data.bin')) ? 'data.bin' : 'ordinal.bin');
      const bytes = readFileSync(file);
      // so many that each column is hit, whichever a statement reads
      for (let at = 16; at < bytes.length; at += 32) bytes[at] = (bytes[at] ?? 0) ^ 0x15;
      writeFileSync(file, bytes);
      return;
    }
    case 'columns.txt flipped': {
      const text = readFileSync(join(part, 'columns.txt'));
      for (let at = 20; at < 60; at++) text[at] = (text[at] ?? 0) ^ 0x15;
      writeFileSync(join(part, 'columns.txt'), text);
      return;
    }
    case 'part removed': rmSync(part, { recursive: true }); return;
  }
}
