import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { parseDocument } from 'yaml';
import { ERROR_CODES } from '../../errors/codes.js';
import { OUTCOMES } from '../events/outcomes.js';
import { renderConfiguration, renderErrors, renderJsonSchema, renderOutcomes } from './reference.js';
import { ConfigSchema } from './schema.js';

describe('the published schema', () => {
  const schema = JSON.parse(renderJsonSchema()) as Record<string, unknown>;
  const validate = new Ajv({ strict: true, allowUnionTypes: true, strictRequired: false }).compile(schema);

  it('is draft-07, and takes a file that leaves defaults out', () => {
    assert.equal(schema['$schema'], 'http://json-schema.org/draft-07/schema#');
    const yaml = 'version: 1\nlisteners: { http: {} }\nservices: [{ name: s, upstream: { targets: [{ url: "http://h" }] }, routes: [{ name: r }] }]\napps: [{ name: a, limits: { qpd: { limit: 1 } } }]\n';
    assert.ok(validate(parseDocument(yaml).toJS()), JSON.stringify(validate.errors));
  });

  it('refuses unknown keys and missing ones', () => {
    for (const yaml of ['version: 1\n', 'version: 1\nlisteners: { http: {} }\nlimts: {}\n', 'version: 1\nlisteners: { http: {} }\nservices: [{ name: s }]\n']) assert.ok(!validate(parseDocument(yaml).toJS()), yaml);
  });
});

describe('the reference', () => {
  it('names every key, each with what it means', () => {
    const page = renderConfiguration();
    const keys = new Set<string>();
    JSON.stringify(ConfigSchema, (key, value: unknown) => {
      if (key === 'properties') for (const name of Object.keys(value as object)) keys.add(name);
      return value;
    });
    assert.ok(keys.size > 60);
    for (const key of keys) assert.ok(page.includes(`| \`${key}\` |`), key);
    const bare = page.split('\n').filter((line) => /^\| `/.test(line) && /\| *\|$/.test(line) && !/below/.test(line));
    assert.deepEqual(bare, []);
  });

  it('names every error code and outcome', () => {
    for (const code of Object.keys(ERROR_CODES)) assert.ok(renderErrors().includes(`| \`${code}\` |`));
    for (const outcome of Object.keys(OUTCOMES)) assert.ok(renderOutcomes().includes(`| \`${outcome}\` |`));
  });
});
