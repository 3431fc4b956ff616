import assert from 'node:assert/strict';
import { createHash, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { SignJWT } from 'jose';
import { ed25519Pair, rsaPair } from '../../test/harness/key-pair.js';
import type { AppConfig } from '../config/schema.js';
import type { CompiledApp } from '../config/snapshot.js';
import { encodeLabels } from '../events/labels.js';
import { buildIdentityIndex } from './identity-index.js';
import type { Tokens } from './jwt.js';
import { REMOTE_KEY_TIMES, RemoteKeySets, type RemoteKeyTimes } from './remote-key-sets.js';

const first = ed25519Pair();
const second = ed25519Pair();
const published = (key: KeyObject, kid: string): object => ({ ...key.export({ format: 'jwk' }), kid });

let server: Server;
let url = '';
let fetches = 0;
let keys: object[] = [];
let mode: 'keys' | 'error' | 'redirect' | 'nonsense' | 'silent' = 'keys';
let warnings: string[] = [];

before(async () => {
  server = createServer((_request, response) => {
    fetches++;
    if (mode === 'keys') response.end(JSON.stringify({ keys }));
    else if (mode === 'error') response.writeHead(500).end();
    else if (mode === 'redirect') response.writeHead(302, { location: `${url}/elsewhere` }).end();
    else if (mode === 'nonsense') response.end('{"keys":7}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
});
beforeEach(() => {
  [fetches, keys, mode, warnings] = [0, [published(first.publicKey, 'one')], 'keys', []];
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const log = { warn: (_fields: object, message: string): void => void warnings.push(message) };
const setsWith = (times: Partial<RemoteKeyTimes> = {}): RemoteKeySets => new RemoteKeySets(log, { ...REMOTE_KEY_TIMES, ...times });
function tokensOf(remoteKeySets: RemoteKeySets, algorithm = 'EdDSA'): Tokens {
  const config = { name: 'acme', keys: [], jwt: { algorithm, jwks: url, leeway: '0s', claims: {} } } as unknown as AppConfig;
  const app: CompiledApp = { name: 'acme', config, label: encodeLabels(''), services: new Set() };
  return buildIdentityIndex(new Map([['acme', app]]), { scope: 'traffic', readSecret: (text) => text, remoteKeySets, log }).tokens;
}
let serial = 0;
const sign = async (key: KeyObject, kid: string): Promise<string> =>
  new SignJWT({ iss: 'acme', jti: String(serial++), exp: 2_000_000_000 }).setProtectedHeader({ alg: 'EdDSA', kid }).sign(key);
async function outcome(tokens: Tokens, token: string): Promise<string> {
  const result = await tokens.check(token, 1_795_000_000_000);
  return typeof result === 'string' ? result : result.app.name;
}

test('keys are fetched once, shared by requests and kept over a reload', async () => {
  const sets = setsWith();
  const tokens = tokensOf(sets);
  const made = await Promise.all(Array.from({ length: 20 }, () => sign(first.privateKey, 'one')));
  assert.deepEqual(new Set(await Promise.all(made.map((token) => outcome(tokens, token)))), new Set(['acme']));
  assert.equal(await outcome(tokensOf(sets), await sign(first.privateKey, 'one')), 'acme');
  assert.equal(fetches, 1);
});

test('a rotated key is found by its unknown kid; invented ones start no further fetch', async () => {
  const sets = setsWith({ cooldownMs: 0 });
  const tokens = tokensOf(sets);
  assert.equal(await outcome(tokens, await sign(first.privateKey, 'one')), 'acme');
  keys = [published(second.publicKey, 'two')];
  assert.equal(await outcome(tokens, await sign(second.privateKey, 'two')), 'acme');
  assert.equal(await outcome(tokens, await sign(first.privateKey, 'one')), 'unknown_kid');
  fetches = 0;
  const calm = tokensOf(setsWith());
  for (let i = 0; i < 50; i++) assert.equal(await outcome(calm, await sign(second.privateKey, `invented-${i}`)), 'unknown_kid');
  assert.equal(fetches, 1);
});

test('an issuer that fails is unauthenticated, said once, and not asked again at once', async () => {
  for (const bad of ['error', 'redirect', 'nonsense', 'silent'] as const) {
    [mode, fetches, warnings] = [bad, 0, []];
    const tokens = tokensOf(setsWith({ timeoutMs: 100 }));
    const made = await Promise.all(Array.from({ length: 5 }, () => sign(first.privateKey, 'one')));
    for (const result of await Promise.all(made.map((token) => outcome(tokens, token)))) assert.equal(result, 'keys_unavailable');
    for (let i = 0; i < 5; i++) assert.equal(await outcome(tokens, await sign(first.privateKey, 'one')), 'keys_unavailable');
    assert.equal(fetches, 1, bad);
    assert.deepEqual(warnings, ['the JWKS cannot be fetched'], bad);
  }
});

test('while the issuer is away its last keys hold, for a time', async () => {
  const tokens = tokensOf(setsWith({ maxAgeMs: 0 }));
  const brief = tokensOf(setsWith({ maxAgeMs: 0, staleMs: -1 }));
  for (const set of [tokens, brief]) assert.equal(await outcome(set, await sign(first.privateKey, 'one')), 'acme');
  mode = 'error';
  assert.equal(await outcome(tokens, await sign(first.privateKey, 'one')), 'acme');
  assert.equal(await outcome(tokens, await sign(second.privateKey, 'two')), 'unknown_kid');
  assert.equal(await outcome(brief, await sign(first.privateKey, 'one')), 'keys_unavailable');
});

test('it is asked again after a while', async () => {
  const tokens = tokensOf(setsWith({ retryMs: 0 }));
  mode = 'error';
  assert.equal(await outcome(tokens, await sign(first.privateKey, 'one')), 'keys_unavailable');
  mode = 'keys';
  assert.equal(await outcome(tokens, await sign(first.privateKey, 'one')), 'acme');
});

/** A signature that holds under exponent 1 whatever the modulus: the padded digest itself (RFC 8017 9.2). */
function forged(kid: string | undefined, modulusBytes: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'RS256', ...(kid === undefined ? {} : { kid }) })}.${part({ iss: 'acme', exp: 2_000_000_000 })}`;
  const digest = Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), createHash('sha256').update(signed).digest()]);
  const padded = Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(modulusBytes - digest.length - 3, 0xff), Buffer.from([0]), digest]);
  return `${signed}.${padded.toString('base64url')}`;
}

test('a key with exponent 1 in a set behind a URL lets nobody in, with a kid or without', async () => {
  const pair = rsaPair();
  const sound = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'sound' };
  keys = [{ ...sound, e: 'AQ', kid: 'one' }];
  assert.equal(await outcome(tokensOf(setsWith(), 'RS256'), forged('one', 256)), 'keys_unavailable');
  assert.deepEqual(warnings, ['a key of the JWKS is not used: anybody could sign with it']);
  keys = [{ ...sound, e: 'AQ', kid: 'one' }, sound];
  const tokens = tokensOf(setsWith(), 'RS256');
  assert.equal(await outcome(tokens, forged(undefined, 256)), 'bad_signature');
  assert.equal(await outcome(tokens, await new SignJWT({ iss: 'acme', exp: 2_000_000_000 }).setProtectedHeader({ alg: 'RS256' }).sign(pair.privateKey)), 'acme');
});
