/** The statements of docs/store.md, by ClickHouse's own parser, and against what the collector asks for. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { TO_MIGRATE, TO_STORE } from './clickhouse-check.js';
import { packageRoot, splitStatements } from './migrate.js';
import { openBackend } from './stores.fixture.js';

const documented = (): string[] => [...readFileSync(join(packageRoot(), 'docs', 'store.md'), 'utf8').matchAll(/^```sql\n([\s\S]*?)^```$/gm)].flatMap(([, sql]) => splitStatements(sql as string));

test('the statements that make the users are SQL as ClickHouse reads it', { skip: requires('chdb') }, async () => {
  await using opened = await openBackend('chDB');
  const statements = documented();
  assert.ok(statements.length > 10);
  for (const statement of statements) await opened.store.query('SELECT formatQuery({statement:String})', { statement });
});

test('the users that docker-compose.yml makes are the owner and the boards\' as documented', () => {
  const [, sql = ''] = /<<SQL\n([^]*?)^SQL$/m.exec(readFileSync(join(packageRoot(), 'deploy', 'clickhouse', 'users.sh'), 'utf8')) ?? [];
  const made = splitStatements(sql.replace(/\$TIDEGATE_(?:OWNER|GRAFANA)_PASSWORD/g, 'change me'));
  const owner = documented().filter((statement) => /^CREATE DATABASE|tidegate_(?:owner|grafana)\b/.test(statement) && !/CLUSTER|system\.(?:clusters|macros)/.test(statement));
  assert.deepEqual(made, owner);
});

test('the users have what the collector looks for when it starts', () => {
  const grants = (user: string): string[] => documented().flatMap((statement) => {
    const match = /^GRANT (.+) ON (\S+) TO (.+)$/.exec(statement);
    return match !== null && (match[3] as string).split(', ').includes(user) ? (match[1] as string).split(', ').map((privilege) => `${privilege} ON ${match[2]}`) : [];
  });
  const wanted = TO_STORE.map(([privilege, on]) => `${privilege} ON ${on}`);
  const writer = grants('tidegate_writer').filter((grant) => !/system\.(?:clusters|macros|detached_parts)/.test(grant));
  assert.deepEqual(writer.sort(), [...wanted].sort(), 'no more, and no less');
  // not looked for: without it a warning is all there is
  for (const user of ['tidegate_owner', 'tidegate_writer']) assert.ok(grants(user).includes('SELECT ON system.detached_parts'), user);
  const owner = grants('tidegate_owner').map((grant) => grant.replace(/^ALTER ON/, 'ALTER TABLE ON'));
  for (const privilege of TO_MIGRATE[0].split(', ')) assert.ok(owner.includes(`${privilege} ON ${TO_MIGRATE[1]}`), privilege);
  for (const user of ['tidegate_grafana', 'tidegate_billing']) assert.ok(grants(user).every((grant) => grant.startsWith('SELECT ON tidegate.')), user);
});
