import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configFolder, hash, LISTENER } from './config-folder.fixture.js';
import { diffConfigs } from './diff.js';
import { KeyStore } from './keys.js';
import { parseConfig } from './load.js';
import { redactConfig } from './redact.js';
import { canonicalJson } from './version.js';
import { asWritten, exceptNames } from './written.js';

describe('a configuration as written', () => {
  it('has each variable where the file has it, whatever type it became, and leaves the original alone', () => {
    const environment = { W: '3', Q: '100', REGION: 'eu', TIDEGATE__limits__qps: '7', TIDEGATE__apps__0__customer: 'their name' };
    const { config, written } = parseConfig(`${LISTENER}workers: "\${W}"
limits: { qps: "\${Q}" }
apps:
  - name: a
    time_zone: UTC
    customer: overridden \${REGION}
    ip: &lists { deny: ["10.\${W}.0.1"] }
  - { name: "b-\${REGION}", ip: *lists, services: [] }
`, '/nowhere/tidegate.yaml', environment);
    const before = canonicalJson(config);
    const shown = asWritten(config, written) as unknown as Record<string, unknown>;
    assert.equal(shown['workers'], '${W}');
    assert.deepEqual(shown['limits'], { qps: '$TIDEGATE__limits__qps' });
    const [a, b] = shown['apps'] as [Record<string, unknown>, Record<string, unknown>];
    assert.deepEqual([a['name'], a['customer'], a['time_zone'], a['ip']], ['a', '$TIDEGATE__apps__0__customer', 'UTC', { allow: [], deny: ['10.${W}.0.1'] }]);
    assert.deepEqual([b['name'], b['ip']], ['b-${REGION}', { allow: [], deny: ['10.${W}.0.1'] }]);
    assert.equal(canonicalJson(config), before);
    assert.deepEqual(asWritten(config, exceptNames(written)).apps.map(({ name }) => name), ['a', 'b-eu']);
  });

  it('keeps to its keys when some are revoked and others made', (t) => {
    const { dir, file } = configFolder(t);
    const store = KeyStore.open(dir);
    const text = `${LISTENER}data_dir: .\napps: [{ name: a, keys: [{ id: gone, sha256: "\${GONE}" }, { id: kept, sha256: "\${KEPT}" }] }]\n`;
    const environment = { GONE: hash('1'), KEPT: hash('2') };
    store.revoke({ app: 'a', id: 'gone', author: 'me', config: parseConfig(text, file, environment).config });
    const { stored } = store.add({ app: 'a', author: 'me', scopes: ['traffic'] });
    const { config, written } = parseConfig(text, file, environment);
    assert.deepEqual(redactConfig(asWritten(config, written)).apps[0]?.keys.map(({ id, sha256 }) => [id, sha256]), [['kept', '${KEPT}'], [stored.id, `${stored.sha256.slice(0, 8)}...`]]);
  });

  it('names a file that changed as it is written', (t) => {
    const { file, write } = configFolder(t);
    const text = `${LISTENER}control: { token: "file:\${WHERE}" }\n`;
    const [old, now] = ['a token of the operator', 'another token of theirs'].map((content) => {
      write('secret-place', content);
      return parseConfig(text, file, { WHERE: 'secret-place' });
    }) as [ReturnType<typeof parseConfig>, ReturnType<typeof parseConfig>];
    assert.deepEqual(diffConfigs(old, now), [{ path: 'file:${WHERE}', kind: 'changed', before: '***', after: '***' }]);
  });

  it('hides a secret that stands beside a variable or as its default, and shows a variable alone', () => {
    const of = (yaml: string): unknown => diffConfigs(parseConfig(LISTENER, '/nowhere/t.yaml', {}), parseConfig(`${LISTENER}control: { token: ${yaml} }\n`, '/nowhere/t.yaml', { T: 'x'.repeat(20) }))[0]?.after;
    assert.deepEqual([of('"${T}"'), of('"${U:-a secret as default}"'), of('"${T}and a secret"')], ['${T}', '***', '***']);
  });
});
