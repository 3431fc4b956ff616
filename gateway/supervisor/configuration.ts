/**
 * The configuration in force: loaded at the start, followed as its file changes, changed by keys made and revoked. Whatever is refused
 * changes nothing; whatever is applied is recorded in the history first.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidegateError } from '../../errors/tidegate-error.js';
import { runAside } from '../config/aside.js';
import { readBounded } from '../config/bounded-file.js';
import { ConfigRejectedError, formatProblem, type ConfigProblem } from '../config/config-problem.js';
import { diffConfigs, type Change } from '../config/diff.js';
import { ownerOf } from '../config/file-owner.js';
import { appendHistory, readHistory, type HistoryEntry } from '../config/history.js';
import { KeyStore, type Revocation } from '../config/keys.js';
import { loadTextAside } from '../config/load-aside.js';
import { MAX_CONFIG_BYTES, type LoadResult } from '../config/load.js';
import { OneAtATime } from '../config/one-at-a-time.js';
import { redactConfig } from '../config/redact.js';
import type { Config } from '../config/schema.js';
import { ConfigWatcher } from '../config/watch.js';
import { asWritten, exceptNames } from '../config/written.js';
import type { ConfigDiff, ConfigStatus, NewKey, NewKeyRequest, ReloadResult } from '../control/control-deps.js';
import { completed, fixedFault, problemOf } from './candidate.js';
import { readConfigInForce, writeConfigInForce, type ConfigInForce } from './run-files.js';
import type { TrialRequest } from './trial-diff.js';

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

/** Of diffs: one is made, so many wait. */
const MOST_DIFFS_WAITING = 4;
/** The largest text that the control origin takes needs some 30 s, twice that where errors and variables meet. */
const DIFF_TIME_LIMIT_MS = 120_000;
const HERE = fileURLToPath(import.meta.url);
const TRIAL_PROCESS = resolve(HERE, `../trial-process${extname(HERE)}`);

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
  readonly #diffs = new OneAtATime(MOST_DIFFS_WAITING);
  /** Who asked for the reload under way. */
  #asker: Origin | null = null;

  private constructor(options: ConfigurationOptions, watcher: ConfigWatcher, inForce: ConfigInForce) {
    this.#options = options;
    this.#watcher = watcher;
    this.#inForce = inForce;
    this.#origin = { source: 'start', author: ownerOf(options.file) };
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
    const earlier = readEarlier(options);
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

  /** As it may be shown: no secrets, and variables as they are written, but in the names. */
  get shown(): Config {
    const { config, written } = this.#inForce;
    return redactConfig(asWritten(config, exceptNames(written)));
  }

  get status(): ConfigStatus {
    return { version: this.#inForce.version, source: this.#origin.source, loaded_at: this.#loadedAt.toISOString(), last_reload: this.#lastReload };
  }

  /** Once the data directory is held: what has changed since the last run goes into the history, and the others may read what is in force. */
  begin(): void {
    this.#keep(this.#origin, null);
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
    await this.#takeKeys({ source: 'api', author: request.author });
    return { app, id: stored.id, key, scopes: stored.scopes };
  }

  async revokeKey(app: string, id: string, author: string): Promise<Revocation> {
    const { config, dataDir } = this.#inForce;
    const done = KeyStore.open(dataDir).revoke({ app, id, author, config });
    if (done === 'revoked') await this.#takeKeys({ source: 'api', author });
    return done;
  }

  history(limit: number): readonly HistoryEntry[] {
    return readHistory(this.#inForce.dataDir, limit);
  }

  /**
   * In a process of its own, whatever the text: who asks is not trusted to send a short or a simple one.
   * @param signal aborted: nobody waits for the answer any more
   * @throws TidegateError config_busy
   */
  async diff(text: string, signal?: AbortSignal): Promise<ConfigDiff> {
    const request: TrialRequest = { text, file: this.#options.file, runDir: this.#options.runDir };
    const end = await this.#diffs.run(() => runAside<ConfigDiff>(TRIAL_PROCESS, request, { timeLimitMs: DIFF_TIME_LIMIT_MS, ...(signal === undefined ? {} : { signal }) }), signal);
    if ('answer' in end) return end.answer;
    const from = this.#inForce.version;
    return { from, to: from, changes: [], errors: [problemOf(this.#inForce, 'config_unreadable', '', `the text could not be tried: ${end.why}`)] };
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
    const again = await loadTextAside(this.#inForce.text, this.#inForce.file);
    if (again.loaded === null) throw new ConfigRejectedError(again.errors);
    this.#change(completed(again.loaded), origin);
  }

  async #take(result: LoadResult, from: Origin): Promise<void> {
    if (result.loaded === null) {
      this.#reject(result.errors);
      return;
    }
    const candidate = completed(result.loaded);
    // a name of the node that has changed is refused, and no part of the version
    if (candidate.version === this.#inForce.version && fixedFault(candidate, this.#inForce) === null) {
      this.#options.log.info({ config_version: candidate.version }, 'the file is what is in force');
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
    if (fixed !== null) return fixed;
    try {
      await this.#options.trial(candidate, this.#inForce);
      return null;
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      return problemOf(candidate, error.code, error.code.startsWith('address_') ? 'listeners.http.address' : '', error.message);
    }
  }

  #change(candidate: ConfigInForce, from: Origin): void {
    const before = this.#inForce;
    this.#inForce = candidate;
    try {
      this.#keep(from, before);
    } catch (error) {
      this.#inForce = before;
      throw error;
    }
    this.#origin = from;
    this.#loadedAt = new Date();
    this.#options.apply(candidate);
    this.#options.log.info({ config_version: candidate.version, before: before.version, source: from.source }, 'a new configuration is in force');
  }

  /** `before`: what was in force until now; null at the start. */
  #keep({ source, author }: Origin, before: ConfigInForce | null): void {
    const { dataDir, config, version, written } = this.#inForce;
    const last = readLast(dataDir);
    if (last?.version !== version) {
      const shown = redactConfig(asWritten(config, written));
      const diff: Change[] = before !== null ? diffConfigs(before, this.#inForce)
        : last === null ? [{ path: '', kind: 'added', after: shown }] : diffConfigs({ config: last.config }, { config: shown });
      // a crash before writeLast has left it there; by version alone, because the next start is of another source
      const isEntered = readHistory(dataDir, 1)[0]?.version === version;
      if (!isEntered) appendHistory(dataDir, { version, time: new Date().toISOString(), source, author, diff });
      writeLast(dataDir, { format: LAST_FORMAT, version, config: shown });
    }
    writeConfigInForce(this.#options.runDir, this.#inForce);
  }

  #reject(errors: readonly ConfigProblem[]): void {
    for (const error of errors) this.#options.log.error({ code: error.code }, formatProblem(error));
    this.#options.log.error({ errors: errors.length, config_version: this.#inForce.version }, 'the configuration was rejected; the one in force stays');
    this.#told('rejected', errors);
  }

  #told(result: ReloadResult['result'], errors: readonly ConfigProblem[]): void {
    this.#lastReload = { at: new Date().toISOString(), result, errors };
    this.#lastResult = { result, version: this.#inForce.version, errors };
    this.#options.onReload(result);
  }
}

const origin = (cause: 'file' | 'request', file: string): Origin => (cause === 'file' ? { source: 'file', author: ownerOf(file) } : { source: 'api', author: '' });

/** What an earlier supervisor of this run had in force. */
function readEarlier({ runDir, log }: ConfigurationOptions): ConfigInForce | null {
  const earlier = readConfigInForce(runDir);
  if (earlier === null || (earlier.written as unknown) !== undefined) return earlier;
  log.warn({}, 'what was in force was kept by an older version of Tidegate, which did not say what variables stand in; it is not used');
  return null;
}

/** Of a version that kept values in place of variables there is none: the history then shows the whole configuration as added. */
const LAST_FORMAT = 2;

/** The configuration last in force, as written and redacted: so that a change made while the node was down is in the history too. */
interface LastConfig { readonly format: typeof LAST_FORMAT; readonly version: string; readonly config: Config }

const lastPath = (dataDir: string): string => join(dataDir, 'config', 'last.json');

function readLast(dataDir: string): LastConfig | null {
  const { bytes } = readBounded(lastPath(dataDir), MAX_CONFIG_BYTES);
  try {
    const last = bytes === null ? null : JSON.parse(bytes.toString('utf8')) as LastConfig;
    return last?.format === LAST_FORMAT ? last : null;
  } catch {
    // torn by a power cut: the history then shows the whole configuration as added
    return null;
  }
}

function writeLast(dataDir: string, last: LastConfig): void {
  const path = lastPath(dataDir);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    writeFileSync(`${path}.new`, JSON.stringify(last), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    throw new TidegateError('data_dir_unusable', `${path} cannot be written: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
  }
}
