import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { BodyNesting, MAX_NESTING } from './body-nesting.js';

const exceeds = (text: string, pieceBytes = Number.POSITIVE_INFINITY): boolean => {
  const nesting = new BodyNesting();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) if (nesting.exceededBy(bytes.subarray(at, Math.min(bytes.length, at + pieceBytes)))) return true;
  return false;
};
const nested = (depth: number, inner = ''): string => '['.repeat(depth) + inner + ']'.repeat(depth);

test('JSON nests as deep as allowed, and not one deeper, in whatever pieces it comes', () => {
  for (const piece of [1, 2, 7, 1000]) {
    assert.equal(exceeds(nested(MAX_NESTING), piece), false);
    assert.equal(exceeds(nested(MAX_NESTING + 1), piece), true);
    assert.equal(exceeds('{"a":'.repeat(MAX_NESTING + 1), piece), true);
    assert.equal(exceeds(`[${nested(MAX_NESTING - 1)},${nested(MAX_NESTING - 1)}]`.replace('[[', '[ ['), piece), false, 'beside each other is not inside');
  }
});

test('brackets in texts are text', () => {
  for (const piece of [1, 3, 1000]) {
    assert.equal(exceeds(JSON.stringify('['.repeat(1000)), piece), false);
    assert.equal(exceeds(JSON.stringify(`\\"${'{'.repeat(1000)}\\`), piece), false);
    assert.equal(exceeds(`["\\\\",${'['.repeat(MAX_NESTING)}`, piece), true, 'an escaped backslash ends no text');
  }
});

test('it says the depth that a parser finds, of any JSON', () => {
  const depthOf = (value: unknown): number => (typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0);
  const texts = ['"', '\\', '[', ']', '{', '}', ',', ':', 'a', '\u00e9', '\\"', ''];
  const text = (): string => Array.from({ length: randomInt(8) }, () => texts[randomInt(texts.length)]).join('');
  const value = (depth: number): unknown => {
    if (depth === 0) return text();
    const deeper = value(depth - 1);
    return randomInt(2) === 0 ? [text(), deeper, text()] : { [text()]: text(), [`x${text()}`]: deeper };
  };
  for (let i = 0; i < 300; i++) {
    const made = value(MAX_NESTING - 1 + randomInt(4));
    assert.equal(exceeds(JSON.stringify(made), randomInt(1, 50)), depthOf(made) > MAX_NESTING, JSON.stringify(made));
  }
});
