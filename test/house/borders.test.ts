/** The lint rules that hold the house together fire where they should: a rule that silently stopped matching would look like clean code. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

const root = repositoryRoot(dirname(fileURLToPath(import.meta.url)));
const eslint = new ESLint({ cwd: root });
/** The same without the rules that ask for types, which cost a second a file. */
const untyped = new ESLint({ cwd: root, overrideConfig: [{ files: ['**/*.ts'], ...tseslint.configs.disableTypeChecked }] });

/** Rules that `code`, standing in the existing file `path`, breaks. */
async function broken(path: string, code: string, linter = untyped): Promise<string[]> {
  const [result] = await linter.lintText(code, { filePath: join(root, path) });
  const messages = result?.messages ?? [];
  assert.deepEqual(messages.filter((message) => message.fatal), [], 'it could not be linted at all');
  return messages.map((message) => message.ruleId ?? message.message);
}

/** The ways one module can name another. */
const imports = (path: string): Readonly<Record<string, string>> => ({
  'import': `import { x } from '${path}';\nexport const y: unknown = x;\n`,
  'import type': `import type { X } from '${path}';\nexport type Y = X;\n`,
  'export from': `export { x } from '${path}';\n`,
  'import()': `export const y: unknown = await import('${path}');\n`,
  'import() of a template': `export const y: unknown = await import(\`${path}\`);\n`,
  'the type import()': `export type Y = import('${path}').X;\n`,
  'import = require()': `import x = require('${path}');\nexport const y: unknown = x;\n`,
});

for (const [from, to, allowed] of [
  ['gateway/exchange.ts', '../collector/store/store.js', false],
  ['gateway/metrics/births.ts', '../../collector/store/store.js', false],
  ['gateway/metrics/births.ts', '../../cli/log.js', false],
  ['gateway/metrics/births.ts', '../../test/harness/requires.js', false],
  ['gateway/metrics/metrics.test.ts', '../../test/harness/requires.js', true],
  ['gateway/metrics/metrics.test.ts', '../../collector/store/store.js', false],
  ['gateway/metrics/births.ts', '../events/event-samples.fixture.js', false],
  ['cli/log.ts', '../gateway/events/event-samples.fixture.js', false],
  ['gateway/metrics/metrics.test.ts', '../events/event-samples.fixture.js', true],
  ['gateway/events/event-samples.fixture.ts', '../../cli/log.js', false],
  ['gateway/metrics/births.ts', '../../gateway/../collector/store/store.js', false],
  ['collector/reports/percentiles.ts', '../../gateway/events/../../cli/log.js', false],
  ['gateway/metrics/births.ts', './../events/event.js', true],
  ['gateway/metrics/births.ts', '../../errors/codes.js', true],
  ['gateway/metrics/births.ts', '../events/event.js', true],
  ['collector/reports/percentiles.ts', '../../gateway/events/event.js', true],
  ['collector/reports/percentiles.ts', '../../gateway/config/schema.js', true],
  ['collector/reports/percentiles.ts', '../../gateway/whatif/replay.js', true],
  ['collector/reports/percentiles.ts', '../../gateway/metrics/catalogue.js', true],
  ['collector/reports/percentiles.ts', '../../gateway/supervisor/protocol.js', false],
  ['collector/reports/percentiles.ts', '../../cli/log.js', false],
  ['dashboards/grafana/promql.ts', '../../gateway/metrics/catalogue.js', true],
  ['dashboards/grafana/promql.ts', '../../gateway/config/schema.js', false],
  ['dashboards/grafana/promql.ts', '../../alerts/service-rules.js', true],
  ['dashboards/grafana/events.ts', '../../alerts/event-rules.js', true],
  ['dashboards/grafana/runtime.ts', '../../alerts/node-rules.js', true],
  ['dashboards/grafana/promql.ts', '../../alerts/files.js', false],
  ['gateway/metrics/catalogue.ts', '../../dashboards/grafana/boards.js', false],
  ['alerts/service-rules.ts', '../gateway/metrics/catalogue.js', true],
  ['alerts/service-rules.ts', '../gateway/config/schema.js', false],
  ['alerts/service-rules.ts', '../cli/version.js', false],
  ['gateway/metrics/catalogue.ts', '../../alerts/files.js', false],
  ['errors/codes.ts', '../gateway/exchange.js', false],
  ['cli/log.ts', '../gateway/exchange.js', true],
  ['test/checker/verdict.ts', './journal.js', true],
  ['test/checker/verdict.ts', 'node:fs', true],
  ['test/checker/verdict.ts', 'yaml', false],
  ['test/checker/verdict.ts', '../harness/requires.js', false],
  ['test/checker/verdict.ts', '../../gateway/events/event.js', false],
  ['test/checker/verdict.ts', './../../gateway/events/event.js', false],
  ['test/checker/verdict.test.ts', '../harness/requires.js', false],
  ['test/faults/kill-kinds.ts', '../checker/journal.js', false],
] as const) {
  test(`${from} ${allowed ? 'may' : 'may not'} import ${to}`, async () => {
    for (const [way, code] of Object.entries(imports(to))) {
      const rules = await broken(from, code);
      assert.equal(rules.includes('no-restricted-imports') || rules.includes('no-restricted-syntax'), !allowed, `by ${way}`);
    }
  });
}

test('no default export, no enum, no any, no comparison by ==', async () => {
  const file = 'gateway/exchange.ts';
  assert.ok((await broken(file, 'export default 1;\n')).includes('no-restricted-exports'));
  // its rule is set anew for each room
  for (const room of [file, 'cli/log.ts', 'test/run.ts', 'gateway/metrics/metrics.test.ts']) assert.ok((await broken(room, 'export enum A { b }\n')).includes('no-restricted-syntax'), room);
  assert.ok((await broken(file, 'export const a: any = 1;\n')).includes('@typescript-eslint/no-explicit-any'));
  assert.ok((await broken(file, 'export const f = (a: number): boolean => a == 1;\n')).includes('eqeqeq'));
  assert.ok((await broken(file, 'export async function f(): Promise<void> { await 1; f(); }\n', eslint)).includes('@typescript-eslint/no-floating-promises'));
});

test('the fault checker names every module that it loads, so that its border is seen', () => {
  const folder = join(root, 'test', 'checker');
  for (const name of readdirSync(folder)) {
    assert.match(name, /\.ts$/, 'it has no folders: its border knows only files beside each other');
    // what is imported or required by a variable, no rule sees
    assert.doesNotMatch(readFileSync(join(folder, name), 'utf8'), /\bimport\((?!['"`])|createRequire|process\.binding|node:module/, name);
  }
});

function repositoryRoot(from: string): string {
  return existsSync(join(from, 'eslint.config.js')) ? from : repositoryRoot(dirname(from));
}
