import assert from 'node:assert/strict';
import { createHmac, createPublicKey, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { SignJWT, type JWTPayload } from 'jose';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ecPair, ed25519Pair, rsaPair } from '../../test/harness/key-pair.js';
import type { AppConfig, JwtConfig } from '../config/schema.js';
import type { CompiledApp } from '../config/snapshot.js';
import { encodeLabels } from '../events/labels.js';
import { buildIdentityIndex } from './identity-index.js';
import type { TokenIdentity, Tokens } from './jwt.js';
import { RemoteKeySets } from './remote-key-sets.js';

const NOW_MS = 1_795_000_000_000;
const NOW = NOW_MS / 1000;
const SECRET = 'an HS256 secret of some forty characters';
const pairs = {
  RS256: rsaPair(),
  ES256: ecPair(),
  EdDSA: ed25519Pair(),
};
const rotated = rsaPair();
const jwks = (...keys: (readonly [KeyObject, string?])[]): string =>
  JSON.stringify({ keys: keys.map(([key, kid]) => ({ ...(key.type === 'private' ? key : createPublicKey(key.export({ type: 'spki', format: 'pem' }))).export({ format: 'jwk' }), ...(kid === undefined ? {} : { kid }) })) });

function tokensOf(config: Partial<JwtConfig>, files: Readonly<Record<string, string>> = {}, names = ['acme']): Tokens {
  const jwt = { leeway: '30s', claims: {}, ...config } as JwtConfig;
  const apps = names.map((name): CompiledApp => ({ name, config: { name, keys: [], jwt } as unknown as AppConfig, label: encodeLabels(''), services: new Set() }));
  const log = { warn: (): void => undefined };
  return buildIdentityIndex(new Map(apps.map((app) => [app.name, app])), { scope: 'traffic', readSecret: (reference) => files[reference] ?? reference, remoteKeySets: new RemoteKeySets(log), log }).tokens;
}

const hs = (): Tokens => tokensOf({ algorithm: 'HS256', secret: SECRET });
const rs = (...keys: (readonly [KeyObject, string?])[]): Tokens => tokensOf({ algorithm: 'RS256', jwks: 'file:k' }, { 'file:k': jwks(...keys) });

type Key = KeyObject | Uint8Array;
async function sign(alg: string, key: Key, payload: JWTPayload = {}, header: Record<string, unknown> = {}): Promise<string> {
  return new SignJWT({ iss: 'acme', exp: NOW + 60, ...payload }).setProtectedHeader({ alg, ...header }).sign(key);
}
const secretKey = new TextEncoder().encode(SECRET);

async function outcome(tokens: Tokens, token: string, nowMs = NOW_MS): Promise<string> {
  const result = await tokens.check(token, nowMs);
  return typeof result === 'string' ? result : result.app.name;
}
async function identity(tokens: Tokens, token: string): Promise<TokenIdentity> {
  const result = await tokens.check(token, NOW_MS);
  assert.ok(typeof result !== 'string');
  return result;
}
const part = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

test('accepts HS256, RS256, ES256 and EdDSA, each where it is the app\'s own', async () => {
  const made = { HS256: await sign('HS256', secretKey), RS256: await sign('RS256', pairs.RS256.privateKey), ES256: await sign('ES256', pairs.ES256.privateKey), EdDSA: await sign('EdDSA', pairs.EdDSA.privateKey) };
  for (const algorithm of ['HS256', 'RS256', 'ES256', 'EdDSA'] as const) {
    const tokens = algorithm === 'HS256' ? hs() : tokensOf({ algorithm, jwks: 'file:k' }, { 'file:k': jwks([pairs[algorithm].publicKey], [pairs.RS256.publicKey], [pairs.ES256.publicKey]) });
    for (const [name, token] of Object.entries(made)) assert.equal(await outcome(tokens, token), name === algorithm ? 'acme' : 'wrong_algorithm', `${name} for ${algorithm}`);
  }
});

test('`none`, and HMAC keyed with the public key, are refused', async () => {
  const tokens = rs([pairs.RS256.publicKey]);
  const payload = part({ iss: 'acme', exp: NOW + 60 });
  for (const alg of ['none', 'None', 'NONE', '']) assert.deepEqual([await outcome(tokens, `${part({ alg })}.${payload}.`), await outcome(tokens, `${part({ alg })}.${payload}.AA`)], ['malformed_token', 'wrong_algorithm'], alg);
  const pem = pairs.RS256.publicKey.export({ type: 'spki', format: 'pem' });
  for (const key of [pem, pem.toString().trim(), jwks([pairs.RS256.publicKey])]) {
    const head = `${part({ alg: 'HS256' })}.${payload}`;
    assert.equal(await outcome(tokens, `${head}.${createHmac('sha256', key).update(head).digest('base64url')}`), 'wrong_algorithm');
  }
  assert.throws(() => tokensOf({ algorithm: 'HS256', secret: pem.toString() }), (error) => error instanceof TidegateError && error.code === 'config_value');
});

test('a tampered or malformed token is refused at once and never thrown about', async () => {
  const tokens = hs();
  const [header, , signature] = (await sign('HS256', secretKey)).split('.') as [string, string, string];
  const forged: readonly (readonly [token: string, fault: string])[] = [
    [`${header}.${part({ iss: 'acme', exp: NOW + 1e6 })}.${signature}`, 'bad_signature'], [`${header}.${part({ iss: 'acme', exp: NOW + 60 })}.`, 'malformed_token'], ['..', 'malformed_token'], ['a.b.c', 'malformed_token'],
    [`${header}..${signature}`, 'malformed_token'], [`${part('null')}.${part({ iss: 'acme', exp: NOW + 60 })}.${signature}`, 'malformed_token'], [`${header}.${part('[]')}.${signature}`, 'malformed_token'],
    [`${header}.${part('"x"')}.AA`, 'malformed_token'], [`${header}.${part({ iss: ['acme'], exp: NOW + 60 })}.AA`, 'unknown_issuer'], [`${header}.${part({ iss: 'acme', exp: '9999999999' })}.AA`, 'no_expiry'],
    [`${header}.${part({ iss: '__proto__', exp: NOW + 60 })}.AA`, 'unknown_issuer'], [`${part({ alg: 'HS256', crit: ['x'], x: 1 })}.${part({ iss: 'acme', exp: NOW + 60 })}.AA`, 'malformed_token'], ['.'.repeat(2) + 'x'.repeat(16_000), 'malformed_token'],
  ];
  for (const [token, fault] of forged) assert.equal(await outcome(tokens, token), fault, token.slice(0, 80));
});

test('exp is required; exp and nbf hold within the leeway', async () => {
  const tokens = hs();
  const at = async (payload: JWTPayload): Promise<string> => outcome(tokens, await sign('HS256', secretKey, payload));
  assert.equal(await outcome(tokens, await new SignJWT({ iss: 'acme' }).setProtectedHeader({ alg: 'HS256' }).sign(secretKey)), 'no_expiry');
  assert.equal(await at({ exp: NOW - 29 }), 'acme');
  assert.equal(await at({ exp: NOW - 30 }), 'expired');
  assert.equal(await at({ exp: NOW - 1000 }), 'expired');
  assert.equal(await at({ nbf: NOW + 30 }), 'acme');
  assert.equal(await at({ nbf: NOW + 31 }), 'not_yet_valid');
});

test('an exp past every number is refused, instead of never ending', async () => {
  for (const exp of ['1e400', '-1e400']) {
    const head = `${part({ alg: 'HS256' })}.${part(`{"iss":"acme","exp":${exp}}`)}`;
    assert.equal(await outcome(hs(), `${head}.${createHmac('sha256', SECRET).update(head).digest('base64url')}`), 'no_expiry', exp);
  }
});

test('a token has one spelling: padding, blanks, other letters and bits that stand for nothing are refused', async () => {
  const tokens = hs();
  const token = await sign('HS256', secretKey);
  assert.equal(await outcome(tokens, token), 'acme');
  const [head = '', payload = '', signature = ''] = token.split('.');
  // 32 bytes: the last character has two bits that stand for nothing
  const last = signature.at(-1) ?? '';
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const twin = alphabet[alphabet.indexOf(last) + 1] ?? '';
  for (const other of [`${token}=`, `${token}==`, `${token} `, ` ${token}`, `${head}.${payload}. ${signature}`, `${head}.${payload}.${signature.slice(0, -1)}${twin}`, `${head}.${payload}.${signature}A`, `${token}.`, `${head}.${payload}`, `${token}\n`]) {
    assert.match(await outcome(tokens, other), /^malformed_token$|^bad_signature$/, JSON.stringify(other));
  }
});

test('an RSA key by which anybody could sign is refused at load: exponent 1, or an even one', () => {
  const { keys: [sound] } = JSON.parse(jwks([pairs.RS256.publicKey])) as { keys: [{ e: string }] };
  for (const [exponent, e] of [[1, 'AQ'], [2, 'Ag'], [65_536, 'AQAA']] as const) {
    assert.throws(() => tokensOf({ algorithm: 'RS256', jwks: 'file:k' }, { 'file:k': JSON.stringify({ keys: [{ ...sound, e }] }) }),
      (error) => error instanceof TidegateError && error.code === 'config_file' && error.message.includes(`the RSA exponent ${exponent}`), e);
  }
});

test('iss picks the app and aud must fit', async () => {
  assert.equal(await outcome(hs(), await sign('HS256', secretKey, { iss: 'other' })), 'unknown_issuer');
  assert.equal(await outcome(tokensOf({ algorithm: 'HS256', secret: SECRET, issuer: 'https://acme.example' }), await sign('HS256', secretKey, { iss: 'https://acme.example' })), 'acme');
  assert.equal(await outcome(tokensOf({ algorithm: 'HS256', secret: SECRET, issuer: 'https://acme.example' }), await sign('HS256', secretKey)), 'unknown_issuer');
  const audience = tokensOf({ algorithm: 'HS256', secret: SECRET, audience: 'api' });
  assert.equal(await outcome(audience, await sign('HS256', secretKey, { aud: ['x', 'api'] })), 'acme');
  for (const payload of [{}, { aud: 'x' }, { aud: [] }]) assert.equal(await outcome(audience, await sign('HS256', secretKey, payload)), 'wrong_audience');
});

test('one app\'s key does not speak for another', async () => {
  const apps = new Map(['a', 'b'].map((name): [string, CompiledApp] => [name, { name, label: encodeLabels(''), services: new Set(),
    config: { name, keys: [], jwt: { algorithm: 'HS256', secret: `${name}${SECRET}`, leeway: '0s', claims: {} } } as unknown as AppConfig }]));
  const log = { warn: (): void => undefined };
  const { tokens } = buildIdentityIndex(apps, { scope: 'traffic', readSecret: (text) => text, remoteKeySets: new RemoteKeySets(log), log });
  const key = new TextEncoder().encode(`a${SECRET}`);
  assert.equal(await outcome(tokens, await sign('HS256', key, { iss: 'a' })), 'a');
  assert.equal(await outcome(tokens, await sign('HS256', key, { iss: 'b' })), 'bad_signature');
});

test('kid only picks among the app\'s own keys; without it each is tried', async () => {
  const tokens = rs([pairs.RS256.publicKey, 'one'], [rotated.publicKey, 'two']);
  assert.equal(await outcome(tokens, await sign('RS256', rotated.privateKey, {}, { kid: 'two' })), 'acme');
  assert.equal(await outcome(tokens, await sign('RS256', rotated.privateKey, {}, { kid: 'one' })), 'bad_signature');
  assert.equal(await outcome(tokens, await sign('RS256', rotated.privateKey)), 'acme');
  assert.equal(await outcome(tokens, await sign('RS256', pairs.RS256.privateKey)), 'acme');
  for (const kid of ['three', '../../etc/passwd', 'file:k', 'http://127.0.0.1/keys', "one' OR 1=1"]) assert.equal(await outcome(tokens, await sign('RS256', rotated.privateKey, {}, { kid })), 'unknown_kid', kid);
  const stranger = rsaPair().privateKey;
  assert.equal(await outcome(tokens, await sign('RS256', stranger)), 'bad_signature');
  const embedded = createPublicKey(stranger).export({ format: 'jwk' });
  assert.equal(await outcome(tokens, await sign('RS256', stranger, {}, { jwk: embedded, jku: 'http://127.0.0.1/keys' })), 'bad_signature');
});

test('keys of a set that are for something else are passed over', async () => {
  const { keys } = JSON.parse(jwks([pairs.EdDSA.publicKey, 'one'], [pairs.ES256.publicKey, 'two'])) as { keys: object[] };
  const setOf = (...more: object[]): Tokens => tokensOf({ algorithm: 'EdDSA', jwks: 'file:k' }, { 'file:k': JSON.stringify({ keys: more }) });
  const token = await sign('EdDSA', pairs.EdDSA.privateKey, {}, { kid: 'one' });
  assert.equal(await outcome(setOf(...keys, { kty: 'oct', k: SECRET }), token), 'acme');
  assert.equal(await outcome(setOf({ ...keys[0], alg: 'Ed25519', use: 'sig' }), token), 'acme');
  for (const other of [{ ...keys[0], alg: 'ES256' }, { ...keys[0], use: 'enc' }]) assert.throws(() => setOf(other), (error) => error instanceof TidegateError && error.code === 'config_file');
});

test('a verified token is answered without waiting, until it expires', async () => {
  const tokens = hs();
  const token = await sign('HS256', secretKey, { exp: NOW + 60 });
  assert.ok(tokens.check(token, NOW_MS) instanceof Promise, 'verified');
  await tokens.check(token, NOW_MS);
  const hit = tokens.check(token, NOW_MS + 59_999);
  assert.ok(typeof hit === 'object' && !(hit instanceof Promise));
  assert.equal(hit.untilMs, NOW_MS + 60_000);
  const anew = tokens.check(token, NOW_MS + 60_000);
  assert.ok(anew instanceof Promise, 'within the leeway it is verified anew');
  await anew;
  assert.equal(tokens.check(token, NOW_MS + 90_000), 'expired');
});

test('a verification is remembered for five minutes at most', async () => {
  const tokens = hs();
  const token = await sign('HS256', secretKey, { exp: NOW + 86_400 });
  assert.equal((await identity(tokens, token)).untilMs, NOW_MS + 300_000);
  assert.ok(tokens.check(token, NOW_MS + 300_000) instanceof Promise, 'verified anew');
});

test('requests that bring a new token at once share one verification', async () => {
  const tokens = hs();
  const token = await sign('HS256', secretKey);
  const first = tokens.check(token, NOW_MS);
  assert.equal(tokens.check(token, NOW_MS), first);
  assert.equal(await outcome(tokens, token), 'acme');
});

test('chosen claims become headers if a header can carry them', async () => {
  const claims = { sub: 'X-User', n: 'X-N', admin: 'X-Admin', tenant: 'X-Tenant', list: 'X-List', object: 'X-Object', crlf: 'X-Crlf', nul: 'X-Nul', umlaut: 'X-Umlaut', empty: 'X-Empty', space: 'X-Space', nothing: 'X-Nothing', absent: 'X-Absent', toString: 'X-Inherited' };
  const tokens = tokensOf({ algorithm: 'HS256', secret: SECRET, claims });
  const token = await sign('HS256', secretKey, { sub: 'u 1', n: 7, admin: false, tenant: '!~', list: ['a'], object: {}, crlf: 'a\r\nX-Admin: true', nul: 'a\0', umlaut: 'Jürgen', empty: '', space: ' a', nothing: null });
  assert.deepEqual((await identity(tokens, token)).claimHeaders, ['X-User', 'u 1', 'X-N', '7', 'X-Admin', 'false', 'X-Tenant', '!~']);
  assert.equal((await identity(hs(), await sign('HS256', secretKey))).claimHeaders, null);
});

test('bad key material is told at load, without showing it', () => {
  const weak = rsaPair(1024);
  const files: readonly (readonly [string, string])[] = [
    ['not JSON', 'topsecret {'], ['no list', '{"keys":{}}'], ['empty', '{"keys":[]}'], ['null', 'null'], ['no object', '{"keys":[null]}'], ['malformed', '{"keys":[{"kty":"RSA","n":"!"}]}'],
    ['private', jwks([pairs.RS256.privateKey])], ['symmetric', '{"keys":[{"kty":"oct","k":"topsecret"}]}'], ['weak', jwks([weak.publicKey])], ['another kind', jwks([pairs.ES256.publicKey])],
  ];
  for (const [what, text] of files) {
    assert.throws(() => tokensOf({ algorithm: 'RS256', jwks: 'file:k' }, { 'file:k': text }),
      (error) => error instanceof TidegateError && error.code === 'config_file' && error.message.startsWith('app acme: ') && !error.message.includes('topsecret'), what);
  }
  for (const config of [{ algorithm: 'HS256', secret: 'topsecret' }, { algorithm: 'HS256' }, { algorithm: 'RS256' }] as const) {
    assert.throws(() => tokensOf(config), (error) => error instanceof TidegateError && error.code === 'config_value' && !error.message.includes('topsecret'));
  }
});
