/**
 * Objectives (`slo` of a service): alerts on how fast the error budget burns, in two windows each, so that they fire soon and end soon
 * (Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"). A budget is of 30 days: at 14.4 times the rate that just uses it up, an hour takes 2 % of it.
 */
import type { AlertRule, RecordingRule, RuleGroup } from './rule.js';
import { enoughBad, ERRORS, JUDGED, ofService, SLOW_FOR_OBJECTIVE } from './service-rules.js';
import type { Windows } from './windows.js';

interface Burn {
  /** Times the rate that uses the budget up in just its 30 days. */
  readonly factor: number;
  readonly long: string;
  readonly short: string;
  readonly severity: 'page' | 'ticket';
}

const BURNS: readonly Burn[] = [
  { factor: 14.4, long: '1h', short: '5m', severity: 'page' },
  { factor: 6, long: '6h', short: '30m', severity: 'page' },
  { factor: 3, long: '1d', short: '2h', severity: 'ticket' },
  { factor: 1, long: '3d', short: '6h', severity: 'ticket' },
];

/**
 * Of a ticket, so that the page that explains it, and inhibits it, is there first where windows are not full yet and all burns begin at once. A page has no `for`: the short window
 * stays bad for as long as it is, so a `for` would be over, and somebody woken, when the outage has been mended.
 */
const TICKET_FOR = '2m';

/** 5 m is recorded with the services. */
const WINDOWS = ['30m', '1h', '2h', '6h', '1d', '3d'];
/** A mean over days reads all of its samples. */
const INTERVAL = '1m';

export function objectiveGroup(windows: Windows): RuleGroup {
  return {
    name: 'tidegate-objectives', interval: windows.of(INTERVAL),
    rules: [
      ...[JUDGED, ERRORS, SLOW_FOR_OBJECTIVE].flatMap((quantity): RecordingRule[] =>
        WINDOWS.map((window) => ({ record: `${quantity}:rate${window}`, expr: `avg_over_time(${quantity}:rate2m[${windows.of(window)}])` }))),
      ...BURNS.map((burn) => burnAlert(windows, burn, ERRORS, 'tidegate_slo_availability_ratio', {
        alert: 'ErrorBudgetBurn',
        summary: `{{ $labels.service }}: the error budget burns at ${burn.factor}x its rate`,
        description: `{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} have failed in the last ${burn.long}: more than ${times(burn)}what its objective allows.`,
      })),
      ...BURNS.map((burn) => burnAlert(windows, burn, SLOW_FOR_OBJECTIVE, 'tidegate_slo_latency_share_ratio', {
        alert: 'LatencyBudgetBurn',
        summary: `{{ $labels.service }}: the budget of slow requests burns at ${burn.factor}x its rate`,
        description: `{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} took longer than its objective in the last ${burn.long}: more than ${times(burn)}what it allows.`,
      })),
    ],
  };
}

const times = ({ factor }: Burn): string => (factor === 1 ? '' : `${factor} times `);

type Texts = Pick<AlertRule, 'alert' | 'summary' | 'description'>;

function burnAlert(windows: Windows, { factor, long, short, severity }: Burn, bad: string, objective: string, texts: Texts): AlertRule {
  const above = (window: string): string =>
    `${bad}:rate${window} / (${JUDGED}:rate${window} > 0) > on (service) ${factor} * (1 - max by (service) (${objective}))`;
  return ofService({
    ...texts, severity, ...(severity === 'ticket' ? { for: windows.of(TICKET_FOR) } : {}), labels: { burn: String(factor), window: long },
    expr: `${above(long)}\nand on (service)\n${above(short)}\n${enoughBad(windows, bad, long)}`,
  });
}
