/**
 * The rules in the repository: they are what the sources say, Prometheus takes them, they name nothing that is not there, and each has what somebody at three in the morning
 * needs, and tests of both kinds. What they do is told by the tests of promtool, alerts/tests, and end to end by test/faults/incident.long.test.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { METRICS, seriesNames, type MetricName } from '../gateway/metrics/catalogue.js';
import { DEFAULT_BOARDS_URL, DEFAULT_DOCS_URL, ruleFiles } from './files.js';
import { inferLabels, type KnownSeries } from './labels.fixture.js';
import { filesOf, main, root, rulesFolder, testsFolder } from './rules-folders.fixture.js';
import { Windows } from './windows.js';

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface AlertTest { readonly alertname: string; readonly exp_alerts?: readonly { readonly exp_labels: Readonly<Record<string, string>>; readonly exp_annotations?: object }[] }
interface TestFile { readonly tests: readonly { readonly alert_rule_test?: readonly AlertTest[]; readonly promql_expr_test?: readonly { readonly expr: string }[] }[] }

const rules: readonly Rule[] = filesOf(rulesFolder).flatMap((name) => (parse(readFileSync(join(rulesFolder, name), 'utf8')) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules));
const alerts = rules.filter((rule) => rule.alert !== undefined);
const recordings = rules.filter((rule) => rule.record !== undefined);
const tests = filesOf(testsFolder).flatMap((name) => (parse(readFileSync(join(testsFolder, name), 'utf8')) as TestFile).tests);
/** Told apart where several share a name. */
const titleOf = ({ alert, labels }: Rule): string => [alert, labels?.['severity'], labels?.['window'], labels?.['reason']].filter((part) => part !== undefined).join(' ');

/** Of every series that is scraped; `cluster` where the scrape says so (docs/metrics.md). */
const SCRAPED = ['job', 'instance', 'cluster'];

/** What a scrape of a node has, what Prometheus adds, and what the rules record. */
function knownSeries(): KnownSeries {
  const known = new Map<string, ReadonlySet<string>>([['up', new Set(SCRAPED)], ['ALERTS', new Set(['alertname', 'alertstate', 'service', 'team', 'severity'])]]);
  for (const name of Object.keys(METRICS) as MetricName[]) {
    for (const series of seriesNames(name)) known.set(series, new Set([...METRICS[name].labels, ...SCRAPED, ...(series.endsWith('_bucket') ? ['le'] : [])]));
  }
  // some are made of others, which may stand in a later file
  for (const _ of recordings) for (const { record = '', expr } of recordings) known.set(record, inferLabels(expr, known).labels);
  return known;
}

test('the rules in the repository are what npm run alerts writes, to the byte', () => {
  const built = ruleFiles({ windows: new Windows(1), docsUrl: DEFAULT_DOCS_URL, boardsUrl: DEFAULT_BOARDS_URL });
  assert.deepEqual(filesOf(rulesFolder), [...built.keys()].sort());
  for (const [name, text] of built) assert.ok(readFileSync(join(rulesFolder, name), 'utf8') === text, `alerts/rules/${name} is out of date: npm run alerts`);
});

test('no rule names a metric or a label that does not exist', () => {
  const known = knownSeries();
  for (const rule of rules) {
    const { labels, faults } = inferLabels(rule.expr, known);
    assert.deepEqual(faults, [], rule.record ?? titleOf(rule));
    for (const [, label = ''] of Object.values(rule.annotations ?? {}).join('\n').matchAll(/\$labels\.(\w+)/g)) {
      // labels that the rule adds are not among them
      assert.ok(labels.has(label), `${titleOf(rule)} tells of a label that its expression has not: ${label}`);
    }
    for (const label of Object.keys(rule.labels ?? {})) assert.ok(!labels.has(label), `${titleOf(rule)} hides a label: ${label}`);
  }
});

test('the lint sees what is not there', () => {
  const known = knownSeries();
  for (const [expr, fault] of [
    ['tidegate_request_total', /no metric/], ['rate(tidegate_requests_total{status="500"}[5m])', /no label status/], ['sum by (app) (tidegate_requests_total)', /no label app/],
    ['sum by (service) (tidegate_requests_total) * on (service, route) tidegate_services', /no label route/], ['tidegate_up == 0', /no metric/],
    ['tidegate_targets * on (service) group_left (owner) tidegate_service_info', /no label owner/], ['sum by (app) (quantile_over_time(0.5, tidegate_targets[5m]))', /no label app/], ['label_replace(tidegate_targets, "a", "$1", "host", "(.*)")', /no label host/],
  ] as const) assert.match(inferLabels(expr, known).faults.join(), fault, expr);
  assert.throws(() => inferLabels('sum by (service (tidegate_targets)', known), /no PromQL/);
});

test('recording rules are named level:metric:operations, by the labels that they have', () => {
  const known = knownSeries();
  for (const { record = '' } of recordings) {
    const [, level = ''] = /^([a-z_]+):tidegate_[a-z0-9_]+:[a-z0-9_]+$/.exec(record) ?? [];
    assert.deepEqual(level.split('_').sort(), [...known.get(record) ?? []].sort(), record);
  }
});

test('every alert says what is wrong, with the value, how bad it is and where to read on', () => {
  for (const rule of alerts) {
    const { severity } = rule.labels ?? {};
    const { summary = '', description = '', runbook_url: runbook = '' } = rule.annotations ?? {};
    assert.ok(['page', 'ticket', 'none'].includes(severity ?? ''), titleOf(rule));
    assert.ok(summary.length > 10 && summary.length < 80, titleOf(rule));
    assert.match(description, /\{\{ \$value/, titleOf(rule));
    assert.equal(runbook, `docs/runbooks/${rule.alert}.md`, titleOf(rule));
  }
});

test('every alert has a runbook of four parts, and every runbook an alert', () => {
  const names = new Set(alerts.map(({ alert }) => `${alert}.md`));
  assert.deepEqual(readdirSync(join(root, 'docs', 'runbooks')).filter((name) => name !== 'README.md').sort(), [...names].sort());
  for (const name of names) {
    const text = readFileSync(join(root, 'docs', 'runbooks', name), 'utf8');
    assert.ok(text.startsWith(`# ${name.slice(0, -3)}\n`), name);
    assert.deepEqual([...text.matchAll(/^## (.+)$/gm)].map(([, head]) => head), ['What it means', 'How to see', 'What to do', 'How to tell it is over'], name);
    for (const part of text.split(/^## .+$/m).slice(1)) assert.ok(part.trim().length > 20, `${name}: a part says nothing`);
  }
});

test('what runbooks ask Prometheus is PromQL, of metrics and labels that exist', () => {
  const known = knownSeries();
  for (const name of readdirSync(join(root, 'docs', 'runbooks'))) {
    for (const [, block = ''] of readFileSync(join(root, 'docs', 'runbooks', name), 'utf8').matchAll(/^```promql\n([\s\S]*?)^```$/gm)) {
      for (const line of block.trim().split('\n')) assert.deepEqual(inferLabels(line, known).faults, [], `${name}: ${line}`);
    }
  }
});

test('every rule has tests: alerts that fire, with labels and annotations, and that are quiet; recordings their values', () => {
  const told = tests.flatMap((one) => one.alert_rule_test ?? []);
  for (const rule of alerts) {
    const own = told.filter(({ alertname }) => alertname === rule.alert);
    const fires = own.flatMap(({ exp_alerts: expected = [] }) => expected).filter(({ exp_labels: labels }) => Object.entries(rule.labels ?? {}).every(([name, value]) => labels[name] === value));
    assert.ok(fires.length > 0, `${titleOf(rule)}: no test sees it fire`);
    // the one that always fires is never quiet
    if (rule.labels?.['severity'] !== 'none') assert.ok(own.some(({ exp_alerts: expected }) => (expected ?? []).length === 0), `${titleOf(rule)}: no test sees it quiet`);
  }
  const asked = tests.flatMap((one) => one.promql_expr_test ?? []).map(({ expr }) => expr);
  for (const { record = '' } of recordings) assert.ok(asked.some((expr) => expr.includes(record)), `${record}: no test asks for it`);
});

test('links of runbooks and boards are URLs where one is given, and what is none is refused', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-rules-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  execFileSync(process.execPath, [...main, '--out', folder, '--docs-url', 'https://docs.example.com/runbooks/', '--boards-url', 'https://grafana.example.com'], { stdio: 'pipe' });
  const written = filesOf(folder).map((name) => readFileSync(join(folder, name), 'utf8')).join('');
  const links = [...written.matchAll(/(?:runbook|dashboard)_url: (.+)/g)].map(([, link = '']) => link);
  assert.ok(links.length > alerts.length);
  assert.deepEqual(links.filter((link) => !/^https:\/\/(?:docs\.example\.com\/runbooks\/\w+\.md|grafana\.example\.com\/d\/[\w-]+)$/.test(link)), []);
  for (const [option, value] of [['--docs-url', 'docs.example.com/runbooks'], ['--docs-url', '../runbooks'], ['--boards-url', 'grafana:3000']] as const) {
    const { status, stderr } = spawnSync(process.execPath, [...main, '--out', folder, option, value], { encoding: 'utf8' });
    assert.equal(status, 1, value);
    assert.ok(stderr.includes(`option '${option} <url>' argument '${value}' is invalid. Give a URL`), stderr);
  }
});
