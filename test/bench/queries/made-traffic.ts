/**
 * Who calls what in the made-up traffic, and how it ends: 1,000 apps by Zipf's law (the first makes an eighth of all requests), 50 services of two to five routes; an
 * app calls one to four services. 2.4 % are refused, 0.5 % are errors.
 */
import { METHODS, outcomeId } from '../../../gateway/events/event.js';
import { encodeLabels, type Label } from '../../../gateway/events/labels.js';
import { OUTCOMES, wasLetThrough, type Outcome } from '../../../gateway/events/outcomes.js';
import { SeededRandom } from '../seeded-random.js';
import { WeightedChoice } from './weighted-choice.js';

export const APPS = 1000;
export const SERVICES = 50;
const SEED = 50;

export const appName = (app: number): string => `app-${String(app).padStart(3, '0')}`;
export const serviceName = (service: number): string => `service-${String(service).padStart(2, '0')}`;
export const routeName = (service: number, route: number): string => `${serviceName(service)}-${route}`;
export const routesOf = (service: number): number => 2 + (service % 4);

export interface MadeRoute {
  readonly label: Label;
  readonly targets: readonly [Label, Label];
  readonly methodId: number;
  /** Of the service's part, lognormal. */
  readonly medianUs: number;
  readonly bytesOut: number;
}

/** What an app asks for, again and again. */
export interface Call {
  readonly app: string;
  readonly appLabel: Label;
  readonly clients: readonly [string, string];
  readonly route: MadeRoute;
}

/** How requests end. */
export interface Ending {
  readonly share: number;
  /** 200: 201 of a POST. */
  readonly status: number;
  readonly outcomeId: number;
  readonly letThrough: boolean;
  readonly counted: 0 | 1;
  readonly billable: 0 | 1;
  /** No app is known. */
  readonly anonymous: boolean;
}

const ending = (share: number, status: number, outcome: Outcome): Ending => ({
  share, status, outcomeId: outcomeId(outcome), letThrough: wasLetThrough(outcome, 1),
  counted: OUTCOMES[outcome].counted ? 1 : 0, billable: OUTCOMES[outcome].billable ? 1 : 0, anonymous: outcome === 'unauthenticated',
});

export const ENDINGS: readonly Ending[] = [
  ending(0.945, 200, 'answered'), ending(0.016, 404, 'answered'), ending(0.01, 304, 'answered'), ending(0.003, 500, 'answered'),
  ending(0.001, 502, 'upstream_broken'), ending(0.001, 504, 'upstream_timeout'),
  ending(0.015, 429, 'rate_limited'), ending(0.004, 429, 'quota_exhausted'), ending(0.002, 403, 'forbidden'), ending(0.003, 401, 'unauthenticated'),
];

export class MadeTraffic {
  readonly calls: readonly Call[];
  readonly #calls: WeightedChoice;
  readonly #endings = new WeightedChoice(ENDINGS.map(({ share }) => share));

  constructor() {
    const random = new SeededRandom(SEED);
    const routes = Array.from({ length: SERVICES }, (_, service) => Array.from({ length: routesOf(service) }, (__, route) => madeRoute(service, route, random)));
    const calls: Call[] = [];
    const weights: number[] = [];
    for (let app = 0; app < APPS; app++) {
      const clients = [`203.${app >> 8}.${app & 255}.0`, `198.${app >> 8}.${app & 255}.0`] as const;
      const appLabel = encodeLabels(appName(app));
      for (const [place, service] of servicesOf(app, random).entries()) {
        for (const [rank, route] of (routes[service] as MadeRoute[]).entries()) {
          calls.push({ app: appName(app), appLabel, clients, route });
          weights.push(1 / (app + 1) / (place + 1) / (rank + 1) / normal(app, routesOf(service)));
        }
      }
    }
    this.calls = calls;
    this.#calls = new WeightedChoice(weights);
  }

  /** Position in `calls`. */
  call(random: SeededRandom): number {
    return this.#calls.draw(random);
  }

  /** Position in ENDINGS. */
  ending(random: SeededRandom): number {
    return this.#endings.draw(random);
  }
}

/** So that an app's weight is 1 / (its rank), however many services and routes it has. */
function normal(app: number, routes: number): number {
  return harmonic(servicesCalled(app)) * harmonic(routes);
}

const harmonic = (count: number): number => Array.from({ length: count }, (_, i) => 1 / (i + 1)).reduce((sum, part) => sum + part, 0);
const servicesCalled = (app: number): number => 1 + (app * 7) % 4;

/** Different ones; low numbers more often, so that services differ in traffic too. */
function servicesOf(app: number, random: SeededRandom): number[] {
  const services = new Set<number>();
  while (services.size < servicesCalled(app)) services.add(Math.floor(SERVICES * random.next() ** 2));
  return [...services];
}

function madeRoute(service: number, route: number, random: SeededRandom): MadeRoute {
  const target = (n: number): Label => encodeLabels(`http://10.0.${service}.${n}:9000`);
  return {
    label: encodeLabels(serviceName(service), routeName(service, route)), targets: [target(1), target(2)], methodId: route === 2 ? METHODS.POST : METHODS.GET,
    medianUs: 3000 + random.below(40_000), bytesOut: 300 + random.below(9000),
  };
}
