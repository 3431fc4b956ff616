/**
 * The node's run directory: its Unix sockets, and the configuration in force with its secrets. It is the user's own (0700), and goes with the launcher;
 * those of launchers that were killed are removed at the next start. The launcher's children end with it, by the end of the pipe between them, so its own
 * death is asked for and not theirs.
 */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive, ownIdentity, pidNamespace, type ProcessIdentity } from '../../gateway/events/process-life.js';

const PREFIX = 'tidegate-';
const NAME = /^tidegate-[A-Za-z0-9]{6}$/;
const OWNER = 'launcher.json';
/** A folder without a launcher's name is just being made, or its maker died in the moment between the two. */
const UNNAMED_MS = 3_600_000;

interface Owner extends ProcessIdentity {
  /** The pid means a process of this namespace: of a container that shares this folder, nothing can be told. null: the system has none. */
  readonly pidNamespace: string | null;
}

/** Makes a new one, and removes what dead launchers of this user have left in `parent`. `uid`: of this user; null: the system has none */
export function newRunDir(parent: string = tmpdir(), uid: number | null = process.getuid?.() ?? null): string {
  for (const name of namesIn(parent)) {
    if (NAME.test(name)) removeIfDead(join(parent, name), uid);
  }
  const runDir = mkdtempSync(join(parent, PREFIX));
  const owner: Owner = { ...ownIdentity(), pidNamespace: pidNamespace() };
  writeFileSync(join(runDir, OWNER), JSON.stringify(owner), { mode: 0o600 });
  return runDir;
}

/** A folder that may be written to and not listed (mode 1733) holds leftovers, and nothing worse. */
function namesIn(parent: string): readonly string[] {
  try {
    return readdirSync(parent);
  } catch {
    return [];
  }
}

/** What cannot be read, or is not this user's, is left alone. */
function removeIfDead(runDir: string, uid: number | null): void {
  try {
    const stat = lstatSync(runDir);
    if (!stat.isDirectory() || stat.uid !== uid) return;
    const owner = readOwner(runDir);
    const dead = owner === null ? Date.now() - stat.mtimeMs > UNNAMED_MS : owner.pidNamespace === pidNamespace() && !isAlive(owner.pid, owner.pidStart, owner.bootId);
    if (dead) rmSync(runDir, { recursive: true, force: true });
  } catch {
    // going, or not to be entered
  }
}

/** Null: no launcher has put its name in, or not whole. */
function readOwner(runDir: string): Owner | null {
  try {
    return JSON.parse(readFileSync(join(runDir, OWNER), 'utf8')) as Owner;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
