/** deploy/alertmanager.yml: Alertmanager takes it, as it stands and with every example in it; who is told what; what is inhibited names alerts and labels that exist. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { programPath, requires } from '../test/harness/requires.js';

const here = dirname(fileURLToPath(import.meta.url));
const root = here.endsWith(join('dist', 'alerts')) ? join(here, '..', '..') : join(here, '..');
const file = join(root, 'deploy', 'alertmanager.yml');
const text = readFileSync(file, 'utf8');

interface Alert { readonly alert?: string; readonly expr: string; readonly labels: Readonly<Record<string, string>> }
interface Alertmanager { readonly inhibit_rules: readonly { readonly source_matchers: readonly string[]; readonly target_matchers: readonly string[]; readonly equal: readonly string[] }[] }

const alerts = readdirSync(join(root, 'alerts', 'rules')).flatMap((name) =>
  (parse(readFileSync(join(root, 'alerts', 'rules', name), 'utf8')) as { groups: { rules: Alert[] }[] }).groups.flatMap((group) => group.rules)).filter(({ alert }) => alert !== undefined);

const amtool = (...args: readonly string[]): string => {
  try {
    return execFileSync(programPath('amtool') ?? '', args, { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return assert.fail(`amtool ${args.join(' ')}:\n${stdout}\n${stderr}`);
  }
};

test('Alertmanager takes it as it stands, and with its examples of e-mail, webhook and chat', { skip: requires('alertmanager') }, (t) => {
  amtool('check-config', file);
  const whole = text.replaceAll(/^( *)#:/gm, '$1');
  for (const receiver of ['email_configs', 'webhook_configs', 'slack_configs']) assert.ok(whole.includes(`\n    ${receiver}:\n`), receiver);
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-alertmanager-'));
  t.after(() => { rmSync(folder, { recursive: true }); });
  writeFileSync(join(folder, 'alertmanager.yml'), whole);
  assert.match(amtool('check-config', join(folder, 'alertmanager.yml')), /5 receivers/);
});

test('pages wake somebody, tickets wait, a team is told of its own, and the heartbeat goes its own way', { skip: requires('alertmanager') }, () => {
  for (const [labels, receiver] of [
    [['alertname=GatewayDown', 'severity=page'], 'on-call'], [['alertname=HighErrorRate', 'severity=page', 'service=shop'], 'on-call'],
    [['alertname=HighErrorRate', 'severity=page', 'service=shop', 'team=storefront'], 'storefront-on-call'],
    [['alertname=TargetDown', 'severity=ticket', 'service=shop', 'team=storefront'], 'storefront'], [['alertname=EventLag', 'severity=ticket'], 'tickets'],
    [['alertname=TargetDown', 'severity=ticket', 'service=shop', 'team=another'], 'tickets'], [['alertname=Watchdog', 'severity=none'], 'heartbeat'],
  ] as const) assert.equal(amtool('config', 'routes', 'test', '--config.file', file, ...labels).trim(), receiver, labels.join(' '));
});

/** Alerts that the matchers mean, as far as rules set their labels. */
function meant(matchers: readonly string[]): readonly Alert[] {
  return alerts.filter(({ alert = '', labels }) => matchers.every((matcher) => {
    const [, name = '', operator = '', value = ''] = /^(\w+) (=~?) "?([^"]+)"?$/.exec(matcher) ?? [];
    const own = name === 'alertname' ? alert : labels[name] ?? '';
    return operator === '=~' ? new RegExp(`^(?:${value})$`).test(own) : own === value;
  }));
}

test('what an outage takes of a budget is said while it lasts: nothing silences the page of a budget, and its ticket only that page', () => {
  const { inhibit_rules: inhibitions } = parse(text) as Alertmanager;
  for (const budget of alerts.filter(({ alert = '' }) => alert.endsWith('BudgetBurn'))) {
    const silencers = inhibitions.filter(({ target_matchers: targets }) => meant(targets).includes(budget)).flatMap(({ source_matchers: sources }) => meant(sources));
    const expected = budget.labels['severity'] === 'page' ? [] : alerts.filter(({ alert, labels }) => alert === budget.alert && labels['severity'] === 'page');
    assert.deepEqual(silencers, expected, `${budget.alert} ${budget.labels['burn']}`);
  }
});

test('inhibition names alerts that exist, and labels that each of them always has', () => {
  const { inhibit_rules: inhibitions } = parse(text) as Alertmanager;
  assert.ok(inhibitions.length > 0);
  for (const { source_matchers: sources, target_matchers: targets, equal } of inhibitions) {
    for (const matchers of [sources, targets]) {
      for (const name of matchers.flatMap((matcher) => /^alertname =~? "?([\w|]+)"?$/.exec(matcher)?.[1]?.split('|') ?? [])) assert.ok(alerts.some(({ alert }) => alert === name), `no alert ${name}`);
      assert.ok(meant(matchers).length > 0, matchers.join());
      for (const { alert, expr } of meant(matchers)) {
        for (const label of equal) {
          // metrics of a node have its `instance` unless they are added up; of a service, they are added up by it
          if (label === 'instance') assert.doesNotMatch(expr, /\b(?:sum|max|min|count|absent)\b/, `${alert} may lack ${label}`);
          else assert.match(expr, /^\* on \(service\) group_left \(team\)/m, `${alert} may lack ${label}`);
        }
      }
    }
    assert.ok(equal.length === 1 && ['service', 'instance'].includes(equal[0] ?? ''), 'two labels that are both absent are equal');
    for (const source of meant(sources)) assert.ok(!meant(targets).includes(source), `${source.alert} would inhibit itself`);
  }
});
