import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatRequestId, parseRequestId } from './request-id.js';

test('a request id leads back to its stream and ordinal', () => {
  for (const ordinal of [0, 1, 35, 36, 1_000_000, Number.MAX_SAFE_INTEGER]) {
    assert.deepEqual(parseRequestId(formatRequestId('00fedcba98765432', ordinal)), { stream: '00fedcba98765432', ordinal });
  }
});

test('what is no request id of ours is none', () => {
  for (const text of ['', '00fedcba98765432', '00fedcba98765432-', '00FEDCBA98765432-1', '00fedcba98765432-01', '00fedcba98765432-1 ', 'fedcba98765432-1',
    '00fedcba98765432-zzzzzzzzzzz', '00fedcba98765432-2gosa7pa2gw0', '00fedcba98765432-1\n']) assert.equal(parseRequestId(text), null, text);
});
