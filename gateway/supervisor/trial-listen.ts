import { once } from 'node:events';
import { createServer } from 'node:net';
import { TidegateError } from '../../errors/tidegate-error.js';
import { parseAddress } from '../listeners/http/http-listener.js';

/**
 * Binds an address and lets it go: a listener's new address is found to be in use before any worker is told of it.
 * @param address `host:port` or `[ipv6]:port`
 * @throws TidegateError address_in_use, address_unusable
 */
export async function trialListen(address: string): Promise<void> {
  const { host, port } = parseAddress(address);
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TidegateError(code === 'EADDRINUSE' ? 'address_in_use' : 'address_unusable', `${address}: ${code ?? String(cause)}`, { cause });
  }
  server.close();
  await once(server, 'close');
}
