import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrincipal } from './principal.js';

test('who asks is the operator, a token by its name or an app by its own, and nobody for any other text', () => {
  assert.deepEqual(parsePrincipal('operator'), { kind: 'operator' });
  assert.deepEqual(parsePrincipal('operator:finance'), { kind: 'operator', reader: 'finance' });
  assert.deepEqual(parsePrincipal('app:acme'), { kind: 'app', app: 'acme' });
  assert.deepEqual(parsePrincipal('app:operator'), { kind: 'app', app: 'operator' });
  for (const text of [undefined, '', 'operator:', 'app:', 'app', 'Operator', 'operator ', ' operator', 'billing', 'xapp:acme', 'app:acme\n', ['operator', 'app:acme']]) {
    assert.equal(parsePrincipal(text), null, String(text));
  }
});
