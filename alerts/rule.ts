/** What a rule is made of, and how a file of rules is written. PromQL stands in the rules as text: the lint (lint.test.ts) holds it to the metrics there are. */
import { stringify } from 'yaml';
import type { Windows } from './windows.js';

/** `page`: somebody is woken; `ticket`: somebody looks in working hours; `none`: no fault, for the one who listens whether alerts come through at all. */
export type Severity = 'page' | 'ticket' | 'none';

export interface RecordingRule {
  /** level:metric:operations. */
  readonly record: string;
  readonly expr: string;
}

export interface AlertRule {
  /** The name of its page in docs/runbooks, too. Several rules may share it, and then differ in a label. */
  readonly alert: string;
  readonly expr: string;
  /** For so long it has to hold, as a Prometheus duration; absent: the first time is enough. */
  readonly for?: string;
  /**
   * So long it goes on after its cause has ended, and its text says so; absent: not at all. Longer than what it inhibits takes to end, or that would be sent when all is
   * well again.
   */
  readonly keepFiringFor?: string;
  readonly severity: Severity;
  readonly labels?: Readonly<Record<string, string>>;
  readonly summary: string;
  /** With the value. */
  readonly description: string;
  /** Board where more is seen: its uid and query. */
  readonly board?: string;
}

export interface RuleGroup {
  readonly name: string;
  /** Absent: Prometheus's own. */
  readonly interval?: string;
  readonly rules: readonly (RecordingRule | AlertRule)[];
}

export interface RuleOptions {
  readonly windows: Windows;
  /** URL of the runbooks, or their folder in the repository, without the last slash. */
  readonly docsUrl: string;
  /** Where Grafana is, without the last slash. */
  readonly boardsUrl: string;
}

/** A file of rules as Prometheus reads it. */
export function renderGroups(groups: readonly RuleGroup[], source: string, options: RuleOptions): string {
  const written = groups.map(({ name, interval, rules }) => ({ name, ...(interval === undefined ? {} : { interval }), rules: rules.map((rule) => ('alert' in rule ? alertOf(rule, options) : rule)) }));
  return `# Written from ${source} by \`npm run alerts\`: an edit here is lost. Thresholds of a service are in the configuration of the gateway.\n${stringify({ groups: written }, { lineWidth: 0 })}`;
}

function alertOf(rule: AlertRule, { docsUrl, boardsUrl }: RuleOptions): object {
  return {
    alert: rule.alert, expr: rule.expr, ...(rule.for === undefined ? {} : { for: rule.for }),
    ...(rule.keepFiringFor === undefined ? {} : { keep_firing_for: rule.keepFiringFor }),
    labels: { severity: rule.severity, ...rule.labels },
    annotations: {
      summary: rule.summary, description: rule.description + untilWhen(rule), runbook_url: `${docsUrl}/${rule.alert}.md`,
      ...(rule.board === undefined ? {} : { dashboard_url: `${boardsUrl}/d/${rule.board}` }),
    },
  };
}

/** Prometheus repeats the last text while an alert is kept: it cannot say that its cause has ended. */
function untilWhen({ keepFiringFor }: AlertRule): string {
  return keepFiringFor === undefined ? '' : ` The alert clears ${keepFiringFor} after the last time this was true.`;
}
