/**
 * The rows of one range as the collector would have picked them: made by the recorder's encoder, stream by stream in the order of ends, in frames. A range
 * is made of its number alone, so one that is made again is the same to the byte.
 */
import { together, StreamPicker, type PickedRows } from '../../../collector/log/picked-rows.js';
import { SeqSet } from '../../../collector/log/seq-set.js';
import { RowEncoder } from '../../../gateway/events/encoder.js';
import { KINDS, METHODS, PROTOCOLS, type EventFacts } from '../../../gateway/events/event.js';
import { encodeLabels, type Label } from '../../../gateway/events/labels.js';
import { NOT_REFUSED } from '../../../gateway/events/refusals.js';
import { SeededRandom } from '../seeded-random.js';
import { ENDINGS, MadeTraffic, type Call, type Ending } from './made-traffic.js';
import { MadeTime, streamName, WORKERS, type StreamPart } from './made-time.js';

export const NODE = 'bench';
/** Bytes of rows after which a frame ends. */
const FRAME_BYTES = 512 * 1024;
const REFUSED_BYTES = 180;
/** Sigma of the service's part and of the gateway's, which is 250 us in the middle. */
const SERVICE_SIGMA = 0.8;
const GATEWAY_US = 250;
const GATEWAY_SIGMA = 0.5;

const VERSION = encodeLabels('3f2a9c01b7de');
const NONE = encodeLabels('');

/** One object for all rows: the encoder keeps nothing of it. */
class Facts implements EventFacts {
  ordinal = 0;
  timeMs = 0;
  durationUs = 0;
  upstreamUs = 0;
  bytesIn = 0;
  bytesOut = 0;
  status = 0;
  methodId = 0;
  outcomeId = 0;
  readonly protocolId = PROTOCOLS['http/1.1'];
  readonly kindId = KINDS.request;
  readonly requests = 1;
  counted: 0 | 1 = 0;
  billable: 0 | 1 = 0;
  attempts = 0;
  readonly versionLabel = VERSION;
  routeLabel: Label = NONE;
  appLabel: Label = NONE;
  appName = '';
  targetLabel: Label = NONE;
  client = '';
  readonly recordedPath = '';
  readonly traceId = '';
  readonly refusalLabel = NOT_REFUSED;
}

export class RangeMaker {
  readonly time: MadeTime;
  readonly ranges: number;
  readonly #rows: number;
  readonly #traffic = new MadeTraffic();
  readonly #facts = new Facts();
  /** By the event's place in the range. */
  readonly #timeMs: Float64Array;
  readonly #durationUs: Float64Array;
  readonly #upstreamUs: Float64Array;
  readonly #call: Uint32Array;
  readonly #ending: Uint8Array;
  /** What else of an event is by chance. */
  readonly #chance: Uint32Array;

  /** @param rows of a range */
  constructor(events: number, rows: number) {
    this.time = new MadeTime(events);
    this.ranges = Math.ceil(events / rows);
    this.#rows = rows;
    [this.#timeMs, this.#durationUs, this.#upstreamUs] = [new Float64Array(rows), new Float64Array(rows), new Float64Array(rows)];
    [this.#call, this.#ending, this.#chance] = [new Uint32Array(rows), new Uint8Array(rows), new Uint32Array(rows)];
  }

  /** @param range from 1 */
  make(range: number): PickedRows {
    const from = (range - 1) * this.#rows;
    const to = Math.min(this.time.events, range * this.#rows);
    this.#draw(range, from, to);
    return together(this.time.parts(from, to).map((part) => this.#encode(part, from)));
  }

  /** The streams with rows in a range. */
  parts(range: number): StreamPart[] {
    return this.time.parts((range - 1) * this.#rows, Math.min(this.time.events, range * this.#rows));
  }

  #draw(range: number, from: number, to: number): void {
    const random = new SeededRandom(Math.imul(range, 0x9e37_79b1));
    let quarter = 0;
    for (let index = from; index < to; index++) {
      const at = index - from;
      quarter = this.time.quarterOf(index, quarter);
      const call = this.#traffic.call(random);
      const ending = this.#traffic.ending(random);
      const { letThrough } = ENDINGS[ending] as Ending;
      const upstreamUs = letThrough ? random.lognormal((this.#traffic.calls[call] as Call).route.medianUs, SERVICE_SIGMA) : 0;
      this.#timeMs[at] = this.time.timeMs(index, quarter, random.next());
      this.#upstreamUs[at] = upstreamUs;
      this.#durationUs[at] = upstreamUs + random.lognormal(GATEWAY_US, GATEWAY_SIGMA);
      this.#call[at] = call;
      this.#ending[at] = ending;
      this.#chance[at] = random.below(65_536);
    }
  }

  #encode(part: StreamPart, from: number): StreamPicker {
    const { day, worker } = part;
    const stream = streamName(day, worker);
    const encoder = new RowEncoder(stream, NODE, worker + 1);
    // nothing of these seqs is stored as of the range's start
    const picker = new StreamPicker(stream, new SeqSet());
    const frame = (): void => {
      if (encoder.count > 0) picker.take(encoder.firstSeq, encoder.count, Buffer.from(encoder.rows));
      encoder.clear();
    };
    const first = this.time.indexOf(day, worker, part.from) - from;
    const order = this.#byEnd(first, part.to - part.from);
    for (const [i, at] of order.entries()) {
      encoder.append(this.#factsOf(at, part.from + (at - first) / WORKERS), part.from + i);
      if (encoder.length >= FRAME_BYTES) frame();
    }
    frame();
    return picker;
  }

  /** Places of a stream's events in the order in which they end. Few overlap, so moving each to its place is cheaper than sorting them. */
  #byEnd(first: number, count: number): Uint32Array {
    const order = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const at = first + i * WORKERS;
      const endMs = this.#endMs(at);
      let place = i;
      while (place > 0 && this.#endMs(order[place - 1] as number) > endMs) {
        order[place] = order[place - 1] as number;
        place--;
      }
      order[place] = at;
    }
    return order;
  }

  #endMs(at: number): number {
    return (this.#timeMs[at] as number) + (this.#durationUs[at] as number) / 1000;
  }

  #factsOf(at: number, ordinal: number): Facts {
    const facts = this.#facts;
    const { route, app, appLabel, clients } = this.#traffic.calls[this.#call[at] as number] as Call;
    const { status, outcomeId, letThrough, counted, billable, anonymous } = ENDINGS[this.#ending[at] as number] as Ending;
    const chance = this.#chance[at] as number;
    const posted = route.methodId === METHODS.POST;
    facts.ordinal = ordinal;
    facts.timeMs = this.#timeMs[at] as number;
    facts.durationUs = this.#durationUs[at] as number;
    facts.upstreamUs = this.#upstreamUs[at] as number;
    facts.status = status === 200 && posted ? 201 : status;
    facts.methodId = route.methodId;
    facts.outcomeId = outcomeId;
    facts.counted = counted;
    facts.billable = billable;
    facts.attempts = letThrough ? 1 : 0;
    facts.bytesIn = posted ? 300 + 16 * (chance % 20) : 0;
    // half of the answers are of the route's one size, the others of 200 sizes
    facts.bytesOut = letThrough ? status >= 300 ? 120 : (chance & 1) === 0 ? route.bytesOut : 1000 + 64 * ((chance >> 1) % 200) : REFUSED_BYTES;
    facts.routeLabel = route.label;
    facts.appLabel = anonymous ? NONE : appLabel;
    facts.appName = anonymous ? '' : app;
    facts.targetLabel = letThrough ? route.targets[chance >> 8 & 1] as Label : NONE;
    facts.client = clients[chance >> 9 & 1] as string;
    return facts;
  }
}
