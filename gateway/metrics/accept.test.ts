import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatFor } from './accept.js';

test('a scrape is answered in the format that it wants most, and in plain text where it wants none of them', () => {
  const cases: readonly (readonly [accept: string, format: string])[] = [
    ['', 'text'], ['*/*', 'text'], ['text/plain', 'text'], ['text/html, */*;q=0.8', 'text'], ['application/json', 'text'], ['text/plain;q=0', 'text'],
    ['application/openmetrics-text', 'openmetrics'], ['Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8', 'openmetrics'], ['application/openmetrics-text; version="1.0.0"', 'openmetrics'],
    ['application/openmetrics-text;version=0.0.1', 'text'], ['application/openmetrics-text;q=0', 'text'], ['application/openmetrics-text;q=0,*/*', 'text'],
    ['application/openmetrics-text;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.5', 'text'], ['text/plain;q=0.5,application/openmetrics-text;q=0.5', 'openmetrics'],
    ['application/openmetrics-text;q=0.5,*/*;q=0.9,text/plain;q=0.1', 'openmetrics'], ['application/openmetrics-text;q=0.5,text/*;q=0.9', 'text'], ['application/openmetrics-text;q=x', 'openmetrics'],
    // Prometheus 2.42
    ['application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1', 'openmetrics'],
    // Prometheus 3
    ['application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2', 'openmetrics'],
    // Prometheus 3 that was told to scrape the text format
    ['text/plain;version=0.0.4;q=0.6,*/*;q=0.5', 'text'],
  ];
  for (const [accept, format] of cases) assert.equal(formatFor(accept), format, accept);
});
