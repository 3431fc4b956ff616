import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { configFolder, LISTENER } from './config-folder.fixture.js';
import { loadConfig, type LoadResult } from './load.js';
import { redactConfig } from './redact.js';

function load(t: TestContext, webhook: string, limits = '{ qpd: 10 }'): LoadResult {
  const folder = configFolder(t, `${LISTENER}apps:\n  - name: acme\n    limits: ${limits}\n    webhook: { ${webhook} }\n`);
  folder.write('secret', 'a-secret-from-a-file-0123456789\n');
  return loadConfig(folder.file, { HOOK: 'a-secret-of-the-environment-01' });
}

test('a webhook has a place to go to and a secret, which is shown nowhere', (t) => {
  for (const secret of ['${HOOK}', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']) {
    const { loaded, errors } = load(t, `url: "https://acme.example/quota?of=acme", secret: "${secret}"`);
    assert.deepEqual(errors, []);
    assert.ok(loaded !== null);
    assert.doesNotMatch(JSON.stringify(redactConfig(loaded.config)), /environment|MfKQ/);
  }
  const { loaded, warnings } = load(t, 'url: "http://localhost:8080/", secret: "file:secret"');
  assert.deepEqual([loaded?.secrets['file:secret'], warnings], ['a-secret-from-a-file-0123456789', []]);
  assert.equal(redactConfig(loaded?.config as NonNullable<typeof loaded>['config']).apps[0]?.webhook?.secret, 'file:secret', 'a reference says nothing');
});

test('what cannot be a webhook is refused where it stands', (t) => {
  const good = 'secret: "${HOOK}"';
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [`url: "acme.example", ${good}`, 'apps[0].webhook.url', /must be an https:\/\/ or http:\/\/ URL/], [`url: "ftp://acme.example", ${good}`, 'apps[0].webhook.url', /must be an https/],
    [`url: "https://u:p@acme.example", ${good}`, 'apps[0].webhook.url', /holds credentials/], [`url: "https://acme.example/#x", ${good}`, 'apps[0].webhook.url', /#fragment/],
    ...['169.254.169.254', '2852039166', '[::ffff:a9fe:a9fe]', '[fe80::1]', '100.100.100.200', '0.0.0.0'].map((host) => [`url: "http://${host}/", ${good}`, 'apps[0].webhook.url', /webhooks never go there/] as const),
    ['url: "https://acme.example", secret: short', 'apps[0].webhook.secret', /24 characters or more/], ['url: "https://acme.example", secret: "${NONE:-}"', 'apps[0].webhook.secret', /24 characters/],
    ['url: "https://acme.example", secret: "whsec_c2hvcnQ="', 'apps[0].webhook.secret', /24 bytes or more as base64/],
    ['url: "https://acme.example"', 'apps[0].webhook.secret', /is missing|secret/],
  ];
  for (const [webhook, path, message] of cases) {
    const { errors } = load(t, webhook);
    assert.equal(errors.length, 1, `${webhook}: ${JSON.stringify(errors)}`);
    assert.equal(errors[0]?.path, path, webhook);
    assert.match(errors[0].message, message, webhook);
  }
});

test('what is probably not meant is said', (t) => {
  const warnings = (webhook: string, limits?: string): readonly string[] => load(t, webhook, limits).warnings.map(({ message }) => message);
  assert.match(warnings('url: "http://acme.example/", secret: "${HOOK}"').join(), /in the clear/);
  assert.match(warnings('url: "https://acme.example/", secret: "${HOOK}"', '{ qps: 1 }').join(), /no quota/);
});
