import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import { linearRegExp } from './linear-regexp.js';

test('matches as written: searched for, anchored only by ^ and $', () => {
  assert.equal(linearRegExp('^/v[12]/').test('/v2/x'), true);
  assert.equal(linearRegExp('^/v[12]/').test('/x/v2/'), false);
  assert.equal(linearRegExp('/v[12]/').test('/x/v2/'), true);
  assert.equal(linearRegExp('\\.(png|jpe?g)$').test('/a.jpeg'), true);
  assert.equal(linearRegExp('^/u/\\d{1,16}$').test('/u/123'), true);
  assert.equal(linearRegExp('^/A$').test('/a'), false);
});

test('patterns that backtrack for ever elsewhere end at once', () => {
  const path = `/${'a'.repeat(50_000)}!`;
  for (const source of ['(a+)+$', '^/(a|a)*$', '^/(a*)*b', '(.*a){12}$', '^(/a|/aa|a+)+$']) assert.equal(linearRegExp(source).test(path), false);
});

test('what cannot be matched in linear time is refused by code', () => {
  for (const source of ['(?=a)', '(?!a)b', '(?<=a)b', '(?<!a)b', '(a)\\1', '(?<n>a)\\k<n>', 'a{17}', '(a{1,10}){1,10}', '(?i:a)', '(', '[z-a]', 'a**', '*']) {
    assert.throws(() => linearRegExp(source), (error) => error instanceof TidegateError && error.code === 'config_regexp', source);
  }
});

test('other regular expressions keep their engine', () => {
  linearRegExp('a');
  assert.equal(/(?<=a)b\b(?!c)/.test('ab'), true);
  assert.equal(/(a)\1/.flags, '');
});
