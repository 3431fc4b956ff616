import type { FastifyInstance } from 'fastify';
import { TidegateError } from '../../errors/tidegate-error.js';
import { parseAddress } from '../listeners/http/http-listener.js';

/** @throws TidegateError address_in_use, address_unusable */
export async function listenAt(server: FastifyInstance, address: string, what: 'control' | 'reports'): Promise<void> {
  try {
    await server.listen(parseAddress(address));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new TidegateError(code === 'EADDRINUSE' ? 'address_in_use' : 'address_unusable', `${address} (${what}): ${code ?? String(cause)}`, { cause });
  }
}

/** The apps' own listener: opened, moved and closed as `reports.address` says. */
export class ReportsListener {
  readonly #make: () => FastifyInstance;
  #open: { readonly address: string; readonly server: FastifyInstance } | null = null;
  #moved: Promise<void> = Promise.resolve();

  constructor(make: () => FastifyInstance) {
    this.#make = make;
  }

  /**
   * Resolves when it listens at `address`, and nowhere else; undefined: nowhere at all. Moves come one after the other.
   * @throws address_in_use, address_unusable: it is where it was
   */
  move(address: string | undefined): Promise<void> {
    const moved = this.#moved.then(() => this.#move(address));
    this.#moved = moved.catch(() => undefined);
    return moved;
  }

  close(): Promise<void> {
    return this.move(undefined);
  }

  async #move(address: string | undefined): Promise<void> {
    const before = this.#open;
    if (address === before?.address) return;
    if (address === undefined) this.#open = null;
    else {
      const server = this.#make();
      try {
        await listenAt(server, address, 'reports');
      } catch (error) {
        await server.close();
        throw error;
      }
      this.#open = { address, server };
    }
    await before?.server.close();
  }
}
