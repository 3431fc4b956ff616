import assert from 'node:assert/strict';
import { test } from 'node:test';
import { between } from './report-file.js';

const document = 'before\n<!-- bench: begin, written by npm run bench -->\nold\n<!-- bench: end -->\nafter\n';

test('only what stands between the markers is replaced, as often as one likes', () => {
  const once = between(document, 'new $& figures\n\n');
  assert.equal(once, document.replace('old', () => 'new $& figures'));
  assert.equal(between(once, 'old'), document);
});

test('a document without its markers is left alone', () => {
  assert.throws(() => between('no markers', 'new'), /needs one/);
  assert.throws(() => between(document + document, 'new'), /needs one/);
});
