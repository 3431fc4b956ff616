/** Both formats. What promtool says of them: exposition-promtool.long.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Births } from './births.js';
import { Exposition } from './exposition.js';

const HOSTILE = 'a"b\\c\nd{e="f"} 1\n# EOF';

test('labels say exactly what they hold, whatever that is', () => {
  for (const format of ['text', 'openmetrics'] as const) {
    const text = new Exposition(format, new Births());
    text.add('tidegate_service_info', [[['shop', HOSTILE], 1]]);
    text.histogram('tidegate_gateway_duration_seconds', [[[HOSTILE], { buckets: [1], sum: Number.POSITIVE_INFINITY }]]);
    const lines = text.end().split('\n');
    const escaped = 'a\\"b\\\\c\\nd{e=\\"f\\"} 1\\n# EOF';
    assert.ok(lines.includes(`tidegate_service_info{service="shop",team="${escaped}"} 1`), lines.join('\n'));
    assert.ok(lines.includes(`tidegate_gateway_duration_seconds_bucket{service="${escaped}",le="0.0001"} 1`));
    assert.ok(lines.includes(`tidegate_gateway_duration_seconds_sum{service="${escaped}"} +Inf`));
    assert.equal(lines.filter((line) => line === '# EOF').length, format === 'openmetrics' ? 1 : 0);
    assert.equal(lines.some((line) => line === '# HELP tidegate_service_info Each service with its team, as configured (\\"\\": none). Always 1.'), format === 'openmetrics', 'quotes in HELP');
  }
});
