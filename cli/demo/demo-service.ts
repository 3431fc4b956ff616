/** The demo's upstream: a small shop whose answers take different times, and sometimes fail, so that reports have something to show. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { TidegateError } from '../../errors/tidegate-error.js';

const PRODUCTS = [
  { id: 1, name: 'tide table', price_cents: 1250 },
  { id: 2, name: 'sounding line', price_cents: 3900 },
  { id: 3, name: 'signal lamp', price_cents: 8400 },
];

/** Answers by path: what, with which status, after how many milliseconds. `random` is in [0, 1). */
function answerTo(path: string, random: number): { readonly status: number; readonly body: object; readonly afterMs: number } {
  // most answers are quick, a few are slow
  const afterMs = 2 + 40 * random ** 4;
  const product = /^\/products\/(\d+)$/.exec(path);
  if (path === '/status') return { status: 200, body: { status: 'open' }, afterMs: 0 };
  if (path === '/products') return { status: 200, body: { products: PRODUCTS }, afterMs };
  if (product !== null) {
    const found = PRODUCTS.find(({ id }) => String(id) === product[1]);
    return found === undefined ? { status: 404, body: { error: 'no such product' }, afterMs } : { status: 200, body: found, afterMs };
  }
  if (path === '/orders') {
    return random < 0.05 ? { status: 500, body: { error: 'the till is stuck' }, afterMs } : { status: 201, body: { order: 'accepted' }, afterMs: afterMs * 3 };
  }
  if (path === '/slow') return { status: 200, body: { patience: 'rewarded' }, afterMs: 300 + 900 * random };
  return { status: 404, body: { error: 'nothing here' }, afterMs: 1 };
}

/** @throws TidegateError address_in_use */
export async function startDemoService(port: number, host = '127.0.0.1'): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    const { status, body, afterMs } = answerTo((request.url ?? '/').split('?', 1)[0] ?? '/', Math.random());
    setTimeout(() => { send(response, status, body); }, afterMs);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? new TidegateError('address_in_use', `${host}:${port}, wanted by the demo's own service`) : error);
    });
    server.listen(port, host, resolve);
  });
  return server;
}

function send(response: ServerResponse, status: number, value: object): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
}
