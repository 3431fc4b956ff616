import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { eventually } from './deadline.js';
import { TcpProxy } from './tcp-proxy.js';

/** Answers each line with itself and its name. */
class Echo {
  readonly #server: Server;
  received = 0;

  private constructor(name: string) {
    this.#server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (piece) => {
        this.received += piece.length;
        socket.write(Buffer.concat([piece, Buffer.from(name)]));
      });
    });
  }

  static async start(name: string): Promise<Echo> {
    const echo = new Echo(name);
    await new Promise<void>((resolve) => { echo.#server.listen(0, '127.0.0.1', resolve); });
    return echo;
  }

  get port(): number { return (this.#server.address() as AddressInfo).port; }
  stop(): void { this.#server.close(); }
}

class Client {
  readonly socket: Socket;
  text = '';
  /** `end`, or an error's code; null: it is open. */
  over: string | null = null;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1').setEncoding('utf8');
    this.socket.on('data', (piece: string) => { this.text += piece; });
    this.socket.on('error', ({ code }: NodeJS.ErrnoException) => { this.over = code ?? 'error'; });
    this.socket.on('end', () => { this.over ??= 'end'; });
  }

  async until(text: string): Promise<void> {
    await eventually(`${text} after ${this.text}`, () => (this.text === text ? true : null), 60_000, 5);
  }

  untilOver(): Promise<string> {
    return eventually('the connection\'s end', () => this.over, 60_000, 5);
  }
}

let one: Echo;
let two: Echo;
before(async () => { [one, two] = await Promise.all([Echo.start('1'), Echo.start('2')]); });
after(() => {
  one.stop();
  two.stop();
});

test('calm, it passes all; stalled, nothing until it goes on, and then everything in order', async () => {
  await using proxy = await TcpProxy.start(one.port);
  const client = new Client(proxy.port);
  client.socket.write('a');
  await client.until('a1');
  await proxy.set({ kind: 'stall' });
  const before = one.received;
  client.socket.write('b');
  const other = new Client(proxy.port);
  other.socket.write('x');
  await eventually('both have reached the proxy', () => (proxy.came === 4 ? true : null));
  assert.equal(one.received, before);
  await proxy.set(null);
  await client.until('a1b1');
  await other.until('x1');
  client.socket.end();
  assert.equal(await client.untilOver(), 'end');
  other.socket.destroy();
});

test('refused, connections are reset and new ones refused; afterwards the same port answers', async () => {
  await using proxy = await TcpProxy.start(one.port);
  const client = new Client(proxy.port);
  client.socket.write('a');
  await client.until('a1');
  await proxy.set({ kind: 'refuse' });
  assert.equal(await client.untilOver(), 'ECONNRESET');
  assert.equal(await new Client(proxy.port).untilOver(), 'ECONNREFUSED');
  await proxy.set(null);
  const again = new Client(proxy.port);
  again.socket.write('b');
  await again.until('b1');
  again.socket.destroy();
});

test('late and lost packets come in order; a forgotten connection stays open and silent for good', async () => {
  await using proxy = await TcpProxy.start(one.port);
  const client = new Client(proxy.port);
  for (const fault of [{ kind: 'delay', ms: 20 }, { kind: 'lossy', share: 0.5 }] as const) {
    await proxy.set(fault);
    for (const text of ['a', 'b', 'c']) {
      const had = client.text;
      client.socket.write(text);
      await client.until(`${had}${text}1`);
    }
  }
  const had = client.text;
  await proxy.set({ kind: 'swallow', share: 1 });
  const before = one.received;
  const came = proxy.came;
  client.socket.write('d');
  await eventually('it has reached the proxy', () => (proxy.came > came ? true : null));
  await proxy.set(null);
  client.socket.write('e');
  const other = new Client(proxy.port);
  other.socket.write('x');
  await other.until('x1');
  assert.deepEqual([client.text, client.over, one.received - before], [had, null, 1]);
  for (const { socket } of [client, other]) socket.destroy();
});

test('every connection is reset within its next pieces, some after the server has got them', async () => {
  await using proxy = await TcpProxy.start(one.port);
  await proxy.set({ kind: 'reset', pieces: 4 });
  const before = one.received;
  let answered = 0;
  for (let i = 0; i < 50; i++) {
    const client = new Client(proxy.port);
    for (let j = 0; client.over === null; j++) {
      client.socket.write('a');
      await eventually('an answer or an end', () => (client.over !== null || client.text.length >= 2 * (j + 1) ? true : null), 60_000, 1);
    }
    answered += client.text.length / 2;
  }
  assert.ok(one.received - before > answered, 'some were received and not answered');
});

test('another server takes over: open connections are reset, new ones are its', async () => {
  await using proxy = await TcpProxy.start(one.port);
  const client = new Client(proxy.port);
  client.socket.write('a');
  await client.until('a1');
  proxy.switchTo(two.port);
  assert.equal(await client.untilOver(), 'ECONNRESET');
  const again = new Client(proxy.port);
  again.socket.write('b');
  await again.until('b2');
  again.socket.destroy();
});
