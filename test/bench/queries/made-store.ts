/**
 * A store full of made-up events, by the collector's own way: rows of a range -> staging file -> manifest -> INSERT with the range's token -> rollups by the
 * views. Killed at any moment and started again it goes on where it was: the range that the manifest names is made again, to the byte the same, and
 * inserted again, which the token makes exact.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DEFAULT_LIMITS, type PickedRows } from '../../../collector/log/picked-rows.js';
import { RangeInsert } from '../../../collector/log/range-insert.js';
import { readManifest, writeManifest, type Manifest } from '../../../collector/log/spool/manifest.js';
import { isStaged } from '../../../collector/log/staging.js';
import { openStore } from '../../../collector/store/open-store.js';
import type { Store } from '../../../collector/store/store.js';
import { makeFolder } from '../../../gateway/events/make-folder.js';
import { ProcessLock } from '../../../gateway/events/process-lock.js';
import { writeWhole } from '../../../gateway/events/write-whole.js';
import { cpuSeconds } from '../proc-cpu.js';
import { QUIET } from '../quiet-log.js';
import { grouped } from '../table.js';
import { NODE, RangeMaker } from './made-range.js';
import { DAYS, FIRST_MS, streamName, WORKERS } from './made-time.js';

const DAY_MS = 86_400_000;
/** Another way to make them is another number: a folder of the old way is not gone on with. */
const FORMAT = 1;
/** Of all tables, with the parts that merges have made one of and that go a minute later: 16 to 27 once all are merged, the more the fewer events there are. */
const DISK_BYTES_AN_EVENT = 40;
/** So much is left to others whatever the estimate says. */
const DISK_LEFT_BYTES = 1024 ** 3;

export interface MakeOptions {
  /** Absolute; as a collector's data_dir. */
  readonly folder: string;
  readonly events: number;
  /** Ends it after the insert under way. */
  readonly signal: AbortSignal;
  readonly progress: (done: number, all: number, what: string) => void;
  /** Of a range; the collector's own number where absent. */
  readonly rowsARange?: number;
}

/** What making took, over all runs that ended by themselves or by the signal; a killed run's part is in neither number. */
export interface MakingTimes {
  readonly events: number;
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

interface Noted { readonly format: number; readonly events: number; readonly rowsARange: number; readonly times: MakingTimes }

/** @throws Error: the folder holds other events, or the disk has too little room; AbortError; data_dir_in_use; what the store throws */
export async function makeStore(options: MakeOptions): Promise<MakingTimes> {
  const { folder, events, signal, rowsARange = DEFAULT_LIMITS.rows } = options;
  makeFolder(join(folder, 'collector'));
  const lock = ProcessLock.acquire(join(folder, 'collector.lock'));
  let store: Store | null = null;
  try {
    const noted = notedIn(folder, { format: FORMAT, events, rowsARange, times: { events: 0, wallSeconds: 0, cpuSeconds: 0 } });
    const manifest = readManifest(manifestPath(folder));
    const left = events - (manifest === null ? 0 : Math.min(events, manifest.range * rowsARange));
    mustHaveRoom(folder, left * DISK_BYTES_AN_EVENT);
    store = await openStore({ dataDir: folder, clickhouse: null, log: QUIET });
    const making = new Making({ ...options, rowsARange }, store);
    const times = makingTimes(noted.times);
    try {
      await making.run(manifest);
    } finally {
      if (making.made > 0) writeNoted(folder, { ...noted, times: times(making.made) });
    }
    signal.throwIfAborted();
    await mergeToTheEnd(store, signal, options.progress, events);
    return making.made > 0 ? times(making.made) : noted.times;
  } finally {
    await store?.close();
    lock.release();
  }
}

const manifestPath = (folder: string): string => join(folder, 'collector', 'manifest.json');

class Making {
  /** Events inserted by this process. */
  made = 0;
  readonly #options: Required<MakeOptions>;
  readonly #store: Store;
  readonly #maker: RangeMaker;
  readonly #inserts: RangeInsert;

  constructor(options: Required<MakeOptions>, store: Store) {
    this.#options = options;
    this.#store = store;
    this.#maker = new RangeMaker(options.events, options.rowsARange);
    this.#inserts = new RangeInsert(store, join(options.folder, 'collector'), QUIET);
  }

  /** @param manifest what an earlier process left; null: nothing */
  async run(manifest: Manifest | null): Promise<void> {
    // 0 rows: it had come to its end
    if (manifest?.rows === 0) return;
    const { folder, signal } = this.#options;
    if (manifest !== null) await this.#again(manifest);
    this.#inserts.clear();
    const began = performance.now();
    let next = (manifest?.range ?? 0) + 1;
    let rows = next <= this.#maker.ranges ? this.#maker.make(next) : null;
    for (; rows !== null && !signal.aborted; next++) {
      mustHaveRoom(folder, 0);
      const picked: PickedRows = rows;
      const inserting = this.#insert(next, picked);
      // what fails is told where it is waited for
      inserting.catch(() => undefined);
      // the engine works on threads of its own: the next rows are made meanwhile
      await nextTurn();
      rows = next < this.#maker.ranges ? this.#maker.make(next + 1) : null;
      await inserting;
      this.made += picked.rows;
      this.#show(next, (this.made * 1000) / (performance.now() - began));
    }
    if (rows === null) await this.#finish();
  }

  async #insert(range: number, picked: PickedRows): Promise<void> {
    const name = String(range);
    const staged = await this.#inserts.stage(name, picked, true);
    const manifest: Manifest = {
      format: 1, range, plan: this.#inserts.plan(`range-${range}`, picked), repeats: [], rows: picked.rows, ...staged,
      // no spool: where in it the rows lay is nowhere
      spans: picked.runs.map(({ stream, first, last }) => ({ stream, from: { segment: 0, offset: 0, seq: first }, to: { segment: 0, offset: 0, seq: last + 1 } })),
    };
    writeManifest(manifestPath(this.#options.folder), manifest);
    await this.#inserts.insert(manifest.plan, name, manifest.rows);
    this.#inserts.finished(name, picked, 0);
  }

  async #again(manifest: Manifest): Promise<void> {
    const name = String(manifest.range);
    if (!isStaged(this.#inserts.file(name), manifest)) {
      const { crc } = await this.#inserts.stage(name, this.#maker.make(manifest.range), true);
      if (crc !== manifest.crc) throw new Error(`range ${manifest.range} is not as it was made before: take another folder`);
    }
    await this.#inserts.insert(manifest.plan, name, manifest.rows);
  }

  /** The lives of the streams, as the collector notes them; then there is nothing to be made again. */
  async #finish(): Promise<void> {
    const values: string[] = [];
    for (let day = 0; day < DAYS; day++) {
      for (let worker = 0; worker < WORKERS; worker++) {
        const rows = this.#maker.time.rowsBefore(day, worker, this.#maker.time.beforeDay(day + 1));
        const [openedMs, sealedMs] = [FIRST_MS + day * DAY_MS, FIRST_MS + (day + 1) * DAY_MS];
        if (rows > 0) values.push(`(0x${streamName(day, worker)}, '${NODE}', ${worker + 1}, fromUnixTimestamp64Milli(${openedMs}), fromUnixTimestamp64Milli(${sealedMs}), ${rows - 1}, true)`);
      }
    }
    await this.#store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven) VALUES ${values.join(', ')}`);
    const last = readManifest(manifestPath(this.#options.folder));
    if (last !== null) writeManifest(manifestPath(this.#options.folder), { ...last, rows: 0 });
  }

  #show(range: number, rate: number): void {
    const { events, rowsARange, progress } = this.#options;
    const done = Math.min(events, range * rowsARange);
    progress(done, events, `${grouped(rate)} a second, ${Math.ceil((events - done) / rate)} s to go`);
  }
}

/**
 * Every partition to one part, as the engine itself leaves days that are long over.
 * @throws AbortError
 */
async function mergeToTheEnd(store: Store, signal: AbortSignal, progress: MakeOptions['progress'], events: number): Promise<void> {
  const partitions = await store.query<{ name: string; id: string }>(
    "SELECT table AS name, partition_id AS id FROM system.parts WHERE database = 'tidegate' AND active GROUP BY name, id HAVING count() > 1 ORDER BY name, id");
  for (const [i, { name, id }] of partitions.entries()) {
    signal.throwIfAborted();
    await store.command(`OPTIMIZE TABLE tidegate.${name} PARTITION ID '${id}' FINAL`);
    progress(events, events, `merging ${i + 1} of ${partitions.length} partitions`);
  }
}

/** Of a folder that is new: `wanted`, which is noted in it. @throws Error: it holds others */
function notedIn(folder: string, wanted: Noted): Noted {
  let text: string;
  try {
    text = readFileSync(notedPath(folder), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    if (readManifest(manifestPath(folder)) !== null) throw new Error(`${folder} is a collector's: events of its own are in it`, { cause: error });
    writeNoted(folder, wanted);
    return wanted;
  }
  const noted = JSON.parse(text) as Noted;
  if (noted.format !== wanted.format || noted.events !== wanted.events || noted.rowsARange !== wanted.rowsARange) {
    throw new Error(`${folder} holds ${grouped(noted.events)} made events (format ${noted.format}): ask for as many, or take another folder`);
  }
  return noted;
}

const notedPath = (folder: string): string => join(folder, 'made-events.json');
const writeNoted = (folder: string, noted: Noted): void => { writeWhole(notedPath(folder), 'w', Buffer.from(`${JSON.stringify(noted)}\n`), true); };

/** From now on, together with `before`. */
function makingTimes(before: MakingTimes): (made: number) => MakingTimes {
  const [beganMs, beganCpu] = [performance.now(), cpuSeconds([process.pid])];
  let now: MakingTimes | null = null;
  return (made) => now ??= {
    events: before.events + made, wallSeconds: before.wallSeconds + (performance.now() - beganMs) / 1000, cpuSeconds: before.cpuSeconds + cpuSeconds([process.pid]) - beganCpu,
  };
}

/** @throws Error: less than that is free, and what is left to others */
function mustHaveRoom(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free >= bytes + DISK_LEFT_BYTES) return;
  throw new Error(`the disk of ${folder} has ${gigabytes(free)} free, and ${gigabytes(bytes + DISK_LEFT_BYTES)} are needed: take another --folder, or fewer --events`);
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
