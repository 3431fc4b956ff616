/** What all boards have: variables, the data source first; links to each other that carry time and variables; what happened, as annotations. */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import type * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import type { MetricName } from '../../gateway/metrics/catalogue.js';
import type { PanelBuilder } from './panels.js';
import { gauge, promql, text } from './promql.js';

export type BoardName = 'overview' | 'service' | 'tenants' | 'events' | 'runtime' | 'billing';

export interface Row {
  readonly title: string;
  readonly panels: readonly PanelBuilder[];
}

export interface BoardTexts {
  readonly name: BoardName;
  readonly title: string;
  readonly description: string;
  /** As Grafana writes it: `now-6h`. Default: the last hour. */
  readonly from?: string;
  readonly variables: readonly cog.Builder<dashboard.VariableModel>[];
  readonly annotations: readonly cog.Builder<dashboard.AnnotationQuery>[];
}

export const uidOf = (name: BoardName): string => `tidegate-${name}`;

/** Ids of rows are those of no panel. */
const ROW_IDS = 1000;

export function board({ name, title, description, from = 'now-1h', variables, annotations }: BoardTexts, rows: readonly Row[]): dashboard.Dashboard {
  const built = new dashboard.DashboardBuilder(`Tidegate / ${title}`).uid(uidOf(name)).description(description).tags(['tidegate']).timezone('utc').readonly()
    .tooltip(dashboard.DashboardCursorSync.Crosshair).time({ from, to: 'now' }).refresh('30s')
    .variables([...variables]).annotations([...annotations])
    .link(new dashboard.DashboardLinkBuilder('Tidegate').type(dashboard.DashboardLinkType.Dashboards).tags(['tidegate']).tooltip('The other boards, for the same time').includeVars(true).keepTime(true));
  rows.forEach((row, index) => {
    built.withRow(new dashboard.RowBuilder(row.title).id(ROW_IDS + index));
    for (const panel of row.panels) built.withPanel(panel);
  });
  return built.build();
}

/** The variable `datasource`. */
export const prometheusSource = (): dashboard.DatasourceVariableBuilder => new dashboard.DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus');

const PROMETHEUS: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

function labelValues(name: string, label: string, metric: MetricName): dashboard.QueryVariableBuilder {
  const query = `label_values(${metric}, ${name})`;
  return new dashboard.QueryVariableBuilder(name).label(label).datasource(PROMETHEUS).query({ query, refId: name }).definition(query)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged).sort(dashboard.VariableSort.AlphabeticalAsc);
}

/** The variable `instance`: one, several or all nodes. */
export const nodes = (): dashboard.QueryVariableBuilder => labelValues('instance', 'Node', 'tidegate_build_info').multi(true).includeAll(true).allValue('.*').current({ text: ['All'], value: ['$__all'] });
/** The variable `service`: one, several or all that are configured. Requests that no route matched have none. */
export const services = (): dashboard.QueryVariableBuilder => labelValues('service', 'Service', 'tidegate_service_info').multi(true).includeAll(true).allValue('.+').current({ text: ['All'], value: ['$__all'] });
export const oneService = (): dashboard.QueryVariableBuilder => labelValues('service', 'Service', 'tidegate_service_info');
/** The variable `route`, of the services chosen. */
export function routes(): dashboard.QueryVariableBuilder {
  const query = 'label_values(tidegate_requests_total{service=~"$service"}, route)';
  return labelValues('route', 'Route', 'tidegate_requests_total').query({ query, refId: 'route' }).definition(query).multi(true).includeAll(true).allValue('.*').current({ text: ['All'], value: ['$__all'] });
}

/** When each node put its configuration in force: the gauge's value is the time. */
export function reloads(): dashboard.AnnotationQueryBuilder {
  const applied = promql.mul(gauge('tidegate_config_applied_timestamp_seconds'), promql.n(1000));
  return new dashboard.AnnotationQueryBuilder().name('Configuration applied').datasource(PROMETHEUS).enable(true).iconColor('blue')
    .expr(text(promql.mul(applied, gauge('tidegate_config_info')).on(['instance']).groupRight([])))
    .step('60s').useValueForTime(true).titleFormat('Configuration applied').textFormat('{{version}} on {{instance}}');
}

/** For so long a version is new on a node. Longer than the step of a picture of 30 days, which has at most 11,000 points. */
const NEW_FOR = '5m';

/** When a node was started with a version that it, or a node of its name, had not before. A start with the same one is none. */
export function deploys(): dashboard.AnnotationQueryBuilder {
  const before = promql.lastOverTime(gauge('tidegate_build_info').range(NEW_FOR).offset(NEW_FOR));
  const appeared = promql.unless(gauge('tidegate_build_info'), before).on(['instance', 'version']);
  const started = promql.mul(gauge('process_start_time_seconds'), promql.n(1000));
  return new dashboard.AnnotationQueryBuilder().name('Deployed').datasource(PROMETHEUS).enable(true).iconColor('purple')
    .expr(text(promql.mul(started, appeared).on(['instance']).groupRight([])))
    .step('60s').useValueForTime(true).titleFormat('Deployed').textFormat('{{version}} on {{instance}}');
}

/** A link to another board, for the same time and variables. `extra`: further variables, such as `var-service=…`. */
export function linkTo(name: BoardName, title: string, extra: string): dashboard.DashboardLinkBuilder {
  return new dashboard.DashboardLinkBuilder(title).url(`/d/${uidOf(name)}?\${datasource:queryparam}&\${instance:queryparam}&${extra}&\${__url_time_range}`);
}
