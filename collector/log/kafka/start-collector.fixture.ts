/** Starts collector-to-kill.fixture.ts in a process of its own, and ends it with this one. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { CollectorToKill } from './collector-to-kill.fixture.js';

const CHILD = fileURLToPath(new URL(`./collector-to-kill.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

export function startCollector(options: CollectorToKill): ChildProcess {
  const child = spawn(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit'] });
  const end = (): void => { child.kill('SIGKILL'); };
  process.once('exit', end);
  child.once('exit', () => { process.removeListener('exit', end); });
  return child;
}
