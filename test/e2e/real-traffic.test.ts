/** Real input: an access log replayed by two apps at once; the reports equal a plain count of the file, for every line, and keep the apps apart. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';

interface LogLine { readonly method: string; readonly target: string; readonly status: number; readonly bytes: number }

const root = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../' : '../../../', import.meta.url));

function readLog(): LogLine[] {
  const text = gunzipSync(readFileSync(join(root, 'test/real-traffic/access-log.gz'))).toString('latin1');
  return text.trimEnd().split('\n').map((line) => {
    const [, method = '', target = '', status, bytes] = /"(\S+) (.*) HTTP\/1\.[01]" (\d{3}) (\d+|-) /.exec(line) ?? [];
    return { method, target, status: Number(status), bytes: bytes === '-' ? 0 : Number(bytes) };
  });
}

const ROUTES = ['/presentations', '/blog', '/images', '/files', '/projects'] as const;
const routeOf = (target: string): string => {
  const path = target.split('?', 1)[0] ?? '';
  return ROUTES.find((prefix) => path === prefix || path.startsWith(`${prefix}/`))?.slice(1) ?? 'rest';
};

/** Sums by `route method status`. */
function plainCount(lines: readonly LogLine[]): Map<string, { requests: number; bytes: number }> {
  const counts = new Map<string, { requests: number; bytes: number }>();
  for (const { method, target, status, bytes } of lines) {
    const key = `${routeOf(target)} ${method} ${status}`;
    const count = counts.get(key) ?? { requests: 0, bytes: 0 };
    count.requests++;
    count.bytes += bytes;
    counts.set(key, count);
  }
  return counts;
}

/** Answers line N, named by X-Line, as it was logged. */
async function startLoggedUpstream(lines: readonly LogLine[]): Promise<{ readonly port: number; stop(): Promise<void> }> {
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

/** Sends every line as it was logged over one raw connection, one after another; answers with the body bytes received. */
async function replay(port: number, key: string, lines: readonly LogLine[], from: number, step: number): Promise<number> {
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

interface TrafficRow { readonly app: string; readonly route: string; readonly method: string; readonly status: number; readonly requests: number; readonly bytes_out: number }

test('5,000 real requests by two apps at once: the report by route, method and status equals a plain count of the log', { skip: requires('chdb'), timeout: 300_000 }, async () => {
  const lines = readLog();
  assert.equal(lines.length, 5000);
  assert.ok(lines.every((line) => line.method !== '' && line.status > 0));
  const upstream = await startLoggedUpstream(lines);
  const keys = { alpha: 'key-alpha-0123456789abcdef', beta: 'key-beta-0123456789abcdef' };
  await using node = await TestNode.start({
    workers: 2,
    services: [{
      name: 'site', upstream: { targets: [{ url: `http://127.0.0.1:${upstream.port}` }] },
      routes: [...ROUTES.map((prefix) => ({ name: prefix.slice(1), match: { path: `${prefix}/*` } })), { name: 'rest', match: { path: '/*' } }],
    }],
    apps: Object.entries(keys).map(([name, key]) => ({ name, services: ['site'], keys: [{ id: 'k', sha256: createHash('sha256').update(key).digest('hex') }] })),
  });
  const from = new Date(Date.now() - 60_000).toISOString();
  const connections = 4;
  const sums = await Promise.all(Object.values(keys).map(async (key) => {
    const parts = await Promise.all(Array.from({ length: connections }, (_, i) => replay(node.port, key, lines, i, connections)));
    return parts.reduce((sum, part) => sum + part, 0);
  }));
  const expected = plainCount(lines);
  const expectedBytes = lines.reduce((sum, line) => sum + (line.method === 'HEAD' ? 0 : line.bytes), 0);
  assert.deepEqual(sums, [expectedBytes, expectedBytes], 'what the clients received');
  const query = (to: string): string => `/v1/reports/traffic?from=${from}&to=${to}&interval=total&group_by=app,route,method,status`;
  const rows = await eventually('all 10,000 in the report', async () => {
    const report = await node.control<{ rows: readonly TrafficRow[] }>(query(new Date(Date.now() + 60_000).toISOString()));
    return report.rows.reduce((sum, row) => sum + row.requests, 0) === 2 * lines.length ? report.rows : null;
  }, 20_000, 200);
  for (const app of Object.keys(keys)) {
    const counted = new Map(rows.filter((row) => row.app === app).map((row) => [`${row.route} ${row.method} ${row.status}`, { requests: row.requests, bytes: row.bytes_out }]));
    assert.deepEqual(new Map([...counted].sort()), new Map([...expected].sort()), `${app}: every group`);
  }
  // What an app reads with its own key is its own.
  for (const [app, key] of Object.entries(keys)) {
    const answer = await fetch(`${node.controlUrl}${query(new Date(Date.now() + 60_000).toISOString())}`, { headers: { authorization: `Bearer ${key}` } });
    assert.equal(answer.status, 200);
    const own = (await answer.json() as { rows: readonly TrafficRow[] }).rows;
    assert.deepEqual([...new Set(own.map((row) => row.app))], [app]);
    assert.equal(own.reduce((sum, row) => sum + row.requests, 0), lines.length);
  }
  const metrics = await node.metrics();
  const total = [...metrics.matchAll(/^tidegate_requests_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  assert.equal(total, 2 * lines.length, '/metrics agrees');
  await upstream.stop();
});
