/** What the network between nodes and an engine does wrong, of each engine by itself. */
import { setTimeout as pause } from 'node:timers/promises';
import type { NetworkFault } from '../../harness/tcp-proxy.js';
import type { Engines, Network } from './engines.js';
import type { Fault } from './fault-run.js';
import { FULL_FORM, SIZES } from './sizes.js';

/** Of an engine's network. */
export const NETWORK_FAULTS: readonly (readonly [name: string, fault: NetworkFault])[] = [
  ['resets every connection', { kind: 'reset', pieces: 20 }],
  ['stands still', { kind: 'stall' }],
  ['loses half its packets', { kind: 'lossy', share: 0.5 }],
  ['forgets every tenth packet\'s connection', { kind: 'swallow', share: 0.1 }],
];

const NAMES = { kafka: 'Kafka', clickhouse: 'ClickHouse', redis: 'Redis' } as const satisfies Record<keyof Network, string>;

/** Of those, in the short form. A connection that was forgotten costs Kafka's clients up to a minute, and the others seconds. */
const SHORT: Readonly<Record<keyof Network, readonly NetworkFault['kind'][]>> = { kafka: ['reset', 'stall', 'lossy'], clickhouse: ['swallow'], redis: ['reset'] };

export function networkFaults({ network }: Engines): Fault[] {
  const faults: Fault[] = [];
  for (const engine of ['kafka', 'clickhouse', 'redis'] as const) {
    for (const [name, fault] of NETWORK_FAULTS) {
      if (!FULL_FORM && !SHORT[engine].includes(fault.kind)) continue;
      faults.push({
        name: `${NAMES[engine]}'s network ${name}`,
        during: async () => {
          await network[engine].set(fault);
          await pause(SIZES.badMs);
          await network[engine].set(null);
        },
      });
    }
  }
  return faults;
}
