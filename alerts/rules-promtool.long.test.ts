/** What Prometheus itself says of the rules in the repository. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { programPath, requires } from '../test/harness/requires.js';
import { filesOf, main, root, rulesFolder, testsFolder } from './rules-folders.fixture.js';

test('promtool takes the rules, shortened ones too, and the file of a Prometheus beside one node, and their tests pass', { skip: requires('prometheus'), timeout: 120_000 }, (t) => {
  const promtool = programPath('promtool') ?? '';
  const run = (...args: readonly string[]): void => {
    try {
      execFileSync(promtool, args, { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      assert.fail(`promtool ${args.slice(0, 2).join(' ')}:\n${stdout}\n${stderr}`);
    }
  };
  // it finds the rules by its path to them; a pattern that finds none is no error to promtool
  const beside = join(root, 'deploy', 'one-machine', 'prometheus.yml');
  run('check', 'config', beside);
  const { rule_files: [found = ''] = [], scrape_configs: jobs } = parse(readFileSync(beside, 'utf8')) as { rule_files?: string[]; scrape_configs: { job_name: string }[] };
  assert.equal(join(dirname(beside), found), join(rulesFolder, '*.yml'));
  assert.ok(jobs.some(({ job_name: name }) => name === 'tidegate'), 'the job that rules ask for');
  run('check', 'rules', '--lint=all', '--lint-fatal', ...filesOf(rulesFolder).map((name) => join(rulesFolder, name)));
  run('test', 'rules', ...filesOf(testsFolder).map((name) => join(testsFolder, name)));
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-rules-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  execFileSync(process.execPath, [...main, '--out', folder, '--factor', '60'], { stdio: 'pipe' });
  run('check', 'rules', ...filesOf(folder).map((name) => join(folder, name)));
});
