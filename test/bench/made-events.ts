/** Events as a busy deployment would record them, the same ones every time. Durations are lognormal, the gateway's own part too (median 250 us); 2.5 % are refused. */
import { KINDS, METHODS, outcomeId, PROTOCOLS, type EventFacts } from '../../gateway/events/event.js';
import { encodeLabels, type Label } from '../../gateway/events/labels.js';
import type { Shape } from './spool-shapes.js';

interface MadeApp { readonly name: string; readonly label: Label; readonly clients: readonly [string, string] }
interface MadeRoute { readonly label: Label; readonly target: Label; readonly size: number }

export class MadeEvents {
  readonly #shape: Shape;
  readonly #random = seeded(20);
  readonly #apps: readonly MadeApp[];
  readonly #routes: readonly MadeRoute[];
  readonly #version = encodeLabels('3f2a9c01b7de');
  readonly #noTarget = encodeLabels('');

  constructor(shape: Shape) {
    this.#shape = shape;
    this.#apps = Array.from({ length: shape.apps }, (_, i) => ({ name: `app-${i}`, label: encodeLabels(`app-${i}`), clients: [`203.0.${i}.0`, `198.51.${i}.0`] }));
    this.#routes = Array.from({ length: shape.routes }, (_, i) => ({
      label: encodeLabels(`service-${i % shape.services}`, `route-${i}`), target: encodeLabels(`http://10.0.0.${i % shape.services + 1}:9000`), size: 400 + 137 * i,
    }));
  }

  /** @param timeMs when it began */
  next(ordinal: number, timeMs: number): EventFacts {
    const shape = this.#shape;
    const app = this.#apps[this.#among(shape.apps)] as MadeApp;
    const route = this.#routes[this.#among(shape.routes)] as MadeRoute;
    const refused = this.#random() < 0.025;
    const own = this.#lognormal(250, 0.5);
    const upstreamUs = refused ? 0 : this.#lognormal(shape.medianUs, 1);
    const size = shape.varyingBodies ? this.#among(3) : 0;
    const failed = !refused && this.#random() < 0.01;
    return {
      ordinal, timeMs, durationUs: upstreamUs + own, upstreamUs, bytesIn: 0,
      bytesOut: refused ? 180 : size === 0 ? route.size : size === 1 ? 1000 + 64 * this.#among(200) : this.#lognormal(6000, 1.2),
      status: refused ? 429 : failed ? 500 : 200, methodId: METHODS.GET, outcomeId: outcomeId(refused ? 'rate_limited' : 'answered'), protocolId: PROTOCOLS['http/1.1'], kindId: KINDS.request,
      requests: 1, counted: refused ? 0 : 1, billable: refused ? 0 : 1, attempts: refused ? 0 : 1,
      versionLabel: this.#version, routeLabel: route.label, appLabel: app.label, appName: app.name, targetLabel: refused ? this.#noTarget : route.target,
      client: app.clients[this.#among(shape.networks)] as string, recordedPath: '', traceId: '',
    };
  }

  #among(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #lognormal(median: number, sigma: number): number {
    return Math.round(median * Math.exp(sigma * Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random())));
  }
}

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
