/** Where each stream goes: its place as its directory says, or chosen and noted there. A stream without one waits; it is tried again by itself. */
import { existsSync } from 'node:fs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { partitionOf } from '../chunk.js';
import { readPlace, writePlace, type ShipPlace } from './ship-place.js';
import type { LogTopics } from './topics.js';

const TRY_EVERY_MS = 1000;

export interface PlaceFault {
  readonly error: TidegateError;
  readonly since: string;
}

export class StreamPlaces {
  readonly #topic: string;
  readonly #onFault: (stream: string, error: TidegateError, isNew: boolean) => void;
  readonly #places = new Map<string, ShipPlace>();
  readonly #faults = new Map<string, PlaceFault & { readonly triedAtMs: number }>();

  /** @param onFault each time that a place could be neither read nor written; `isNew`: the time before it could, or was the first */
  constructor(topic: string, onFault: (stream: string, error: TidegateError, isNew: boolean) => void) {
    this.#topic = topic;
    this.#onFault = onFault;
  }

  /** A stream that waits for its place, the first of them; null: none does. */
  get fault(): PlaceFault | null {
    const [first] = this.#faults.values();
    return first ?? null;
  }

  /** The stream's partition, on disk when it returns; null: it has none now, and nothing of it may be sent. */
  partition(stream: string, streamDir: string, { cluster, partitions }: LogTopics, nowMs: number): number | null {
    const known = this.#places.get(stream);
    if (known !== undefined && this.#stands(known, cluster, partitions)) return known.partition;
    const before = this.#faults.get(stream);
    if (before !== undefined && nowMs - before.triedAtMs < TRY_EVERY_MS) return null;
    try {
      let place = readPlace(streamDir);
      if (place === null || !this.#stands(place, cluster, partitions)) {
        place = { cluster, topic: this.#topic, partition: partitionOf(stream, partitions) };
        writePlace(streamDir, place);
      }
      this.#places.set(stream, place);
      this.#faults.delete(stream);
      return place.partition;
    } catch (cause) {
      // stored to its end meanwhile, by a collector that finishes what it began before there was a Kafka
      if (!existsSync(streamDir)) return null;
      const error = new TidegateError('ship_place_failed', `stream ${stream}: ${(cause as Error).message}`, { cause });
      this.#faults.set(stream, { error, since: before?.since ?? new Date().toISOString(), triedAtMs: nowMs });
      this.#onFault(stream, error, before === undefined);
      return null;
    }
  }

  forget(stream: string): void {
    this.#places.delete(stream);
    this.#faults.delete(stream);
  }

  /** Of this topic, which has not been made anew with fewer partitions meanwhile. */
  #stands(place: ShipPlace, cluster: string, partitions: number): boolean {
    return place.cluster === cluster && place.topic === this.#topic && place.partition < partitions;
  }
}
