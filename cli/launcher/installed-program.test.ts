import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { installedProgram } from './installed-program.js';

const extension = extname(fileURLToPath(import.meta.url));

/** A folder with versions v1 and v2, each of a command line whose `check` does what `main` says, and the link by which it is started. */
function installed(main: string): { readonly folder: string; readonly link: string; readonly lead: (version: string) => void } {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-installed-'));
  for (const version of ['v1', 'v2']) {
    mkdirSync(join(folder, version, 'cli', 'launcher'), { recursive: true });
    writeFileSync(join(folder, version, 'package.json'), '{"type":"commonjs"}');
    writeFileSync(join(folder, version, 'cli', 'launcher', `worker-process${extension}`), '');
    writeFileSync(join(folder, version, 'cli', `main${extension}`), main);
    chmodSync(join(folder, version, 'cli', `main${extension}`), 0o755);
  }
  const link = join(folder, 'tidegate');
  return {
    folder, link,
    lead: (version) => {
      rmSync(link, { force: true });
      symlinkSync(join(folder, version, 'cli', `main${extension}`), link);
    },
  };
}

test('a link that leads to another version now is followed anew', () => {
  const { folder, link, lead } = installed('');
  try {
    lead('v1');
    assert.equal(installedProgram(link).entry('worker'), join(folder, 'v1', 'cli', 'launcher', `worker-process${extension}`));
    lead('v2');
    assert.equal(installedProgram(link).entry('worker'), join(folder, 'v2', 'cli', 'launcher', `worker-process${extension}`));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what was not started by the command line takes its own program', () => {
  const own = installedProgram(fileURLToPath(import.meta.url)).entry('collector');
  assert.ok(own.endsWith(join('cli', 'launcher', `collector-process${extension}`)), own);
  assert.equal(installedProgram('').entry('collector'), own);
});

test('a program that does not start, or does not take the configuration, is refused with what it says', async () => {
  const { folder, link, lead } = installed("if (process.argv[3] !== 'good.yaml') { console.log(process.argv[3] + ':3:1: Unknown key'); process.exit(1); }");
  try {
    lead('v1');
    const program = installedProgram(link);
    await program.check('good.yaml');
    await assert.rejects(program.check('bad.yaml'), { code: 'restart_failed', message: /bad\.yaml:3:1: Unknown key/ });
    rmSync(join(folder, 'v1', 'cli', `main${extension}`));
    await assert.rejects(program.check('good.yaml'), { code: 'restart_failed', message: /Cannot find module/ });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
