/**
 * A configuration file becomes a Config, or all that is wrong with it:
 * read -> YAML, variables -> overrides -> schema, defaults -> keys.json -> secrets -> what a schema cannot say -> version.
 */
import { dirname, resolve } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { readBounded } from './bounded-file.js';
import { ConfigRejectedError, formatPath, inFileOrder } from './config-problem.js';
import type { ConfigPath, ConfigProblem, Finding, Place } from './config-problem.js';
import { KeyStore } from './keys.js';
import { checkSchema } from './schema-check.js';
import type { SchemaFinding } from './schema-check.js';
import type { Config } from './schema.js';
import { readSecrets } from './secrets.js';
import type { Secrets } from './secrets.js';
import { validate } from './validate.js';
import { applyOverrides, isMap, parseScalar } from './variables.js';
import type { Environment, Override } from './variables.js';
import { configVersion } from './version.js';
import { writtenAfterMerge } from './written.js';
import type { Written } from './written.js';
import { parseYaml } from './yaml-source.js';
import type { ParsedYaml } from './yaml-source.js';

/** Plain data: it can be sent to another thread or process. */
export interface LoadedConfig {
  readonly config: Config;
  /** First 12 hexadecimal digits of the SHA-256 of the content, keys and secrets included. */
  readonly version: string;
  /** The file as it stands, before variables. */
  readonly text: string;
  /** What of `config` holds variables or was set by one, for asWritten. */
  readonly written: readonly Written[];
  /** As named by whoever loaded it. */
  readonly file: string;
  /** Absolute: `file:` references and data_dir are relative to it. */
  readonly baseDir: string;
  /** Absolute. */
  readonly dataDir: string;
  readonly secrets: Secrets;
}

export interface LoadResult {
  /** null: refused, and `errors` says why. */
  readonly loaded: LoadedConfig | null;
  /** In the order of the file. */
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
  /** Absolute paths that the result depends on: the file, keys.json, what `file:` names. */
  readonly files: readonly string[];
}

/** Where a part of the configuration stands: in the file, or in a variable that overrides it. */
export type Locate = (path: ConfigPath, at?: 'key' | 'value') => Place;

/** @param file shown in messages as given */
export function loadConfig(file: string, environment: Environment = process.env): LoadResult {
  return loadWithPlaces(file, environment).result;
}

/** What loadConfig would say if the file held `text`. */
export function loadConfigText(text: string, file: string, environment: Environment = process.env): LoadResult {
  return understand(text, file, environment).result;
}

/** As loadConfigText, for who needs the configuration or nothing. @throws ConfigRejectedError */
export function parseConfig(text: string, file: string, environment: Environment = process.env): LoadedConfig {
  const { loaded, errors } = loadConfigText(text, file, environment);
  if (loaded === null) throw new ConfigRejectedError(errors);
  return loaded;
}

export interface Located {
  readonly result: LoadResult;
  readonly locate: Locate;
}

/** As loadConfig, with the way back from a path to its place: for a trial compile. It keeps the parsed file in memory; do not hold on to it. */
export function loadWithPlaces(file: string, environment: Environment = process.env): Located {
  let text: string;
  try {
    text = readConfigText(resolve(file));
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    const start = { file, line: 1, column: 1 };
    const errors = [{ ...start, path: '', message: error.message, code: error.code }];
    return { result: { loaded: null, errors, warnings: [], files: [resolve(file)] }, locate: () => start };
  }
  return understand(text, file, environment);
}

function understand(text: string, file: string, environment: Environment): Located {
  const path = resolve(file);
  const files = new Set([path]);
  const refused = (errors: readonly ConfigProblem[], locate: Locate): Located =>
    ({ result: { loaded: null, errors: inFileOrder(errors), warnings: [], files: [...files] }, locate });
  const yaml = parseYaml(text, file, environment);
  if (yaml.value === undefined) return refused(yaml.problems, (at, of) => yaml.source.place(at, of));

  const { value, overrides, problems } = overridden(yaml, environment);
  const locate = locator(yaml, overrides);
  const schemaFindings = fitToSchema(value, yaml.expanded, overrides);
  // whatever the schema found fault with is passed over by those that come after
  const declared = value as Config;
  let config = declared;
  const baseDir = dirname(path);
  const dataDir = resolve(baseDir, typeof config?.data_dir === 'string' ? config.data_dir : 'data');
  const findings: Finding[] = schemaFindings.map(placed);
  const warnings: Finding[] = [];
  let secrets: Secrets = {};
  if (isMap(value)) {
    files.add(KeyStore.pathIn(dataDir));
    if (schemaFindings.length === 0) {
      try {
        config = KeyStore.open(dataDir).merge(declared);
      } catch (error) {
        if (!(error instanceof TidegateError)) throw error;
        findings.push({ path: ['data_dir'], at: 'value', code: error.code, message: error.message });
      }
    }
    const read = readSecrets(config, baseDir);
    for (const secret of read.files) files.add(secret);
    secrets = read.secrets;
    const judgement = validate(config, secrets, schemaFindings);
    findings.push(...read.findings, ...judgement.errors);
    warnings.push(...judgement.warnings);
  }
  // a value that lacks its variable has been told of already
  const told = new Set(problems.map((problem) => problem.path).filter((at) => at !== ''));
  const toProblem = (finding: Finding): ConfigProblem => ({ ...locate(finding.path, finding.at), path: formatPath(finding.path), message: finding.message, code: finding.code });
  const errors = [...problems, ...findings.filter((finding) => !told.has(formatPath(finding.path))).map(toProblem)];
  if (errors.length > 0) return refused(errors, locate);
  const written = writtenAfterMerge([...yaml.expanded.values(), ...overrides.map(({ path: at, variable }) => ({ path: at, text: `$${variable}` }))], declared, config);
  const loaded = { config, version: configVersion(config, secrets), text, written, file, baseDir, dataDir, secrets };
  return { result: { loaded, errors: [], warnings: inFileOrder(warnings.map(toProblem)), files: [...files] }, locate };
}

/** As parseYaml bounds characters; looked at before the file is read. */
export const MAX_CONFIG_BYTES = 64 * 1024 * 1024;

/** The text of a configuration file. @throws TidegateError config_unreadable, config_syntax, without the file's name */
export function readConfigText(path: string): string {
  const read = readBounded(path, MAX_CONFIG_BYTES);
  if (read.bytes === null) throw new TidegateError('config_unreadable', read.why);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(read.bytes);
  } catch (error) {
    throw new TidegateError('config_syntax', 'the file is not UTF-8', { cause: error });
  }
}

function overridden(yaml: ParsedYaml, environment: Environment): { readonly value: unknown; readonly overrides: readonly Override[]; readonly problems: readonly ConfigProblem[] } {
  if (!isMap(yaml.value)) return { value: yaml.value, overrides: [], problems: yaml.problems };
  const { overrides, failures } = applyOverrides(yaml.value, environment);
  const problems = failures.map(({ variable, message }): ConfigProblem => ({ ...variablePlace(variable), path: '', message, code: 'config_variable' }));
  return { value: yaml.value, overrides, problems: [...yaml.problems, ...problems] };
}

function variablePlace(variable: string): Place {
  return { file: `$${variable}`, line: 1, column: 1 };
}

function locator(yaml: ParsedYaml, overrides: readonly Override[]): Locate {
  return (path, at) => {
    const sets = overrides.find((candidate) => startsWith(path, candidate.path))
      // or made what encloses the value it sets
      ?? (yaml.source.has(path) ? undefined : overrides.find((candidate) => path.length > 0 && startsWith(candidate.path, path)));
    return sets === undefined ? yaml.source.place(path, at) : variablePlace(sets.variable);
  };
}

function startsWith(path: ConfigPath, beginning: ConfigPath): boolean {
  return beginning.length <= path.length && beginning.every((part, i) => part === path[i]);
}

/**
 * Text from a variable has no type of its own: `"${PORT}"` may have to be a number, and an override of `123` text. Where the first reading
 * does not fit, the other is tried.
 */
function fitToSchema(value: unknown, expanded: ReadonlyMap<string, Written>, overrides: readonly Override[]): SchemaFinding[] {
  const findings = checkSchema(value);
  const overrideTexts = new Map(overrides.map((override) => [formatPath(override.path), override.text]));
  let changed = false;
  for (const { path, retype } of findings) {
    const key = formatPath(path);
    if (!retype || (!expanded.has(key) && !overrideTexts.has(key))) continue;
    const last = path.at(-1);
    const parent = path.slice(0, -1).reduce<unknown>((at, part) => (at as Record<string | number, unknown>)[part], value) as Record<string | number, unknown>;
    if (last === undefined) continue;
    const current = parent[last];
    const other = typeof current === 'string' ? parseScalar(current) : overrideTexts.get(key);
    if (other === undefined || other === current) continue;
    parent[last] = other;
    changed = true;
  }
  return changed ? checkSchema(value) : findings;
}

/** A missing member is placed at what should hold it; its path names the member. */
function placed(finding: SchemaFinding): Finding {
  const { path, at, code, message, member } = finding;
  return { path: member !== null && code === 'config_schema' ? [...path, member] : path, at, code, message };
}
