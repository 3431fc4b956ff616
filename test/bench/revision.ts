/** Another revision of this repository, built beside this one to be measured against it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from './package-root.js';

/** Its sources, with the packages that are installed here, compiled into `folder`. @throws Error: what git or the compiler said */
export function buildRevision(revision: string, folder: string): void {
  const root = packageRoot();
  const run = (command: string, args: readonly string[]): string => {
    try {
      return execFileSync(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
    } catch (error) {
      const { stdout, stderr, message } = error as Error & { readonly stdout?: string | null; readonly stderr?: string | null };
      throw new Error(`${revision} cannot be built: ${`${stderr ?? ''}${stdout ?? ''}`.trim() || message}`, { cause: error });
    }
  };
  const commit = run('git', ['rev-parse', '--verify', '--end-of-options', `${revision}^{commit}`]).trim();
  mkdirSync(folder);
  const archive = join(folder, 'revision.tar');
  run('git', ['archive', '--output', archive, commit]);
  run('tar', ['-xf', archive, '-C', folder]);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(folder, 'tsconfig.json')]);
}
