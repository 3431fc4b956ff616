/**
 * A spool as two busy workers leave it, written by the real recorder. Arguments: spool folder, events, shape.
 * Rows lie in the order in which requests ended, 31 to a turn.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { NOTHING_HELD } from '../../gateway/events/event-samples.fixture.js';
import { Recorder } from '../../gateway/events/recorder.js';
import { sealStream } from '../../gateway/events/seal.js';
import { MadeEvents } from './made-events.js';
import { QUIET } from './quiet-log.js';
import { SHAPES, type ShapeName } from './spool-shapes.js';

const WORKERS = 2;
/** Of both workers together. */
const REQUESTS_A_SECOND = 25_000;
const ROWS_A_TURN = 31;
/** Ends are put in order within so many requests. */
const WINDOW = 20_000;

const [spoolDir, wanted, shape] = [process.argv[2] as string, Number(process.argv[3]), SHAPES[process.argv[4] as ShapeName]];
const events = new MadeEvents(shape);
const recorders = Array.from({ length: WORKERS }, (_, i) => Recorder.open({ spoolDir, node: 'bench', worker: i + 1, segmentBytes: 64 * 1024 * 1024, log: QUIET }));
const startMs = Date.now() - wanted / REQUESTS_A_SECOND * 1000;
for (let made = 0; made < wanted;) {
  const window = Array.from({ length: Math.min(WINDOW, wanted - made) }, (_, i) => {
    const recorder = recorders[(made + i) % WORKERS] as Recorder;
    return { recorder, facts: events.next(recorder.nextOrdinal(), Math.floor(startMs + (made + i) / REQUESTS_A_SECOND * 1000)) };
  });
  window.sort((a, b) => (a.facts.timeMs + a.facts.durationUs / 1000) - (b.facts.timeMs + b.facts.durationUs / 1000));
  let turn = 0;
  for (const { recorder, facts } of window) {
    recorder.record(facts, NOTHING_HELD);
    if (++turn % (ROWS_A_TURN * WORKERS) === 0) for (const each of recorders) each.flushNow();
  }
  made += window.length;
  await nextTurn();
}
for (const recorder of recorders) {
  await recorder.close();
  sealStream(join(spoolDir, recorder.stream), QUIET, () => false);
}
