/** What the boards ask is answered as the alerts judge it: by promtool, and by the rules of the repository. That each panel has data on live nodes is test/e2e/boards.long.test.ts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { programPath, requires } from '../../test/harness/requires.js';
import { expandPromql } from '../preview/expand.js';
import { deploys } from './board.js';
import { budgetLeft, lag, sentToNone, text, withinObjective } from './promql.js';

const SHOWN = { fromMs: 0, toMs: 3_600_000, stepS: 60, rateWindowS: 120, variables: new Map([['instance', ['.*']], ['service', ['.+']]]) };
const skip = requires('prometheus');

/** At a time, each series of the answer, and its value to four digits after the point. */
interface Expected { readonly at: string; readonly expr: string; readonly answer: Readonly<Record<string, number>> }

// the compiled test stands in dist, where no rules are
function rulesFolder(from: string): string {
  const folder = join(from, 'alerts', 'rules');
  return existsSync(folder) ? folder : rulesFolder(dirname(from));
}

/** @param series to values as promtool takes them, one a minute from 0 on */
function answers(t: TestContext, series: Readonly<Record<string, string>>, expected: readonly Expected[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-boards-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  const file = join(folder, 'test.yml');
  writeFileSync(file, stringify({
    rule_files: [join(rulesFolder(dirname(fileURLToPath(import.meta.url))), 'services.yml')], evaluation_interval: '30s',
    tests: [{
      interval: '1m', input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: expected.map(({ at, expr, answer }) => ({
        expr: `round(${expandPromql(expr, SHOWN)}, 0.0001)`, eval_time: at, exp_samples: Object.entries(answer).map(([labels, value]) => ({ labels, value })),
      })),
    }],
  }));
  try {
    execFileSync(programPath('promtool') ?? '', ['test', 'rules', file], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    assert.fail(`${stdout}\n${stderr}`);
  }
}

/** Of `shop` on two nodes, of each: 50 requests a second of which one in two hundred fails, and 50 that are refused at once. */
const SHOP: Readonly<Record<string, string>> = Object.fromEntries(['a', 'b'].flatMap((instance) => {
  const of = `service="shop",instance="${instance}",job="tidegate"`;
  return [
    [`tidegate_requests_total{${of},route="all",code="200"}`, '0+2985x30 _x10 0+2985x30'], [`tidegate_requests_total{${of},route="all",code="500"}`, '0+15x30 _x10 0+15x30'],
    [`tidegate_requests_total{${of},route="all",code="429"}`, '0+3000x30 _x10 0+3000x30'], [`tidegate_refused_total{${of},reason="rate_limited"}`, '0+3000x30 _x10 0+3000x30'],
    [`tidegate_slo_availability_ratio{${of}}`, '0.99x80'],
  ];
}));

test('a budget is used by the failures of the requests to be answered: not by refusals, not by time without samples', { skip }, (t) => {
  const left = text(budgetLeft('$service'));
  const idle = 'service="idle",instance="a",job="tidegate"';
  answers(t, { ...SHOP, [`tidegate_requests_total{${idle},route="all",code="200"}`]: '5x80', [`tidegate_slo_availability_ratio{${idle}}`]: '0.99x80' }, [
    { at: '20m', expr: left, answer: { '{service="shop"}': 0.5 } },
    { at: '70m', expr: left, answer: { '{service="shop"}': 0.5 } },
  ]);
});

test('requests within their objective are those that LatencyBudgetBurn does not count, whatever is refused beside them', { skip }, (t) => {
  const buckets = Object.fromEntries(['a', 'b'].flatMap((instance) => {
    const of = `service="shop",route="all",instance="${instance}",job="tidegate"`;
    return [
      // 300 a minute take longer
      [`tidegate_request_duration_seconds_bucket{${of},le="0.1"}`, '0+5700x30'], [`tidegate_request_duration_seconds_bucket{${of},le="+Inf"}`, '0+6000x30'],
      [`tidegate_request_duration_seconds_count{${of}}`, '0+6000x30'], [`tidegate_slo_latency_threshold_seconds{service="shop",bound="0.1",instance="${instance}",job="tidegate"}`, '0.1x30'],
    ];
  }));
  const judgedByAlert = '1 - service:tidegate_requests_over_objective:rate2m / service:tidegate_requests_judged:rate2m';
  answers(t, { ...SHOP, ...buckets }, [text(withinObjective('$service')), judgedByAlert].map((expr) => ({ at: '20m', expr, answer: { '{service="shop"}': 0.9 } })));
});

test('requests that no target was sent are those neither refused nor sent: some, all of an outage, none', { skip }, (t) => {
  const sent = (perMinute: number): Readonly<Record<string, string>> =>
    Object.fromEntries(['a', 'b'].map((instance) => [`tidegate_upstream_duration_seconds_count{service="shop",target="http://10.0.0.1",instance="${instance}",job="tidegate"}`, `0+${perMinute}x30`]));
  const expr = text(sentToNone('$service'));
  for (const [series, perSecond] of [[sent(2400), 20], [{}, 100], [sent(3000), 0], [sent(3600), 0]] as const) answers(t, { ...SHOP, ...series }, [{ at: '20m', expr, answer: { '{}': perSecond } }]);
});

test('a node lags by what is later, the store or Kafka; one that only ships is seen, too', { skip }, (t) => {
  const series = {
    'tidegate_event_lag_seconds{instance="both",job="tidegate"}': '2x5', 'tidegate_shipping_lag_seconds{instance="both",job="tidegate"}': '40x5',
    'tidegate_shipping_lag_seconds{instance="gateway",job="tidegate"}': '70x5', 'tidegate_event_lag_seconds{instance="one",job="tidegate"}': '5x5',
  };
  answers(t, series, [
    { at: '3m', expr: text(lag(['instance'])), answer: { '{instance="both"}': 40, '{instance="gateway"}': 70, '{instance="one"}': 5 } },
    { at: '3m', expr: text(lag()), answer: { '{}': 70 } },
  ]);
});

test('a deploy is a start with another version, back to the one before it too; a start with the same one is none', { skip }, (t) => {
  const of = 'instance="a",job="tidegate"';
  const expr = deploys().build().expr ?? '';
  answers(t, {
    // away for two minutes, then 2.0.0, and back
    [`tidegate_build_info{${of},version="1.0.0"}`]: '1x19 stale _ 1x17 stale _x19 1x20', [`tidegate_build_info{${of},version="2.0.0"}`]: '_x40 1x19 stale',
    [`process_start_time_seconds{${of}}`]: '100x20 1300x19 2400x20 3600x20',
  }, [
    { at: '12m', expr, answer: {} }, { at: '22m', expr, answer: {} },
    { at: '41m', expr, answer: { [`{${of},version="2.0.0"}`]: 2_400_000 } }, { at: '55m', expr, answer: {} },
    { at: '63m', expr, answer: { [`{${of},version="1.0.0"}`]: 3_600_000 } }, { at: '75m', expr, answer: {} },
  ]);
});
