import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { SignJWT } from 'jose';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { AppConfig, RouteConfig } from '../config/schema.js';
import type { CompiledApp } from '../config/snapshot.js';
import { encodeLabels } from '../events/labels.js';
import { refusal as refusedAs, type PolicyExchange, type Refusal } from '../exchange.js';
import { authenticationPolicy } from './authentication.js';
import { authorisationPolicy } from './authorisation.js';
import { buildIdentityIndex, type IdentityIndex } from './identity-index.js';
import { RemoteKeySets } from './remote-key-sets.js';

const SECRET = 'an HS256 secret of some forty characters';
const sha256 = (key: string): string => createHash('sha256').update(key).digest('hex');
const log = { warn: (): void => undefined };

function compiled(name: string, config: Partial<AppConfig>): CompiledApp {
  return { name, config: { name, keys: [], services: [], ...config } as unknown as AppConfig, label: encodeLabels(''), services: new Set(config.services) };
}
const indexOf = (...apps: CompiledApp[]): IdentityIndex =>
  buildIdentityIndex(new Map(apps.map((app) => [app.name, app])), { scope: 'traffic', readSecret: (text) => text, remoteKeySets: new RemoteKeySets(log), log });

const acme = compiled('acme', { keys: [{ id: 'k1', sha256: sha256('key-of-acme'), scopes: ['traffic'] }, { id: 'k2', sha256: sha256('second-of-acme'), scopes: ['traffic'] }], services: ['catalogue'] });
const globex = compiled('globex', { keys: [{ id: 'k1', sha256: sha256('key-of-globex'), scopes: ['traffic'] }], jwt: { algorithm: 'HS256', secret: SECRET, leeway: '0s', claims: { sub: 'X-User' } } });
const identities = indexOf(acme, globex);
const token = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setIssuer('globex').setSubject('u1').setExpirationTime(2_000_000_000).sign(new TextEncoder().encode(SECRET));

function exchangeWith(rawHeaders: string[], timeMs = 1_795_000_000_000): PolicyExchange {
  return { rawHeaders, timeMs, app: null, credential: 'none', claimHeaders: null } as unknown as PolicyExchange;
}
/** What is told to the client, and, for the operator, by whom it was refused and why. */
async function authenticate(rawHeaders: string[], methods: RouteConfig['authentication'] = ['api_key', 'jwt'], index = identities): Promise<string> {
  const policy = authenticationPolicy(methods, index);
  assert.ok(policy !== null);
  const exchange = exchangeWith(rawHeaders);
  const refusal = await policy(exchange);
  if (refusal === null) return `${exchange.app?.name} by ${exchange.credential}`;
  assert.equal(refusal.code, 'unauthenticated');
  assert.equal(refusal.outcome, 'unauthenticated');
  assert.equal(exchange.app, null);
  assert.equal(exchange.credential, 'none');
  return `${refusal.detail} ${refusal.refusedBy}: ${refusal.reason}`;
}

test('a key is taken from X-Api-Key or as a bearer, and belongs to its app', async () => {
  for (const round of [1, 2]) {
    assert.equal(await authenticate(['Host', 'h', 'X-Api-Key', 'key-of-acme']), 'acme by api_key', `round ${round}`);
    assert.equal(await authenticate(['x-API-key', 'second-of-acme']), 'acme by api_key');
    assert.equal(await authenticate(['authorization', 'Bearer key-of-globex']), 'globex by api_key');
    assert.equal(await authenticate(['AUTHORIZATION', 'bEARER   key-of-globex']), 'globex by api_key');
  }
});

test('a key known before is answered without waiting', () => {
  const policy = authenticationPolicy(['api_key'], identities);
  assert.equal(policy?.(exchangeWith(['X-Api-Key', 'key-of-acme'])), null);
});

test('nothing, or something wrong, is refused with what to do', async () => {
  const nothing = 'Send an API key in X-Api-Key, or a key or token in Authorization: Bearer. authentication: no_credential';
  for (const headers of [[], ['Authorization', 'Basic dXNlcjpwYXNz'], ['Authorization', 'Bearer'], ['Authorization', 'Bearer '], ['Authorization', 'Bearerkey-of-acme'], ['X-Api-Kex', 'key-of-acme']]) {
    assert.equal(await authenticate(headers), nothing, headers.join(': '));
  }
  for (const key of ['', 'wrong', 'key-of-acm', 'key-of-acmeX', ' key-of-acme', sha256('key-of-acme'), 'key-of-acme, key-of-acme', 'x'.repeat(10_000)]) {
    for (let round = 0; round < 2; round++) assert.equal(await authenticate(['X-Api-Key', key]), 'The API key is not valid. api_key: unknown_key', key);
  }
});

test('two credentials of one kind are refused, even the same one twice', async () => {
  const twice = 'Send one credential of a kind only. authentication: two_credentials';
  assert.equal(await authenticate(['X-Api-Key', 'key-of-acme', 'x-api-key', 'key-of-acme']), twice);
  assert.equal(await authenticate(['X-Api-Key', 'key-of-acme', 'Authorization', 'Bearer key-of-globex']), twice);
  assert.equal(await authenticate(['Authorization', 'Bearer key-of-globex', 'X-Api-Key', 'key-of-acme']), twice);
  assert.equal(await authenticate(['Authorization', 'Basic x', 'Authorization', `Bearer ${token}`]), twice);
  assert.equal(await authenticate(['Authorization', `Bearer ${token}`, 'Authorization', `Bearer ${token}`]), twice);
});

test('the methods of the route are tried in its order', async () => {
  const both = ['Authorization', `Bearer ${token}`, 'X-Api-Key', 'key-of-acme'];
  assert.equal(await authenticate(both, ['api_key', 'jwt']), 'acme by api_key');
  assert.equal(await authenticate(both, ['jwt', 'api_key']), 'globex by jwt');
  const wrongKey = ['X-Api-Key', 'wrong', 'Authorization', `Bearer ${token}`];
  assert.equal(await authenticate(wrongKey, ['api_key', 'jwt']), 'globex by jwt');
  const wrongToken = ['Authorization', `Bearer ${token}x`, 'X-Api-Key', 'key-of-acme'];
  assert.equal(await authenticate(wrongToken, ['jwt', 'api_key']), 'acme by api_key');
  assert.equal(await authenticate(wrongToken, ['jwt']), 'The token is not valid. jwt: bad_signature');
  // the last that was looked at is told
  assert.equal(await authenticate(['X-Api-Key', 'wrong', 'Authorization', `Bearer ${token}x`], ['jwt', 'api_key']), 'The API key is not valid. api_key: unknown_key');
});

test('a method that the route does not name does not count', async () => {
  assert.match(await authenticate(['X-Api-Key', 'key-of-acme'], ['jwt']), /^Send an API key/);
  assert.match(await authenticate(['Authorization', `Bearer ${token}`], ['api_key']), /^Send an API key/);
});

test('the claims chosen by the app go upstream, and their headers are known to be taken from clients', async () => {
  const exchange = exchangeWith(['Authorization', `Bearer ${token}`]);
  assert.equal(await authenticationPolicy(['jwt'], identities)?.(exchange), null);
  assert.deepEqual(exchange.claimHeaders, ['X-User', 'u1']);
  assert.deepEqual([...identities.claimHeaderNames], ['x-user']);
});

test('a new snapshot without the key or the app ends what was remembered', async () => {
  assert.equal(await authenticate(['X-Api-Key', 'key-of-acme']), 'acme by api_key');
  const later = indexOf(compiled('acme', { keys: [{ id: 'k2', sha256: sha256('second-of-acme'), scopes: ['traffic'] }] }));
  assert.equal(await authenticate(['X-Api-Key', 'key-of-acme'], ['api_key'], later), 'The API key is not valid. api_key: unknown_key');
  assert.equal(await authenticate(['X-Api-Key', 'second-of-acme'], ['api_key'], later), 'acme by api_key');
  assert.equal(await authenticate(['Authorization', `Bearer ${token}`], ['jwt'], later), 'The token is not valid. jwt: unknown_issuer');
});

test('a flood of wrong keys does not push out the good ones', async () => {
  const index = indexOf(acme);
  assert.equal(index.apiKeys.find('key-of-acme'), acme);
  for (let i = 0; i < 100_000; i++) assert.equal(index.apiKeys.find(`wrong-${i}`), null);
  assert.equal(index.apiKeys.find('key-of-acme'), acme);
});

test('a key for reports alone is refused, and its holder is told why', async () => {
  const index = indexOf(compiled('acme', { keys: [{ id: 'r', sha256: sha256('reports-of-acme'), scopes: ['reports'] }] }));
  for (const headers of [['X-Api-Key', 'reports-of-acme'], ['Authorization', 'Bearer reports-of-acme']]) {
    assert.equal(await authenticate(headers, ['api_key', 'jwt'], index), 'The API key is for reports, not for requests: its scopes lack traffic. api_key: key_for_reports');
  }
});

test('a key for reports is known, lets nobody in, and takes no key for traffic its place', () => {
  const reports = (name: string): CompiledApp => compiled(name, { keys: [{ id: 'r', sha256: sha256('key-of-acme'), scopes: ['reports'] }, { id: 'own', sha256: sha256(`reports-of-${name}`), scopes: ['reports'] }] });
  for (const index of [indexOf(reports('before'), acme), indexOf(acme, reports('after'))]) {
    for (let round = 0; round < 2; round++) {
      assert.equal(index.apiKeys.find('key-of-acme'), acme);
      assert.deepEqual(['before', 'after'].map((name) => index.apiKeys.find(`reports-of-${name}`)), [null, null]);
      assert.equal(['before', 'after'].filter((name) => index.apiKeys.isKey(`reports-of-${name}`)).length, 1);
      assert.deepEqual(['key-of-acme', 'key-of-acm', '', 'x'.repeat(10_000)].map((text) => index.apiKeys.isKey(text)), [true, false, false, false]);
    }
  }
});

test('an open route asks nobody', () => {
  assert.equal(authenticationPolicy([], identities), null);
  assert.equal(authorisationPolicy('catalogue', []), null);
});

test('an app may call the services it names, and no other', () => {
  const ask = (service: string, app: CompiledApp | null): Refusal | null => {
    const refusal = authorisationPolicy(service, ['api_key'])?.({ ...exchangeWith([]), app });
    assert.ok(refusal !== undefined && !(refusal instanceof Promise));
    return refusal;
  };
  assert.equal(ask('catalogue', acme), null);
  for (const [service, app] of [['orders', acme], ['catalogue', globex], ['catalogue', null]] as const) {
    assert.deepEqual(ask(service, app), refusedAs('forbidden', 'forbidden', 'This app may not call this service.', 'authorisation'));
  }
});

test('two apps with one key or one issuer, and claims that would break the request, are refused at load', () => {
  const code = (wanted: string) => (error: unknown): boolean => error instanceof TidegateError && error.code === wanted && !error.message.includes(SECRET);
  const jwt = { algorithm: 'HS256', secret: SECRET, leeway: '0s', claims: {} } as const;
  assert.throws(() => indexOf(acme, compiled('b', { keys: [{ id: 'k', sha256: sha256('key-of-acme'), scopes: ['traffic'] }] })), code('config_duplicate'));
  assert.throws(() => indexOf(globex, compiled('b', { jwt: { ...jwt, issuer: 'globex' } })), code('config_duplicate'));
  for (const header of ['Content-Length', 'Host', 'Connection', 'X-App', 'X-Request-Id', 'bad name', 'a:b', '']) {
    assert.throws(() => indexOf(compiled('b', { jwt: { ...jwt, claims: { sub: header } } })), code('config_value'), header);
  }
});

test('an index of 100,000 apps takes nowhere near a hundred times as long to build as one of 10,000', () => {
  const apps = Array.from({ length: 100_000 }, (_, i) => compiled(`app-${i}`, { keys: [{ id: 'k1', sha256: sha256(`key ${i}`), scopes: ['traffic'] }] }));
  const built = (count: number): { readonly index: IdentityIndex; readonly cpuUs: number } => {
    const map = new Map(apps.slice(0, count).map((app) => [app.name, app]));
    const before = process.cpuUsage();
    const index = buildIdentityIndex(map, { scope: 'traffic', readSecret: (text) => text, remoteKeySets: new RemoteKeySets(log), log });
    const { user, system } = process.cpuUsage(before);
    return { index, cpuUs: user + system };
  };
  const least = (count: number): ReturnType<typeof built> => Array.from({ length: 3 }, () => built(count)).reduce((one, other) => (other.cpuUs < one.cpuUs ? other : one));
  const few = least(10_000);
  const { index, cpuUs } = least(100_000);
  // 17 to 32 times, because fewer fit the processor's caches better; 90 and more if each looks at those before it
  assert.ok(cpuUs < 60 * few.cpuUs, `${cpuUs} us, and ${few.cpuUs} us for a tenth`);
  assert.equal(index.apiKeys.size, 100_000);
  assert.equal(index.apiKeys.find('key 77777'), apps[77_777]);
});
