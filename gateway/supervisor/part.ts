/** Which part of a node runs here: all of it, or one of the halves that many machines are made of. */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Config } from '../config/schema.js';
import type { ShapeStatus } from '../control/control-deps.js';

/** `gateway`: workers, no collector; `collector`: a collector, no workers and no data listener. Each has a supervisor. */
export type Part = 'whole' | 'gateway' | 'collector';

export const PARTS: readonly Part[] = ['whole', 'gateway', 'collector'];

export const serves = (part: Part): boolean => part !== 'collector';
export const collects = (part: Part): boolean => part !== 'gateway';

/**
 * Halves meet in Kafka: without it a gateway's events would lie in its spool for ever, and a collector would wait for events that go elsewhere.
 * @throws TidegateError half_without_kafka
 */
export function checkPart(part: Part, { event_log: { kafka } }: Config): void {
  if (part === 'whole' || kafka.brokers !== '') return;
  throw new TidegateError('half_without_kafka', part === 'gateway'
    ? 'tidegate gateway has no collector of its own, and event_log.kafka.brokers names no Kafka that it could ship events to'
    : 'tidegate collector has no workers of its own, and event_log.kafka.brokers names no Kafka that it could read events from');
}

/** What is accepted, and probably not meant. */
export function sayDoubts(part: Part, { node, nodes, store }: Config, log: { warn(fields: object, message: string): void }): void {
  if (serves(part) && nodes.length > 0 && !nodes.includes(node ?? '')) log.warn({ code: 'node_unlisted', node, nodes }, 'this node is not among `nodes`: it works, and nobody misses it when it is gone');
  if (part === 'collector' && store.clickhouse.url === '') log.warn({ code: 'config_doubtful' }, 'store.clickhouse.url is empty, so this collector keeps a store of its own: a second collector would hold another part of the events');
}

/** What the configuration has chosen, for the status. */
export function shapeOf(part: Part, { event_log: log, store, shared_state: shared }: Config): ShapeStatus {
  return {
    part,
    event_log: log.kafka.brokers === '' ? 'spool' : 'kafka',
    store: !collects(part) ? null : store.clickhouse.url === '' ? 'chdb' : 'clickhouse',
    shared_state: shared.redis.url === '' ? 'node' : 'redis',
  };
}
