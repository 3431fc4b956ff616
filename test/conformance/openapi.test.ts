/** What /openapi.json says of the traffic and latency reports, and of the list of requests, is what the collector takes: the two stand in rooms that may not import each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RequestsParameters } from '../../collector/reports/request-list.js';
import { LatencyParameters, TrafficParameters } from '../../collector/reports/traffic-query.js';
import { ENDPOINTS } from '../../gateway/control/endpoints.js';

interface Schema { readonly type?: string; readonly enum?: readonly unknown[]; readonly items?: Schema; readonly minimum?: number; readonly maximum?: number }

const shape = ({ type, enum: values, items, minimum, maximum }: Schema): unknown =>
  ({ type, values, minimum, maximum, items: items === undefined ? undefined : shape(items) });

for (const [name, { query }, { properties }] of [['the traffic report', ENDPOINTS.trafficReport, TrafficParameters], ['the latency report', ENDPOINTS.latencyReport, LatencyParameters], ['the list of requests', ENDPOINTS.requests, RequestsParameters]] as const) {
  test(`the parameters of ${name} are described as they are checked`, () => {
    const described = query as unknown as Readonly<Record<string, Schema>>;
    const checked = properties as unknown as Readonly<Record<string, Schema>>;
    assert.deepEqual(Object.keys(described).sort(), Object.keys(checked).sort());
    for (const [parameter, schema] of Object.entries(described)) assert.deepEqual(shape(schema), shape(checked[parameter] ?? {}), parameter);
  });
}
