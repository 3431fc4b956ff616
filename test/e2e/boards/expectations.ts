/** What makes each panel's number move, and which way: a panel that says the same whatever happens is a defect. By the board's uid and the panel's id. */

/** In this order: each phase begins when the one before has shown all that it should. */
export const PHASES = ['load', 'faults', 'closing', 'away'] as const;
export type Phase = (typeof PHASES)[number];

export interface Expectation {
  readonly by: Phase;
  readonly move: 'up' | 'down';
}

const up = (by: Phase, ...ids: readonly number[]): readonly (readonly [number, Expectation])[] => ids.map((id) => [id, { by, move: 'up' }]);
const down = (by: Phase, ...ids: readonly number[]): readonly (readonly [number, Expectation])[] => ids.map((id) => [id, { by, move: 'down' }]);

export const EXPECTATIONS: Readonly<Record<string, ReadonlyMap<number, Expectation>>> = {
  'tidegate-overview': new Map([...up('load', 2, 3, 5, 10, 11, 12, 13, 20, 21, 22, 23, 24, 30, 31), ...down('load', 1, 4, 25), ...up('faults', 6, 8, 32), ...down('away', 7)]),
  'tidegate-service': new Map([...up('load', 1, 2, 4, 8, 10, 11, 12, 20, 21, 22, 23, 31, 32, 34, 35, 40, 41, 42), ...down('load', 5, 6, 24), ...up('faults', 33), ...down('faults', 3, 7, 30)]),
  'tidegate-events': new Map([...up('load', 8, 10, 30, 32), ...up('faults', 1, 2, 3, 4, 5, 7, 11, 12, 20, 21, 22, 23, 31, 40, 41, 42), ...down('faults', 6, 13)]),
  'tidegate-runtime': new Map([
    ...up('load', 12, 13, 15, 16, 17, 30, 32), ...up('faults', 3, 4, 6, 10, 11, 18, 22, 24, 25, 33), ...down('faults', 7, 8, 31, 34, 35), ...down('away', 1, 2, 5, 14, 20, 21, 23),
  ]),
  'tidegate-tenants': new Map([...up('load', 1, 2, 10, 11, 12, 13, 14, 15, 16)]),
  'tidegate-billing': new Map([...up('load', 5, 6), ...up('faults', 4), ...up('closing', 10, 11, 12, 13, 20, 21, 22, 23), ...down('closing', 1, 2, 3)]),
};
