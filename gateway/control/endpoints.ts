/**
 * The endpoints of the control origin and of the apps' listener, each once: the servers register them from this table, who may ask is decided
 * by it, and /openapi.json is made of it.
 */
import Type, { type TSchema } from 'typebox';
import { LOG_LEVELS } from '../config/log-level.js';
import { METHODS } from '../events/event.js';
import { OUTCOMES } from '../events/outcomes.js';
import { WhatifQuestion } from '../whatif/rules.js';

/** `nobody` shows no credential, or one that is nobody's; `read_only` and `billing` are those of `control.tokens`; an `app` asks for itself. */
export type Role = 'nobody' | 'app' | 'billing' | 'read_only' | 'operator';
/** Where it is asked: at the control origin, or at the apps' own listener (`reports.address`). */
export type Origin = 'control' | 'reports';
export type Access = 'open' | 'loopback' | 'operator' | 'read' | 'requests' | 'reports';

/** Which roles may use which endpoints, and where. Empty: there is no such endpoint. `loopback` asks for no credential on the same machine, under a name of it. */
export const MAY_USE: Readonly<Record<Access, Readonly<Record<Origin, readonly Role[]>>>> = {
  open: { control: ['nobody', 'app', 'billing', 'read_only', 'operator'], reports: [] },
  loopback: { control: ['read_only', 'operator'], reports: [] },
  operator: { control: ['operator'], reports: [] },
  read: { control: ['read_only', 'operator'], reports: [] },
  requests: { control: ['app', 'read_only', 'operator'], reports: ['app'] },
  reports: { control: ['app', 'billing', 'read_only', 'operator'], reports: ['app'] },
};

export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `:name` stands for a path parameter. */
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  readonly query?: Readonly<Record<string, TSchema>>;
  /** `limitBytes`: the longest that is taken; default: SMALL_BODY_BYTES. */
  readonly body?: { readonly types: readonly string[]; readonly schema: TSchema; readonly required: boolean; readonly limitBytes?: number };
  /** Status and media types of the usual answer. */
  readonly answers: { readonly status: number; readonly types: readonly string[]; readonly description: string };
  /** Answered by the collector. */
  readonly forwarded?: true;
  /** It may take so long to begin its answer, ms. Default: as a report. */
  readonly answerTimeoutMs?: number;
}

/** Of a body that the supervisor may parse itself. */
export const SMALL_BODY_BYTES = 16 * 1024;
/** A configuration of 10,000 routes and apps has 3 MB, the question of whatif about one half of that. */
const LARGE_BODY_BYTES = 16 * 1024 * 1024;

const JSON_TYPE = ['application/json'];
const answers = (description: string, types: readonly string[] = JSON_TYPE, status = 200) => ({ status, types, description });
const texts = (description: string) => Type.Array(Type.String(), { description });
const statuses = (description: string) => Type.Array(Type.String({ pattern: '^([0-9]{1,3}|[1-9][xX]{2})(,([0-9]{1,3}|[1-9][xX]{2}))*$' }), { description });
const oneOf = (values: readonly string[], description: string) => Type.Enum([...values], { description });
const timeZone = Type.String({ description: 'IANA name. Default: the app\'s own zone where one app is asked for, else UTC.' });

/** Of which events a report is, and by which time. */
const SELECTION = {
  from: Type.String({ description: 'First instant of the range: RFC 3339; a day (2026-11-23, today, yesterday, monday), which stands for its first instant in time_zone; or how long ago (45m, 24h, 7d). Default: 24 h before to. Where what is asked for is kept from a later day on, the answer begins there and says clipped.' }),
  to: Type.String({ description: 'First instant after the range, written as from. Default: the end of the quarter of an hour under way.' }),
  day: Type.String({ description: 'In place of from and to: one day of time_zone, such as 2026-11-23 or yesterday.' }),
  interval: oneOf(['minute', 'hour', 'day', 'month', 'total'], 'Length of a bucket. Default: hour.'),
  time_zone: timeZone,
  app: texts('Only these apps.'),
  service: texts('Only these services.'),
  route: texts('Only these routes.'),
  status: statuses('Only these statuses, or classes of them such as 5xx; while raw events are kept.'),
  method: Type.Array(Type.Enum(Object.keys(METHODS)), { description: 'Only these methods; while raw events are kept.' }),
  outcome: Type.Array(Type.Enum(Object.keys(OUTCOMES)), { description: 'Only these outcomes; while raw events are kept.' }),
  path: texts('Only these paths, as record_path keeps them; /shop/* is /shop and all below it, as in a route; while raw events are kept.'),
  target: texts('Only these targets; while raw events are kept. The operator\'s only.'),
  config_version: texts('Only these versions of the configuration; while raw events are kept. The operator\'s only.'),
  fill: Type.Boolean({ description: 'Buckets without events have rows of zeros, up to as_of.' }),
  format: oneOf(['json', 'csv', 'ndjson', 'parquet'], 'Default: as Accept says, else json.'),
  dates: oneOf(['rfc3339', 'spreadsheet'], 'Of csv: rfc3339 (default), or spreadsheet, 2026-11-24 10:00:00 in time_zone, which spreadsheets take for a date.'),
};

const TRAFFIC_QUERY = {
  ...SELECTION,
  group_by: texts('app, service, route, status_class; while raw events are kept also status, method, outcome, path, and for the operator target, config_version. Commas or repeated.'),
  top: Type.Integer({ minimum: 1, maximum: 1000, description: 'Only the groups with the most requests in the range, in this order; the rest together as others. Default: all; of paths 1000.' }),
  compare: oneOf(['previous'], 'Beside each row the same of the period before, as many buckets earlier.'),
  limit: Type.Integer({ minimum: 1, maximum: 50_000, description: 'Rows of a page; next is where the next one begins.' }),
  cursor: Type.String({ description: 'next of the page before; everything else as it was asked there.' }),
};

export const ENDPOINTS = {
  healthz: { method: 'GET', path: '/healthz', access: 'open', summary: 'Liveness: the supervisor answers.', answers: answers('It lives.') },
  readyz: { method: 'GET', path: '/readyz', access: 'open', summary: 'Readiness; the reasons are told to loopback and to the operator.', answers: answers('Ready; 503: not ready.') },
  metrics: { method: 'GET', path: '/metrics', access: 'loopback', summary: 'Metrics of the whole node; OpenMetrics on Accept. `control.metrics_open` opens it to all.', answers: answers('Prometheus text.', ['text/plain', 'application/openmetrics-text']) },
  openapi: { method: 'GET', path: '/openapi.json', access: 'open', summary: 'This description.', answers: answers('OpenAPI 3.1.') },
  status: { method: 'GET', path: '/v1/status', access: 'read', summary: 'Workers, targets, limits, spool, collector.', answers: answers('The node\'s state.') },
  reload: { method: 'POST', path: '/v1/reload', access: 'operator', summary: 'Reads the configuration again.', answers: answers('`result` (applied, unchanged) and `version`; 422: rejected, with its errors.') },
  restart: {
    method: 'POST', path: '/v1/restart', access: 'operator', summary: 'Replaces every process of this node but the launcher by one of the installed program, one after another, while requests are served.',
    answers: answers('`number` of this restart; `restart` of GET /v1/status tells how it goes. 409: one is under way.', JSON_TYPE, 202),
  },
  declareGap: {
    method: 'POST', path: '/v1/gaps', access: 'operator', summary: 'Notes that what this node answered in a time may be missing: its data directory was put back from a snapshot. It cannot be taken back.',
    body: {
      types: JSON_TYPE, required: true,
      schema: Type.Object({
        from: Type.String({ format: 'date-time', description: 'When the snapshot was made, RFC 3339.' }),
        to: Type.Optional(Type.String({ format: 'date-time', description: 'When the node went on with it. Default: when the node was started.' })),
      }, { additionalProperties: false }),
    },
    answers: answers('`stream` that stands for the gap in GET /v1/completeness, `node`, `from`, `to`. The same again is the same gap.'),
  },
  logLevel: { method: 'GET', path: '/v1/log/level', access: 'read', summary: 'The level of the log of all processes of this node.', answers: answers('`level` in force, `configured`, `until` (null: the configured one is in force).') },
  setLogLevel: {
    method: 'POST', path: '/v1/log/level', access: 'operator', summary: 'Another level for a while, of all processes at once; nothing is reloaded.',
    body: {
      types: JSON_TYPE, required: true,
      schema: Type.Object({
        level: Type.Enum([...LOG_LEVELS]), for: Type.Optional(Type.String({ pattern: '^(\\d+(\\.\\d+)?)(ms|s|m|h|d)$', description: 'A duration, such as 10m, which is the default; at most 7d.' })),
      }, { additionalProperties: false }),
    },
    answers: answers('As GET.'),
  },
  resetLogLevel: { method: 'DELETE', path: '/v1/log/level', access: 'operator', summary: 'The configured level again.', answers: answers('As GET.') },
  services: { method: 'GET', path: '/v1/services', access: 'read', summary: 'The services in force.', answers: answers('`services`') },
  service: { method: 'GET', path: '/v1/services/:name', access: 'read', summary: 'One service in force.', answers: answers('The service.') },
  apps: { method: 'GET', path: '/v1/apps', access: 'read', summary: 'The apps in force, without secrets.', answers: answers('`apps`') },
  app: { method: 'GET', path: '/v1/apps/:name', access: 'read', summary: 'One app in force, without secrets.', answers: answers('The app.') },
  createKey: {
    method: 'POST', path: '/v1/apps/:name/keys', access: 'operator', summary: 'Makes an API key; it is shown in this answer only.',
    body: { types: JSON_TYPE, required: false, schema: Type.Object({ scopes: Type.Optional(Type.Array(Type.Enum(['traffic', 'reports']), { minItems: 1, uniqueItems: true, description: 'Default: both.' })) }, { additionalProperties: false }) },
    answers: answers('`app`, `id`, `key`, `scopes`', JSON_TYPE, 201),
  },
  revokeKey: { method: 'DELETE', path: '/v1/apps/:name/keys/:id', access: 'operator', summary: 'Ends an API key.', answers: answers('Revoked.', [], 204) },
  history: {
    method: 'GET', path: '/v1/config/history', access: 'read', summary: 'Every change of the configuration, newest first.',
    query: { limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }) }, answers: answers('`entries`: version, time, source, author, diff.'),
  },
  // not for reading alone: it tries what it is given, and so tells of values that the node's environment holds
  diff: {
    method: 'POST', path: '/v1/config/diff', access: 'operator', summary: 'What a reload of this YAML would change.',
    body: { types: ['application/yaml', 'text/yaml', 'text/plain'], required: true, schema: Type.String(), limitBytes: LARGE_BODY_BYTES }, answers: answers('`from`, `to`, `changes`; 422: it would be rejected, with its errors.'),
  },
  trafficReport: {
    method: 'GET', path: '/v1/reports/traffic', access: 'reports', forwarded: true, summary: 'Requests, errors, bytes and latency by time and group.',
    query: TRAFFIC_QUERY, answers: answers('The report; 304 where If-None-Match has its ETag.', ['application/json', 'text/csv', 'application/x-ndjson', 'application/vnd.apache.parquet']),
  },
  latencyReport: {
    method: 'GET', path: '/v1/reports/latency', access: 'reports', forwarded: true, summary: 'How many requests took how long, by time: a heatmap.',
    query: SELECTION, answers: answers('The report; 304 where If-None-Match has its ETag.', ['application/json', 'text/csv', 'application/x-ndjson', 'application/vnd.apache.parquet']),
  },
  liveReport: {
    method: 'GET', path: '/v1/reports/live', access: 'reports', forwarded: true, summary: 'Requests a second, in flight and today\'s counts: site, services, apps; today\'s count against each app\'s quota; as a stream on Accept.',
    query: { time_zone: timeZone }, answers: answers('The live numbers. `in_flight` is this node\'s alone, null where it has no workers; `quotas` by app: day (of its own zone), limit, used, share, over.', ['application/json', 'text/event-stream']),
  },
  completeness: {
    method: 'GET', path: '/v1/completeness', access: 'reports', forwarded: true, summary: 'Whether the record of a day, or of each day of a range, is whole, and what is missing.',
    query: {
      day: Type.String({ description: 'Such as 2026-11-21, yesterday or monday. Default, without from: today.' }),
      from: Type.String({ description: 'In place of day, each day from this one on: a day, how long ago (30d), or an RFC 3339 instant.' }),
      to: Type.String({ description: 'First instant after the range, written as from. Default: now.' }), time_zone: timeZone,
    },
    answers: answers('`complete`, `recorded`, `reasons`, `dropped`; to the operator each stream. Of a range `days`, each with the same but the streams, and `complete` of all.'),
  },
  requests: {
    method: 'GET', path: '/v1/requests', access: 'requests', forwarded: true, summary: 'The calls that match, newest or slowest first, while raw events are kept.',
    query: {
      from: SELECTION.from, to: SELECTION.to, day: SELECTION.day, time_zone: timeZone, app: SELECTION.app, service: SELECTION.service, route: SELECTION.route,
      path: SELECTION.path, target: SELECTION.target,
      status: statuses('Only these statuses, or classes of them such as 5xx.'), outcome: Type.Array(Type.Enum(Object.keys(OUTCOMES)), { description: 'Only these outcomes.' }),
      slower_than: Type.String({ pattern: '^[0-9]{1,9}(\\.[0-9]{1,6})?(ms|s|m|h|d)$', description: 'Only calls that took longer, such as 1s or 250ms.' }),
      sort: oneOf(['time', 'duration'], 'The newest first (default), or the slowest.'),
      limit: Type.Integer({ minimum: 1, maximum: 1000, description: 'Calls of a page. Default: 100; as csv by time, all that match.' }),
      cursor: TRAFFIC_QUERY.cursor, format: oneOf(['json', 'csv'], 'Default: as Accept says, else json.'), dates: SELECTION.dates,
    },
    answers: answers('`rows`, each as /v1/requests/{id} has it, and `next`, the cursor of the next page, or null. As csv the same fields, and `next` as X-Tidegate-Next.', ['application/json', 'text/csv']),
  },
  request: { method: 'GET', path: '/v1/requests/:id', access: 'requests', forwarded: true, summary: 'One request\'s event by its X-Request-Id.', answers: answers('The event.') },
  whatif: {
    method: 'POST', path: '/v1/whatif', access: 'read', forwarded: true, answerTimeoutMs: 900_000, summary: 'What other limits, quotas and allowed services would have refused of the recorded requests of a range, and let through.',
    body: { types: JSON_TYPE, required: true, schema: WhatifQuestion, limitBytes: LARGE_BODY_BYTES }, answers: answers('`totals`, `rows` by app, service and route, `limits` with their bound, `not_simulated`.'),
  },
  billingDays: {
    method: 'GET', path: '/v1/billing/days', access: 'reports', forwarded: true, summary: 'What each app\'s days come to: closed ones for ever, the others so far.',
    query: {
      month: Type.String({ description: 'Such as 2026-11. Default, without from and to: the month under way.' }),
      from: Type.String({ description: 'First local date, such as 2026-11-23, yesterday, monday or 7d.' }), to: Type.String({ description: 'First local date after the range.' }),
      day: Type.String({ description: 'In place of month, from and to: one local date.' }), app: texts('Only these apps.'), customer: texts('Only entries of these customers.'),
    },
    answers: answers('`days`: an entry each, in the ledger\'s order; then those that are not closed, with `reasons`. To the operator with `notes` where there are any.'),
  },
  closeDay: {
    method: 'POST', path: '/v1/billing/close', access: 'operator', forwarded: true, summary: 'Closes a day whose grace is over, also where its record is not whole.',
    body: {
      types: JSON_TYPE, required: true,
      schema: Type.Object({
        day: Type.String({ format: 'date' }), app: Type.Optional(Type.String({ description: 'Default: all apps.' })),
        accept_gap: Type.Optional(Type.String({ description: 'Why a record that is not whole is accepted; stays in the ledger, and the customer reads it.' })),
        note: Type.Optional(Type.String({ description: 'For operators alone: in no export, and told to no app.' })),
      }, { additionalProperties: false }),
    },
    answers: answers('`closed`: the entries.'),
  },
  adjustDay: {
    method: 'POST', path: '/v1/billing/adjust', access: 'operator', forwarded: true, summary: 'Notes a credit for a closed day, on the app\'s next day that is not.',
    body: {
      types: JSON_TYPE, required: true,
      schema: Type.Object({
        id: Type.String({ description: 'The caller\'s own: said again, it is the same credit.' }), app: Type.String(), day: Type.String({ format: 'date', description: 'The closed day.' }),
        requests: Type.Integer({ description: '-500 takes 500 off the bill.' }), reason: Type.String({ description: 'Stays in the ledger, and the customer reads it.' }),
        note: Type.Optional(Type.String({ description: 'For operators alone: in no export, and told to no app.' })),
      }, { additionalProperties: false }),
    },
    answers: answers('The entry.'),
  },
  billingExport: {
    method: 'GET', path: '/v1/billing/export', access: 'reports', forwarded: true, summary: 'The ledger\'s entries of closed days: the same bytes whenever it is asked for.',
    query: {
      month: Type.String({ pattern: '^\\d{4}-\\d{2}$', description: 'Local dates of this month.' }),
      from: Type.String({ description: 'In place of month: first local date, such as 2026-11-23, yesterday, monday or 7d.' }),
      to: Type.String({ description: 'First local date after the range.' }), day: Type.String({ description: 'In place of month, from and to: one local date.' }),
      app: texts('Only these apps.'),
      format: oneOf(['csv', 'json', 'ndjson', 'parquet', 'cloudevents'], 'Default: as Accept says, else json.'),
      manifest: Type.Boolean({ description: 'In place of the file what it is: name, bytes, SHA-256, rows, sums.' }),
    },
    answers: answers('The file; 409: days of it are not closed, with `days`.', ['application/json', 'text/csv', 'application/x-ndjson', 'application/vnd.apache.parquet', 'application/cloudevents-batch+json']),
  },
  billingReceipts: {
    method: 'POST', path: '/v1/billing/receipts', access: 'operator', forwarded: true, summary: 'Notes what is pushed to a receiver: before it is sent, and what came of it.',
    body: { types: JSON_TYPE, required: true, schema: Type.Object({ target: Type.String(), action: Type.Enum(['intend', 'received', 'not_taken', 'resend', 'assume_received', 'look']), entry_ids: Type.Array(Type.String()) }) },
    answers: answers('`standings` of the entries.'),
  },
  quarantine: {
    method: 'GET', path: '/v1/quarantine', access: 'read', forwarded: true, summary: 'What of the log could not be read, newest first.',
    answers: answers('`items`: id, log, stream, reason, where its copy lies, when it was noted and put back.'),
  },
  appData: {
    method: 'GET', path: '/v1/apps/:name/data', access: 'operator', forwarded: true, summary: 'Everything that one table holds of an app, also of one that is no more in force.',
    query: { table: oneOf(['events', 'traffic_minute', 'traffic_quarter_hour'], 'Default: events.') }, answers: answers('A row a line.', ['application/x-ndjson']),
  },
  eraseApp: {
    method: 'POST', path: '/v1/apps/:name/erase', access: 'operator', forwarded: true, summary: 'Takes an app\'s name, clients and paths off all that is stored of it. It cannot be undone.',
    answers: answers('A line a step: `progress`; the last is `end` or `failed`.', ['application/x-ndjson']),
  },
  rebuild: {
    method: 'POST', path: '/v1/rebuild', access: 'operator', forwarded: true, summary: 'Makes the rollups again from raw events, and compares them; swap=true: and puts them in the place of those that differ.',
    query: { swap: Type.Boolean({ description: 'Default: false.' }) }, answers: answers('A line a step: `progress`, `compared`, `swapped`, `left`; the last is `end` or `failed`.', ['application/x-ndjson']),
  },
  recover: {
    method: 'POST', path: '/v1/recover', access: 'operator', forwarded: true, summary: 'Looks for raw events that were stored and are missing, and whether Kafka still has them; put_back=true: and puts those back.',
    query: { put_back: Type.Boolean({ description: 'Default: false.' }) }, answers: answers('A line a step: `progress`, `rows`, `not_whole`; the last is `end` or `failed`.', ['application/x-ndjson']),
  },
  replayQuarantine: {
    method: 'POST', path: '/v1/quarantine/:id/replay', access: 'operator', forwarded: true, summary: 'Puts it into the log again; what of it is stored is recognised.',
    answers: answers('The item.'),
  },
} as const satisfies Record<string, Endpoint>;

export type EndpointName = keyof typeof ENDPOINTS;

/** Of an endpoint's body, bytes. */
export function bodyLimit({ body }: Endpoint): number {
  return body?.limitBytes ?? SMALL_BODY_BYTES;
}

/** What an origin has. */
export function endpointsAt(origin: Origin): (readonly [EndpointName, Endpoint])[] {
  return (Object.entries(ENDPOINTS) as (readonly [EndpointName, Endpoint])[]).filter(([, { access }]) => MAY_USE[access][origin].length > 0);
}
