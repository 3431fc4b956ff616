import { closeSync, constants, fstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../events/make-folder.js';

const MODE = 0o640;
const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK, O_NOCTTY } = constants;
/** linux/magic.h: of /proc and /sys, whose files call themselves regular, and to write to one does something. */
const NO_DISKS: ReadonlySet<number> = new Set([0x9fa0, 0x62656572]);

/** `why`: the system's code, or in words what is there instead. */
export type OpenedLogFile = { readonly fd: number } | { readonly fd: null; readonly why: string };

/**
 * Opens a log file to append to; its folder is made. A path out of a configuration may lead anywhere: what is no regular file is not opened (to open a device can
 * do something), and a FIFO that nobody reads is not waited for. Never throws.
 */
export function openLogFile(path: string): OpenedLogFile {
  try {
    makeFolder(dirname(path));
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory() === true) return { fd: null, why: 'it is a folder' };
    if (found !== undefined && (!found.isFile() || NO_DISKS.has(statfsSync(path).type))) return { fd: null, why: 'it is not a regular file' };
    const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, MODE);
    if (fstatSync(fd).isFile()) return { fd };
    // another has taken its name meanwhile
    closeSync(fd);
    return { fd: null, why: 'it is not a regular file' };
  } catch (error) {
    return { fd: null, why: (error as NodeJS.ErrnoException).code ?? String(error) };
  }
}
