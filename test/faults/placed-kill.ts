/**
 * Kills a process of a running node at a place that a kill from outside cannot meet, without a seam in the product: loaded into every child
 * (NODE_OPTIONS=--import), it stands between the code and node:fs. An order is an empty file `<role>.<place>[.<delay ms>]` in the
 * folder TIDEGATE_TEST_ORDERS; the process that comes by takes it away and dies there by SIGKILL.
 *
 *   worker.after-write      the rows are in the spool, no answer has gone
 *   worker.mid-frame        half a frame is in the spool
 *   supervisor.after-grant  the ledger's journal has the grant, the worker has not
 *   supervisor.mid-seal     the seal is written beside the state, and not in its place
 *   collector.after-manifest, collector.mid-insert.<ms>, collector.after-insert, collector.before-delete
 *   collector.between-raw-and-rollup  the engine has just put the raw rows' part into its place
 *
 * A collector also notes what the one before it left (found-at-start.ts).
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { noteFound } from './found-at-start.js';

const orders = process.env['TIDEGATE_TEST_ORDERS'];
const role = /(worker|supervisor|collector)-process\.[jt]s$/.exec(basename(process.argv[1] ?? ''))?.[1];
/** Orders that lie there for this role, looked at often: a look at every write would change what is tested. */
let lying: readonly string[] = [];

function taken(place: string): { readonly delayMs: number } | null {
  const name = lying.find((candidate) => candidate === `${String(role)}.${place}` || candidate.startsWith(`${String(role)}.${place}.`));
  if (name === undefined || orders === undefined) return null;
  try {
    fs.unlinkSync(join(orders, name));
  } catch {
    return null;
  }
  return { delayMs: Number(name.split('.')[2] ?? 0) };
}

const die = (): void => { process.kill(process.pid, 'SIGKILL'); };

/**
 * Dies when a part that an insert made (level 0: the name's last number) has come into its place in the table. The engine works on threads of its
 * own meanwhile, and flushes each part to disk, so the parts of the tables behind this one take a few ms more.
 */
function dieAtNewPart(table: string): void {
  const parts = (): string[] => fs.readdirSync(table).filter((name) => /^\d+_\d+_\d+_0$/.test(name));
  const before = new Set(parts());
  const look = (): void => {
    if (parts().some((name) => !before.has(name))) die();
    setImmediate(look);
  };
  look();
}

if (role === 'collector' && orders !== undefined) await noteFound(orders, process.env['TIDEGATE_CONFIG'] ?? '');

if (orders !== undefined && role !== undefined) {
  setInterval(() => {
    try {
      lying = fs.readdirSync(orders).filter((name) => name.startsWith(`${role}.`));
    } catch {
      lying = [];
    }
  }, 3).unref();
  const paths = new Map<number, string>();
  const { openSync, writeSync, renameSync, unlinkSync } = fs;
  const patched = fs as unknown as Record<string, unknown>;
  patched['openSync'] = (path: fs.PathLike, ...rest: unknown[]): number => {
    const fd = (openSync as (...args: unknown[]) => number)(path, ...rest);
    paths.set(fd, String(path));
    return fd;
  };
  patched['writeSync'] = (fd: number, bytes: Buffer, ...rest: unknown[]): number => {
    const write = writeSync as (...args: unknown[]) => number;
    const path = paths.get(fd) ?? '';
    if (lying.length === 0) return write(fd, bytes, ...rest);
    const segment = path.endsWith('.seg');
    if (segment && Buffer.isBuffer(bytes) && taken('mid-frame') !== null) {
      const [offset = 0, length = bytes.length, position] = rest as number[];
      write(fd, bytes, offset, length >> 1, position);
      die();
    }
    const written = write(fd, bytes, ...rest);
    if (segment && taken('after-write') !== null) die();
    if (path.includes('/ledger/') && taken('after-grant') !== null) die();
    return written;
  };
  patched['renameSync'] = (from: fs.PathLike, to: fs.PathLike): void => {
    if (String(to).endsWith('state.json') && lying.length > 0 && fs.readFileSync(from, 'utf8').includes('sealedAt') && taken('mid-seal') !== null) die();
    renameSync(from, to);
    if (!String(to).endsWith('manifest.json')) return;
    if (taken('after-manifest') !== null) die();
    const soon = taken('mid-insert');
    if (soon !== null) setTimeout(die, soon.delayMs);
    if (taken('between-raw-and-rollup') !== null) dieAtNewPart(join(dirname(String(to)), '..', 'store', 'data', 'tidegate', 'events'));
  };
  patched['unlinkSync'] = (path: fs.PathLike): void => {
    const staging = String(path).includes('/staging/');
    if (staging && taken('after-insert') !== null) die();
    unlinkSync(path);
    if (staging && taken('before-delete') !== null) die();
  };
  syncBuiltinESMExports();
}
