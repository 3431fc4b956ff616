/**
 * API keys made while the gateway runs (`tidegate keys new`, the control API): data_dir/keys.json. They are merged over the file's apps
 * before the version is computed, so a new or revoked key is a change of the configuration like any other.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Ajv } from 'ajv';
import Type, { type Static } from 'typebox';
import { TidegateError } from '../../errors/tidegate-error.js';
import { readBounded } from './bounded-file.js';
import type { Config } from './schema.js';

const Scope = Type.Enum(['traffic', 'reports']);
const StoredKey = Type.Object({
  app: Type.String(),
  id: Type.String(),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  created_at: Type.String(),
  author: Type.String(),
  scopes: Type.Array(Scope),
}, { additionalProperties: false });
const KeysFile = Type.Object({
  format: Type.Literal(1),
  keys: Type.Array(StoredKey),
  /** Ids that are valid no more, also of keys in the YAML. */
  revoked: Type.Array(Type.Object({ app: Type.String(), id: Type.String(), revoked_at: Type.String(), author: Type.String() }, { additionalProperties: false })),
}, { additionalProperties: false });

export type KeyScope = Static<typeof Scope>;
export type Revocation = 'revoked' | 'ended' | 'unknown';
export type StoredKey = Static<typeof StoredKey>;
type KeysFile = Static<typeof KeysFile>;

const validate = new Ajv({ strict: true }).compile<KeysFile>(KeysFile);
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** Some 200 bytes a key: more than a million of them. */
const MAX_BYTES = 256 * 1024 * 1024;
/** 28 x log2(62) = 166.7 bits. */
const KEY_CHARACTERS = 28;

/** A new API key: `tg_` and 28 random letters and digits. The prefix lets scanners of leaked secrets know it. */
export function newKey(): string {
  let text = '';
  while (text.length < KEY_CHARACTERS) {
    for (const byte of randomBytes(KEY_CHARACTERS)) {
      // 248 = 4 x 62: bytes beyond would favour the first letters
      if (byte < 248 && text.length < KEY_CHARACTERS) text += ALPHABET.charAt(byte % 62);
    }
  }
  return `tg_${text}`;
}

/** What is kept of a key. */
export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

/** One process writes it (the supervisor); any may read. */
export class KeyStore {
  readonly path: string;
  #content: KeysFile;

  private constructor(path: string, content: KeysFile) {
    this.path = path;
    this.#content = content;
  }

  static pathIn(dataDir: string): string {
    return join(dataDir, 'keys.json');
  }

  /** A missing file is an empty store. @throws TidegateError config_file: it is there and cannot be used */
  static open(dataDir: string): KeyStore {
    const path = KeyStore.pathIn(dataDir);
    const read = readBounded(path, MAX_BYTES);
    if (read.bytes === null) {
      if (read.code === 'ENOENT') return new KeyStore(path, { format: 1, keys: [], revoked: [] });
      throw new TidegateError('config_file', `keys.json ${read.code === null ? read.why : `cannot be read: ${read.code}`}`);
    }
    let content: unknown;
    try {
      content = JSON.parse(read.bytes.toString('utf8'));
    } catch (error) {
      throw new TidegateError('config_file', 'keys.json is not JSON', { cause: error });
    }
    // never taken for empty: that would bring revoked keys back to life
    if (!validate(content)) throw new TidegateError('config_file', 'keys.json is damaged, or of a newer version');
    return new KeyStore(path, content);
  }

  get keys(): readonly StoredKey[] {
    return this.#content.keys;
  }

  /** Makes a key and keeps its hash. The key itself is in the answer only: it is shown once. */
  add(request: { readonly app: string; readonly author: string; readonly scopes: readonly KeyScope[]; readonly now?: Date }): { readonly key: string; readonly stored: StoredKey } {
    const key = newKey();
    const stored: StoredKey = {
      app: request.app,
      id: `k-${randomBytes(4).toString('hex')}`,
      sha256: hashKey(key),
      created_at: (request.now ?? new Date()).toISOString(),
      author: request.author,
      scopes: [...request.scopes],
    };
    this.#write({ ...this.#content, keys: [...this.#content.keys, stored] });
    return { key, stored };
  }

  /**
   * Ends a key of keys.json or, given the configuration, of the YAML. `ended`: it was revoked before; `unknown`: the app never had it
   */
  revoke(request: { readonly app: string; readonly id: string; readonly author: string; readonly config?: Config; readonly now?: Date }): Revocation {
    const { app, id, author } = request;
    const isIt = (key: { readonly app: string; readonly id: string }): boolean => key.app === app && key.id === id;
    const stored = this.#content.keys.some(isIt);
    const declared = request.config?.apps.some((candidate) => candidate.name === app && candidate.keys.some((key) => key.id === id)) ?? false;
    if (!stored && !declared) return this.#content.revoked.some(isIt) ? 'ended' : 'unknown';
    const revokedAt = (request.now ?? new Date()).toISOString();
    const revoked = this.#content.revoked.some(isIt) ? this.#content.revoked : [...this.#content.revoked, { app, id, revoked_at: revokedAt, author }];
    this.#write({ format: 1, keys: this.#content.keys.filter((key) => !isIt(key)), revoked });
    return 'revoked';
  }

  /**
   * The configuration with these keys in its apps, and without the revoked ones. Keys of apps that are not declared are left out. `config`
   * itself is not changed.
   */
  merge(config: Config): Config {
    const { keys, revoked } = this.#content;
    if (keys.length === 0 && revoked.length === 0) return config;
    const gone = new Set(revoked.map(({ app, id }) => JSON.stringify([app, id])));
    const byApp = new Map<string, StoredKey[]>();
    for (const key of keys) {
      const list = byApp.get(key.app);
      if (list === undefined) byApp.set(key.app, [key]);
      else list.push(key);
    }
    return {
      ...config,
      apps: config.apps.map((app) => {
        const declared = app.keys.filter((key) => !gone.has(JSON.stringify([app.name, key.id])));
        const hashes = new Set(declared.map((key) => key.sha256));
        // a key that was copied into the YAML since is there already
        const made = (byApp.get(app.name) ?? []).filter((key) => !gone.has(JSON.stringify([key.app, key.id])) && !hashes.has(key.sha256));
        return { ...app, keys: [...declared, ...made.map(({ id, sha256, scopes }) => ({ id, sha256, scopes }))] };
      }),
    };
  }

  /** Whole or not at all: a new file beside it, on disk before it takes the name. */
  #write(content: KeysFile): void {
    // not by the pid: in another container it is another process's too
    const temporary = `${this.path}.${randomUUID()}.tmp`;
    try {
      mkdirSync(dirname(this.path), { recursive: true });
      const fd = openSync(temporary, 'w', 0o600);
      try {
        writeSync(fd, `${JSON.stringify(content, null, 2)}\n`);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, this.path);
      const folder = openSync(dirname(this.path), 'r');
      try {
        fsyncSync(folder);
      } finally {
        closeSync(folder);
      }
    } catch (error) {
      try {
        unlinkSync(temporary);
      } catch {
        // it was not made, or has its name already
      }
      throw new TidegateError('data_dir_unusable', `keys.json cannot be written: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
    }
    this.#content = content;
  }
}
