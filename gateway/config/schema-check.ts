/** Holds a parsed value against the schema: fills defaults in (in place) and gathers everything that does not fit. */
import { Ajv } from 'ajv';
import type { ErrorObject } from 'ajv';
import { nearest } from './config-problem.js';
import type { Finding } from './config-problem.js';
import { ConfigSchema, FORMS } from './schema.js';

const ajv = new Ajv({ allErrors: true, useDefaults: true, strict: true, allowUnionTypes: true, verbose: true });
const validate = ajv.compile(ConfigSchema);

export interface SchemaFinding extends Finding {
  /** True: another reading of a value that came as text (a number, a boolean) might fit. */
  readonly retype: boolean;
  /** The part that is missing or unknown, where `path` names what encloses it. */
  readonly member: string | null;
}

/** Empty: `value` is a Config, defaults filled in. */
export function checkSchema(value: unknown): SchemaFinding[] {
  if (validate(value)) return [];
  const errors = validate.errors ?? [];
  const unions = errors.filter((error) => error.keyword === 'anyOf');
  const findings: SchemaFinding[] = [];
  for (const error of errors) {
    const insideUnion = unions.some((union) => union !== error && error.instancePath.startsWith(union.instancePath) && error.schemaPath.startsWith(`${union.schemaPath}/`));
    if (!insideUnion) findings.push(finding(error, value));
  }
  return findings;
}

function finding(error: ErrorObject, root: unknown): SchemaFinding {
  const path = toPath(error.instancePath, root);
  const schema = (error.parentSchema ?? {}) as Readonly<Record<string, unknown>>;
  const base = { path, at: 'value', code: 'config_schema', retype: false, member: null } as const;
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String((error.params as { additionalProperty: string }).additionalProperty);
      const known = Object.keys((schema['properties'] ?? {}));
      const near = nearest(key, known);
      const advice = near === null ? `known here: ${known.join(', ')}` : `did you mean ${near}?`;
      return { ...base, path: [...path, key], at: 'key', code: 'config_unknown_key', message: `unknown key ${JSON.stringify(key)}; ${advice}`, member: key };
    }
    case 'required': {
      const key = String((error.params as { missingProperty: string }).missingProperty);
      return { ...base, at: 'key', message: `${key} is missing`, member: key };
    }
    case 'type':
      return { ...base, message: `must be ${describe(schema)}, not ${kindOf(error.data)}${quoteAdvice(schema, error.data)}`, retype: true };
    case 'anyOf':
    case 'const':
    case 'enum': {
      const near = typeof error.data === 'string' ? nearest(error.data, ((schema['enum'] ?? []) as unknown[]).map(String)) : null;
      return { ...base, message: `must be ${describe(schema)}${near === null ? '' : `; did you mean ${near}?`}`, retype: true };
    }
    case 'pattern':
      return { ...base, message: `must be ${FORMS[String(schema['pattern'])] ?? `text that fits ${String(schema['pattern'])}`}` };
    case 'minItems':
      return { ...base, message: 'must not be empty' };
    default:
      return { ...base, message: error.message ?? 'does not fit' };
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text', integer: 'a whole number', number: 'a number', boolean: 'true or false', array: 'a list', object: 'a map (key: value)', null: 'null',
};

/** What a schema asks for, in words: also the reference's column of types. */
export function describe(schema: Readonly<Record<string, unknown>>): string {
  if (Array.isArray(schema['enum'])) return `one of ${schema['enum'].join(', ')}`;
  if ('const' in schema) return String(schema['const']);
  if (Array.isArray(schema['anyOf'])) return (schema['anyOf'] as Record<string, unknown>[]).map(describe).join(' or ');
  const types = Array.isArray(schema['type']) ? (schema['type'] as string[]) : [String(schema['type'])];
  const words = types.map((type) => TYPES[type] ?? type).join(' or ');
  const { minimum, maximum } = schema as { minimum?: number; maximum?: number };
  if (minimum !== undefined && maximum !== undefined) return `${words} from ${minimum} to ${maximum}`;
  return words;
}

function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') return 'text';
  if (typeof value === 'boolean') return 'true or false';
  return Number.isInteger(value) ? 'a whole number' : 'a number';
}

function quoteAdvice(schema: Readonly<Record<string, unknown>>, value: unknown): string {
  return schema['type'] === 'string' && (typeof value === 'number' || typeof value === 'boolean') ? ': put it in quotes' : '';
}

/** A JSON pointer's parts; list positions as numbers. */
function toPath(pointer: string, root: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  let at: unknown = root;
  for (const raw of pointer.split('/').slice(1)) {
    const part = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(at) ? Number(part) : part);
    at = (at as Record<string, unknown> | undefined)?.[part];
  }
  return path;
}
