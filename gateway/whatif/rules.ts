/**
 * What of a configuration decides whether a recorded request would be let through: limits, quotas, which app may call which service, which routes there
 * are. Without secrets, so that it may travel: `tidegate whatif` makes it of a file, the collector runs the record against it.
 */
import Type, { type Static } from 'typebox';
import type { WorkerConfig } from '../config/worker-config.js';
import { OUTCOMES, type Outcome } from '../events/outcomes.js';
import { limitsOf } from '../supervisor/ledger/limits.js';

const strict = { additionalProperties: false };
const Name = Type.String({ maxLength: 200 });
/** As many apps, services and rates as a configuration is promised to bear. */
const MOST_NAMES = 200_000;
const Units = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export const LimitRules = Type.Object({
  version: Type.String({ maxLength: 100, description: 'Of the configuration that this is of; told back.' }),
  rates: Type.Array(Type.Object({ key: Type.String({ maxLength: 500, description: 'As in GET /v1/status: qps:gateway, qps:service:S, qps:route:S/R, qps:app:A.' }), qps: Units, burst: Units }, strict), { maxItems: MOST_NAMES }),
  apps: Type.Array(Type.Object({
    name: Name, services: Type.Array(Name, { maxItems: MOST_NAMES }), time_zone: Type.String({ maxLength: 100 }),
    // absent rather than null: the servers turn null into 0 where a number may stand
    qpd: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Absent: no quota, or one that bills what is over it.' })),
  }, strict), { maxItems: MOST_NAMES }),
  services: Type.Array(Type.Object({
    name: Name, counted: Type.Array(Type.Enum(Object.keys(OUTCOMES)), { description: 'Outcomes that count against quotas.' }),
    client_ip: Type.Boolean({ description: 'The service, or the gateway, limits client addresses.' }),
    routes: Type.Array(Type.Object({ name: Name, open: Type.Boolean({ description: 'Asks nobody who it is.' }) }, strict)),
  }, strict)),
}, strict);
export type LimitRules = Static<typeof LimitRules>;

export const WhatifQuestion = Type.Object({
  from: Type.String({ maxLength: 100, description: 'First instant of the range: RFC 3339, a day of UTC (2026-11-23, today, yesterday, monday), or how long ago (45m, 24h, 7d).' }),
  to: Type.String({ maxLength: 100, description: 'First instant after the range.' }),
  rules: LimitRules,
}, strict);
export type WhatifQuestion = Static<typeof WhatifQuestion>;

/** Of a validated configuration. */
export function rulesOf(config: WorkerConfig, version: string): LimitRules {
  const { rates, quotas } = limitsOf(config);
  return {
    version,
    rates: [...rates].map(([key, limit]) => ({ key, ...limit })),
    apps: config.apps.map(({ name, services, time_zone }) => {
      const quota = quotas.get(name);
      return { name, services: [...services], time_zone, ...(quota === undefined ? {} : { qpd: quota.limit }) };
    }),
    services: config.services.map((service) => ({
      name: service.name,
      counted: (Object.keys(OUTCOMES) as Outcome[]).filter((outcome) => service.outcomes[outcome]?.counted ?? OUTCOMES[outcome].counted),
      client_ip: config.limits.client_ip !== undefined || service.limits.client_ip !== undefined,
      routes: service.routes.map(({ name, authentication }) => ({ name, open: authentication.length === 0 })),
    })),
  };
}
