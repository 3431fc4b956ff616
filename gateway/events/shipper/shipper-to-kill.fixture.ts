/**
 * Run by itself: ships a spool to a real Kafka, and is killed (SIGKILL) in the round that it is told: `sent` while a request is under way, `ack`
 * between the acknowledgement and its note. JSON in argv[2]: { spoolDir, settings, at, round }. With `at` null it ships all and ends.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { KeptLog } from '../event-samples.fixture.js';
import type { KafkaSettings } from '../kafka-client.js';
import { KafkaSender } from './kafka-sender.js';
import { Shipper } from './shipper.js';

const { spoolDir, settings, at, round } = JSON.parse(process.argv[2] ?? '{}') as { spoolDir: string; settings: KafkaSettings; at: 'sent' | 'ack' | null; round: number };
let rounds = 0;

const shipper = new Shipper({
  spoolDir, settings, instance: 'i'.repeat(32), log: new KeptLog(),
  connect: async (own, log) => {
    const sender = await KafkaSender.connect(own, log);
    return {
      topics: sender.topics,
      close: () => sender.close(),
      send: async (chunks, withoutTime) => {
        const here = ++rounds === round;
        const sending = sender.send(chunks, withoutTime);
        if (here && at === 'sent') {
          // on its way, perhaps written, perhaps not
          await pause(Math.random() * 10);
          process.kill(process.pid, 'SIGKILL');
        }
        const appendedAtMs = await sending;
        if (here && at === 'ack') process.kill(process.pid, 'SIGKILL');
        return appendedAtMs;
      },
    };
  },
});
shipper.start();
if (at === null) await shipper.stop(30_000);
