/** Stands for Kafka where a test is about what is sent and when: keeps all chunks in order, and fails as it is told. */
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { SpoolLog } from '../spool-log.js';
import { decodeChunk, type Chunk } from '../chunk.js';
import type { KafkaSettings } from '../kafka-client.js';
import type { OutgoingChunk } from './kafka-sender.js';
import type { Sender } from './shipper.js';

export const FAKE_SETTINGS: KafkaSettings = {
  brokers: [], topic: 't', quarantineTopic: 't.quarantine', group: 'g', partitions: 12, replication: 'auto', minInsyncReplicas: 'auto', retentionMs: 3_600_000,
  chunkEvents: 1000, chunkAgeMs: 20, clientId: 'test', ssl: false, sasl: null,
};

export class FakeKafka {
  readonly rounds: (readonly OutgoingChunk[])[] = [];
  partitions = 12;
  cluster = 'c';
  /** Set: a connection, or a send, fails with it. */
  refuses: Error | null = null;
  sendFails: Error | null = null;
  /** True: what fails to be sent is there all the same. */
  keepsWhatFails = false;
  connections = 0;
  /** By which Kafka's clock is ahead of this machine's; null: it tells no time. */
  clockMs: number | null = 0;
  /** False: a message with a time is refused, as of a clock that is fast. */
  takesTime = true;
  /** Of each round: whether its messages had a time. */
  readonly timed: boolean[] = [];

  readonly connect = async (_settings: KafkaSettings, _log: SpoolLog): Promise<Sender> => {
    if (this.refuses !== null) throw this.refuses;
    this.connections++;
    let finished = false;
    return {
      topics: { partitions: this.partitions, cluster: this.cluster, brokerTime: this.clockMs !== null, aheadTakenMs: 3_600_000 },
      send: async (chunks, withoutTime = false) => {
        if (finished) throw new Error('a sender was used after it had failed');
        if (!this.takesTime && !withoutTime) {
          finished = true;
          throw new TidegateError('kafka_clock_off', 'The timestamp of the message is out of acceptable range');
        }
        if (this.sendFails === null || this.keepsWhatFails) this.rounds.push(chunks.map((chunk) => ({ ...chunk, value: Buffer.from(chunk.value) })));
        if (this.sendFails === null) {
          this.timed.push(!withoutTime);
          return this.clockMs === null ? [] : [Date.now() + this.clockMs];
        }
        finished = true;
        throw this.sendFails;
      },
      close: async () => { finished = true; },
    };
  };

  get sent(): OutgoingChunk[] { return this.rounds.flat(); }

  /** As a reader understands them. */
  get chunks(): Chunk[] {
    return this.sent.map(({ key, headers, value }) => decodeChunk({ key: Buffer.from(key), headers: { ...headers }, value }));
  }

  /** Seqs of the stream, in the order of their arrival. */
  seqs(stream: string): number[] {
    return this.chunks.flatMap((chunk) => (chunk.kind === 'frames' && chunk.stream === stream ? chunk.frames : []))
      .flatMap(({ firstSeq, count }) => Array.from({ length: count }, (_, i) => firstSeq + i));
  }
}
