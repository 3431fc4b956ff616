import assert from 'node:assert/strict';
import { test } from 'node:test';
import { figure, grouped, markdownTable } from './table.js';

test('columns are padded, numbers to the right, missing cells empty', () => {
  assert.equal(markdownTable(['proxy', 'us'], [['a long name', '5'], ['b']]), [
    '| proxy       |  us |',
    '| ----------- | --: |',
    '| a long name |   5 |',
    '| b           |     |',
  ].join('\n'));
});

test('figures keep three digits that mean something', () => {
  assert.deepEqual([0.987, 5.117, 25.44, 131.2].map(figure), ['0.99', '5.12', '25.4', '131']);
  assert.deepEqual([999, 12345.6, 2_000_000].map(grouped), ['999', '12,346', '2,000,000']);
});
