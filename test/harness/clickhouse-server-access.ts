/** Who may do what at the test server: the engine in process knows no users, so the server answers for it as ClickHouse would. */
import type { IncomingHttpHeaders } from 'node:http';
import { EngineError } from './clickhouse-server-engine.js';

export interface TestUser {
  readonly name: string;
  readonly password: string;
  /** As in GRANT; `CREATE` covers `CREATE TABLE`. */
  readonly grants: readonly string[];
  /** As the profile setting readonly = 1: nothing that writes, and no settings beside a statement. */
  readonly readonly?: boolean;
  /** A table that it may not read for all its grants. */
  readonly without?: string;
}

export const TEST_USERS = {
  default: { name: 'default', password: '', grants: ['ALL'] },
  owner: { name: 'owner', password: 'owner-password', grants: ['SELECT', 'INSERT', 'CREATE', 'ALTER'] },
  /** May store and retain, not make tables. */
  writer: { name: 'writer', password: 'writer-password', grants: ['SELECT', 'INSERT', 'ALTER DELETE'], without: 'system.detached_parts' },
  reader: { name: 'reader', password: 'reader-password', grants: ['SELECT'], readonly: true },
  nobody: { name: 'nobody', password: 'nobody-password', grants: [] },
} as const satisfies Record<string, TestUser>;

/** @throws EngineError 516 */
export function authenticate(headers: IncomingHttpHeaders, url: URLSearchParams): TestUser {
  const [basicUser, basicPassword] = basic(headers.authorization);
  const name = header(headers['x-clickhouse-user']) ?? basicUser ?? url.get('user') ?? 'default';
  const password = header(headers['x-clickhouse-key']) ?? basicPassword ?? url.get('password') ?? '';
  const user = Object.values<TestUser>(TEST_USERS).find((candidate) => candidate.name === name);
  if (user?.password === password) return user;
  throw new EngineError(516, 'AUTHENTICATION_FAILED', `${name}: Authentication failed: password is incorrect, or there is no user with such name.`);
}

/** `CHECK GRANT a, b ON x`: '1' or '0'; null: another statement. */
export function checkGrant(user: TestUser, text: string): '0' | '1' | null {
  const match = /^\s*CHECK\s+GRANT\s+(.+?)\s+ON\b/is.exec(text);
  if (match === null) return null;
  return (match[1] as string).split(',').every((grant) => has(user, grant.trim().toUpperCase())) ? '1' : '0';
}

/** @throws EngineError 497, 164 */
export function authorise(user: TestUser, text: string, settings: readonly string[]): void {
  const grant = neededGrant(text);
  if (user.readonly === true && settings.length > 0) throw new EngineError(164, 'READONLY', `Cannot modify '${settings[0]}' setting in readonly mode.`);
  if (user.without !== undefined && text.toLowerCase().includes(user.without)) {
    throw new EngineError(497, 'ACCESS_DENIED', `${user.name}: Not enough privileges. To execute this query, it's necessary to have the grant SELECT ON ${user.without}.`);
  }
  if (grant === null || has(user, grant)) return;
  if (user.readonly === true) throw new EngineError(164, 'READONLY', `${user.name}: Cannot execute query in readonly mode.`);
  throw new EngineError(497, 'ACCESS_DENIED', `${user.name}: Not enough privileges. To execute this query, it's necessary to have the grant ${grant} ON tidegate.*.`);
}

function has({ grants }: TestUser, wanted: string): boolean {
  return grants.some((grant) => grant === 'ALL' || grant === wanted || wanted.startsWith(`${grant} `));
}

function neededGrant(text: string): string | null {
  const words = text.trimStart().replaceAll(/\s+/g, ' ').toUpperCase();
  const [first = '', second = ''] = words.split(' ');
  switch (first) {
    case 'INSERT': return 'INSERT';
    case 'CREATE': return second === 'MATERIALIZED' ? 'CREATE VIEW' : `CREATE ${second}`;
    case 'ALTER': return /\b(?:DELETE|DROP PARTITION|MOVE PARTITION ID \S+ TO TABLE)\b/.test(words) ? 'ALTER DELETE' : 'ALTER TABLE';
    case 'DROP': case 'TRUNCATE': case 'DETACH': case 'RENAME': return 'DROP';
    case 'CHECK': return null;
    case 'OPTIMIZE': case 'SYSTEM': case 'ATTACH': return first;
    default: return /\bTIDEGATE\.|\bSYSTEM\.PARTS\b/.test(words) ? 'SELECT' : null;
  }
}

function basic(authorization: string | undefined): [string?, string?] {
  const match = /^Basic\s+(.+)$/i.exec(authorization ?? '');
  if (match === null) return [];
  const text = Buffer.from(match[1] as string, 'base64').toString();
  const colon = text.indexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1)];
}

const header = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);
