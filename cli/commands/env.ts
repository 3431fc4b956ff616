import { appendFileSync, chmodSync, existsSync, readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import { hashKey, newKey } from '../../gateway/config/keys.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

export function register(program: Command): void {
  program.command('env').description('new passwords and keys for docker-compose.yml: tidegate env > .env')
    .option('--file <file>', 'adds what is missing there, and keeps the rest; readable by its owner only')
    .action(({ file }: { readonly file?: string }) => { env(file ?? null, standardOutput()); });
}

/** @throws TidegateError config_file */
export function env(file: string | null, terminal: Terminal): void {
  if (file === null) {
    terminal.write(text(newEnvironment()));
    return;
  }
  try {
    const before = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const present = new Set([...before.matchAll(/^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=/gm)].map(([, name]) => name));
    const missing = newEnvironment().filter((group) => !group.some(([name]) => present.has(name)));
    appendFileSync(file, (before === '' || before.endsWith('\n') ? '' : '\n') + text(missing), { mode: 0o600 });
    chmodSync(file, 0o600);
    terminal.write(missing.length === 0 ? `${file} has them all.\n` : `${file}: ${missing.flatMap((group) => group.map(([name]) => name)).join(', ')}\n`);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TidegateError('config_file', `${file}: ${code === 'ENOENT' ? 'there is no such folder' : code ?? String(cause)}`, { cause });
  }
}

type Group = readonly (readonly [name: string, value: string])[];

/** What belongs together is made together. */
function newEnvironment(): readonly Group[] {
  const key = newKey();
  return [
    [['TIDEGATE_TOKEN', secret()]],
    [['KAFKA_CLUSTER_ID', clusterId()]],
    [['KAFKA_PASSWORD', secret()]],
    [['CLICKHOUSE_ADMIN_PASSWORD', secret()]],
    [['CLICKHOUSE_PASSWORD', secret()]],
    [['REDIS_PASSWORD', secret()]],
    [['CLICKHOUSE_GRAFANA_PASSWORD', secret()]],
    [['GRAFANA_PASSWORD', secret()]],
    [['DEMO_KEY', key], ['DEMO_KEY_SHA256', hashKey(key)]],
  ];
}

function text(groups: readonly Group[]): string {
  return groups.flat().map(([name, value]) => `${name}=${value}\n`).join('');
}

/** 256 random bits, of characters that no file format here has to quote. */
function secret(): string {
  return randomBytes(32).toString('hex');
}

/** As Kafka's own tool makes it: 16 bytes in base64url, never with `-` in front, which would read as an option. */
function clusterId(): string {
  for (;;) {
    const id = randomBytes(16).toString('base64url');
    if (!id.startsWith('-')) return id;
  }
}
