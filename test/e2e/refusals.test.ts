/** Why a request was refused, as its operator sees it: in the list of calls, in one call, and in the log; its client sees none of it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { SignJWT, type JWTPayload } from 'jose';
import { hashKey } from '../../gateway/config/keys.js';
import type { Reason, RefusedBy } from '../../gateway/events/refusals.js';
import { eventually } from '../harness/deadline.js';
import { ed25519Pair } from '../harness/key-pair.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode, tidegateCommand } from '../harness/tidegate.js';

const KEY = 'key-of-acme-0123456789abcdef';
const REPORTS_KEY = 'reports-of-acme-0123456789abcdef';
const SECRET = 'an HS256 secret of some forty characters';

test('each 401 has its reason in the record and in the log, and its client is told none', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-refusals-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const [own, stranger] = [ed25519Pair(), ed25519Pair()];
  const jwks = join(folder, 'jwks.json');
  writeFileSync(jwks, JSON.stringify({ keys: [{ ...own.publicKey.export({ format: 'jwk' }), kid: 'one' }] }));
  const [nobody] = await freePorts(1) as [number];
  const jwt = { leeway: '0s' };
  const route = (name: string, more: object = {}): object => ({ name, match: { path: `/${name}` }, ...more });
  await using node = await TestNode.start({
    workers: 1, services: [{ name: 'shop', upstream: { targets: [{ url: `http://127.0.0.1:${nobody}` }] }, routes: [route('all'), route('get', { match: { path: '/get', methods: ['GET'] } })] },
      { name: 'inside', upstream: { targets: [{ url: `http://127.0.0.1:${nobody}` }] }, ip: { deny: ['127.0.0.1'] }, routes: [route('inside')] }],
    apps: [
      { name: 'acme', keys: [{ id: 'own', sha256: hashKey(KEY), scopes: ['traffic'] }, { id: 'reports', sha256: hashKey(REPORTS_KEY), scopes: ['reports'] }], jwt: { ...jwt, algorithm: 'HS256', secret: SECRET, audience: 'api' } },
      { name: 'globex', services: ['shop'], jwt: { ...jwt, algorithm: 'EdDSA', jwks: `file:${jwks}` } }, { name: 'away', jwt: { ...jwt, algorithm: 'EdDSA', jwks: `http://127.0.0.1:${nobody}/jwks` } },
    ],
  });
  const now = Math.floor(Date.now() / 1000);
  const token = (payload: JWTPayload, alg: 'HS256' | 'EdDSA' = 'HS256', key = own.privateKey, kid = 'one'): Promise<string> =>
    new SignJWT({ iss: 'acme', aud: 'api', exp: now + 600, ...payload }).setProtectedHeader({ alg, kid }).sign(alg === 'HS256' ? new TextEncoder().encode(SECRET) : key);
  const bearer = async (of: Promise<string> | string): Promise<[string, string][]> => [['authorization', `Bearer ${await of}`]];
  const cases: readonly (readonly [RefusedBy, Reason | '', status: number, fields: [string, string][], path?: string, method?: string])[] = [
    ['authentication', 'no_credential', 401, []], ['authentication', 'two_credentials', 401, [['x-api-key', KEY], ['authorization', `Bearer ${KEY}`]]],
    ['api_key', 'unknown_key', 401, [['x-api-key', `${KEY}f`]]], ['api_key', 'key_for_reports', 401, [['x-api-key', REPORTS_KEY]]],
    ['jwt', 'malformed_token', 401, await bearer('a.b.c')], ['jwt', 'unknown_issuer', 401, await bearer(token({ iss: 'initech' }))], ['jwt', 'wrong_algorithm', 401, await bearer(token({ iss: 'globex' }))],
    ['jwt', 'no_expiry', 401, await bearer(new SignJWT({ iss: 'acme' }).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(SECRET)))], ['jwt', 'expired', 401, await bearer(token({ exp: now - 5 }))],
    ['jwt', 'not_yet_valid', 401, await bearer(token({ nbf: now + 500 }))], ['jwt', 'wrong_audience', 401, await bearer(token({ aud: 'other' }))],
    ['jwt', 'unknown_kid', 401, await bearer(token({ iss: 'globex' }, 'EdDSA', own.privateKey, 'two'))], ['jwt', 'bad_signature', 401, await bearer(token({ iss: 'globex' }, 'EdDSA', stranger.privateKey))],
    ['jwt', 'keys_unavailable', 401, await bearer(token({ iss: 'away' }, 'EdDSA'))],
    ['authorisation', '', 403, [['x-api-key', KEY]]], ['ip_list', '', 403, [['x-api-key', KEY]], '/inside'], ['routing', 'no_route', 404, [], '/nowhere'], ['routing', 'method_not_allowed', 405, [], '/get', 'PUT'],
  ];
  const ids = new Map<string, readonly [string, string]>();
  for (const [refusedBy, reason, status, headers, path = '/all', method = 'GET'] of cases) {
    const answer = await fetch(node.url + path, { headers, method });
    assert.equal(answer.status, status, `${refusedBy} ${reason}`);
    ids.set(answer.headers.get('x-request-id') ?? '', [refusedBy, reason]);
    const text = await answer.text();
    if (status === 401) assert.ok(!text.includes('refused_by') && !text.includes(`"${reason}"`) && /"detail":"(?:Send |The API key is |The token (?:is not valid|has expired)\.)/.test(text), text);
  }
  const command = async (...args: readonly string[]): Promise<string> => {
    const { command: program, args: all } = tidegateCommand(['requests', '--url', node.controlUrl, '--token', OPERATOR_TOKEN, ...args]);
    return (await promisify(execFile)(program, all, { env: { ...process.env, COLUMNS: '200' } })).stdout;
  };
  const list = async (): Promise<readonly { readonly id: string; readonly refused_by: string; readonly reason: string }[]> =>
    (await node.control<{ rows: readonly { id: string; refused_by: string; reason: string }[] }>('/v1/requests?limit=100')).rows;
  const rows = await eventually('all are stored', async () => ((await list()).length === cases.length ? list() : null), 60_000, 200);
  assert.deepEqual(new Map(rows.map(({ id, refused_by: by, reason }) => [id, [by, reason]])), new Map([...ids].reverse()));
  const shown = await command('--outcome', 'unauthenticated');
  for (const [by, reason, status] of cases) if (status === 401) assert.match(shown, new RegExp(`unauthenticated: ${reason} `), by);
  const expired = [...ids].find(([, [, reason]]) => reason === 'expired')?.[0] ?? '';
  assert.match(await command(expired), /^refused_by +jwt\nreason +expired$/m);
  // one line for each reason, and nothing of a credential in any
  await eventually('the log has them', () => (node.output.includes('"reason":"keys_unavailable"') ? true : null));
  const lines = node.output.split('\n').filter((line) => line.includes('a request has no good credential')).map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(lines.map(({ reason }) => reason), cases.filter(([, , status]) => status === 401).map(([, reason]) => reason));
  assert.deepEqual(lines.map(({ level, suppressed, service }) => [level, suppressed, service]), lines.map(() => ['info', 0, 'shop']));
  assert.ok(!node.output.includes(KEY) && !node.output.includes(REPORTS_KEY) && !/eyJ/.test(node.output));
});
