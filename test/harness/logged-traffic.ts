/**
 * The access log below test/real-traffic, to be sent again: its lines, a plain count of them, an upstream that answers each as it was logged, and a client
 * that sends them.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

export interface LogLine { readonly method: string; readonly target: string; readonly status: number; readonly bytes: number }

const root = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../' : '../../../', import.meta.url));

export const logPath = join(root, 'test/real-traffic/access-log.gz');

export function readLog(): LogLine[] {
  const text = gunzipSync(readFileSync(logPath)).toString('latin1');
  return text.trimEnd().split('\n').map((line) => {
    const [, method = '', target = '', status, bytes] = /"(\S+) (.*) HTTP\/1\.[01]" (\d{3}) (\d+|-) /.exec(line) ?? [];
    return { method, target, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes) };
  });
}

const PREFIXES = ['/presentations', '/blog', '/images', '/files', '/projects'] as const;

/** As a service of the configuration has them: one for each large part of the site, and one for the rest. */
export const LOGGED_ROUTES = [...PREFIXES.map((prefix) => ({ name: prefix.slice(1), match: { path: `${prefix}/*` } })), { name: 'rest', match: { path: '/*' } }];

const routeOf = (target: string): string => {
  const path = target.split('?', 1)[0] ?? '';
  return PREFIXES.find((prefix) => path === prefix || path.startsWith(`${prefix}/`))?.slice(1) ?? 'rest';
};

export interface Sum { readonly requests: number; readonly bytes: number }

/** Sums by `route method status`, in order. */
export function plainCount(lines: readonly LogLine[]): Map<string, Sum> {
  const counts = new Map<string, { requests: number; bytes: number }>();
  for (const { method, target, status, bytes } of lines) {
    const key = `${routeOf(target)} ${method} ${status}`;
    const count = counts.get(key) ?? { requests: 0, bytes: 0 };
    count.requests++;
    count.bytes += bytes;
    counts.set(key, count);
  }
  return new Map([...counts].sort());
}

export interface TrafficRow { readonly app: string; readonly route: string; readonly method: string; readonly status: number; readonly requests: number; readonly bytes_out: number }

/** An app's rows of a report by app, route, method and status, as `plainCount` has them. */
export function reportedCount(rows: readonly TrafficRow[], app: string): Map<string, Sum> {
  const own = rows.filter((row) => row.app === app);
  return new Map(own.map(({ route, method, status, requests, bytes_out }) => [`${route} ${method} ${status}`, { requests, bytes: bytes_out }] as const).sort());
}

/** Answers line N, named by X-Line, as it was logged. */
export async function startLoggedUpstream(lines: readonly LogLine[]): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const piece = Buffer.alloc(256 * 1024, 'x');
  const server = createServer((request, response) => {
    const line = lines[Number(request.headers['x-line'])];
    if (line === undefined) {
      response.writeHead(599).end();
      return;
    }
    response.writeHead(line.status, line.status === 304 ? {} : { 'content-length': line.bytes });
    let left = request.method === 'HEAD' || line.status === 304 ? 0 : line.bytes;
    const more = (): void => {
      while (left > 0) {
        const next = left >= piece.length ? piece : piece.subarray(0, left);
        left -= next.length;
        if (!response.write(next)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => { resolve(); });
        server.closeAllConnections();
      });
    },
  };
}

/** Sends every `step`th line from `from` on as it was logged over one raw connection, one after another; answers with the body bytes received. */
export async function replay(port: number, key: string, lines: readonly LogLine[], from: number, step: number): Promise<number> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  let bodyBytes = 0;
  let line = from;
  let head = '';
  let left = -1;
  return await new Promise<number>((resolve, reject) => {
    const send = (): void => {
      const next = lines[line];
      if (next === undefined) {
        socket.end();
        resolve(bodyBytes);
        return;
      }
      socket.write(`${next.method} ${next.target} HTTP/1.1\r\nHost: www.example.com\r\nX-Api-Key: ${key}\r\nX-Line: ${line}\r\n\r\n`, 'latin1');
    };
    const take = (chunk: Buffer): void => {
      if (left < 0) {
        head += chunk.toString('latin1');
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        const bodiless = lines[line]?.method === 'HEAD' || head.startsWith('HTTP/1.1 304');
        left = bodiless ? 0 : Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? Number.NaN);
        if (Number.isNaN(left)) {
          reject(new Error(`no length in ${head.slice(0, 500)}`));
          return;
        }
        const body = head.length - end - 4;
        bodyBytes += body;
        left -= body;
        head = '';
      } else {
        bodyBytes += chunk.length;
        left -= chunk.length;
      }
      if (left === 0) {
        left = -1;
        line += step;
        send();
      }
    };
    socket.on('connect', send);
    socket.on('data', take);
    socket.on('error', reject);
    socket.on('close', () => { reject(new Error(`closed at line ${line}: ${head.slice(0, 300)}`)); });
  });
}
