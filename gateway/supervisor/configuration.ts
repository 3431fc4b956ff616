/**
 * The configuration in force: loaded at the start, followed as its file changes, changed by keys made and revoked. Whatever is refused
 * changes nothing; whatever is applied is recorded in the history first.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ConfigRejectedError, formatProblem, type ConfigProblem } from '../config/config-problem.js';
import { diffConfigs, type Change } from '../config/diff.js';
import { ownerOf } from '../config/file-owner.js';
import { appendHistory, readHistory, type HistoryEntry } from '../config/history.js';
import { KeyStore, type KeyScope } from '../config/keys.js';
import { loadTextAside } from '../config/load-aside.js';
import { loadConfigText, type LoadResult } from '../config/load.js';
import { redactConfig } from '../config/redact.js';
import type { Config } from '../config/schema.js';
import { ConfigWatcher } from '../config/watch.js';
import type { ConfigDiff, ConfigStatus, NewKey, NewKeyRequest, ReloadResult } from '../control/control-deps.js';
import { readConfigInForce, writeConfigInForce, type ConfigInForce } from './run-files.js';

export interface ConfigurationLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ConfigurationOptions {
  readonly file: string;
  readonly runDir: string;
  /** Tries what would run; throws a TidegateError where that fails. */
  readonly trial: (candidate: ConfigInForce, inForce: ConfigInForce) => void | Promise<void>;
  /** Puts it into force. Not called for the one that `load` answers with. */
  readonly apply: (inForce: ConfigInForce) => void;
  readonly onReload: (result: ReloadResult['result']) => void;
  readonly log: ConfigurationLog;
}

/** Where a change comes from, for the history. */
interface Origin { readonly source: 'start' | 'file' | 'api'; readonly author: string }

export class Configuration {
  readonly #options: ConfigurationOptions;
  readonly #watcher: ConfigWatcher;
  #inForce: ConfigInForce;
  #loadedAt = new Date();
  #origin: Origin;
  #lastReload: ConfigStatus['last_reload'] = null;
  #lastResult: ReloadResult;
  /** Who asked for the reload under way. */
  #asker: Origin | null = null;
  /** As last readable; null: it never was. */
  #keys: KeyStore | null = null;

  private constructor(options: ConfigurationOptions, watcher: ConfigWatcher, inForce: ConfigInForce) {
    this.#options = options;
    this.#watcher = watcher;
    this.#inForce = inForce;
    this.#origin = { source: 'start', author: ownerOf(options.file) };
    this.#reopenKeys();
    this.#lastResult = { result: 'unchanged', version: inForce.version, errors: [] };
  }

  /**
   * The configuration at the start. A supervisor that is started again in the same run goes on with what was in force where the file is
   * not good any more.
   * @throws ConfigRejectedError
   */
  static async load(options: ConfigurationOptions): Promise<Configuration> {
    let made: Configuration | null = null;
    const watcher = new ConfigWatcher({ file: options.file, onResult: async (result, cause) => { if (made !== null) await made.#take(result, made.#asker ?? origin(cause, options.file)); } });
    const first = await watcher.start();
    const earlier = readConfigInForce(options.runDir);
    const fromFile = first.loaded === null ? null : completed(first.loaded);
    const isGood = fromFile !== null && (earlier === null || fixedFault(fromFile, earlier) === null);
    const inForce = isGood ? fromFile : earlier;
    if (inForce === null) {
      watcher.close();
      throw new ConfigRejectedError(first.errors);
    }
    made = new Configuration(options, watcher, inForce);
    if (!isGood) await made.#take(first, origin('file', options.file));
    else for (const warning of first.warnings) options.log.warn({ code: warning.code }, formatProblem(warning));
    return made;
  }

  get inForce(): ConfigInForce { return this.#inForce; }

  get status(): ConfigStatus {
    return { version: this.#inForce.version, source: this.#origin.source, loaded_at: this.#loadedAt.toISOString(), last_reload: this.#lastReload };
  }

  /** Once the data directory is held: what has changed since the last run goes into the history, and the others may read what is in force. */
  begin(): void {
    this.#keep(this.#origin);
  }

  close(): void {
    this.#watcher.close();
  }

  async reload(author = 'operator'): Promise<ReloadResult> {
    return this.#reloadFor({ source: 'api', author });
  }

  /** Null: no such app. @throws ConfigRejectedError: the key is kept, but could not be put in force */
  async createKey(app: string, request: NewKeyRequest): Promise<NewKey | null> {
    if (!this.#inForce.config.apps.some(({ name }) => name === app)) return null;
    const store = KeyStore.open(this.#inForce.dataDir);
    const { key, stored } = store.add({ app, author: request.author, scopes: request.scopes });
    this.#keys = store;
    await this.#takeKeys({ source: 'api', author: request.author });
    return { app, id: stored.id, key, scopes: stored.scopes };
  }

  /** False: no such app or key. */
  async revokeKey(app: string, id: string, author: string): Promise<boolean> {
    const { config, dataDir } = this.#inForce;
    const store = KeyStore.open(dataDir);
    if (!store.revoke({ app, id, author, config })) return false;
    this.#keys = store;
    await this.#takeKeys({ source: 'api', author });
    return true;
  }

  /**
   * The app of a key that was made here, and what it is for; null: not one of these. 'unknown': keys.json has been damaged since before this
   * process began, so that nobody can say. Damaged later, it stays as it was.
   */
  storedKey(sha256: string): { readonly app: string; readonly scopes: readonly KeyScope[] } | null | 'unknown' {
    return this.#keys === null ? 'unknown' : this.#keys.find(sha256);
  }

  history(limit: number): readonly HistoryEntry[] {
    return readHistory(this.#inForce.dataDir, limit);
  }

  async diff(text: string): Promise<ConfigDiff> {
    const from = this.#inForce.version;
    const { loaded, errors } = await loadTextAside(text, this.#options.file);
    if (loaded === null) return { from, to: from, changes: [], errors: unexpanded(errors.slice(0, MOST_ERRORS), text) };
    const candidate = completed(loaded);
    const fault = await this.#fault(candidate);
    if (fault !== null) return { from, to: from, changes: [], errors: [fault] };
    return { from, to: candidate.version, changes: unexpanded(diffConfigs(this.#inForce, candidate), text), errors: [] };
  }

  async #reloadFor(asker: Origin): Promise<ReloadResult> {
    this.#asker = asker;
    try {
      await this.#watcher.reload();
    } finally {
      this.#asker = null;
    }
    return this.#lastResult;
  }

  /** Keys have changed: they take effect also where the file has gone bad, then with what of it is in force. */
  async #takeKeys(origin: Origin): Promise<void> {
    const { result } = await this.#reloadFor(origin);
    if (result !== 'rejected') return;
    const again = loadConfigText(this.#inForce.text, this.#inForce.file);
    if (again.loaded === null) throw new ConfigRejectedError(again.errors);
    this.#change(completed(again.loaded), origin);
  }

  async #take(result: LoadResult, from: Origin): Promise<void> {
    // whatever the load says: a key for reports alone is no part of the configuration
    this.#reopenKeys();
    if (result.loaded === null) {
      this.#reject(result.errors);
      return;
    }
    const candidate = completed(result.loaded);
    if (candidate.version === this.#inForce.version) {
      this.#told('unchanged', []);
      return;
    }
    const fault = await this.#fault(candidate);
    if (fault !== null) {
      this.#reject([fault]);
      return;
    }
    for (const warning of result.warnings) this.#options.log.warn({ code: warning.code }, formatProblem(warning));
    try {
      this.#change(candidate, from);
      this.#told('applied', []);
    } catch (error) {
      // the history cannot be written
      if (!(error instanceof TidegateError)) throw error;
      this.#reject([problemOf(candidate, error.code, 'data_dir', error.message)]);
    }
  }

  /** What a valid configuration is refused for all the same. */
  async #fault(candidate: ConfigInForce): Promise<ConfigProblem | null> {
    const fixed = fixedFault(candidate, this.#inForce);
    if (fixed !== null) return problemOf(candidate, 'config_value', fixed, 'cannot change while the node runs: stop it, and start it again');
    try {
      await this.#options.trial(candidate, this.#inForce);
      return null;
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      return problemOf(candidate, error.code, error.code.startsWith('address_') ? 'listeners.http.address' : '', error.message);
    }
  }

  #reopenKeys(): void {
    try {
      this.#keys = KeyStore.open(this.#inForce.dataDir);
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      this.#options.log.error({ code: error.code }, `${error.message}; the keys of before stay`);
    }
  }

  #change(candidate: ConfigInForce, from: Origin): void {
    const before = this.#inForce;
    this.#inForce = candidate;
    try {
      this.#keep(from);
    } catch (error) {
      this.#inForce = before;
      throw error;
    }
    this.#origin = from;
    this.#loadedAt = new Date();
    this.#options.apply(candidate);
    this.#options.log.info({ version: candidate.version, before: before.version, source: from.source }, 'a new configuration is in force');
  }

  #keep({ source, author }: Origin): void {
    const { dataDir, config, version } = this.#inForce;
    const last = readLast(dataDir);
    if (last?.version !== version) {
      const shown = redactConfig(config);
      const diff: Change[] = last === null ? [{ path: '', kind: 'added', after: shown }] : diffConfigs({ config: last.config }, { config: shown });
      // a crash before writeLast has left it there; by version alone, because the next start is of another source
      const isEntered = readHistory(dataDir, 1)[0]?.version === version;
      if (!isEntered) appendHistory(dataDir, { version, time: new Date().toISOString(), source, author, diff });
      writeLast(dataDir, { version, config: shown });
    }
    writeConfigInForce(this.#options.runDir, this.#inForce);
  }

  #reject(errors: readonly ConfigProblem[]): void {
    for (const error of errors) this.#options.log.error({ code: error.code }, formatProblem(error));
    this.#options.log.error({ errors: errors.length, version: this.#inForce.version }, 'the configuration was rejected; the one in force stays');
    this.#told('rejected', errors);
  }

  #told(result: ReloadResult['result'], errors: readonly ConfigProblem[]): void {
    this.#lastReload = { at: new Date().toISOString(), result, errors };
    this.#lastResult = { result, version: this.#inForce.version, errors };
    this.#options.onReload(result);
  }
}

const origin = (cause: 'file' | 'request', file: string): Origin => (cause === 'file' ? { source: 'file', author: ownerOf(file) } : { source: 'api', author: '' });

function problemOf({ file }: ConfigInForce, code: ConfigProblem['code'], path: string, message: string): ConfigProblem {
  return { file, line: 1, column: 1, path, message, code };
}

/** The node's name and the data directory's place filled in: the version is that of the file and its keys alone. */
function completed(loaded: ConfigInForce): ConfigInForce {
  return { ...loaded, config: { ...loaded.config, node: loaded.config.node ?? hostname().slice(0, 63), data_dir: loaded.dataDir } };
}

/** Path of what cannot change in a running node; null: nothing of it has. */
function fixedFault(candidate: ConfigInForce, inForce: ConfigInForce): string | null {
  if (candidate.dataDir !== inForce.dataDir) return 'data_dir';
  if (candidate.config.node !== inForce.config.node) return 'node';
  if (candidate.config.control.address !== inForce.config.control.address) return 'control.address';
  // a worker opens its segments with what it was started with
  if (candidate.config.event_log.spool.segment_bytes !== inForce.config.event_log.spool.segment_bytes) return 'event_log.spool.segment_bytes';
  return null;
}

/** The configuration last in force, redacted: so that a change made while the node was down is in the history too. */
interface LastConfig { readonly version: string; readonly config: Config }

const lastPath = (dataDir: string): string => join(dataDir, 'config', 'last.json');

function readLast(dataDir: string): LastConfig | null {
  try {
    return JSON.parse(readFileSync(lastPath(dataDir), 'utf8')) as LastConfig;
  } catch {
    // absent, or torn by a power cut: the history then shows the whole configuration as added
    return null;
  }
}

function writeLast(dataDir: string, last: LastConfig): void {
  const path = lastPath(dataDir);
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, JSON.stringify(last), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    throw new TidegateError('data_dir_unusable', `${path} cannot be written: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
  }
}

/** Errors that an answer lists: a text can be wrong in more places than anybody reads. */
const MOST_ERRORS = 200;

/** What variables stand for is not for who sends a text that names them: their values are shown as `${NAME}` again. */
function unexpanded<T>(shown: T, text: string): T {
  const values = [...new Set([...text.matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)/g)].map(([, name]) => name as string))]
    .map((name): [string, string] => [name, process.env[name] ?? '']).filter(([, value]) => value !== '')
    .sort(([, a], [, b]) => b.length - a.length);
  const hide = (value: unknown): unknown => {
    if (typeof value === 'string') return values.reduce((shownText, [name, content]) => shownText.replaceAll(content, `\${${name}}`), value);
    if (Array.isArray(value)) return value.map(hide);
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hide(item)]));
    return value;
  };
  return values.length === 0 ? shown : hide(shown) as T;
}
