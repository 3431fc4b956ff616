/** A part of the raw events is damaged while the node is down, as a disk or a careless hand would. Only for an engine whose files lie on this machine. */
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FaultKind } from './fault.js';

const DAMAGES = {
  'count.txt emptied': (part) => { truncateSync(join(part, 'count.txt'), 0); },
  'checksums.txt cut': (part) => { cut(join(part, 'checksums.txt')); },
  'columns.txt flipped': (part) => { flip(join(part, 'columns.txt')); },
  'data cut': (part) => { cut(join(part, dataFileOf(part))); },
  'data flipped': (part) => { flip(join(part, dataFileOf(part))); },
  'the part removed': (part) => { rmSync(part, { recursive: true }); },
} as const satisfies Record<string, (part: string) => void>;

/** Who owns the files, and what keeps it from them. */
export interface StoreOwner {
  /** Of the engine: below it are `data/` and `store/`. */
  readonly storeDir: string;
  down(): Promise<void>;
  up(): void;
}

export function partFault(owner: StoreOwner): FaultKind {
  return {
    name: 'part damaged', missing: null, mayLose: true, damagesRaw: true,
    plan: (random) => {
      const [damage, which] = [random.pick(Object.keys(DAMAGES) as (keyof typeof DAMAGES)[]), random.next()];
      return {
        detail: `while it is down, of a part of events: ${damage}`,
        run: async () => {
          await owner.down();
          const parts = activeParts(join(owner.storeDir, 'data', 'tidegate', 'events'));
          const part = parts[Math.floor(which * parts.length)];
          if (part !== undefined) DAMAGES[damage](part);
          owner.up();
        },
      };
    },
  };
}

/** `<partition>_<first block>_<last block>_<level>`, less those that a later one holds: when nobody merges, they are what the engine will load. */
export function activeParts(table: string): string[] {
  if (!existsSync(table)) return [];
  const folder = realpathSync(table);
  const parts = readdirSync(folder).flatMap((name) => {
    const match = /^(\w+)_(\d+)_(\d+)_(\d+)(?:_(\d+))?$/.exec(name);
    return match === null ? [] : [{ name, partition: match[1], first: Number(match[2]), last: Number(match[3]), level: Number(match[4]), version: Number(match[5] ?? 0) }];
  });
  const holds = (a: (typeof parts)[number], b: (typeof parts)[number]): boolean => a !== b && a.partition === b.partition && a.first <= b.first && a.last >= b.last
    && (a.level > b.level || (a.level === b.level && a.version > b.version));
  return parts.filter((part) => !parts.some((other) => holds(other, part))).map(({ name }) => join(folder, name));
}

function dataFileOf(part: string): string {
  const files = readdirSync(part);
  return files.find((name) => name === 'data.bin') ?? files.find((name) => name.endsWith('.bin')) ?? 'columns.txt';
}

function cut(file: string): void {
  truncateSync(file, Math.floor(readFileSync(file).length / 2));
}

function flip(file: string): void {
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x15, at);
  writeFileSync(file, bytes);
}
