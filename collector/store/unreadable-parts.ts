/**
 * Parts that the engine holds and cannot read: a byte of a column changed on disk, say. What it finds damaged when it starts it sets aside by itself; such a part it loads, and then each
 * statement and each merge that reads the part fails for as long as it is there. One of `events` is set aside here too: its rows are then missing by what was stored of their day (ADR 0044),
 * and everything else can be read again. Of no other table: nothing would tell that their rows are missing.
 */
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ERROR_CODES } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import type { Store } from './store.js';
import { engineCode } from './store-error.js';

/**
 * A file does not hold what was written: ATTEMPT_TO_READ_AFTER_EOF, CANNOT_READ_ALL_DATA, TOO_LARGE_SIZE_COMPRESSED, CHECKSUM_DOESNT_MATCH, UNKNOWN_COMPRESSION_METHOD, CORRUPTED_DATA,
 * CANNOT_DECOMPRESS, UNKNOWN_CODEC. Not that it cannot be read just now: those of the system (107 FILE_DOESNT_EXIST, 74, 75, 76: EIO, too many open files) and of memory (241) may be over in a moment.
 */
const DAMAGED: ReadonlySet<string> = new Set(['32', '33', '39', '40', '89', '246', '271', '432']);

const CODE = 'store_part_unreadable';

interface Place { readonly uuid: string; readonly name: string }
interface Part { readonly table: string; readonly name: string; readonly rows: number; readonly path: string }

/** Where a part is that the engine could not read; null: it says nothing of damage in one. It names the file in its message, and nowhere else. */
export function damagedPlace(code: string, message: string): Place | null {
  if (!DAMAGED.has(code)) return null;
  const [, uuid, name] = /\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/(\w+_\d+_\d+_\d+(?:_\d+)?)\//.exec(message) ?? [];
  return uuid === undefined || name === undefined ? null : { uuid, name };
}

/** What CHECK TABLE says of a part. */
export function isDamage({ is_passed: passed, message }: { readonly is_passed: number; readonly message: string }): boolean {
  return Number(passed) === 0 && DAMAGED.has(/^Code: (\d+)\./.exec(message)?.[1] ?? '');
}

export class UnreadableParts {
  readonly #store: Pick<Store, 'command' | 'query'>;
  readonly #log: SpoolLog;
  /** By code: how often the engine had met it when it was last looked at. */
  readonly #met = new Map<string, number>();
  #line: Promise<unknown> = Promise.resolve();

  /** @param store its errors must not come here */
  constructor(store: Pick<Store, 'command' | 'query'>, log: SpoolLog) {
    this.#store = store;
    this.#log = log;
  }

  /** What to answer with, once it is seen to; null: the error is none of a damaged part. Of many that meet a part at once the first sees to it. Never throws. */
  after(error: unknown): Promise<TidegateError | null> {
    const place = damagedPlace(engineCode(error), error instanceof Error ? error.message : '');
    if (place === null) return Promise.resolve(null);
    const seen = this.#line.then(() => this.#seeTo(place, (error as Error).message));
    this.#line = seen;
    return seen.then((what) => new TidegateError(CODE, what, { cause: error }));
  }

  /** The same of what merges have met since. @throws what the store throws */
  async look(): Promise<void> {
    const errors = await this.#store.query<{ code: string; times: number; message: string }>(
      `SELECT toString(code) AS code, value AS times, last_error_message AS message FROM system.errors WHERE NOT remote AND code IN (${[...DAMAGED].join(', ')})`);
    for (const { code, times, message } of errors) {
      if (this.#met.get(code) === times) continue;
      this.#met.set(code, times);
      const place = damagedPlace(code, message);
      if (place !== null) await (this.#line = this.#line.then(() => this.#seeTo(place, message)));
    }
  }

  /** @returns what became of it, for whoever asked: an app may have */
  async #seeTo(place: Place, reason: string): Promise<string> {
    const remedy = ERROR_CODES[CODE].remedy;
    try {
      const [part] = await this.#store.query<Part>(
        `SELECT table, name, rows, path FROM system.parts WHERE database = 'tidegate' AND active AND name = {name:String} AND position(path, {folder:String}) > 0`, { name: place.name, folder: `/${place.uuid}/${place.name}/` });
      // merged away, or set aside for another who met it
      if (part === undefined) return 'A part of the store could not be read, and is not in use any more.';
      const { table, name, rows } = part;
      const line = { code: CODE, table, part: name, rows: Number(rows), reason, remedy };
      if (table !== 'events') {
        this.#log.error(line, 'a part of the store cannot be read; it stays in its place');
        return `A part of ${table} cannot be read.`;
      }
      const [check] = await this.#store.query<{ is_passed: number; message: string }>(`CHECK TABLE tidegate.events PART '${name}' SETTINGS check_query_single_value_result = 0`);
      if (check === undefined || !isDamage(check)) {
        this.#log.warn({ ...line, detail: check?.message ?? '' }, 'a part of the store could not be read, and is not damaged as far as the engine can tell');
        return 'A part of the raw events could not be read just now.';
      }
      await this.#store.command(`ALTER TABLE tidegate.events DETACH PART '${name}'`);
      await markBroken(part);
      this.#log.error(line, 'a part of the store cannot be read: it was set aside, and its rows are missing in their day');
      return 'A part of the raw events cannot be read, and was set aside.';
    } catch (error) {
      this.#log.error({ err: error, code: CODE, part: place.name, reason, remedy }, 'a part of the store cannot be read, and could not be set aside; it is tried again when it is met again');
      return 'A part of the store cannot be read.';
    }
  }
}

/** As the engine calls such a part: without the prefix it would look like one that an administrator detached, and ATTACH PARTITION would take it back. */
async function markBroken({ path, name }: Part): Promise<void> {
  const detached = join(dirname(path.replace(/\/$/, '')), 'detached');
  // it is set aside under either name
  await rename(join(detached, name), join(detached, `broken_${name}`)).catch(() => undefined);
}
