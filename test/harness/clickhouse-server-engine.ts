/**
 * chDB behind the test server: a few handles on one directory, each running one statement at a time, because that is all a handle can. What a server
 * takes beside a statement (settings, parameters, a database) is set on the handle before, and taken back after.
 */
import { mkdirSync } from 'node:fs';

interface Session {
  queryAsync(sql: string, options: { readonly format: string }): Promise<{ bytes(): Uint8Array }>;
  queryStream(sql: string, options: { readonly format: string }): AsyncIterable<{ raw(): Uint8Array }>;
  close(): void;
}
/** Not a literal in the import: the dependency is optional. */
const CHDB: string = 'chdb';
const HANDLES = 6;

/** An exception as ClickHouse has them. */
export class EngineError extends Error {
  readonly number: number;
  readonly type: string;

  constructor(number: number, type: string, message: string) {
    super(message);
    this.number = number;
    this.type = type;
  }

  static of(error: unknown): EngineError {
    if (error instanceof EngineError) return error;
    const text = error instanceof Error ? error.message : String(error);
    const match = /^Code: (\d+)\. DB::Exception: ([\s\S]*?) ?\(([A-Z0-9_]+)\)\s*$/.exec(text);
    return match === null ? new EngineError(1002, 'UNKNOWN_EXCEPTION', text) : new EngineError(Number(match[1]), match[3] as string, match[2] as string);
  }
}

export interface Execution {
  readonly statement: string;
  readonly format: string;
  readonly settings: ReadonlyMap<string, string>;
  /** As they come over HTTP: text, escaped as in TSV. */
  readonly params: ReadonlyMap<string, string>;
  readonly database: string;
}

interface Handle { readonly session: Session; readonly paramsEver: Set<string> }

export class Engine {
  readonly #idle: Handle[];
  readonly #waiting: ((handle: Handle) => void)[] = [];
  readonly version: string;

  private constructor(handles: Handle[], version: string) {
    this.#idle = handles;
    this.version = version;
  }

  static async open(directory: string): Promise<Engine> {
    mkdirSync(directory, { recursive: true });
    const { Session: Handles } = await import(CHDB) as { Session: new (path: string) => Session };
    const handles = Array.from({ length: HANDLES }, () => ({ session: new Handles(directory), paramsEver: new Set<string>() }));
    const version = await (handles[0] as Handle).session.queryAsync('SELECT version()', { format: 'TSV' });
    return new Engine(handles, Buffer.from(version.bytes()).toString().trim());
  }

  /** The whole answer. @throws EngineError */
  async run(execution: Execution): Promise<Buffer> {
    return this.#on(execution, async (session) => Buffer.from((await session.queryAsync(execution.statement, execution)).bytes()));
  }

  /** The answer as it comes; `take` is awaited. Only for formats of rows: others would begin anew with each block. @throws EngineError */
  async stream(execution: Execution, take: (piece: Uint8Array) => Promise<void>): Promise<void> {
    await this.#on(execution, async (session) => {
      for await (const piece of session.queryStream(execution.statement, execution)) await take(piece.raw());
    });
  }

  close(): void {
    for (const { session } of this.#idle) session.close();
  }

  async #on<T>({ statement, settings, params, database }: Execution, job: (session: Session) => Promise<T>): Promise<T> {
    const handle = this.#idle.pop() ?? await new Promise<Handle>((resolve) => { this.#waiting.push(resolve); });
    const { session, paramsEver } = handle;
    const say = (sql: string): Promise<unknown> => session.queryAsync(sql, { format: 'Null' });
    try {
      // a handle keeps parameters for good; a server would miss them
      const lost = [...paramsEver].find((name) => !params.has(name) && new RegExp(`\\{\\s*${name}\\s*:`).test(statement));
      if (lost !== undefined) throw new EngineError(456, 'UNKNOWN_QUERY_PARAMETER', `Substitution \`${lost}\` is not set.`);
      for (const name of params.keys()) paramsEver.add(name);
      const sets = [...[...settings].map(([name, value]) => `${identifier(name)} = ${quoted(value)}`), ...[...params].map(([name, value]) => `param_${identifier(name)} = ${quoted(value)}`)];
      if (sets.length > 0) await say(`SET ${sets.join(', ')}`);
      if (database !== 'default') await say(`USE ${identifier(database)}`);
      return await job(session);
    } catch (error) {
      throw EngineError.of(error);
    } finally {
      if (settings.size > 0) await say(`SET ${[...settings.keys()].map((name) => `${name} = DEFAULT`).join(', ')}`).catch(() => undefined);
      if (database !== 'default') await say('USE default').catch(() => undefined);
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(handle);
      else next(handle);
    }
  }
}

function identifier(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new EngineError(62, 'SYNTAX_ERROR', `'${name}' is no name`);
  return name;
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
