/** Streams of a real spool, made by recorders of this process, which stand for workers. */
import { join } from 'node:path';
import { KeptLog, NOTHING_HELD, sampleFacts, type Names } from '../event-samples.fixture.js';
import { Recorder } from '../recorder.js';
import { sealStream, updateMark } from '../seal.js';

type Changes = NonNullable<Parameters<typeof sampleFacts>[1]>;

export class SpooledEvents {
  readonly log = new KeptLog();
  readonly recorder: Recorder;
  readonly dir: string;

  constructor(spoolDir: string, segmentBytes = 1 << 20, worker = 1) {
    this.recorder = Recorder.open({ spoolDir, node: 'n', worker, segmentBytes, log: this.log });
    this.dir = join(spoolDir, this.recorder.stream);
  }

  get stream(): string { return this.recorder.stream; }
  get lastSeq(): number { return this.recorder.lastWrittenSeq; }

  /** `frames` frames of `rows` events each. */
  record(frames: number, rows = 1, changes: Changes | (() => Changes) = {}, names: () => Partial<Names> = () => ({})): this {
    for (let i = 0; i < frames; i++) {
      for (let row = 0; row < rows; row++) this.recorder.record(sampleFacts(this.recorder.nextOrdinal(), typeof changes === 'function' ? changes() : changes, names()), NOTHING_HELD);
      this.recorder.flushNow();
    }
    return this;
  }

  /** As the supervisor does each second. */
  mark(): this {
    updateMark(this.dir, this.lastSeq);
    return this;
  }

  /** As if the worker had died, and the supervisor had found it. */
  async seal(): Promise<void> {
    await this.recorder.close();
    sealStream(this.dir, this.log, () => false);
  }
}
