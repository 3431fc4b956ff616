/**
 * Two streams of the real recorder at a steady rate, as of two workers, in the spool of a node that runs. Arguments: spool folder, events a second, seconds, shape.
 * An event ends when it is recorded. Prints the seconds that it took.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { NOTHING_HELD } from '../../gateway/events/event-samples.fixture.js';
import { Recorder } from '../../gateway/events/recorder.js';
import { MadeEvents } from './made-events.js';
import { QUIET } from './quiet-log.js';
import { SHAPES, type ShapeName } from './spool-shapes.js';

const [spoolDir, rate, seconds, shape] = [process.argv[2] as string, Number(process.argv[3]), Number(process.argv[4]), SHAPES[process.argv[5] as ShapeName]];
const events = new MadeEvents(shape);
const recorders = [101, 102].map((worker) => Recorder.open({ spoolDir, node: 'bench', worker, segmentBytes: 64 * 1024 * 1024, log: QUIET }));
const startedMs = performance.now();
const elapsed = (): number => (performance.now() - startedMs) / 1000;
for (let made = 0; made < rate * seconds;) {
  for (const due = Math.min(rate * seconds, elapsed() * rate); made < due; made++) {
    const recorder = recorders[made % recorders.length] as Recorder;
    const facts = events.next(recorder.nextOrdinal(), 0);
    recorder.record({ ...facts, timeMs: Math.floor(Date.now() - facts.durationUs / 1000) }, NOTHING_HELD);
  }
  await pause(1);
}
console.log(elapsed());
for (const recorder of recorders) await recorder.close();
