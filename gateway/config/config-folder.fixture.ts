/** A folder of its own with a configuration file in it, removed at the test's end. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';

export interface ConfigFolder {
  readonly dir: string;
  readonly file: string;
  readonly write: (name: string, content: string | Uint8Array) => string;
}

export function configFolder(t: TestContext, yaml = ''): ConfigFolder {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'tidegate-config-')));
  t.after(() => { rmSync(dir, { recursive: true, force: true }); });
  const write = (name: string, content: string | Uint8Array): string => {
    const path = join(dir, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  return { dir, file: write('tidegate.yaml', yaml), write };
}

/** The least that is a configuration; `rest` follows at the top level. 3 lines. */
export const LISTENER = 'version: 1\nlisteners:\n  http: { address: "127.0.0.1:0" }\n';

export const hash = (digit: string): string => digit.repeat(64);
