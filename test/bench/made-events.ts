/** Events as a busy deployment would record them, the same ones every time. Durations are lognormal, the gateway's own part too (median 250 us); 2.5 % are refused. */
import { KINDS, METHODS, outcomeId, PROTOCOLS, type EventFacts } from '../../gateway/events/event.js';
import { encodeLabels, type Label } from '../../gateway/events/labels.js';
import { NOT_REFUSED } from '../../gateway/events/refusals.js';
import { SeededRandom } from './seeded-random.js';
import type { Shape } from './spool-shapes.js';

interface MadeApp { readonly name: string; readonly label: Label; readonly clients: readonly [string, string] }
interface MadeRoute { readonly label: Label; readonly target: Label; readonly size: number }

export class MadeEvents {
  readonly #shape: Shape;
  readonly #random = new SeededRandom(20);
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
    const app = this.#apps[this.#random.below(shape.apps)] as MadeApp;
    const route = this.#routes[this.#random.below(shape.routes)] as MadeRoute;
    const refused = this.#random.next() < 0.025;
    const own = this.#random.lognormal(250, 0.5);
    const upstreamUs = refused ? 0 : this.#random.lognormal(shape.medianUs, 1);
    const size = shape.varyingBodies ? this.#random.below(3) : 0;
    const failed = !refused && this.#random.next() < 0.01;
    return {
      ordinal, timeMs, durationUs: upstreamUs + own, upstreamUs, bytesIn: 0,
      bytesOut: refused ? 180 : size === 0 ? route.size : size === 1 ? 1000 + 64 * this.#random.below(200) : this.#random.lognormal(6000, 1.2),
      status: refused ? 429 : failed ? 500 : 200, methodId: METHODS.GET, outcomeId: outcomeId(refused ? 'rate_limited' : 'answered'), protocolId: PROTOCOLS['http/1.1'], kindId: KINDS.request,
      requests: 1, counted: refused ? 0 : 1, billable: refused ? 0 : 1, attempts: refused ? 0 : 1,
      versionLabel: this.#version, routeLabel: route.label, appLabel: app.label, appName: app.name, targetLabel: refused ? this.#noTarget : route.target,
      client: app.clients[this.#random.below(shape.networks)] as string, recordedPath: '', traceId: '', refusalLabel: NOT_REFUSED,
    };
  }
}
