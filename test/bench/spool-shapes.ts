/** What made-up events are like: how much of them is noise decides what they cost on disk. */
export interface Shape {
  /** As the report names it. */
  readonly words: string;
  readonly apps: number;
  readonly services: number;
  readonly routes: number;
  /** Client networks of an app. */
  readonly networks: 1 | 2;
  /** Median of the upstream's part, lognormal. */
  readonly medianUs: number;
  /** A third fixed by the route, a third of 200 sizes, a third lognormal; else all fixed by the route. */
  readonly varyingBodies: boolean;
}

export const SHAPES = {
  wide: { words: '200 apps x 20 routes', apps: 200, services: 4, routes: 20, networks: 2, medianUs: 9000, varyingBodies: true },
  narrow: { words: '4 apps x 4 routes', apps: 4, services: 2, routes: 4, networks: 1, medianUs: 1000, varyingBodies: false },
} as const satisfies Record<string, Shape>;

export type ShapeName = keyof typeof SHAPES;
