import assert from 'node:assert/strict';
import { test } from 'node:test';
import { barChart } from './chart.js';

const bars = [{ words: 'ours', value: 50, own: true }, { words: 'a "peer" <1> & more', value: 200, own: false }];

test('a bar is as long as its value, and the longest fills the room', () => {
  const widths = [...barChart('t', bars).matchAll(/<rect class="(own|peer)" .*width="([\d.]+)" height/g)].map(([, colour, width]) => [colour, Number(width)] as const);
  assert.deepEqual(widths.map(([colour]) => colour), ['own', 'peer']);
  assert.equal((widths[0]?.[1] ?? 0) * 4, widths[1]?.[1]);
});

test('names are text, whatever is in them, and figures stand behind the bars', () => {
  const chart = barChart('CPU < all', bars);
  assert.ok(chart.includes('>a &quot;peer&quot; &lt;1&gt; &amp; more</text>'));
  assert.ok(chart.includes('aria-label="CPU &lt; all"'));
  assert.match(chart, />50\.0<\/text>[\s\S]*>200<\/text>/);
});

test('the same figures make the same chart, and no figures or none above 0 make one too', () => {
  assert.equal(barChart('t', bars), barChart('t', [...bars]));
  for (const chart of [barChart('t', []), barChart('t', [{ words: 'none', value: 0, own: true }])]) assert.doesNotMatch(chart, /NaN|Infinity/);
});
