/** A broker that runs until it is told to end. Arguments: port, folder of its data, file that is made once it is ready. */
import { writeFileSync } from 'node:fs';
import { TestKafka } from '../harness/kafka.js';

const [port, dataDir, ready] = [Number(process.argv[2]), process.argv[3] as string, process.argv[4] as string];
const kafka = await TestKafka.start({ port, dataDir: () => dataDir });
const goOn = setInterval(() => {}, 60_000);
const end = (): void => {
  clearInterval(goOn);
  void kafka.stop();
};
process.once('SIGTERM', end);
process.once('SIGINT', end);
writeFileSync(ready, '');
