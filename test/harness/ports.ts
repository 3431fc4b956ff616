/** Ports for tests. Files that run at the same time have a range each, so that none takes what another has been given. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

const RANGE_VARIABLE = 'TIDEGATE_TEST_PORTS';
/** No system takes a port below this one for a connection, or for who asks for any: on Linux they begin at 32,768, elsewhere at 49,152 (RFC 6335, section 6). */
const EPHEMERAL_FROM = 32_768;
const OWN_FROM = 10_000;
const handedOut = new Set<number>();

/** For the environment of who may take only the ports of one of so many places. */
export function portRange(place: number, places: number): Readonly<Record<string, string>> {
  const size = Math.floor((EPHEMERAL_FROM - OWN_FROM) / places);
  return { [RANGE_VARIABLE]: `${OWN_FROM + place * size}-${OWN_FROM + (place + 1) * size}` };
}

/** Ports that were free a moment ago, all different. A connection that another test makes in the meantime cannot have taken them. */
export async function freePorts(count: number): Promise<number[]> {
  const [from = OWN_FROM, to = EPHEMERAL_FROM] = process.env[RANGE_VARIABLE]?.split('-').map(Number) ?? [];
  const ports: number[] = [];
  while (ports.length < count) {
    const port = randomInt(from, to);
    if (handedOut.has(port) || !await isFree(port)) continue;
    handedOut.add(port);
    ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => { server.close(resolve); });
  }
}
