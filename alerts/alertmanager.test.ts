/** deploy/alertmanager.yml: what is inhibited names alerts and labels that exist. What Alertmanager says of it: alertmanager-takes.long.test.ts. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { filesOf, root, rulesFolder } from './rules-folders.fixture.js';

const text = readFileSync(join(root, 'deploy', 'alertmanager.yml'), 'utf8');

interface Alert { readonly alert?: string; readonly expr: string; readonly labels: Readonly<Record<string, string>> }
interface Alertmanager { readonly inhibit_rules: readonly { readonly source_matchers: readonly string[]; readonly target_matchers: readonly string[]; readonly equal: readonly string[] }[] }

const alerts = filesOf(rulesFolder).flatMap((name) =>
  (parse(readFileSync(join(rulesFolder, name), 'utf8')) as { groups: { rules: Alert[] }[] }).groups.flatMap((group) => group.rules)).filter(({ alert }) => alert !== undefined);

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
