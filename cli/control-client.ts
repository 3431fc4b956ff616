/** The commands' way to a running node: finds its control origin and a token, asks, and turns problem answers into errors with their code. */
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { request } from 'undici';
import { parseDocument } from 'yaml';
import { ERROR_CODES, type ErrorCode } from '../errors/codes.js';
import { TidegateError } from '../errors/tidegate-error.js';
import { ConfigRejectedError, type ConfigProblem } from '../gateway/config/config-problem.js';
import { loadConfig } from '../gateway/config/load.js';
import { secretOf } from '../gateway/config/secrets.js';
import { tokenPath } from '../gateway/control/token.js';
import { CONFIG_PLACES, findConfigFile } from './config-file.js';

export interface ControlOptions {
  readonly config?: string;
  readonly url?: string;
  readonly token?: string;
}

const DEFAULT_ADDRESS = '127.0.0.1:9180';
const DEFAULT_URL = `http://${DEFAULT_ADDRESS}`;
const ANSWER_TIMEOUT_MS = 75_000;

/** The options by which every command that asks a running node finds it. */
export function withControlOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', `configuration of the node to ask (default: ${CONFIG_PLACES}, if it exists)`)
    .option('--url <url>', `control origin (default: $TIDEGATE_URL, then the configuration's, then ${DEFAULT_URL})`)
    .option('--token <token>', 'control token (default: $TIDEGATE_TOKEN, then the configuration\'s, then data_dir/control.token)');
}

/** Of what an app may ask for itself. */
export interface KeyOptions extends ControlOptions { readonly key?: string }

/** The same, of commands that an app may ask with, too. */
export function withKeyOption(command: Command): Command {
  return withControlOptions(command).option('--key <key>', 'ask as an app: its API key or JWT, instead of the control token');
}

export interface ControlPlace {
  readonly url: string;
  readonly token: string | null;
  /** The configuration that the token is of; null: it was given, or there is none. */
  readonly tokenOf: string | null;
}

/**
 * Each of the two by itself: option, environment, configuration file.
 * @throws config_rejected: the file that is needed or was named cannot be read
 */
export function findControl(options: ControlOptions, environment: NodeJS.ProcessEnv = process.env): ControlPlace {
  const url = options.url ?? nonEmpty(environment['TIDEGATE_URL']);
  const token = options.token ?? nonEmpty(environment['TIDEGATE_TOKEN']);
  if (url !== undefined && token !== undefined) return { url: checkedUrl(url), token, tokenOf: null };
  // the service's own token is not for whatever node is asked from its machine
  const file = options.config ?? (url === undefined ? findConfigFile() : findConfigFile(null));
  if (file === null) return { url: checkedUrl(url ?? DEFAULT_URL), token: token ?? null, tokenOf: null };
  const node = nodeOf(file, environment);
  return { url: checkedUrl(url ?? urlOf(node.address)), token: token ?? node.token ?? keptToken(node.dataDir), tokenOf: token === undefined ? file : null };
}

interface NodePlace { readonly address: string; readonly token: string | undefined; readonly dataDir: string }

/**
 * A running node keeps its configuration when the file goes bad, and that is when it must be asked: of a file that is rejected, what can
 * be read is taken as it stands.
 */
function nodeOf(file: string, environment: NodeJS.ProcessEnv): NodePlace {
  const { loaded, errors } = loadConfig(file, environment);
  if (loaded !== null) {
    const { address, token } = loaded.config.control;
    return { address, token: nonEmpty(token === undefined ? undefined : secretOf(token, loaded.secrets)), dataDir: loaded.dataDir };
  }
  if (errors.some(({ code }) => code === 'config_unreadable')) throw new ConfigRejectedError(errors);
  const document = parseDocument(readFileSync(file, 'utf8'), { logLevel: 'silent' });
  const plain = (...path: string[]): string | undefined => {
    const value = document.hasIn(path) ? document.getIn(path) : undefined;
    return typeof value === 'string' && value !== '' && !/^file:|\$\{/.test(value) ? value : undefined;
  };
  return {
    address: plain('control', 'address') ?? DEFAULT_ADDRESS, token: plain('control', 'token'),
    dataDir: resolve(dirname(resolve(file)), plain('data_dir') ?? './data'),
  };
}

/** Where to connect for an address that is listened on: the wildcard is this machine. */
function urlOf(address: string): string {
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(address) ?? [];
  const reachable = host === '0.0.0.0' || host === '' ? '127.0.0.1' : host === '[::]' ? '[::1]' : host;
  return `http://${reachable}:${port}`;
}

function checkedUrl(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) throw new TidegateError('control_unreachable', `${url} is no http:// or https:// URL`);
  return url.replace(/\/+$/, '');
}

function keptToken(dataDir: string): string | null {
  try {
    return readFileSync(tokenPath(dataDir), 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // no node has run here yet: the request will say that nobody answers
    if (code === 'ENOENT') return null;
    throw new TidegateError('data_dir_unusable', `${join(dataDir, 'control.token')} cannot be read: ${code ?? String(error)}`, { cause: error });
  }
}

const nonEmpty = (text: string | undefined): string | undefined => (text === '' ? undefined : text);

export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

type Method = 'GET' | 'POST' | 'DELETE';
interface Asked {
  readonly query?: Query;
  readonly type?: string;
  readonly body?: string;
  readonly signal?: AbortSignal;
  /** Of an answer that is no problem. */
  readonly onHeaders?: (headers: Readonly<Record<string, string | string[] | undefined>>) => void;
  /** For the answer's head. */
  readonly timeoutMs?: number;
}

export class ControlClient {
  readonly #place: ControlPlace;

  constructor(place: ControlPlace) {
    this.#place = place;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return JSON.parse(await this.text('GET', path, { query })) as T;
  }

  async post<T>(path: string, type: string, body: string): Promise<T> {
    return JSON.parse(await this.text('POST', path, { type, body })) as T;
  }

  /**
   * The answer's body as it is.
   * @throws control_unreachable; config_rejected with its places; the code of any other problem answer
   */
  async text(method: Method, path: string, asked: Asked = {}): Promise<string> {
    let text = '';
    for await (const piece of this.pieces(method, path, asked)) text += piece;
    return text;
  }

  /** The same as it comes. @throws as text(); control_unreachable also where it breaks off */
  async *pieces(method: Method, path: string, asked: Asked = {}): AsyncGenerator<string> {
    const decoder = new TextDecoder();
    for await (const bytes of this.bytes(method, path, asked)) yield decoder.decode(bytes, { stream: true });
  }

  /** The same, of what may be no text. @throws as pieces(); the signal's reason */
  async *bytes(method: Method, path: string, { query = {}, type, body, signal, onHeaders, timeoutMs = ANSWER_TIMEOUT_MS }: Asked = {}): AsyncGenerator<Buffer> {
    const { url, token } = this.#place;
    const headers = { ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...(type === undefined ? {} : { 'content-type': type }) };
    let status = 0;
    let problem = '';
    try {
      const answer = await request(`${url}${path}${search(query)}`, { method, headers, headersTimeout: timeoutMs, ...(body === undefined ? {} : { body }), ...(signal === undefined ? {} : { signal }) });
      status = answer.statusCode;
      if (status < 400) onHeaders?.(answer.headers);
      for await (const bytes of answer.body as AsyncIterable<Buffer>) {
        if (status >= 400) problem += bytes.toString(); else yield bytes;
      }
    } catch (cause) {
      signal?.throwIfAborted();
      throw new TidegateError('control_unreachable', `${url}: ${reason(cause)}`, { cause });
    }
    if (status >= 400) throw problemError(status, problem, this.#place);
  }
}

export const clientOf = (options: KeyOptions): ControlClient => new ControlClient(findControl(options.key === undefined ? options : { ...options, token: options.key }));

function search(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of value === undefined ? [] : typeof value === 'string' ? [value] : value) parameters.append(name, one);
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

/** Several addresses may have been tried: the code is then on the whole, the words on the parts. */
function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.message || ((cause as NodeJS.ErrnoException).code ?? cause.name);
}

function problemError(status: number, text: string, { url, token, tokenOf }: ControlPlace): TidegateError {
  let body: { readonly code?: unknown; readonly detail?: unknown; readonly errors?: unknown };
  try {
    body = JSON.parse(text) as typeof body;
  } catch {
    return new TidegateError('control_unreachable', `${url} answers ${status}, and not as a control origin does`);
  }
  const { code, detail, errors } = body;
  if (code === 'config_rejected' && Array.isArray(errors)) return new ConfigRejectedError(errors as ConfigProblem[]);
  if (typeof code !== 'string' || !Object.hasOwn(ERROR_CODES, code)) return new TidegateError('control_unreachable', `${url} answers ${status}, and not as a control origin does`);
  if (code === 'unauthenticated') {
    return new TidegateError('control_token', token === null ? `no control token was found for ${url}` : `${url} does not take ${tokenOf === null ? 'this token or key' : `the token of ${tokenOf}: the node there may run with another configuration, or have a new token`}`);
  }
  return new TidegateError(code as ErrorCode, typeof detail === 'string' ? detail : `${url} answers ${status}`);
}
