/**
 * A receiver in a process of its own, with the rules of uniqueness of the one that it stands for, and a clock that is set:
 * stripe knows an identifier for 24 h, and says that it has it; lago knows a transaction_id for ever, and refuses the batch that it is in; cloudevents (OpenMeter) passes
 * over what it has had within its window in silence. What it is told to do wrong, it does after it has taken what came.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** hang: no answer. reset: the connection ends. `status`: that answer; `taken` says whether it takes what came first. */
export type Fault = { readonly do: 'hang' | 'reset' } | { readonly do: 'answer'; readonly status: number; readonly taken: boolean; readonly retryAfter?: string; readonly location?: string };
export interface Orders { readonly nowMs?: number; /** Of the next requests, one each. */ readonly faults?: readonly Fault[] }
export interface Told { readonly counted: readonly (readonly [id: string, times: number])[]; readonly sum: number; readonly requests: number; readonly meters: readonly string[]; readonly bearers: readonly string[] }

const DAY_MS = 86_400_000;
const [kind = 'stripe'] = process.argv.slice(2);
let nowMs = 0;
let faults: Fault[] = [];
const known = new Map<string, number>();
const counted = new Map<string, number>();
const meters = new Set<string>();
const bearers = new Set<string>();
let sum = 0;
let requests = 0;

const isKnown = (id: string): boolean => known.has(id) && (kind === 'lago' || nowMs - (known.get(id) as number) < DAY_MS);
function take(id: string, value: number, meter: string): void {
  known.set(id, nowMs);
  counted.set(id, (counted.get(id) ?? 0) + 1);
  meters.add(meter);
  sum += value;
}

type Answer = readonly [status: number, body: unknown];
const RULES: Readonly<Record<string, (request: IncomingMessage, body: string) => Answer>> = {
  stripe: (request, body) => {
    const fields = new URLSearchParams(body);
    const id = fields.get('identifier') ?? '';
    const error = (message: string): Answer => [400, { error: { type: 'invalid_request_error', message } }];
    if (request.url !== '/v1/billing/meter_events') return [404, {}];
    if (request.headers['content-type'] !== 'application/x-www-form-urlencoded') return error('form');
    if (!/^cus_/.test(fields.get('payload[stripe_customer_id]') ?? '') || !/^-?\d+$/.test(fields.get('payload[value]') ?? '')) return error('payload');
    if (Number(fields.get('timestamp')) * 1000 < nowMs - 35 * DAY_MS) return error('The timestamp must be within the past 35 calendar days.');
    if (isKnown(id)) return error(`An event already exists with identifier ${id}.`);
    take(id, Number(fields.get('payload[value]')), fields.get('event_name') ?? '');
    return [200, { object: 'billing.meter_event', identifier: id }];
  },
  lago: (request, body) => {
    const { events } = JSON.parse(body) as { events: { transaction_id: string; code: string; external_subscription_id: string; timestamp: number; properties: { billable: number } }[] };
    if (request.url !== '/api/v1/events/batch' || events.length > 100) return [404, {}];
    const twice = events.flatMap(({ transaction_id: id }, index) => (isKnown(id) ? [[index, { transaction_id: ['value_already_exist'] }]] : []));
    if (twice.length > 0) return [422, { status: 422, error: 'Unprocessable Entity', code: 'validation_errors', error_details: Object.fromEntries(twice) as unknown }];
    for (const { transaction_id: id, code, properties } of events) take(id, properties.billable, code);
    return [200, { events }];
  },
  cloudevents: (request, body) => {
    const events = JSON.parse(body) as { id: string; source: string; type: string; specversion: string; subject: string; data: { billable: number } }[];
    if (request.url !== '/api/v1/events' || request.headers['content-type'] !== 'application/cloudevents-batch+json') return [415, {}];
    for (const { id, source, type, specversion, subject, data } of events) {
      if (specversion !== '1.0' || subject === '') return [400, {}];
      if (!isKnown(`${source} ${id}`)) take(`${source} ${id}`, data.billable, type);
    }
    return [204, ''];
  },
};

function answer(request: IncomingMessage, body: string, response: ServerResponse): void {
  requests += 1;
  bearers.add(request.headers.authorization ?? '');
  const fault = faults.shift();
  const said = fault?.do !== 'answer' || fault.taken ? RULES[kind]?.(request, body) ?? [500, ''] : [0, ''] as const;
  process.send?.({ seen: requests });
  if (fault?.do === 'hang') return;
  if (fault?.do === 'reset') request.socket.destroy();
  else if (fault?.do === 'answer') response.writeHead(fault.status, { ...(fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter }), ...(fault.location === undefined ? {} : { location: fault.location }) }).end('{"error":{"message":"as told"}}');
  else response.writeHead(said[0], { 'content-type': 'application/json' }).end(said[1] === '' ? '' : JSON.stringify(said[1]));
}

const server = createServer((request, response) => {
  let body = '';
  request.on('data', (piece: Buffer) => { body += piece.toString(); }).on('end', () => { answer(request, body, response); });
}).listen(0, '127.0.0.1', () => { process.send?.({ port: (server.address() as AddressInfo).port }); });
process.on('message', (orders: Orders) => {
  nowMs = orders.nowMs ?? nowMs;
  faults = orders.faults === undefined ? faults : [...orders.faults];
  process.send?.({ told: { counted: [...counted], sum, requests, meters: [...meters], bearers: [...bearers] } satisfies Told });
});
process.on('disconnect', () => process.exit());
