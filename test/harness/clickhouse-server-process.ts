/**
 * The test server's own process: `--data DIR [--port N] [--control N] [--version V] [--cert FILE --key FILE]`. Listens on 127.0.0.1. With a parent (IPC)
 * it says its ports when it is ready, and ends with it; without, it prints them. Ctrl-C and SIGTERM end it; so may kill -9 at any time.
 *
 * The control port: `PUT /faults` a list of faults (clickhouse-server-faults.ts), `GET /faults` how often each struck, `PUT /listening` true or false,
 * `GET /statements` what was asked.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Engine } from './clickhouse-server-engine.js';
import { Faults, type Fault } from './clickhouse-server-faults.js';
import { serve, type Served } from './clickhouse-server-http.js';

const { values } = parseArgs({
  options: { data: { type: 'string' }, port: { type: 'string', default: '0' }, control: { type: 'string', default: '0' }, version: { type: 'string' }, cert: { type: 'string' }, key: { type: 'string' } },
});
if (values.data === undefined) throw new Error('--data DIR: where the engine keeps its files');
/** As http_max_uri_size: an INSERT's text travels in the URL. */
const MAX_HEAD = 1024 * 1024;

const uploads = join(values.data, 'uploads');
rmSync(uploads, { recursive: true, force: true });
mkdirSync(uploads, { recursive: true });
const engine = await Engine.open(join(values.data, 'store'));
const served: Served = { engine, faults: new Faults(), uploads, version: values.version ?? engine.version, running: new Set(), log: [] };

const listener: RequestListener = (request, response) => { void serve(served, request, response); };
const secure = values.cert !== undefined && values.key !== undefined;
const server = (): Server => (secure
  ? createTlsServer({ cert: readFileSync(values.cert as string), key: readFileSync(values.key as string), maxHeaderSize: MAX_HEAD }, listener)
  : createServer({ maxHeaderSize: MAX_HEAD, keepAliveTimeout: 10_000 }, listener));

let main = server();
const port = await listen(main, Number(values.port));

const control = createServer((request, response) => {
  void (async () => {
    const text = Buffer.concat(await request.toArray() as Buffer[]).toString();
    switch (`${request.method} ${request.url}`) {
      case 'PUT /faults': served.faults.set(JSON.parse(text) as Fault[]); break;
      case 'GET /faults': response.end(JSON.stringify(served.faults.hits)); return;
      case 'GET /statements': response.end(JSON.stringify(served.log)); return;
      case 'PUT /listening':
        main.closeAllConnections();
        if (main.listening) await new Promise((resolve) => { main.close(resolve); });
        if (text === 'true') await listen(main = server(), port);
        break;
      default: response.statusCode = 404;
    }
    response.end();
  })();
});
const controlPort = await listen(control, Number(values.control));

process.on('disconnect', () => { process.kill(process.pid, 'SIGKILL'); });
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {
  // statements under way end first: the engine cannot be interrupted
  main.close(() => {
    engine.close();
    // chDB's own acts at an exit may not come to an end
    process.kill(process.pid, 'SIGKILL');
  });
  main.closeIdleConnections();
  // who asks again and again on a connection would keep it, and this process with it
  main.prependListener('request', (_request, response) => { response.shouldKeepAlive = false; });
});
if (process.send === undefined) console.log(`${secure ? 'https' : 'http'}://127.0.0.1:${port}, control http://127.0.0.1:${controlPort}`);
else process.send({ port, controlPort });

function listen(on: Server, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    on.once('error', reject);
    on.listen(at, '127.0.0.1', () => { resolve((on.address() as AddressInfo).port); });
  });
}
