/**
 * The node's run directory: its Unix sockets, and the configuration in force with its secrets. It is the user's own (0700), and goes with the launcher;
 * those of launchers that were killed together with all their children are removed at the next start.
 */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive, ownIdentity } from '../../gateway/events/process-life.js';

const PREFIX = 'tidegate-';
const NAME = /^tidegate-[A-Za-z0-9]{6}$/;
const OWNER = 'launcher.json';

/** Makes a new one, and removes what dead launchers of this user have left in `parent`. */
export function newRunDir(parent: string = tmpdir()): string {
  for (const name of readdirSync(parent)) {
    if (NAME.test(name)) removeIfDead(join(parent, name));
  }
  const runDir = mkdtempSync(join(parent, PREFIX));
  writeFileSync(join(runDir, OWNER), JSON.stringify(ownIdentity()), { mode: 0o600 });
  return runDir;
}

/** What cannot be read, or is not this user's, is left alone. */
function removeIfDead(runDir: string): void {
  try {
    const stat = lstatSync(runDir);
    if (!stat.isDirectory() || stat.uid !== process.getuid?.()) return;
    const { pid, pidStart, bootId } = JSON.parse(readFileSync(join(runDir, OWNER), 'utf8')) as ReturnType<typeof ownIdentity>;
    if (!isAlive(pid, pidStart, bootId)) rmSync(runDir, { recursive: true, force: true });
  } catch {
    // just being made, or going
  }
}
