/**
 * ClickHouse's HTTP interface over the engine in process: statement in the URL, the body, or both; settings and `param_*` in the URL; gzip both ways;
 * users; exceptions with their codes. https://clickhouse.com/docs/interfaces/http
 */
import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip, gzipSync } from 'node:zlib';
import { authenticate, authorise, checkGrant } from './clickhouse-server-access.js';
import { EngineError, type Engine, type Execution } from './clickhouse-server-engine.js';
import { FaultAnswer, type Faults } from './clickhouse-server-faults.js';
import { formatOf, insertFromFile, insertWithData, isSeveral } from './clickhouse-server-statement.js';

/** Of the URL: not settings of the engine. */
const NOT_SETTINGS: ReadonlySet<string> = new Set([
  'query', 'query_id', 'database', 'default_format', 'user', 'password', 'session_id', 'role', 'compress', 'decompress', 'wait_end_of_query', 'buffer_size', 'enable_http_compression',
  'http_zlib_compression_level', 'send_progress_in_http_headers', 'http_headers_progress_interval_ms',
]);
/** Formats whose blocks follow each other without a frame around them. */
const ROW_FORMATS = /^(?:JSONEachRow|JSONCompactEachRow|JSONStringsEachRow|RowBinary|TSV|TabSeparated|CSV|LineAsString|Null)$/;
const SMALL_BYTES = 1024;
/** What servers that are supported have by default, and the engine has otherwise. */
const OLDER_DEFAULTS: readonly (readonly [string, string])[] = [['output_format_json_quote_64bit_integers', '1']];

export interface Served {
  readonly engine: Engine;
  readonly faults: Faults;
  /** Where bodies are put for the engine to read. */
  readonly uploads: string;
  /** Said instead of the engine's own. */
  readonly version: string;
  /** Statements under way, by their query_id. */
  readonly running: Set<string>;
  /** Each statement that was begun, its first characters. */
  readonly log: string[];
}

export async function serve(served: Served, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://server').searchParams;
  const path = (request.url ?? '/').split('?', 1)[0];
  const id = url.get('query_id') ?? randomUUID();
  let file: string | null = null;
  response.setHeader('X-ClickHouse-Query-Id', id);
  try {
    if (path === '/ping' || (path === '/' && request.method === 'GET' && !url.has('query'))) {
      response.end('Ok.\n');
      return;
    }
    const user = authenticate(request.headers, url);
    const given = url.get('query') ?? '';
    const body = bodyOf(request);
    let text = given;
    if (insertWithData(given) !== null) {
      file = join(served.uploads, randomUUID());
      await pipeline(body, createWriteStream(file));
    } else {
      const whole = Buffer.concat(await body.toArray() as Buffer[]);
      text = Buffer.concat([Buffer.from(given === '' ? '' : `${given}\n`), whole]).toString('latin1');
      const { dataFrom } = insertWithData(text) ?? { dataFrom: text.length };
      if (dataFrom < text.length) {
        file = join(served.uploads, randomUUID());
        await pipeline(Readable.from([Buffer.from(text.slice(dataFrom), 'latin1')]), createWriteStream(file));
      }
      text = Buffer.from(text.slice(0, dataFrom), 'latin1').toString();
    }
    served.log.push(text.slice(0, 200));
    if (served.running.has(id)) throw new EngineError(216, 'QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING', `Query with id = ${id} is already running.`);
    served.running.add(id);
    try {
      await answer(served, url, { user, text, file }, request, response);
    } finally {
      served.running.delete(id);
    }
  } catch (error) {
    refuse(served, response, error);
  } finally {
    if (file !== null) await rm(file, { force: true });
  }
}

interface Asked { readonly user: ReturnType<typeof authenticate>; readonly text: string; readonly file: string | null }

async function answer(served: Served, url: URLSearchParams, { user, text, file }: Asked, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const settings = new Map([...url].filter(([name]) => !NOT_SETTINGS.has(name) && !name.startsWith('param_')));
  authorise(user, text, [...settings.keys()]);
  await served.faults.strike('before', text);
  if (isSeveral(text)) throw new EngineError(62, 'SYNTAX_ERROR', 'Syntax error (Multi-statements are not allowed).');
  const insert = insertWithData(text);
  const format = formatOf(text) ?? url.get('default_format') ?? (request.headers['x-clickhouse-format'] as string | undefined) ?? 'TabSeparated';
  const execution: Execution = {
    statement: insert !== null && file !== null ? insertFromFile(insert, file) : text.replaceAll(/\bversion\(\)/g, `'${served.version}'`),
    format, settings: new Map([...OLDER_DEFAULTS, ...settings]), database: url.get('database') ?? 'default',
    params: new Map([...url].filter(([name]) => name.startsWith('param_')).map(([name, value]) => [name.slice('param_'.length), value])),
  };
  response.setHeader('X-ClickHouse-Format', format);
  response.setHeader('X-ClickHouse-Timezone', 'UTC');
  response.setHeader('X-ClickHouse-Server-Display-Name', 'tidegate-test');
  response.setHeader('Content-Type', format.startsWith('JSON') ? 'application/json; charset=UTF-8' : 'text/tab-separated-values; charset=UTF-8');
  const gzip = url.get('enable_http_compression') === '1' && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  await served.faults.strike('during', text);
  const granted = checkGrant(user, text);
  if (granted === null && url.get('wait_end_of_query') !== '1' && /^\s*(?:SELECT|WITH)\b/i.test(text) && ROW_FORMATS.test(format)) {
    await streamed(served, execution, text, gzip, response);
    return;
  }
  // the engine, which knows no users, still says what is wrong with the statement's text
  const said = await served.engine.run(execution);
  const result = granted === null ? said : Buffer.from(`${granted}\n`);
  await served.faults.strike('after', text);
  const packed = gzip && result.length > SMALL_BYTES;
  const body = packed ? gzipSync(result, { level: 1 }) : result;
  response.writeHead(200, {
    'X-ClickHouse-Summary': JSON.stringify({ read_rows: '0', read_bytes: '0', written_rows: '0', written_bytes: '0', result_rows: '0', result_bytes: String(result.length), elapsed_ns: '0' }),
    ...(packed ? { 'Content-Encoding': 'gzip' } : {}), 'Content-Length': body.length,
  });
  response.end(body);
}

/** An exception past the first piece cannot change the status any more: the connection breaks off. */
async function streamed(served: Served, execution: Execution, text: string, gzip: boolean, response: ServerResponse): Promise<void> {
  const out = gzip ? createGzip({ level: 1 }) : response;
  const send = (piece: Uint8Array): Promise<void> => new Promise((resolve, reject) => {
    if (response.destroyed) reject(new FaultAnswer(null));
    else if (out.write(piece)) resolve();
    else {
      out.once('drain', resolve);
      response.once('close', resolve);
    }
  });
  const begin = (): void => {
    if (response.headersSent) return;
    response.writeHead(200, gzip ? { 'Content-Encoding': 'gzip' } : {});
    if (out !== response) (out as ReturnType<typeof createGzip>).pipe(response);
  };
  await served.engine.stream(execution, async (piece) => {
    begin();
    await send(piece);
  });
  await served.faults.strike('after', text);
  begin();
  out.end();
}

function refuse({ version }: Served, response: ServerResponse, error: unknown): void {
  if (response.headersSent || (error instanceof FaultAnswer && error.status === null)) {
    response.destroy();
    return;
  }
  if (error instanceof FaultAnswer) {
    response.writeHead(error.status ?? 500, { 'Content-Type': 'text/plain' }).end('no answer from upstream\n');
    return;
  }
  const { number, type, message } = EngineError.of(error);
  response.removeHeader('X-ClickHouse-Format');
  response.writeHead(statusOf(number), { 'X-ClickHouse-Exception-Code': String(number), 'Content-Type': 'text/plain; charset=UTF-8' });
  response.end(`Code: ${number}. DB::Exception: ${message} (${type}) (version ${version} (official build))\n`);
}

/** As the server's exceptionCodeToHTTPStatus. */
function statusOf(code: number): number {
  if (code === 194) return 401;
  if ([192, 193, 497, 516].includes(code)) return 403;
  if ([6, 26, 27, 36, 41, 53, 62, 69, 72, 117].includes(code)) return 400;
  if ([46, 47, 50, 56, 60, 63, 73, 78, 81, 115].includes(code)) return 404;
  if (code === 159) return 408;
  if (code === 48) return 501;
  return [209, 439].includes(code) ? 503 : 500;
}

function bodyOf(request: IncomingMessage): Readable {
  const encoding = request.headers['content-encoding'] ?? '';
  if (encoding === '' || encoding === 'identity') return request;
  if (encoding !== 'gzip') throw new EngineError(89, 'UNKNOWN_COMPRESSION_METHOD', `Unknown compression method ${encoding}`);
  const unpacked = createGunzip();
  request.once('error', (error) => { unpacked.destroy(error); }).pipe(unpacked);
  return unpacked;
}
