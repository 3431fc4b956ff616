/** Who reads the log by its fields finds each in docs/logs.md: one that is new, or is named otherwise, has to stand there too. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';
import { packageRoot } from '../../cli/version.js';

const root = packageRoot();
const LEVELS: ReadonlySet<string> = new Set(['trace', 'debug', 'info', 'warn', 'error', 'fatal']);
const sources = ['gateway', 'collector', 'cli'].flatMap((room) => readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !/\.(?:test|fixture)\.ts$/.test(name)).map((name) => join(room, name)));

/** Names of the members of the object literals that `node` is, or spreads. */
function membersOf(node: ts.Expression): string[] {
  if (ts.isParenthesizedExpression(node)) return membersOf(node.expression);
  if (ts.isConditionalExpression(node)) return [...membersOf(node.whenTrue), ...membersOf(node.whenFalse)];
  if (!ts.isObjectLiteralExpression(node)) return [];
  return node.properties.flatMap((member) => (ts.isSpreadAssignment(member) ? membersOf(member.expression) : member.name !== undefined && ts.isIdentifier(member.name) ? [member.name.text] : []));
}

/** Of each call such as `log.warn({ … }, '…')`. */
function fieldsOf(path: string): string[] {
  const fields: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && LEVELS.has(node.expression.name.text) && /log(?:ger)?$/i.test(node.expression.expression.getText())) {
      fields.push(...(node.arguments[0] === undefined ? [] : membersOf(node.arguments[0])));
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest, true));
  return fields;
}

test('every field of a log line stands in the table of docs/logs.md, in snake_case', () => {
  const [, section = ''] = readFileSync(join(root, 'docs/logs.md'), 'utf8').split('\n## Fields\n');
  const documented = new Set([...section.split('\n## ')[0]?.matchAll(/^\| (`[^|]+`) \|/gm) ?? []].flatMap(([, cell = '']) => [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name)));
  const logged = sources.flatMap((path) => fieldsOf(path).map((field) => [field, path] as const));
  assert.ok(logged.length > 150, 'the calls are found');
  assert.deepEqual(logged.filter(([field]) => !documented.has(field) || !/^[a-z][a-z0-9_]*$/.test(field)), []);
});
